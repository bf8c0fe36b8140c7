/* SPDX-License-Identifier: MIT
 * Samples in pieces of any size -> chunks -> the recording's probabilities: four bytes for every 32 ms. */
#include "vad/vad.h"
#include "base/checked.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

struct sotto__vad_track {
    sotto__vad_stream *stream;
    float *probabilities;
    size_t n, cap;
    float rest[SOTTO__VAD_CHUNK]; /* the samples of an unfinished chunk */
    size_t n_rest;
    uint64_t samples;
    bool finished;
};

sotto_status sotto__vad_track_create(sotto__vad_track **out, const sotto__vad *vad, sotto_error *err)
{
    sotto_status st;
    sotto__vad_track *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t) return sotto__fail_nomem(err, "speech probabilities");
    if ((st = sotto__vad_stream_create(&t->stream, vad, err)) != SOTTO_OK) {
        sotto__vad_track_free(t);
        return st;
    }
    *out = t;
    return SOTTO_OK;
}

void sotto__vad_track_free(sotto__vad_track *t)
{
    if (!t) return;
    sotto__vad_stream_free(t->stream);
    free(t->probabilities);
    free(t);
}

static sotto_status take_chunk(sotto__vad_track *t, const float *chunk, sotto_error *err)
{
    if (!sotto__grow(&t->probabilities, &t->cap, t->n + 1, sizeof *t->probabilities))
        return sotto__fail_nomem(err, "speech probabilities");
    t->probabilities[t->n++] = sotto__vad_stream_push(t->stream, chunk);
    return SOTTO_OK;
}

sotto_status sotto__vad_track_push(sotto__vad_track *t, const float *samples, size_t n, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    if (t->finished)
        return sotto__fail(err, SOTTO_EINVAL, "voice detector: samples pushed after the end of the recording");
    t->samples += n;
    while (st == SOTTO_OK && n > 0) {
        size_t take = SOTTO__VAD_CHUNK;
        if (t->n_rest == 0 && n >= SOTTO__VAD_CHUNK) {
            st = take_chunk(t, samples, err);
        } else {
            take = SOTTO__VAD_CHUNK - t->n_rest < n ? SOTTO__VAD_CHUNK - t->n_rest : n;
            memcpy(t->rest + t->n_rest, samples, take * sizeof *samples);
            t->n_rest += take;
            if (t->n_rest == SOTTO__VAD_CHUNK) {
                t->n_rest = 0;
                st = take_chunk(t, t->rest, err);
            }
        }
        samples += take;
        n -= take;
    }
    return st;
}

sotto_status sotto__vad_track_finish(sotto__vad_track *t, sotto_error *err)
{
    if (t->finished) return sotto__fail(err, SOTTO_EINVAL, "voice detector: recording ended twice");
    t->finished = true;
    if (t->n_rest == 0) return SOTTO_OK;
    memset(t->rest + t->n_rest, 0, (SOTTO__VAD_CHUNK - t->n_rest) * sizeof *t->rest);
    return take_chunk(t, t->rest, err);
}

const float *sotto__vad_track_probabilities(const sotto__vad_track *t, size_t *n)
{
    *n = t->n;
    return t->probabilities;
}

uint64_t sotto__vad_track_samples(const sotto__vad_track *t) { return t->samples; }
