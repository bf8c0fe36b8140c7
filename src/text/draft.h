/* SPDX-License-Identifier: MIT
 * Speculative decoding's guesses: tokens that may come next, for the search to check several in one decoder pass. Out
 * of a draft (a transcript of the same audio, followed as decoding goes), or out of what came after the same tokens
 * before (prompt lookup). Knows no model; a wrong guess costs time, never a token. */
#ifndef SOTTO_TEXT_DRAFT_H
#define SOTTO_TEXT_DRAFT_H

#include "base/checked.h"
#include "sotto.h"

/* Tokens of one proposal. */
enum { SOTTO__DRAFT_MOST = 7 };

/* Zero-initialise, then set the first block; free with sotto__drafter_free. */
typedef struct sotto__drafter {
    const int32_t *draft; /* borrowed */
    size_t n_draft;
    bool lookup;     /* propose from `seen` where the draft has nothing to say */
    bool timestamps; /* false: the draft's timestamps are passed over */
    int32_t eot, timestamp_begin;

    sotto__ids seen;              /* the first prompt's tokens, then every token taken */
    size_t cursor;                /* draft tokens that are behind */
    size_t streak;                /* tokens in a row that agreed with the draft: as many more are proposed */
    size_t window, window_cursor; /* window being decoded; where its draft began */
} sotto__drafter;

void sotto__drafter_free(sotto__drafter *d);

/* Before a search of at most `most` tokens in the window that starts at `window`: the same window again starts at the
 * same place in the draft. */
sotto_status sotto__drafter_begin(sotto__drafter *d, size_t window, const int32_t *prompt, size_t n_prompt, size_t most,
                                  sotto_error *err);

/* The search chose `token`. */
void sotto__drafter_take(sotto__drafter *d, int32_t token);

/* *n <= most tokens that may follow, text or timestamps; borrowed until the next begin. */
const int32_t *sotto__drafter_propose(sotto__drafter *d, size_t most, size_t *n);

#endif
