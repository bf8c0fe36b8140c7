/* SPDX-License-Identifier: MIT
 * Log-mel features of a whole recording: 16 kHz samples in, in pieces; windows of normalised log-mel out.
 *
 * Mirrors whisper.audio.log_mel_spectrogram(audio, n_mels, padding=480000) followed by the windowing of
 * whisper.transcribe: the maximum that everything is clamped against is the whole recording's, so frames are kept as
 * raw log10 values (in memory up to a bound, then in an unlinked temporary file) until the end is known. */
#ifndef SOTTO_AUDIO_FEATURES_H
#define SOTTO_AUDIO_FEATURES_H

#include "sotto.h"

enum {
    SOTTO__SAMPLE_RATE = 16000,
    SOTTO__N_FFT = 400,
    SOTTO__HOP = 160,
    SOTTO__WINDOW_FRAMES = 3000, /* 30 s */
    SOTTO__FRAMES_PER_SECOND = 100,
    SOTTO__INPUT_STRIDE = 2 /* frames per encoder position */
};

/* librosa.filters.mel(sr=16000, n_fft=400, n_mels) with Slaney's scale and norm, f32, row-major [n_mels, 201]. */
sotto_status sotto__mel_filters(float *out, size_t n_mels, sotto_error *err);

typedef struct sotto__features sotto__features;

/* `filters` is [n_mels, 201] row-major and is copied (see sotto__mel_filters). */
sotto_status sotto__features_open(sotto__features **out, size_t n_mels, const float *filters, sotto_error *err);
void sotto__features_free(sotto__features *f);

/* Bytes of frames kept in memory (48 MiB unless set) before the rest goes to a file. Before the first push. */
void sotto__features_set_memory(sotto__features *f, size_t bytes);

/* Appends n samples; any chunking gives bit-identical features. */
sotto_status sotto__features_push(sotto__features *f, const float *samples, size_t n, sotto_error *err);

/* Who else listens: called within push with the samples pushed, once they are known to be finite, in order and each
 * once. What it returns other than SOTTO_OK, with `err` filled, push returns. Set before the first push; NULL = none.
 */
typedef sotto_status (*sotto__tap)(const float *samples, size_t n, void *user, sotto_error *err);
void sotto__features_set_tap(sotto__features *f, sotto__tap tap, void *user);

/* Ends the recording. No push after this; windows only after this. */
sotto_status sotto__features_finish(sotto__features *f, sotto_error *err);

/* Content frames: samples / 160, rounded down (whisper's content_frames). And the samples pushed. */
size_t sotto__features_frames(const sotto__features *f);
uint64_t sotto__features_samples(const sotto__features *f);
/* Frames computed so far: once finished up to two more than the content frames. */
size_t sotto__features_computed(const sotto__features *f);
size_t sotto__features_mels(const sotto__features *f);

/* What follows the frames asked for, up to a whole window. */
typedef enum sotto__pad {
    SOTTO__PAD_ZERO,   /* zeros in normalised space: pad_or_trim() of a mel segment, as transcribe() does */
    SOTTO__PAD_SILENCE /* the recording's own continuation in zero samples: detect_language's first window */
} sotto__pad;

/* dst[SOTTO__WINDOW_FRAMES][n_mels], frame-major: frames seek … seek+n-1 (n <= 3000), normalised
 * (max(x, max - 8) + 4) / 4, then the padding. With SOTTO__PAD_SILENCE, n only bounds nothing: frames go on past the
 * end. */
sotto_status sotto__features_window(const sotto__features *f, size_t seek, size_t n, sotto__pad pad, float *dst,
                                    sotto_error *err);

#endif
