/* SPDX-License-Identifier: MIT
 * One window's tokens: runs the searches over the decoder, again at higher temperatures while the outcome looks bad.
 * Mirrors whisper.transcribe.decode_with_fallback and DecodingTask.run. */
#ifndef SOTTO_TEXT_WINDOW_H
#define SOTTO_TEXT_WINDOW_H

#include "model/runtime.h"
#include "text/fallback.h"
#include "text/rules.h"

typedef struct sotto__window_decoder sotto__window_decoder; /* caches and logits, reused from window to window */

/* `options` and `rules` are borrowed as long as the decoder lives. */
sotto_status sotto__window_decoder_create(sotto__window_decoder **out, sotto__runtime *rt, const sotto_options *options,
                                          const sotto__rules *rules, sotto_error *err);
void sotto__window_decoder_free(sotto__window_decoder *d);

/* Another guess at the tokens to come, for the windows decoded from now on (sotto_options.draft_tokens is the first);
 * borrowed until the next. */
sotto_status sotto__window_decoder_set_draft(sotto__window_decoder *d, const int32_t *draft, size_t n,
                                             sotto_error *err);

/* Decodes the encoded `window` after the initial tokens prompt[n]; `seek` names the window for the sampling's seed.
 * With `first_only` the first temperature alone is tried, and *good tells whether its outcome would stand.
 * Adds tokens_decoded, tokens_prefilled, draft_tokens_* and fallbacks to the runtime's counts. */
sotto_status sotto__window_decode(sotto__window_decoder *d, const sotto__window *window, const int32_t *prompt,
                                  size_t n_prompt, size_t sot_index, size_t seek, bool first_only,
                                  sotto__window_tokens *out, bool *good, sotto_error *err);

#endif
