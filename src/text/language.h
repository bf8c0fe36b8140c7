/* SPDX-License-Identifier: MIT
 * Which language is spoken, and the decoder's first tokens that follow from it. */
#ifndef SOTTO_TEXT_LANGUAGE_H
#define SOTTO_TEXT_LANGUAGE_H

#include "model/runtime.h"

/* whisper.decoding.detect_language on an encoded window of a multilingual model: softmax over the language tokens after
 * start-of-transcript. *code is the tokenizer's. */
sotto_status sotto__language_detect(sotto__runtime *rt, const sotto__window *window, const char **code,
                                    double *probability, sotto_error *err);

enum { SOTTO__SOT_MOST = 3 };

/* start-of-transcript and, for a multilingual model, language and task; returns how many. */
size_t sotto__sot_sequence(const sotto__tokenizer *t, const char *language, sotto_task task,
                           int32_t out[SOTTO__SOT_MOST]);

#endif
