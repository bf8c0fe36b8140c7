/* SPDX-License-Identifier: MIT
 * The recording as frames: samples are framed as torch.stft(center=True, pad_mode="reflect") frames them, frames become
 * raw log10 mel energies, and windows of them are normalised with the maximum of all.
 *
 * Frame t covers the samples 160 t - 200 … 160 t + 199; those before the first are reflected (x[-i] = x[i]), those
 * after the last are zero (whisper appends 30 s of zeros). Frames that see a real sample are stored: up to two beyond
 * the content frames. All further ones are silence. The first frames lie in memory, the rest in an unlinked file. */
#include "audio/features.h"

#include "audio/mel.h"
#include "base/checked.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CENTRE = SOTTO__N_FFT / 2,
    MEMORY_BYTES = 48 << 20,  /* 26 minutes of 80 mels */
    BUFFER_SAMPLES = 1 << 14, /* of the padded signal */
    PENDING_BYTES = 1 << 18   /* gathered for one write to the file */
};

struct sotto__features {
    size_t n_mels, frame_bytes;
    sotto__mel *mel;
    uint64_t samples;
    bool finished;
    float max;
    sotto__tap tap; /* or NULL */
    void *tap_user;

    /* Padded signal from position 160 * frames on. The first CENTRE places wait for their reflection. */
    float buffer[BUFFER_SAMPLES];
    size_t buffered;

    size_t frames; /* stored, in memory and file together */
    size_t memory_frames;
    float *memory; /* frames 0 … memory_frames-1 at most, room for memory_cap */
    size_t memory_cap;
    int fd; /* frames memory_frames …; -1 until there are any */
    float *pending;
    size_t pending_frames, pending_cap;
    size_t file_frames; /* written */
};

sotto_status sotto__features_open(sotto__features **out, size_t n_mels, const float *filters, sotto_error *err)
{
    sotto_status st;
    sotto__features *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f) return sotto__fail_nomem(err, "features");
    f->fd = -1;
    f->max = SOTTO__MEL_SILENCE;
    f->n_mels = n_mels;
    f->frame_bytes = n_mels * sizeof(float);
    f->buffered = CENTRE;
    st = sotto__mel_open(&f->mel, n_mels, filters, err);
    if (st != SOTTO_OK) {
        sotto__features_free(f);
        return st;
    }
    sotto__features_set_memory(f, MEMORY_BYTES);
    *out = f;
    return SOTTO_OK;
}

void sotto__features_free(sotto__features *f)
{
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    sotto__mel_free(f->mel);
    free(f->memory);
    free(f->pending);
    free(f);
}

void sotto__features_set_memory(sotto__features *f, size_t bytes) { f->memory_frames = bytes / f->frame_bytes; }

void sotto__features_set_tap(sotto__features *f, sotto__tap tap, void *user)
{
    f->tap = tap;
    f->tap_user = user;
}

static const char *temp_dir(void)
{
    const char *dir = getenv("TMPDIR");
    return dir && *dir ? dir : "/tmp";
}

/* A file without a name in $TMPDIR or /tmp; the space is given back when it is closed, however the process ends. */
static sotto_status open_spill(sotto__features *f, sotto_error *err)
{
    const char *dir = temp_dir();
    f->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (f->fd < 0) { /* a file system without O_TMPFILE */
        sotto__str name = {0};
        if (!sotto__str_printf(&name, "%s/sotto-XXXXXX", dir)) {
            sotto__str_free(&name);
            return sotto__fail_nomem(err, "name of the temporary file for features");
        }
        f->fd = mkostemp(name.data, O_CLOEXEC);
        if (f->fd >= 0) unlink(name.data);
        sotto__str_free(&name);
    }
    if (f->fd < 0)
        return sotto__fail(err, SOTTO_EIO, "cannot create a temporary file for features in %.300s: %s", dir,
                           strerror(errno));
    return SOTTO_OK;
}

static sotto_status write_pending(sotto__features *f, sotto_error *err)
{
    const char *bytes = (const char *)f->pending;
    size_t left, offset;
    if (f->pending_frames == 0) return SOTTO_OK;
    if (!sotto__mul(f->pending_frames, f->frame_bytes, &left) || !sotto__mul(f->file_frames, f->frame_bytes, &offset) ||
        offset > (size_t)INT64_MAX - left)
        return sotto__fail(err, SOTTO_ELIMIT, "temporary file for features: more than 2^63 bytes asked for");
    if (f->fd < 0) {
        sotto_status st = open_spill(f, err);
        if (st != SOTTO_OK) return st;
    }
    while (left > 0) {
        ssize_t n = pwrite(f->fd, bytes, left, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return sotto__fail(err, SOTTO_EIO,
                               "cannot write features to a temporary file in %.300s after %zu bytes: %s", temp_dir(),
                               offset, n < 0 ? strerror(errno) : "nothing was taken");
        bytes += n;
        left -= (size_t)n;
        offset += (size_t)n;
    }
    f->file_frames += f->pending_frames;
    f->pending_frames = 0;
    return SOTTO_OK;
}

/* Place of the next frame: in memory while it has room, then in the buffer before the file. */
static sotto_status next_frame(sotto__features *f, float **out, sotto_error *err)
{
    if (f->frames < f->memory_frames) {
        size_t cap = f->memory_cap ? f->memory_cap : 256, bytes;
        if (f->frames == f->memory_cap) {
            float *grown;
            if (f->memory_cap && !sotto__mul(cap, 2, &cap)) return sotto__fail_nomem(err, "features");
            if (cap > f->memory_frames) cap = f->memory_frames;
            grown = sotto__mul(cap, f->frame_bytes, &bytes) ? realloc(f->memory, bytes) : NULL;
            if (!grown) return sotto__fail_nomem(err, "features");
            f->memory = grown;
            f->memory_cap = cap;
        }
        *out = f->memory + f->frames * f->n_mels;
        return SOTTO_OK;
    }
    if (!f->pending) {
        f->pending_cap = PENDING_BYTES / f->frame_bytes;
        f->pending = malloc(f->pending_cap * f->frame_bytes);
        if (!f->pending) return sotto__fail_nomem(err, "features");
    }
    if (f->pending_frames == f->pending_cap) {
        sotto_status st = write_pending(f, err);
        if (st != SOTTO_OK) return st;
    }
    *out = f->pending + f->pending_frames * f->n_mels;
    return SOTTO_OK;
}

/* Computes every frame that the buffer holds whole, up to `limit` frames in all, and moves the rest to its start. */
static sotto_status drain(sotto__features *f, size_t limit, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    size_t at = 0, i;
    /* the reflection of the first frame reaches one sample beyond it */
    if (f->frames == 0) {
        if (f->buffered < SOTTO__N_FFT + 1) return SOTTO_OK;
        for (i = 1; i <= CENTRE; i++) f->buffer[CENTRE - i] = f->buffer[CENTRE + i];
    }
    while (f->buffered - at >= SOTTO__N_FFT && f->frames < limit) {
        float *row = NULL;
        st = next_frame(f, &row, err);
        if (st != SOTTO_OK) break;
        sotto__mel_frame(f->mel, f->buffer + at, row);
        for (i = 0; i < f->n_mels; i++) {
            if (row[i] > f->max) f->max = row[i];
        }
        if (f->frames >= f->memory_frames) f->pending_frames++;
        f->frames++;
        at += SOTTO__HOP;
    }
    f->buffered -= at;
    memmove(f->buffer, f->buffer + at, f->buffered * sizeof *f->buffer);
    return st;
}

sotto_status sotto__features_push(sotto__features *f, const float *samples, size_t n, sotto_error *err)
{
    size_t i;
    if (f->finished) return sotto__fail(err, SOTTO_EINVAL, "features: samples pushed after the end of the recording");
    for (i = 0; i < n; i++) {
        if (!isfinite(samples[i]))
            return sotto__fail(err, SOTTO_EAUDIO, "sample %llu (%.3f s) is not a finite number",
                               (unsigned long long)(f->samples + i),
                               (double)(f->samples + i) / (double)SOTTO__SAMPLE_RATE);
    }
    if (f->tap && n > 0) {
        sotto_status st = f->tap(samples, n, f->tap_user, err);
        if (st != SOTTO_OK) return st;
    }
    while (n > 0) {
        size_t room = BUFFER_SAMPLES - f->buffered, take = n < room ? n : room;
        sotto_status st;
        memcpy(f->buffer + f->buffered, samples, take * sizeof *samples);
        f->buffered += take;
        f->samples += take;
        samples += take;
        n -= take;
        st = drain(f, SIZE_MAX, err);
        if (st != SOTTO_OK) return st;
    }
    return SOTTO_OK;
}

sotto_status sotto__features_finish(sotto__features *f, sotto_error *err)
{
    sotto_status st;
    uint64_t limit;
    if (f->finished) return sotto__fail(err, SOTTO_EINVAL, "features: recording ended twice");
    f->finished = true;
    if (f->samples == 0) return SOTTO_OK;
    /* frames t with 160 t - 200 < samples see something real; drain() leaves fewer than 401 samples, and the last of
     * these frames ends at most 400 behind the last sample */
    limit = (f->samples + CENTRE + SOTTO__HOP - 1) / SOTTO__HOP;
    memset(f->buffer + f->buffered, 0, 2 * SOTTO__N_FFT * sizeof *f->buffer);
    f->buffered += 2 * SOTTO__N_FFT;
    st = drain(f, (size_t)limit, err);
    if (st != SOTTO_OK) return st;
    return write_pending(f, err);
}

size_t sotto__features_frames(const sotto__features *f) { return (size_t)(f->samples / SOTTO__HOP); }
uint64_t sotto__features_samples(const sotto__features *f) { return f->samples; }
size_t sotto__features_computed(const sotto__features *f) { return f->frames; }
size_t sotto__features_mels(const sotto__features *f) { return f->n_mels; }

/* Raw frames first … first+n-1 of the file. */
static sotto_status read_spill(const sotto__features *f, size_t first, size_t n, float *dst, sotto_error *err)
{
    char *bytes = (char *)dst;
    size_t left = n * f->frame_bytes, offset = first * f->frame_bytes;
    while (left > 0) {
        ssize_t got = pread(f->fd, bytes, left, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            return sotto__fail(err, SOTTO_EIO, "cannot read features from their temporary file at byte %zu: %s", offset,
                               got < 0 ? strerror(errno) : "it has become shorter");
        bytes += got;
        left -= (size_t)got;
        offset += (size_t)got;
    }
    return SOTTO_OK;
}

sotto_status sotto__features_window(const sotto__features *f, size_t seek, size_t n, sotto__pad pad, float *dst,
                                    sotto_error *err)
{
    const float floor_raw = f->max - SOTTO__MEL_RANGE, silence = sotto__mel_normalised(SOTTO__MEL_SILENCE, floor_raw);
    size_t asked = pad == SOTTO__PAD_SILENCE ? SOTTO__WINDOW_FRAMES : n, in_memory, stored = 0, i;
    if (!f->finished) return sotto__fail(err, SOTTO_EINVAL, "features: window asked for before the recording's end");
    if (n > SOTTO__WINDOW_FRAMES)
        return sotto__fail(err, SOTTO_EINVAL, "features: window of %zu frames, expected at most %d", n,
                           SOTTO__WINDOW_FRAMES);
    if (seek < f->frames) stored = f->frames - seek < asked ? f->frames - seek : asked;
    in_memory = f->frames < f->memory_frames ? f->frames : f->memory_frames;
    in_memory = seek < in_memory ? in_memory - seek : 0;
    if (in_memory > stored) in_memory = stored;
    if (in_memory) memcpy(dst, f->memory + seek * f->n_mels, in_memory * f->frame_bytes);
    if (stored > in_memory) {
        sotto_status st =
            read_spill(f, seek + in_memory - f->memory_frames, stored - in_memory, dst + in_memory * f->n_mels, err);
        if (st != SOTTO_OK) return st;
    }
    for (i = 0; i < stored * f->n_mels; i++) dst[i] = sotto__mel_normalised(dst[i], floor_raw);
    for (; i < asked * f->n_mels; i++) dst[i] = silence;
    for (; i < (size_t)SOTTO__WINDOW_FRAMES * f->n_mels; i++) dst[i] = 0.0f;
    return SOTTO_OK;
}
