/* SPDX-License-Identifier: MIT
 * Logit masks, as whisper.decoding's LogitFilter classes: pure functions over one row of logits. */
#ifndef SOTTO_TEXT_RULES_H
#define SOTTO_TEXT_RULES_H

#include "text/keywords.h"

typedef struct sotto__rules {
    sotto__specials specials;
    bool suppress_blank;
    int32_t space;             /* id of " " */
    const int32_t *suppressed; /* ascending; borrowed */
    size_t n_suppressed;
    bool timestamps;                 /* apply the timestamp rules */
    int32_t max_initial_timestamp;   /* index (0.02 s steps), -1 = no limit */
    const sotto__keywords *keywords; /* leaned towards before anything is masked; NULL = none. Borrowed */
} sotto__rules;

/* Masks logits[n_vocab] in place with -INFINITY in whisper's order: SuppressBlank, SuppressTokens, ApplyTimestampRules.
 * `sampled` are the n tokens generated so far (after the prompt). */
void sotto__rules_apply(const sotto__rules *rules, const int32_t *sampled, size_t n, float *logits);

/* lsm[v] = log_softmax(logits)[v] over n values (f32, max-subtracted); returns log-sum-exp. May be in place. */
float sotto__log_softmax(const float *logits, size_t n, float *lsm);

#endif
