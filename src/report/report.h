/* SPDX-License-Identifier: MIT
 * The report of parameters used and throughput: facts of the model and counters of a run in, a JSON object out. */
#ifndef SOTTO_REPORT_REPORT_H
#define SOTTO_REPORT_REPORT_H

#include <jansson.h>

#include "sotto.h"

/* The report as a new jansson object in *out. `peak_gops` is the machine's measured peak in `arithmetic`; `touched` may
 * be NULL (its keys are then null). Everything is computed from the arguments. */
sotto_status sotto__report_json(json_t **out, const sotto_model_info *info, const char *arithmetic, double peak_gops,
                                const sotto_counts *counts, const uint64_t touched[SOTTO_PART_COUNT], sotto_error *err);

#endif
