/* SPDX-License-Identifier: MIT
 * Log-mel of a window that moves along a stream and is asked for again and again: a frame whose 400 samples were in an
 * earlier window is not computed again. To the bit what sotto__features makes of the window's samples alone, which is
 * the definition (audio/features.h). */
#ifndef SOTTO_AUDIO_ROLLING_H
#define SOTTO_AUDIO_ROLLING_H

#include "sotto.h"

typedef struct sotto__rolling sotto__rolling;

/* `filters` is [n_mels, 201] row-major and is copied. Errors as sotto__mel_open (audio/mel.h). */
sotto_status sotto__rolling_open(sotto__rolling **out, size_t n_mels, const float *filters, sotto_error *err);
void sotto__rolling_free(sotto__rolling *r);

/* samples[n], at most 30 s, lie at positions start … start+n-1 of the stream. A position has one sample for good: what
 * was given for it in an earlier call may not differ. Frames are reused where the window's start has moved by a
 * multiple of 160 samples, forwards; after any other move all are computed.
 *
 * Fills dst[3000, n_mels] as sotto__features_window(f, 0, *frames, SOTTO__PAD_ZERO, dst) does; *frames = n / 160. Adds
 * to counts->mel_frames_computed and mel_frames_reused. SOTTO_EAUDIO for a sample that is not finite; frames of earlier
 * calls are then kept. */
sotto_status sotto__rolling_window(sotto__rolling *r, const float *samples, size_t n, uint64_t start, float *dst,
                                   size_t *frames, sotto_counts *counts, sotto_error *err);

#endif
