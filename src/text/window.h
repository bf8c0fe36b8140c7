/* SPDX-License-Identifier: MIT
 * One window's tokens: runs the searches over the decoder, again at higher temperatures while the outcome looks bad.
 * Mirrors whisper.transcribe.decode_with_fallback and DecodingTask.run. */
#ifndef SOTTO_TEXT_WINDOW_H
#define SOTTO_TEXT_WINDOW_H

#include "model/runtime.h"
#include "text/search.h"

typedef struct sotto__window_decoder sotto__window_decoder; /* caches and logits, reused from window to window */

/* `options` and `rules` are borrowed as long as the decoder lives. */
sotto_status sotto__window_decoder_create(sotto__window_decoder **out, sotto__runtime *rt, const sotto_options *options,
                                          const sotto__rules *rules, sotto_error *err);
void sotto__window_decoder_free(sotto__window_decoder *d);

typedef struct sotto__window_tokens {
    const int32_t *tokens; /* without end-of-text; valid until the next run */
    size_t n;
    double temperature, avg_logprob, compression_ratio, no_speech_prob;
} sotto__window_tokens;

/* Decodes the encoded `window` after the initial tokens prompt[n]; `seek` names the window for the sampling's seed.
 * Adds tokens_decoded, tokens_prefilled and fallbacks to the runtime's counts. */
sotto_status sotto__window_decode(sotto__window_decoder *d, const sotto__window *window, const int32_t *prompt,
                                  size_t n_prompt, size_t sot_index, size_t seek, sotto__window_tokens *out,
                                  sotto_error *err);

/* The fallback's temperatures: t, t + increment, … up to 1.0, as the reference's np.arange(t, 1.0 + 1e-6, increment);
 * only t for increment 0. Temperature i, and how many there are. */
double sotto__temperature(const sotto_options *options, size_t i);
size_t sotto__temperatures(const sotto_options *options);

/* Bytes of the text over bytes of its zlib compression. */
sotto_status sotto__compression_ratio(const char *text, size_t n, double *out, sotto_error *err);

/* The decision to decode again; NAN thresholds never ask for it. */
bool sotto__needs_fallback(const sotto_options *options, const sotto__window_tokens *w);

/* The decision to take the window for silence. */
bool sotto__is_silence(const sotto_options *options, const sotto__window_tokens *w);

/* How to make n caches continue the hypotheses sources[n] of `width` old ones with the fewest copies: order[i] is the
 * old cache that becomes cache i (a permutation of all `width`), and copies[i] is true where it has to be overwritten
 * first with the cache sources[i]. n <= width. */
void sotto__caches_arrange(const size_t *sources, size_t n, size_t width, size_t *order, bool *copies);

#endif
