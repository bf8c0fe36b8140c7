/* SPDX-License-Identifier: MIT
 * One frame: 400 samples -> raw log10 mel energies. */
#ifndef SOTTO_AUDIO_MEL_H
#define SOTTO_AUDIO_MEL_H

#include "audio/features.h"

/* log10 of the floor that whisper clamps mel energies to: the value of a frame without signal. */
#define SOTTO__MEL_SILENCE (-10.0f)

/* Energies are clamped to so much below the largest, in log10. */
#define SOTTO__MEL_RANGE 8.0f

/* What the encoder takes: a raw value clamped at `floor_raw`, the largest - SOTTO__MEL_RANGE, and scaled. */
static inline float sotto__mel_normalised(float raw, float floor_raw)
{
    return ((raw > floor_raw ? raw : floor_raw) + 4.0f) / 4.0f;
}

typedef struct sotto__mel sotto__mel; /* immutable after it is opened */

/* `filters` is [n_mels, 201] row-major and is copied. SOTTO_EINVAL for n_mels outside 1 … 1024, SOTTO_EFORMAT for a
 * filter value that is not finite. */
sotto_status sotto__mel_open(sotto__mel **out, size_t n_mels, const float *filters, sotto_error *err);
void sotto__mel_free(sotto__mel *mel);

/* out[n_mels] = log10(max(filters . |FFT(window * x)|^2, 1e-10)) */
void sotto__mel_frame(const sotto__mel *mel, const float x[SOTTO__N_FFT], float *out);

#endif
