/* SPDX-License-Identifier: MIT
 * Any rate -> 16 kHz: libsoxr's high-quality recipe (20 bits), as a stream. The only file that includes soxr.h. */
#include "audio/decode.h"

#include "audio/features.h"
#include "base/checked.h"
#include "base/error.h"

#include <math.h>
#include <soxr.h>
#include <stdlib.h>

struct sotto__resampler {
    soxr_t soxr;
    double from_hz;
    bool flushed;
    float *out;
    size_t cap;
};

enum { MIN_HZ = 1000, MAX_HZ = 6000000 }; /* the upper bound is that of DSD512 behind its decimation */

sotto_status sotto__resampler_open(sotto__resampler **out, double from_hz, sotto_error *err)
{
    soxr_error_t error = NULL;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    sotto__resampler *r;
    *out = NULL;
    if (!(from_hz >= MIN_HZ && from_hz <= MAX_HZ))
        return sotto__fail(err, SOTTO_EAUDIO, "sample rate of %g Hz, expected %d to %d", from_hz, MIN_HZ, MAX_HZ);
    r = calloc(1, sizeof *r);
    if (!r) return sotto__fail_nomem(err, "resampler");
    r->from_hz = from_hz;
    r->soxr = soxr_create(from_hz, SOTTO__SAMPLE_RATE, 1, &error, &io, &quality, &runtime);
    if (!r->soxr) {
        sotto__resampler_free(r);
        return sotto__fail(err, SOTTO_EINTERNAL, "libsoxr cannot resample from %g Hz: %s", from_hz,
                           error ? soxr_strerror(error) : "no reason given");
    }
    *out = r;
    return SOTTO_OK;
}

void sotto__resampler_free(sotto__resampler *r)
{
    if (!r) return;
    if (r->soxr) soxr_delete(r->soxr);
    free(r->out);
    free(r);
}

sotto_status sotto__resampler_push(sotto__resampler *r, const float *samples, size_t n, const float **out,
                                   size_t *n_out, sotto_error *err)
{
    const bool flush = n == 0;
    size_t filled = 0, room = (size_t)ceil((double)n * SOTTO__SAMPLE_RATE / r->from_hz) + 1024, need;
    *out = NULL;
    *n_out = 0;
    if (r->flushed) {
        if (flush) return SOTTO_OK;
        return sotto__fail(err, SOTTO_EINVAL, "resampler: samples pushed after its end");
    }
    for (;;) {
        size_t used = 0, made = 0;
        soxr_error_t error;
        if (!sotto__add(filled, room, &need) || !sotto__grow(&r->out, &r->cap, need, sizeof *r->out))
            return sotto__fail_nomem(err, "resampler");
        error = soxr_process(r->soxr, flush ? NULL : samples, n, &used, r->out + filled, r->cap - filled, &made);
        if (error) return sotto__fail(err, SOTTO_EINTERNAL, "libsoxr: %s", soxr_strerror(error));
        if (used) samples += used;
        n -= used;
        filled += made;
        /* until it makes less than there is room for, more may wait inside */
        if (n == 0 && filled < r->cap) break;
    }
    r->flushed = flush;
    *out = r->out;
    *n_out = filled;
    return SOTTO_OK;
}
