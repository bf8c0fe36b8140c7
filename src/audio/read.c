/* SPDX-License-Identifier: MIT
 * sotto_audio_read: a recording in blocks, for callers that want the samples themselves. */
#include "audio/decode.h"

#include "base/error.h"

#include <math.h>

typedef struct reading {
    bool (*on_samples)(const float *samples, size_t n, void *user);
    void *user;
    const char *path;
    uint64_t samples;
} reading;

static sotto_status take(const float *samples, size_t n, void *user, sotto_error *err)
{
    reading *r = user;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(samples[i]))
            return sotto__fail(err, SOTTO_EAUDIO, "%.250s: sample %llu (%.3f s) is not a finite number", r->path,
                               (unsigned long long)(r->samples + i),
                               (double)(r->samples + i) / (double)SOTTO__SAMPLE_RATE);
    r->samples += n;
    if (!r->on_samples(samples, n, r->user))
        return sotto__fail(err, SOTTO_ECANCELLED, "cancelled while reading %.250s", r->path);
    return SOTTO_OK;
}

sotto_status sotto_audio_read(const char *path, bool (*on_samples)(const float *samples, size_t n, void *user),
                              void *user, sotto_error *err)
{
    reading r = {on_samples, user, path, 0};
    if (!path || !on_samples) return sotto__fail(err, SOTTO_EINVAL, "sotto_audio_read: path or on_samples is NULL");
    return sotto__decode_blocks(path, take, &r, err);
}
