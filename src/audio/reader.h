/* SPDX-License-Identifier: MIT
 * Between the file readers and who takes what they read: decoded audio of any rate becomes 16 kHz samples in a
 * sotto__features, or in blocks for a callback. */
#ifndef SOTTO_AUDIO_READER_H
#define SOTTO_AUDIO_READER_H

#include "audio/decode.h"

enum { SOTTO__BLOCK_FRAMES = 16384 }; /* most that a reader hands over at once */

/* Where a reader puts what it decodes. */
typedef struct sotto__sink {
    sotto__features *features; /* NULL: blocks go to `take` */
    sotto__take *take;
    void *take_user;
    const char *path; /* for errors */
    sotto__resampler *resampler;
    int rate;        /* of what is pushed now, 0 before the first */
    uint64_t frames; /* pushed, at that rate */
    double seconds;  /* pushed in all */
    double *stage_s; /* RESAMPLE and MEL grow */
    bool (*cancel)(void *user);
    void *user;
} sotto__sink;

/* Appends n mono samples at `rate` Hz, which may change from call to call. SOTTO_ECANCELLED when cancel() says so. */
sotto_status sotto__sink_push(sotto__sink *sink, int rate, const float *mono, size_t n, sotto_error *err);

/* The file is read whole, from its start, from the open `fd`, which stays open. SOTTO_EUNSUPPORTED, with nothing
 * pushed, when the reader does not know the format. */
sotto_status sotto__sndfile_read(int fd, sotto__sink *sink, sotto_error *err);
const char *sotto__sndfile_version(void);

#ifdef SOTTO_FFMPEG
sotto_status sotto__ffmpeg_read(int fd, sotto__sink *sink, sotto_error *err);
void sotto__ffmpeg_version(unsigned *major, unsigned *minor); /* of libavformat */
#endif

#endif
