/* SPDX-License-Identifier: MIT
 * See batch.h. Only the recurrent half of the LSTM goes chunk by chunk. */
#include "vad/batch.h"

#include <math.h>
#include <string.h>

/* ---- the transform -------------------------------------------------------------------------------------------- */

/* A windowed Fourier basis of N = 256 has cosines b[k][i] = b[k][N - i] and sines b[k][i] = -b[k][N - i], zero at i =
 * 0; and b[N/2 - k][i] = (-1)^i b[k][i], negated for sines. So samples i and N - i are added (cosines) and
 * subtracted (sines), even and odd i apart, and bins k and N/2 - k are sum and difference of what even and odd ones
 * give: a quarter of the products. */
enum { QUARTER = FFT / 4 };

static bool is_foldable(float basis[2 * BINS][FFT])
{
    for (size_t k = 0; k < BINS; k++) {
        const float *cosine = basis[k], *sine = basis[BINS + k], *cosine2 = basis[BINS - 1 - k],
                    *sine2 = basis[2 * BINS - 1 - k];
        if (cosine[0] != 0.0f || sine[0] != 0.0f || sine[FFT / 2] != 0.0f) return false;
        for (size_t i = 1; i < FFT; i++) {
            const float sign = i % 2 ? -1.0f : 1.0f;
            if (cosine[i] != cosine[FFT - i] || sine[i] != -sine[FFT - i] || cosine2[i] != sign * cosine[i] ||
                sine2[i] != -sign * sine[i])
                return false;
        }
    }
    return true;
}

static void fold_basis(sotto__vad *v)
{
    for (size_t k = 0; k < HALF_BINS; k++)
        for (size_t i = 0; i < QUARTER; i++) {
            v->folded[0][k][i] = v->basis[k][2 * i + 2];
            v->folded[1][k][i] = v->basis[k][2 * i + 1];
            v->folded[2][k][i] = v->basis[BINS + k][2 * i];
            v->folded[3][k][i] = v->basis[BINS + k][2 * i + 1];
        }
}

/* y[4][QUARTER], in the order of v->folded */
static void fold_frame(const float x[FFT], float *y)
{
    float sum[FFT / 2 + 1], difference[FFT / 2];
    difference[0] = 0.0f;
    for (size_t i = 1; i < FFT / 2; i++) {
        sum[i] = x[i] + x[FFT - i];
        difference[i] = x[i] - x[FFT - i];
    }
    sum[FFT / 2] = x[FFT / 2];
    for (size_t i = 0; i < QUARTER; i++) {
        y[i] = sum[2 * i + 2];
        y[QUARTER + i] = sum[2 * i + 1];
        y[2 * QUARTER + i] = difference[2 * i];
        y[3 * QUARTER + i] = difference[2 * i + 1];
    }
}

/* The n chunks' frames: four each, of which the last ends in a reflection. */
static void take_frames(sotto__vad_batch *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float *chunk = b->samples + i * SOTTO__VAD_CHUNK; /* from its context on */
        float last[FFT];
        memcpy(last, chunk + (T - 1) * HOP, (FFT - CONTEXT) * sizeof *last);
        for (size_t k = 0; k < CONTEXT; k++) last[FFT - CONTEXT + k] = last[FFT - CONTEXT - 2 - k];
        for (size_t t = 0; t < T; t++) {
            const float *from = t + 1 < T ? chunk + t * HOP : last;
            float *to = b->frames + (t * n + i) * FFT;
            if (b->vad->folds)
                fold_frame(from, to);
            else
                memcpy(to, from, FFT * sizeof *to);
        }
    }
}

static void folded_spectrum(sotto__vad_batch *b, size_t rows)
{
    for (size_t part = 0; part < 4; part++)
        b->vad->ops->gemm_nt(rows, HALF_BINS, QUARTER, b->frames + part * QUARTER, FFT, b->vad->folded[part][0],
                             QUARTER, 0.0f, b->spectrum + part * HALF_BINS, 4 * HALF_BINS);
    for (size_t r = 0; r < rows; r++) {
        const float *even_cos = b->spectrum + r * 4 * HALF_BINS, *odd_cos = even_cos + HALF_BINS,
                    *even_sin = odd_cos + HALF_BINS, *odd_sin = even_sin + HALF_BINS;
        float *low = b->magnitude + r * BINS, high[HALF_BINS];
        for (size_t k = 0; k < HALF_BINS; k++) {
            const float re = even_cos[k] + odd_cos[k], im = even_sin[k] + odd_sin[k], re2 = even_cos[k] - odd_cos[k],
                        im2 = even_sin[k] - odd_sin[k];
            low[k] = sqrtf(re * re + im * im);
            high[k] = sqrtf(re2 * re2 + im2 * im2);
        }
        for (size_t k = 0; k < HALF_BINS; k++) low[BINS - 1 - k] = high[k];
    }
}

static void spectrum(sotto__vad_batch *b, size_t rows)
{
    b->vad->ops->gemm_nt(rows, 2 * BINS, FFT, b->frames, FFT, b->vad->basis[0], FFT, 0.0f, b->spectrum, 2 * BINS);
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < BINS; k++) {
            const float re = b->spectrum[r * 2 * BINS + k], im = b->spectrum[r * 2 * BINS + BINS + k];
            b->magnitude[r * BINS + k] = sqrtf(re * re + im * im);
        }
}

/* ---- the layers ----------------------------------------------------------------------------------------------- */

static void fill_rows(float *y, const float *row, size_t width, size_t rows)
{
    memcpy(y, row, width * sizeof *y);
    for (size_t filled = 1, n; filled < rows; filled += n) {
        n = filled < rows - filled ? filled : rows - filled;
        memcpy(y + filled * width, y, n * width * sizeof *y);
    }
}

/* Convolution and ReLU, x[length, n, in] -> y[ceil(length / stride), n, out]; weight[out, TAPS, in]. Tap by tap: what
 * would meet padding is left out, and with stride 1 one product serves all positions. */
static void convolve(const sotto__ops *ops, const float *weight, const float *bias, size_t out, size_t in,
                     const float *x, size_t length, size_t stride, size_t n, float *y)
{
    const size_t n_out = (length + stride - 1) / stride;
    fill_rows(y, bias, out, n_out * n);
    for (size_t tap = 0; tap < TAPS; tap++) {
        size_t positions = 1;
        for (size_t t = tap == 0; t < n_out && t * stride + tap <= length; t += positions) {
            const size_t from = t * stride + tap - 1;
            if (stride == 1) positions = length - (from > t ? from : t);
            ops->gemm_nt(positions * n, out, in, x + from * n * in, in, weight + tap * in, TAPS * in, 1.0f,
                         y + t * n * out, out);
        }
    }
    for (size_t i = 0; i < n_out * n * out; i++) y[i] = y[i] > 0.0f ? y[i] : 0.0f;
}

void sotto__vad_batch_run(sotto__vad_batch *b, size_t n, float *probabilities)
{
    const sotto__vad *v = b->vad;
    const sotto__ops *ops = v->ops;
    float *end = b->samples + n * SOTTO__VAD_CHUNK;
    for (size_t i = 0; i < n * SOTTO__VAD_CHUNK; i++)
        b->samples[CONTEXT + i] = sotto__vad_limited(b->samples[CONTEXT + i]);
    take_frames(b, n);
    if (v->folds)
        folded_spectrum(b, T * n);
    else
        spectrum(b, T * n);
    convolve(ops, v->conv1[0][0], v->bias1, C1, BINS, b->magnitude, T, 1, n, b->y1);
    convolve(ops, v->conv2[0][0], v->bias2, C2, C1, b->y1, T, 2, n, b->y2);
    convolve(ops, v->conv3[0][0], v->bias3, C3, C2, b->y2, T / 2, 2, n, b->y3);
    fill_rows(b->y4, v->bias4, C4, n);
    ops->gemm_nt(n, C4, C3, b->y3, C3, v->conv4[0], C3, 1.0f, b->y4, C4);
    for (size_t i = 0; i < n * C4; i++) b->y4[i] = b->y4[i] > 0.0f ? b->y4[i] : 0.0f;
    fill_rows(b->gates, v->input_bias, GATES, n);
    ops->gemm_nt(n, GATES, C4, b->y4, C4, v->input_weight[0], C4, 1.0f, b->gates, GATES);
    for (size_t i = 0; i < n; i++) {
        float heard[H];
        ops->lstm_step(b->h[i + 1], b->c, b->h[i], b->gates + i * GATES, v->recurrent_weight, H);
        for (size_t k = 0; k < H; k++) heard[k] = b->h[i + 1][k] > 0.0f ? b->h[i + 1][k] : 0.0f;
        probabilities[i] = 1.0f / (1.0f + expf(-(v->out_bias + ops->dot(heard, v->out_weight, H))));
    }
    memcpy(b->h[0], b->h[n], sizeof b->h[0]);
    memcpy(b->samples, end, CONTEXT * sizeof *end);
}

/* ---- weights -------------------------------------------------------------------------------------------------- */

void sotto__vad_arrange(sotto__vad *v)
{
    enum { UNITS = 16 }; /* at a time */
    float *recurrent = v->recurrent_weight;
    v->folds = is_foldable(v->basis);
    if (v->folds) fold_basis(v);
    for (size_t to = 0; to < GATES; to++) { /* [H / 16, gate, 16] from [gate, H] */
        const size_t from = to / UNITS % 4 * H + to / (4 * UNITS) * UNITS + to % UNITS;
        memcpy(v->input_weight[to], v->lstm[from], sizeof v->input_weight[to]);
        v->input_bias[to] = v->lstm_bias[from];
    }
    for (size_t first = 0; first < H; first += UNITS)
        for (size_t i = 0; i < H; i++)
            for (size_t gate = 0; gate < 4; gate++)
                for (size_t u = first; u < first + UNITS; u++) *recurrent++ = v->lstm[gate * H + u][C4 + i];
}
