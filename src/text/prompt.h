/* SPDX-License-Identifier: MIT
 * The text before: what was said so far becomes the prompt of the next window. Mirrors whisper.transcribe's all_tokens,
 * prompt_reset_since and carry_initial_prompt, and DecodingTask._get_initial_tokens. */
#ifndef SOTTO_TEXT_PROMPT_H
#define SOTTO_TEXT_PROMPT_H

#include "token/tokenizer.h"

typedef struct sotto__history {
    sotto__ids tokens;  /* the initial prompt's, then those of all segments */
    size_t n_initial;   /* tokens of the initial prompt */
    size_t reset_since; /* earlier tokens are not fed any more */
    bool carry;         /* the initial prompt goes before every window */
} sotto__history;

/* Replaces *out by the decoder's initial tokens: [sot_prev, at most n_ctx / 2 - 1 tokens of history,] sot_sequence.
 * *sot_index: where the sequence begins. */
sotto_status sotto__prompt_build(const sotto__history *h, const sotto__specials *specials, const int32_t *sot_sequence,
                                 size_t n_sot, size_t n_ctx, sotto__ids *out, size_t *sot_index, sotto_error *err);

/* Appends encode(" " + text.strip()) to `out`; NULL and blank text are none. */
sotto_status sotto__prompt_encode(const sotto__tokenizer *t, const char *text, sotto__ids *out, sotto_error *err);

#endif
