/* SPDX-License-Identifier: MIT
 * Thresholds, temperatures and the compression ratio. */
#include "text/fallback.h"
#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <zlib.h>

size_t sotto__temperatures(const sotto_options *o)
{
    double n;
    if (!(o->temperature_increment > 0)) return 1;
    n = ceil((1.0 + 1e-6 - o->temperature) / o->temperature_increment);
    return n < 1 ? 1 : (size_t)n;
}

double sotto__temperature(const sotto_options *o, size_t i)
{
    /* 3 * 0.2 would be 0.6000000000000001 */
    return i ? rint((o->temperature + (double)i * o->temperature_increment) * 1e9) / 1e9 : o->temperature;
}

sotto_status sotto__compression_ratio(const char *text, size_t n, double *out, sotto_error *err)
{
    uLong bound = compressBound((uLong)n);
    uLongf packed = bound;
    Bytef *buffer = malloc(bound);
    *out = 0;
    if (!buffer) return sotto__fail_nomem(err, "compression ratio");
    /* cannot fail with a buffer of compressBound but for memory */
    if (compress(buffer, &packed, (const Bytef *)text, (uLong)n) != Z_OK) {
        free(buffer);
        return sotto__fail_nomem(err, "compression ratio");
    }
    free(buffer);
    *out = (double)n / (double)packed;
    return SOTTO_OK;
}

bool sotto__needs_fallback(const sotto_options *o, const sotto__window_tokens *w)
{
    bool improbable = w->avg_logprob < o->logprob_threshold; /* false for NAN */
    bool again = improbable || w->compression_ratio > o->compression_ratio_threshold;
    if (w->no_speech_prob > o->no_speech_threshold && improbable) again = false; /* silence */
    return again;
}

bool sotto__is_silence(const sotto_options *o, const sotto__window_tokens *w)
{
    return w->no_speech_prob > o->no_speech_threshold && !(w->avg_logprob > o->logprob_threshold);
}
