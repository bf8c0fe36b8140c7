/* SPDX-License-Identifier: MIT
 * How sure an error rate is, and a difference of two. */
#ifndef SOTTO_CLIENT_STUDY_SCORE_H
#define SOTTO_CLIENT_STUDY_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "sotto.h"

typedef struct sotto_interval {
    double value, low, high;
} sotto_interval;

typedef struct sotto_paired {
    double difference, low, high, p;
} sotto_paired;

/* edits / words over n utterances, and its 95 % interval. */
sotto_status sotto_score_interval(const uint64_t *edits, const uint64_t *words, size_t n, uint64_t seed,
                                  sotto_interval *out, sotto_error *err);
/* The rate less that of other edits on the same utterances. */
sotto_status sotto_score_paired(const uint64_t *edits, const uint64_t *base_edits, const uint64_t *words, size_t n,
                                uint64_t seed, sotto_paired *out, sotto_error *err);

#endif
