/* SPDX-License-Identifier: MIT
 * Power spectrum of one 400-sample frame, in double precision: between the window and the mel filters. */
#ifndef SOTTO_AUDIO_FFT_H
#define SOTTO_AUDIO_FFT_H

#include "audio/features.h"

enum { SOTTO__BINS = SOTTO__N_FFT / 2 + 1 };

/* exp(-2 pi i k / 400) */
typedef struct sotto__fft {
    double re[SOTTO__N_FFT], im[SOTTO__N_FFT];
} sotto__fft;

void sotto__fft_init(sotto__fft *w);

/* power[k] = |sum_n x[n] exp(-2 pi i k n / 400)|^2 for k = 0 … 200. */
void sotto__fft_power(const sotto__fft *w, const double x[SOTTO__N_FFT], double power[SOTTO__BINS]);

#endif
