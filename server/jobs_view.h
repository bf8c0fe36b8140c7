/* SPDX-License-Identifier: MIT
 * Rows of the store, and what is under way of them, as the JSON that clients get (docs/HTTP.md, Jobs). */
#ifndef SOTTOD_JOBS_VIEW_H
#define SOTTOD_JOBS_VIEW_H

#include "jobs.h"

/* New references; NULL when memory ran out. */
json_t *jobs_view_job(jobs *j, const store_job *row);
json_t *jobs_view_recording(jobs *j, const store_file *file);
/* Of one recording: {"type", "index", "progress", "delta"}. */
json_t *jobs_view_progress(size_t number, double done_s, double total_s, const char *delta);

#endif
