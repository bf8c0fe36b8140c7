/* SPDX-License-Identifier: MIT
 * What a caller may ask of a model, checked before anything runs. */
#ifndef SOTTO_TEXT_OPTIONS_H
#define SOTTO_TEXT_OPTIONS_H

#include "token/tokenizer.h"

enum { SOTTO__MAX_BEAMS = 32, SOTTO__MAX_BEST_OF = 32, SOTTO__MAX_PATIENCE = 16 };

/* SOTTO_EINVAL with one sentence naming the first option that is wrong for this model. */
sotto_status sotto__options_check(const sotto_options *o, const sotto__tokenizer *tokenizer, sotto_error *err);

#endif
