/* SPDX-License-Identifier: MIT
 * Word timestamps: a second decoder pass over a window's finished text, whose cross-attention tells when each token was
 * spoken. Mirrors whisper.timing.find_alignment. */
#ifndef SOTTO_TEXT_WORD_PASS_H
#define SOTTO_TEXT_WORD_PASS_H

#include "model/runtime.h"
#include "text/words.h"

typedef struct sotto__word_pass sotto__word_pass; /* scratch memory and a KV cache, reused from window to window */

sotto_status sotto__word_pass_create(sotto__word_pass **out, sotto__runtime *rt, sotto_error *err);
void sotto__word_pass_free(sotto__word_pass *p);

typedef struct sotto__word_pass_input {
    const sotto__window *window;
    const int32_t *sot_sequence;
    size_t n_sot;
    const char *language;  /* code: how text is split into words */
    const int32_t *tokens; /* the window's, as decoded */
    size_t seek, frames;
    double last_speech_s;
} sotto__word_pass_input;

/* Gives the drafts their words. Counts its seconds under WORDS. */
sotto_status sotto__word_pass_run(sotto__word_pass *p, const sotto__word_pass_input *in, sotto__drafts *d,
                                  sotto_error *err);

#endif
