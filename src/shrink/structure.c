/* SPDX-License-Identifier: MIT
 * Taking whole inputs away from a layer: what each is worth, and what the others can do in their stead. */
#include "base/checked.h"
#include "base/error.h"
#include "shrink/gram.h"
#include "shrink/lapack.h"
#include "shrink/prune.h"

#include <stdlib.h>

sotto_status sotto__score_heads(double *score, const float *w, size_t out, size_t heads, size_t width,
                                const float *gram, sotto_error *err)
{
    const size_t in = heads * width;
    double *head = sotto__aligned(out * width, 2 * sizeof *head), *g = sotto__aligned(width * width, sizeof *g);
    double *product = head ? head + out * width : NULL;
    if (!head || !g) {
        free(head);
        free(g);
        return sotto__fail_nomem(err, "scores of heads");
    }
    for (size_t h = 0; h < heads; h++) {
        const size_t at = h * width;
        for (size_t o = 0; o < out; o++)
            for (size_t i = 0; i < width; i++) head[o * width + i] = (double)w[o * in + at + i];
        for (size_t i = 0; i < width; i++)
            for (size_t j = 0; j < width; j++) g[i * width + j] = (double)gram[(at + i) * in + at + j];
        sotto__product_d(false, false, out, width, width, 1, head, width, g, width, 0, product, width);
        score[h] = 0;
        for (size_t i = 0; i < out * width; i++) score[h] += head[i] * product[i];
    }
    free(head);
    free(g);
    return SOTTO_OK;
}

void sotto__score_inputs(double *score, const float *w, size_t out, size_t in, const float *gram)
{
    for (size_t i = 0; i < in; i++) score[i] = 0;
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++) score[i] += (double)w[o * in + i] * (double)w[o * in + i];
    for (size_t i = 0; i < in; i++) score[i] *= (double)gram[i * in + i];
}

/* The inputs that are not in keep; returns how many. */
static size_t others(size_t *gone, const size_t *keep, size_t kept, size_t in)
{
    size_t n = 0;
    for (size_t i = 0, k = 0; i < in; i++) {
        if (k < kept && keep[k] == i)
            k++;
        else
            gone[n++] = i;
    }
    return n;
}

/* m[rows, n] = w[:, columns]; w has `in` columns. */
static void take_columns(double *m, const float *w, size_t rows, size_t in, const size_t *columns, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) m[r * n + i] = (double)w[r * in + columns[i]];
}

/* to += W_R G_RK (G_KK + d)^-1 */
static sotto_status add_correction(float *to, const float *w, size_t out, size_t in, const size_t *keep, size_t kept,
                                   const float *gram, sotto_error *err)
{
    sotto__gram full = {0}, inner = {0};
    size_t *gone = sotto__aligned(in, sizeof *gone);
    float *gkk = sotto__aligned(kept * kept, sizeof *gkk);
    double *grk = sotto__aligned(in * kept, sizeof *grk), *factor = NULL;
    double *wr = sotto__aligned(out * in, sizeof *wr), *change = sotto__aligned(out * kept, sizeof *change);
    sotto_status st = gone && gkk && grk && wr && change ? SOTTO_OK : sotto__fail_nomem(err, "compensation");
    if (st == SOTTO_OK) st = sotto__gram_open(&full, gram, in, err);
    if (st != SOTTO_OK) goto done;
    const size_t n = others(gone, keep, kept, in);
    for (size_t i = 0; i < kept; i++)
        for (size_t j = 0; j < kept; j++) gkk[i * kept + j] = (float)full.g[keep[i] * in + keep[j]];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < kept; j++) grk[i * kept + j] = full.g[gone[i] * in + keep[j]];
    take_columns(wr, w, out, in, gone, n);
    if ((st = sotto__gram_open(&inner, gkk, kept, err)) != SOTTO_OK) goto done;
    if (!(factor = sotto__gram_factor(&inner, sotto__cholesky))) {
        st = sotto__fail_nomem(err, "compensation");
        goto done;
    }
    sotto__product_d(false, false, out, kept, n, 1, wr, n > 0 ? n : 1, grk, kept, 0, change, kept);
    sotto__cholesky_solve(factor, kept, change, out);
    for (size_t i = 0; i < out * kept; i++) to[i] = (float)((double)to[i] + change[i]);
done:
    sotto__gram_free(&full);
    sotto__gram_free(&inner);
    free(gone);
    free(gkk);
    free(grk);
    free(factor);
    free(wr);
    free(change);
    return st;
}

sotto_status sotto__compensate(float *to, const float *w, size_t out, size_t in, const size_t *keep, size_t kept,
                               const float *gram, sotto_error *err)
{
    for (size_t k = 0; k < kept; k++)
        if (keep[k] >= in || (k > 0 && keep[k] <= keep[k - 1]))
            return sotto__fail(err, SOTTO_EINVAL, "input %zu is to be kept of %zu, out of order", keep[k], in);
    for (size_t o = 0; o < out; o++)
        for (size_t k = 0; k < kept; k++) to[o * kept + k] = w[o * in + keep[k]];
    if (!gram || kept == 0 || kept == in) return SOTTO_OK;
    return add_correction(to, w, out, in, keep, kept, gram, err);
}
