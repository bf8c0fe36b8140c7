/* SPDX-License-Identifier: MIT
 * The network's shapes and weights, for vad.c (a chunk at a time) and batch.c (many). Shapes: [T, C] row-major, T
 * positions of 8 ms at first. */
#ifndef SOTTO_VAD_NET_H
#define SOTTO_VAD_NET_H

#include "nn/ops.h"
#include "vad/vad.h"

enum {
    CONTEXT = 64, /* samples of the chunk before, and as many reflected behind the end */
    INPUT = CONTEXT + SOTTO__VAD_CHUNK,
    FFT = 256,
    HOP = 128,
    T = (INPUT + CONTEXT - FFT) / HOP + 1, /* 4 */
    BINS = FFT / 2 + 1,
    HALF_BINS = FFT / 4 + 1,
    TAPS = 3,
    C1 = 128, /* T positions */
    C2 = 64,  /* T / 2: stride 2 */
    C3 = 64,  /* 1: stride 2 */
    C4 = 128, /* 1 */
    H = 128,
    GATES = 4 * H /* input, forget, cell, output */
};

/* Squares of a louder sample's spectrum would overflow and stay in the LSTM's state as NaN. */
static inline float sotto__vad_limited(float x)
{
    const float loudest = 1e6f;
    x = x > -loudest ? x : -loudest;
    return x < loudest ? x : loudest;
}

struct sotto__vad {
    const sotto__ops *ops;
    /* as in the file */
    float basis[2 * BINS][FFT]; /* cosines, then sines, Hann-windowed */
    float bias1[C1], bias2[C2], bias3[C3], bias4[C4];
    float out_weight[H], out_bias;
    /* rearranged */
    float conv1[C1][TAPS][BINS], conv2[C2][TAPS][C1], conv3[C3][TAPS][C2];
    float conv4[C4][C3];       /* the middle tap: the others see padding only */
    float lstm[GATES][C4 + H]; /* input weights, then recurrent ones */
    float lstm_bias[GATES];    /* the sum of both */
    /* for batches (batch.c) */
    bool folds; /* the basis is a Fourier transform's, and folded[] holds what remains of it */
    /* cosines of i = 2, 4 … 128 and 1, 3 … 127, sines of 0, 2 … 126 and 1, 3 … 127 */
    float folded[4][HALF_BINS][FFT / 4];
    float input_weight[GATES][C4];     /* gates in the order of ops->lstm_step */
    float input_bias[GATES];           /* likewise */
    float recurrent_weight[H * GATES]; /* as ops->lstm_step reads them */
};

/* Fills what batches need from the rest. */
void sotto__vad_arrange(sotto__vad *v);

#endif
