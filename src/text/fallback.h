/* SPDX-License-Identifier: MIT
 * When a window's tokens are good enough, and what to try when they are not: pure functions of the options and of what
 * a search found. Mirrors whisper.transcribe.decode_with_fallback. */
#ifndef SOTTO_TEXT_FALLBACK_H
#define SOTTO_TEXT_FALLBACK_H

#include "sotto.h"

/* What a window was heard as. */
typedef struct sotto__window_tokens {
    const int32_t *tokens; /* without end-of-text; valid until the next run */
    const float *logprobs; /* [n] */
    size_t n;
    double temperature, avg_logprob, compression_ratio, no_speech_prob;
} sotto__window_tokens;

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

#endif
