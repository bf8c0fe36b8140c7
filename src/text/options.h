/* SPDX-License-Identifier: MIT
 * What a caller may ask of a model, checked before anything runs. */
#ifndef SOTTO_TEXT_OPTIONS_H
#define SOTTO_TEXT_OPTIONS_H

#include "text/rules.h"

enum { SOTTO__MAX_BEAMS = 32, SOTTO__MAX_BEST_OF = 32, SOTTO__MAX_PATIENCE = 16 };

/* SOTTO_EINVAL with one sentence naming the first option that is wrong for this model. */
sotto_status sotto__options_check(const sotto_options *o, const sotto__tokenizer *tokenizer, sotto_error *err);

/* The masks that the options ask for, mirrors DecodingTask._get_suppress_tokens; *suppressed (zeroed) holds what
 * out->suppressed points to. The special tokens stay suppressed when the caller asks for an empty set: they have no
 * text. */
sotto_status sotto__rules_make(sotto__rules *out, const sotto_options *o, const sotto__tokenizer *tokenizer,
                               sotto__ids *suppressed, sotto_error *err);

/* Stride of the silent tail. Sampling it is the default where its word error rate was measured: on models of tiny's and
 * base's width. */
int32_t sotto__tail_stride(const sotto_options *o, const sotto_model_info *info);

#endif
