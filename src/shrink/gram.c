/* SPDX-License-Identifier: MIT
 * Mending, damping and factorising Gram matrices. */
#include "shrink/gram.h"

#include "base/checked.h"
#include "base/error.h"
#include "shrink/lapack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void copy(sotto__gram *to, const float *gram)
{
    const size_t n = to->n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            const double v = 0.5 * ((double)gram[i * n + j] + (double)gram[j * n + i]);
            to->g[i * n + j] = to->g[j * n + i] = isfinite(v) ? v : 0;
        }
}

static void stand_alone(sotto__gram *to, size_t i, double mean)
{
    const size_t n = to->n;
    for (size_t j = 0; j < n; j++) to->g[i * n + j] = to->g[j * n + i] = 0;
    to->g[i * n + i] = mean;
}

sotto_status sotto__gram_open(sotto__gram *to, const float *gram, size_t n, sotto_error *err)
{
    size_t values, live = 0;
    double sum = 0;
    *to = (sotto__gram){.n = n};
    const sotto_status st = sotto__lapack_fits(n, n, err);
    if (st != SOTTO_OK) return st;
    if (!sotto__mul(n, n, &values)) return sotto__fail_nomem(err, "a Gram matrix");
    to->g = sotto__aligned(values, sizeof *to->g);
    to->dead = sotto__aligned(n, sizeof *to->dead);
    to->mean = sotto__aligned(n, sizeof *to->mean);
    if (!to->g || !to->dead || !to->mean) return sotto__fail_nomem(err, "a Gram matrix");
    copy(to, gram);
    for (size_t i = 0; i < n; i++) {
        to->dead[i] = gram[i * n + i] == 0;
        if (!(to->g[i * n + i] > 0)) continue;
        sum += to->g[i * n + i];
        live++;
    }
    const double mean = live > 0 ? sum / (double)live : 1;
    to->damping = SOTTO__DAMPING * mean;
    for (size_t i = 0; i < n; i++)
        if (!(to->g[i * n + i] > 0)) stand_alone(to, i, mean);
    for (size_t i = 0; i < n; i++) to->mean[i] = to->g[i * n + i] + to->damping;
    return SOTTO_OK;
}

void sotto__gram_free(sotto__gram *g)
{
    free(g->g);
    free(g->dead);
    free(g->mean);
    *g = (sotto__gram){0};
}

double *sotto__gram_factor(const sotto__gram *g, bool (*factor)(double *a, size_t n))
{
    const size_t n = g->n;
    double *a = sotto__aligned(n * n, sizeof *a);
    if (!a) return NULL;
    /* Ends at the latest when the diagonal outweighs the rest by far, as any finite matrix's then does. */
    for (double damping = g->damping;; damping *= 10) {
        memcpy(a, g->g, n * n * sizeof *a);
        for (size_t i = 0; i < n; i++) a[i * n + i] += damping;
        if (factor(a, n)) return a;
    }
}
