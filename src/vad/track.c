/* SPDX-License-Identifier: MIT
 * Samples in pieces of any size -> batches of chunks -> the recording's probabilities: four bytes for every 32 ms. */
#include "base/checked.h"
#include "base/error.h"
#include "vad/batch.h"

#include <stdlib.h>
#include <string.h>

enum { FULL = SOTTO__VAD_BATCH * SOTTO__VAD_CHUNK };

struct sotto__vad_track {
    sotto__vad_batch *batch;
    size_t filled; /* samples that wait in it; batches begin at multiples of 64 chunks, however samples come */
    float *probabilities;
    size_t n, cap;
    uint64_t samples;
    bool finished;
};

sotto_status sotto__vad_track_create(sotto__vad_track **out, const sotto__vad *vad, sotto_error *err)
{
    sotto__vad_track *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t || !(t->batch = sotto__aligned(1, sizeof *t->batch))) {
        sotto__vad_track_free(t);
        return sotto__fail_nomem(err, "speech probabilities");
    }
    memset(t->batch, 0, sizeof *t->batch);
    t->batch->vad = vad;
    *out = t;
    return SOTTO_OK;
}

void sotto__vad_track_free(sotto__vad_track *t)
{
    if (!t) return;
    free(t->batch);
    free(t->probabilities);
    free(t);
}

static sotto_status run(sotto__vad_track *t, size_t chunks, sotto_error *err)
{
    if (!sotto__grow(&t->probabilities, &t->cap, t->n + chunks, sizeof *t->probabilities))
        return sotto__fail_nomem(err, "speech probabilities");
    sotto__vad_batch_run(t->batch, chunks, t->probabilities + t->n);
    t->n += chunks;
    t->filled = 0;
    return SOTTO_OK;
}

sotto_status sotto__vad_track_push(sotto__vad_track *t, const float *samples, size_t n, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    if (t->finished)
        return sotto__fail(err, SOTTO_EINVAL, "voice detector: samples pushed after the end of the recording");
    t->samples += n;
    while (st == SOTTO_OK && n > 0) {
        const size_t room = FULL - t->filled, take = n < room ? n : room;
        memcpy(t->batch->samples + CONTEXT + t->filled, samples, take * sizeof *samples);
        t->filled += take;
        samples += take;
        n -= take;
        if (t->filled == FULL) st = run(t, SOTTO__VAD_BATCH, err);
    }
    return st;
}

sotto_status sotto__vad_track_finish(sotto__vad_track *t, sotto_error *err)
{
    const size_t chunks = (t->filled + SOTTO__VAD_CHUNK - 1) / SOTTO__VAD_CHUNK;
    if (t->finished) return sotto__fail(err, SOTTO_EINVAL, "voice detector: recording ended twice");
    t->finished = true;
    if (chunks == 0) return SOTTO_OK;
    memset(t->batch->samples + CONTEXT + t->filled, 0,
           (chunks * SOTTO__VAD_CHUNK - t->filled) * sizeof *t->batch->samples);
    return run(t, chunks, err);
}

const float *sotto__vad_track_probabilities(const sotto__vad_track *t, size_t *n)
{
    *n = t->n;
    return t->probabilities;
}

uint64_t sotto__vad_track_samples(const sotto__vad_track *t) { return t->samples; }
