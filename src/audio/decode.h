/* SPDX-License-Identifier: MIT
 * Audio file -> features: opens what libsndfile reads (wav, flac, aiff, …) and, failing that, what FFmpeg reads (m4a,
 * mp4, webm, aac, wma, …), mixes to mono, resamples to 16 kHz with libsoxr and pushes into features. Ogg and mp3 go to
 * FFmpeg where it is built in, to libsndfile where it is not. */
#ifndef SOTTO_AUDIO_DECODE_H
#define SOTTO_AUDIO_DECODE_H

#include "audio/features.h"

/* Reads all of `path` into `f` (opened, nothing pushed) and finishes it. Adds seconds to stage_s[READ], [RESAMPLE] and
 * [MEL]. `cancel` (may be NULL) is polled. Errors: SOTTO_ENOTFOUND, SOTTO_EIO, SOTTO_EAUDIO (not audio, empty, no audio
 * stream, broken: the sentence says which and names the formats read). Memory does not grow with the file's length. A
 * file that breaks off in the middle is SOTTO_EAUDIO with the position where it broke. */
sotto_status sotto__decode_file(sotto__features *f, const char *path, double stage_s[SOTTO_STAGE_COUNT],
                                bool (*cancel)(void *user), void *user, sotto_error *err);

/* Reads all of `path` as above, but hands the 16 kHz samples to `take`, in order; what it returns other than SOTTO_OK,
 * with `err` filled, ends the reading and is returned. */
typedef sotto_status sotto__take(const float *samples, size_t n, void *user, sotto_error *err);
sotto_status sotto__decode_blocks(const char *path, sotto__take *take, void *user, sotto_error *err);

/* Versions of the decoders built in, for sotto_build_info: "libsndfile 1.2.0, ffmpeg 59.27". Static string. */
const char *sotto__decode_build_info(void);

/* 16 kHz mono resampler with explicit streaming state. */
typedef struct sotto__resampler sotto__resampler;
sotto_status sotto__resampler_open(sotto__resampler **out, double from_hz, sotto_error *err);
void sotto__resampler_free(sotto__resampler *r);
/* Consumes all n samples; *out borrows a buffer valid until the next call. n = 0 flushes. */
sotto_status sotto__resampler_push(sotto__resampler *r, const float *samples, size_t n, const float **out,
                                   size_t *n_out, sotto_error *err);

#endif
