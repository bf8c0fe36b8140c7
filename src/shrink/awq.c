/* SPDX-License-Identifier: MIT
 * AWQ (Lin et al. 2023, arXiv:2306.00978): weights of inputs that carry much are multiplied by more before rounding,
 * and so lose less; column[i] undoes it. The factor of input i is its root mean square to the power of alpha, divided
 * by the geometric middle of the largest and the smallest; alpha = 0, 0.05 … 0.95, as in the reference implementation.
 */
#include "base/checked.h"
#include "base/error.h"
#include "nn/ops.h"
#include "shrink/coding.h"

#include <math.h>
#include <stdlib.h>

enum { ALPHAS = 20, SAMPLE = 256 }; /* rows that alpha is chosen with, evenly spread */

struct search {
    const sotto__weights_in *w;
    const sotto__gram *gram;
    size_t rows; /* of the sample */
    sotto__coded coded;
    float *g, *error, *product; /* [in, in], [rows, in] twice */
    double *stretch, *cost, *x; /* [in] */
    uint16_t *column;           /* [in] */
};

/* 1 / factor, in half precision; 1 for inputs that were always 0. */
static void columns_of(struct search *s, double alpha)
{
    const size_t in = s->w->in;
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < in; i++) {
        s->x[i] = pow(s->gram->g[i * in + i], 0.5 * alpha);
        if (s->gram->dead[i]) continue;
        least = fmin(least, s->x[i]);
        most = fmax(most, s->x[i]);
    }
    const double middle = most > 0 ? sqrt(most * least) : 1;
    for (size_t i = 0; i < in; i++) {
        const double factor = s->gram->dead[i] ? 1 : fmin(fmax(s->x[i] / middle, 1e-3), 1e3);
        s->column[i] = sotto__to_half(1 / factor);
    }
}

/* trace((W - Q) G (W - Q)^T) over the sample, with the columns as they are. */
static double loss(struct search *s)
{
    const size_t in = s->w->in;
    double sum = 0;
    for (size_t i = 0; i < in; i++) {
        const double column = sotto__from_half(s->column[i]);
        s->stretch[i] = 1 / column;
        s->cost[i] = s->gram->mean[i] * column * column;
    }
    const sotto__weights_in w = {.w = s->w->w, .out = s->w->out, .in = in, .stretch = s->stretch, .cost = s->cost};
    s->coded.column = s->column;
    for (size_t k = 0; k < s->rows; k++) {
        const size_t o = k * s->w->out / s->rows;
        sotto__round_row(&s->coded, k, &w, o, s->x);
        sotto__dequantise_row(&s->coded, k, s->error + k * in);
        for (size_t i = 0; i < in; i++) s->error[k * in + i] = s->w->w[o * in + i] - s->error[k * in + i];
    }
    s->coded.column = NULL;
    sotto__gemm_nn(s->rows, in, in, s->error, in, s->g, in, 0, s->product, in);
    for (size_t i = 0; i < s->rows * in; i++) sum += (double)s->error[i] * (double)s->product[i];
    return sum;
}

static void choose(struct search *s)
{
    double best = 0, least = INFINITY;
    for (int a = 0; a < ALPHAS; a++) {
        columns_of(s, (double)a / ALPHAS);
        const double now = loss(s);
        if (!(now < least)) continue;
        least = now;
        best = (double)a / ALPHAS;
    }
    columns_of(s, best);
    if (best > 0) return;
    free(s->column);
    s->column = NULL;
}

sotto_status sotto__awq_search(uint16_t **column, const sotto__weights_in *w, const sotto__coding *coding,
                               const sotto__gram *gram, sotto_error *err)
{
    const size_t in = w->in, rows = w->out < SAMPLE ? w->out : SAMPLE;
    struct search s = {.w = w, .gram = gram, .rows = rows};
    sotto_status st = sotto__coded_open(&s.coded, rows, in, coding, err);
    double largest = 0;
    s.g = sotto__aligned(in * in, sizeof *s.g);
    s.error = sotto__aligned(rows * in, sizeof *s.error);
    s.product = sotto__aligned(rows * in, sizeof *s.product);
    s.stretch = sotto__aligned(in, sizeof *s.stretch);
    s.cost = sotto__aligned(in, sizeof *s.cost);
    s.x = sotto__aligned(in, sizeof *s.x);
    s.column = sotto__aligned(in, sizeof *s.column);
    if (!s.g || !s.error || !s.product || !s.stretch || !s.cost || !s.x || !s.column)
        st = sotto__fail_nomem(err, "awq");
    if (st == SOTTO_OK) {
        sotto__gemm_init();
        for (size_t i = 0; i < in; i++) largest = fmax(largest, gram->mean[i]);
        for (size_t i = 0; i < in * in; i++) s.g[i] = (float)(gram->g[i] / largest);
        choose(&s);
        *column = s.column;
        s.column = NULL;
    }
    sotto__coded_free(&s.coded);
    free(s.g);
    free(s.error);
    free(s.product);
    free(s.stretch);
    free(s.cost);
    free(s.x);
    free(s.column);
    return st;
}
