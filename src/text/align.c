/* SPDX-License-Identifier: MIT
 * Attention to alignment. Shapes: H heads, N tokens, F frames (encoder positions heard). */
#include "text/align.h"
#include "base/checked.h"
#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- median filter -------------------------------------------------------------------------------------------- */

/* torch.sort's order: NAN after everything. */
static float median_of_any(const float *p)
{
    float v[SOTTO__MEDIAN_WIDTH];
    for (size_t i = 0; i < SOTTO__MEDIAN_WIDTH; i++) {
        float one = p[i];
        size_t at = i;
        for (; at > 0 && (v[at - 1] > one || (isnan(v[at - 1]) && !isnan(one))); at--) v[at] = v[at - 1];
        v[at] = one;
    }
    return v[SOTTO__MEDIAN_WIDTH / 2];
}

#define ORDER(a, b)                                                                                                    \
    do {                                                                                                               \
        float low_ = (a) < (b) ? (a) : (b), high_ = (a) < (b) ? (b) : (a);                                             \
        (a) = low_;                                                                                                    \
        (b) = high_;                                                                                                   \
    } while (0)

/* A network of 13 exchanges that puts the median of 7 in the middle (Paeth); the compiler makes vectors of it. */
static void medians(const float *p, size_t n, float *out)
{
    for (size_t j = 0; j < n; j++) {
        float a = p[j], b = p[j + 1], c = p[j + 2], d = p[j + 3], e = p[j + 4], f = p[j + 5], g = p[j + 6];
        ORDER(a, f);
        ORDER(a, d);
        ORDER(b, g);
        ORDER(c, e);
        ORDER(a, b);
        ORDER(d, f);
        ORDER(c, g);
        ORDER(c, d);
        ORDER(d, g);
        ORDER(e, f);
        ORDER(b, e);
        ORDER(b, d);
        ORDER(d, e);
        out[j] = d;
    }
}

void sotto__median_filter(const float *x, size_t n, float *scratch, float *out)
{
    enum { PAD = SOTTO__MEDIAN_WIDTH / 2 };
    bool any_nan = false;
    if (n <= PAD) {
        memcpy(out, x, n * sizeof *x);
        return;
    }
    for (size_t i = 0; i < PAD; i++) {
        scratch[i] = x[PAD - i];
        scratch[PAD + n + i] = x[n - 2 - i];
    }
    memcpy(scratch + PAD, x, n * sizeof *x);
    for (size_t i = 0; i < n; i++) any_nan |= isnan(x[i]) != 0;
    if (!any_nan) {
        medians(scratch, n, out);
        return;
    }
    for (size_t i = 0; i < n; i++) out[i] = median_of_any(scratch + i);
}

/* ---- attention ------------------------------------------------------------------------------------------------ */

static void softmax(float *row, size_t n)
{
    float max = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++) max = row[i] > max ? row[i] : max;
    for (size_t i = 0; i < n; i++) {
        row[i] = expf(row[i] - max);
        sum += (double)row[i];
    }
    for (size_t i = 0; i < n; i++) row[i] = (float)((double)row[i] / sum);
}

/* (w - mean) / std down each column of w[N, F]; std is the population's. */
static void normalise(float *w, size_t tokens, size_t frames, double *mean, double *spread)
{
    memset(mean, 0, frames * sizeof *mean);
    memset(spread, 0, frames * sizeof *spread);
    for (size_t i = 0; i < tokens; i++)
        for (size_t j = 0; j < frames; j++) mean[j] += (double)w[i * frames + j];
    for (size_t j = 0; j < frames; j++) mean[j] /= (double)tokens;
    for (size_t i = 0; i < tokens; i++)
        for (size_t j = 0; j < frames; j++) {
            double off = (double)w[i * frames + j] - mean[j];
            spread[j] += off * off;
        }
    for (size_t j = 0; j < frames; j++) spread[j] = sqrt(spread[j] / (double)tokens);
    for (size_t i = 0; i < tokens; i++)
        for (size_t j = 0; j < frames; j++) w[i * frames + j] = (w[i * frames + j] - (float)mean[j]) / (float)spread[j];
}

sotto_status sotto__attention_matrix(float *scores, size_t heads, size_t tokens, size_t frames, float *matrix,
                                     sotto_error *err)
{
    float *padded = calloc(frames + SOTTO__MEDIAN_WIDTH, sizeof *padded), *row = calloc(frames + 1, sizeof *row);
    double *moments = calloc(2 * frames + 1, sizeof *moments);
    sotto_status st = SOTTO_OK;
    if (!padded || !row || !moments) {
        st = sotto__fail_nomem(err, "alignment");
        goto done;
    }
    memset(matrix, 0, tokens * frames * sizeof *matrix);
    for (size_t h = 0; h < heads; h++) {
        float *w = scores + h * tokens * frames;
        for (size_t i = 0; i < tokens; i++) softmax(w + i * frames, frames);
        normalise(w, tokens, frames, moments, moments + frames);
        for (size_t i = 0; i < tokens; i++) {
            sotto__median_filter(w + i * frames, frames, padded, row);
            for (size_t j = 0; j < frames; j++) matrix[i * frames + j] += row[j];
        }
    }
    for (size_t i = 0; i < tokens * frames; i++) matrix[i] /= (float)heads;
done:
    free(padded);
    free(row);
    free(moments);
    return st;
}

/* ---- dynamic time warping ------------------------------------------------------------------------------------- */

enum { FROM_DIAGONAL, FROM_ABOVE, FROM_LEFT };

sotto_status sotto__dtw(const float *matrix, size_t n, size_t m, int32_t *first, sotto_error *err)
{
    size_t rows = n + 1, columns = m + 1, cells;
    double *above = NULL, *here = NULL, *swapped;
    unsigned char *trace = NULL;
    sotto_status st = SOTTO_OK;
    if (sotto__mul(rows, columns, &cells)) {
        above = calloc(columns, sizeof *above);
        here = calloc(columns, sizeof *here);
        trace = malloc(cells);
    }
    if (!above || !here || !trace) {
        st = sotto__fail_nomem(err, "alignment");
        goto done;
    }
    memset(trace, FROM_LEFT, columns); /* backtrace(): row 0 leads left, column 0 up */
    for (size_t j = 1; j <= m; j++) above[j] = INFINITY;
    above[0] = 0;
    for (size_t i = 1; i <= n; i++) { /* costs are f64: numba makes np.ones(f32) * np.inf an f64 array */
        here[0] = INFINITY;
        trace[i * columns] = FROM_ABOVE;
        for (size_t j = 1; j <= m; j++) {
            double c0 = above[j - 1], c1 = above[j], c2 = here[j - 1], c;
            unsigned char from;
            if (c0 < c1 && c0 < c2) {
                c = c0;
                from = FROM_DIAGONAL;
            } else if (c1 < c0 && c1 < c2) {
                c = c1;
                from = FROM_ABOVE;
            } else {
                c = c2;
                from = FROM_LEFT;
            }
            here[j] = c - (double)matrix[(i - 1) * m + j - 1];
            trace[i * columns + j] = from;
        }
        swapped = above;
        above = here;
        here = swapped;
    }
    for (size_t i = 0; i < n; i++) first[i] = -1;
    for (size_t i = n, j = m; i > 0 || j > 0;) {
        unsigned char from = trace[i * columns + j];
        if (i > 0) first[i - 1] = (int32_t)j - 1; /* walked backwards: the last write is the row's first column */
        if (from != FROM_LEFT) i--;
        if (from != FROM_ABOVE) j--;
    }
done:
    free(above);
    free(here);
    free(trace);
    return st;
}
