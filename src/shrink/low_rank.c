/* SPDX-License-Identifier: MIT
 * Low-rank factors: with G = L L^T, W L = U S V^T; the best product of rank r is U_r (U_r^T W), whatever L is. */
#include "shrink/low_rank.h"

#include "base/checked.h"
#include "base/error.h"
#include "shrink/gram.h"
#include "shrink/lapack.h"

#include <math.h>
#include <stdlib.h>

/* W L as the decomposition wants it: not taller than wide, so its transpose where out > in. */
static sotto_status weighted(double *m, const double *wide, size_t out, size_t in, const float *gram, sotto_error *err)
{
    sotto__gram g = {0};
    double *l = NULL;
    sotto_status st = SOTTO_OK;
    if (gram) st = sotto__gram_open(&g, gram, in, err);
    if (st == SOTTO_OK && gram && !(l = sotto__gram_factor(&g, sotto__cholesky)))
        st = sotto__fail_nomem(err, "low rank");
    if (st == SOTTO_OK && !gram)
        for (size_t o = 0; o < out; o++)
            for (size_t i = 0; i < in; i++) m[out <= in ? o * in + i : i * out + o] = wide[o * in + i];
    if (st == SOTTO_OK && gram && out <= in) sotto__product_d(false, false, out, in, in, 1, wide, in, l, in, 0, m, in);
    if (st == SOTTO_OK && gram && out > in) sotto__product_d(true, true, in, out, in, 1, l, in, wide, in, 0, m, out);
    sotto__gram_free(&g);
    free(l);
    return st;
}

/* b = U_r, a = U_r^T W, evened out; u[out, …] has element (o, k) at o * row + k * column. */
static void factors(float *a, float *b, const double *u, size_t row, size_t column, const double *wide, size_t out,
                    size_t in, size_t rank, double *line)
{
    for (size_t k = 0; k < rank; k++) {
        double square = 0;
        for (size_t i = 0; i < in; i++) line[i] = 0;
        for (size_t o = 0; o < out; o++)
            for (size_t i = 0; i < in; i++) line[i] += u[o * row + k * column] * wide[o * in + i];
        for (size_t i = 0; i < in; i++) square += line[i] * line[i];
        const double even = square > 0 ? sqrt(sqrt(square)) : 1; /* the norm of b's column: a's row has even^2 now */
        for (size_t i = 0; i < in; i++) a[k * in + i] = (float)(line[i] / even);
        for (size_t o = 0; o < out; o++) b[o * rank + k] = (float)(u[o * row + k * column] * even);
    }
}

sotto_status sotto__low_rank(float *a, float *b, const float *w, size_t out, size_t in, size_t rank, const float *gram,
                             sotto_error *err)
{
    const size_t least = out < in ? out : in, most = out < in ? in : out;
    if (rank < 1 || rank > least)
        return sotto__fail(err, SOTTO_EINVAL, "rank %zu of a matrix of %zu x %zu; 1 to %zu is expected", rank, out, in,
                           least);
    for (size_t i = 0; i < out * in; i++)
        if (!isfinite(w[i]))
            return sotto__fail(err, SOTTO_EINVAL, "the weight of output %zu, input %zu is not finite", i / in, i % in);
    sotto_status st = sotto__lapack_fits(out, in, err);
    if (st != SOTTO_OK) return st;
    double *wide = sotto__aligned(out * in, sizeof *wide), *m = sotto__aligned(out * in, sizeof *m);
    double *p = sotto__aligned(least * least, sizeof *p), *sigma = sotto__aligned(most, sizeof *sigma);
    if (!wide || !m || !p || !sigma) st = sotto__fail_nomem(err, "low rank");
    for (size_t i = 0; st == SOTTO_OK && i < out * in; i++) wide[i] = (double)w[i];
    if (st == SOTTO_OK) st = weighted(m, wide, out, in, gram, err);
    if (st == SOTTO_OK) st = sotto__svd(m, least, most, p, sigma, err);
    if (st == SOTTO_OK && out <= in) factors(a, b, p, out, 1, wide, out, in, rank, sigma);
    if (st == SOTTO_OK && out > in) factors(a, b, m, 1, out, wide, out, in, rank, sigma);
    free(wide);
    free(m);
    free(p);
    free(sigma);
    return st;
}
