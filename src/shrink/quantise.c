/* SPDX-License-Identifier: MIT
 * Matrices to integers and back: checks, the order of the steps, rounding to nearest. */
#include "base/checked.h"
#include "base/error.h"
#include "shrink/coding.h"
#include "shrink/lapack.h"

#include <math.h>
#include <stdlib.h>

sotto_status sotto__coded_open(sotto__coded *c, size_t out, size_t in, const sotto__coding *coding, sotto_error *err)
{
    size_t values, scales;
    *c = (sotto__coded){.out = out, .in = in, .bits = coding->bits};
    c->group = coding->group > 0 && coding->group < in ? coding->group : in;
    if (!sotto__mul(out, in, &values) || !sotto__mul(out, sotto__coded_groups(c), &scales))
        return sotto__fail_nomem(err, "codes");
    c->codes = sotto__aligned(values, 1);
    c->scale = sotto__aligned(scales, sizeof *c->scale);
    if (coding->asymmetric) c->zero = sotto__aligned(scales, 1);
    if (!c->codes || !c->scale || (coding->asymmetric && !c->zero)) return sotto__fail_nomem(err, "codes");
    return SOTTO_OK;
}

void sotto__coded_free(sotto__coded *c)
{
    free(c->codes);
    free(c->scale);
    free(c->zero);
    free(c->column);
    free(c->offset);
    *c = (sotto__coded){0};
}

void sotto__coded_set_grid(sotto__coded *c, size_t o, size_t group, const sotto__grid *grid)
{
    const size_t at = o * sotto__coded_groups(c) + group;
    c->scale[at] = sotto__to_half(grid->scale);
    if (c->zero) c->zero[at] = (uint8_t)grid->zero;
}

void sotto__dequantise_row(const sotto__coded *c, size_t o, float *y)
{
    const size_t groups = sotto__coded_groups(c);
    for (size_t i = 0, group = 0; i < c->in; group++) {
        const size_t at = o * groups + group, end = sotto__group_end(c, i);
        const int zero = c->zero ? c->zero[at] : 1 << (c->bits - 1);
        const float scale = (float)sotto__from_half(c->scale[at]);
        for (; i < end; i++) {
            const float value = scale * (float)(c->codes[o * c->in + i] - zero);
            y[i] = c->column ? (float)sotto__from_half(c->column[i]) * value : value;
            if (c->offset) y[i] += (float)sotto__from_half(c->offset[i]);
        }
    }
}

sotto__grid sotto__row_grid(const sotto__coded *c, const sotto__weights_in *w, size_t o, const double *x,
                            const double *cost, size_t n)
{
    const bool rare = w->rare && w->rare[o];
    if (w->step > 0) return (sotto__grid){rare ? w->rare_step : w->step, 128, 255};
    return sotto__grid_choose(x, cost, n, rare ? w->rare_bits : c->bits, c->zero != NULL);
}

void sotto__round_row(sotto__coded *c, size_t to, const sotto__weights_in *w, size_t o, double *x)
{
    for (size_t i = 0; i < w->in; i++) x[i] = sotto__weight_in(w, o, i);
    for (size_t i = 0, group = 0; i < w->in; group++) {
        const size_t end = sotto__group_end(c, i);
        const sotto__grid grid = sotto__row_grid(c, w, o, x + i, w->cost + i, end - i);
        const double inverse = sotto__grid_inverse(&grid);
        sotto__coded_set_grid(c, to, group, &grid);
        for (; i < end; i++) sotto__coded_set(c, to, i, &grid, sotto__grid_step(&grid, inverse, x[i]));
    }
}

static sotto_status check(const float *w, size_t rows, size_t in, const sotto__coding *c, const float *gram,
                          sotto_error *err)
{
    if (c->bits < 2 || c->bits > 8)
        return sotto__fail(err, SOTTO_EINVAL, "codes of %d bits; 2 to 8 are known", c->bits);
    if (c->rate != 0 && !(c->rate > 0 && c->rate < 8 && c->bits == 8 && !c->group && !c->asymmetric && !c->awq))
        return sotto__fail(err, SOTTO_EINVAL, "codes of %g bits on average; more than 0 and less than 8 are known",
                           c->rate);
    if (c->rare && !(c->rate > 0 ? c->rare_bits > 0 && c->rare_bits < 8
                                 : c->rare_bits >= 2 && c->rare_bits <= c->bits && c->rare_bits == floor(c->rare_bits)))
        return sotto__fail(err, SOTTO_EINVAL,
                           "rare rows of %g bits; 2 to the %d of the others are known, or a rate as theirs is",
                           c->rare_bits, c->bits);
    if (c->centred && c->awq)
        return sotto__fail(err, SOTTO_EINVAL, "centred and awq both scale inputs; one of them was expected");
    if (!gram && (c->gptq || c->awq))
        return sotto__fail(err, SOTTO_EINVAL, "%s needs calibration: what the layer's inputs look like is not known",
                           c->gptq ? "gptq" : "awq");
    for (size_t o = 0; o < rows; o++)
        for (size_t i = 0; i < in; i++)
            if (!isfinite(w[o * in + i]))
                return sotto__fail(err, SOTTO_EINVAL, "the weight of output %zu, input %zu is not finite", o, i);
    return SOTTO_OK;
}

static sotto_status round_all(sotto__coded *c, const sotto__weights_in *w, sotto_error *err)
{
    double *x = sotto__aligned(w->in, sizeof *x);
    if (!x) return sotto__fail_nomem(err, "a row of weights");
    for (size_t o = 0; o < w->out; o++) sotto__round_row(c, o, w, o, x);
    free(x);
    return SOTTO_OK;
}

/* Offsets of w[rows, in]: the mean of each input's weights, in half precision; columns, unless at a rate: their
 * standard deviation, 1 for constants. */
static sotto_status centre(sotto__coded *c, const float *w, double *offset, bool columns, sotto_error *err)
{
    c->offset = sotto__aligned(c->in, sizeof *c->offset);
    if (columns) c->column = sotto__aligned(c->in, sizeof *c->column);
    if (!c->offset || (columns && !c->column)) return sotto__fail_nomem(err, "means of weights");
    for (size_t i = 0; i < c->in; i++) {
        double sum = 0, squares = 0;
        for (size_t o = 0; o < c->out; o++) sum += (double)w[o * c->in + i];
        c->offset[i] = sotto__to_half(sum / (double)c->out);
        offset[i] = sotto__from_half(c->offset[i]);
        for (size_t o = 0; o < c->out; o++) {
            const double d = (double)w[o * c->in + i] - offset[i];
            squares += d * d;
        }
        if (!columns) continue;
        c->column[i] = sotto__to_half(sqrt(squares / (double)c->out));
        if (!(sotto__from_half(c->column[i]) > 0)) c->column[i] = sotto__to_half(1);
    }
    return SOTTO_OK;
}

/* Weights are divided by the columns, so inputs are multiplied by them. */
static void apply_columns(const uint16_t *column, size_t in, double *stretch, double *cost, sotto__gram *gram)
{
    double sum = 0;
    for (size_t i = 0; i < in; i++) {
        stretch[i] = 1 / sotto__from_half(column[i]);
        if (!gram->g) cost[i] /= stretch[i] * stretch[i];
    }
    if (!gram->g) return;
    for (size_t i = 0; i < in; i++) {
        for (size_t j = 0; j < in; j++) gram->g[i * in + j] /= stretch[i] * stretch[j];
        gram->mean[i] /= stretch[i] * stretch[i];
        sum += gram->g[i * in + i];
    }
    gram->damping = SOTTO__DAMPING * sum / (double)in;
}

/* At a rate: columns from the inverse Gram matrix as damped for the inputs as they are, then the steps, again where the
 * first ones turn out to clip. *r is NULL without gptq, and afterwards the factor for the inputs as the columns leave
 * them. */
static sotto_status even_out(sotto__coded *c, sotto__weights_in *w, const sotto__coding *coding, double *stretch,
                             const bool *dead, double *r, sotto_error *err)
{
    const size_t in = w->in;
    c->column = sotto__even_columns(in, r, w->cost);
    if (!c->column) return sotto__fail_nomem(err, "columns of weights");
    for (size_t i = 0; i < in; i++) stretch[i] = 1 / sotto__from_half(c->column[i]);
    for (size_t i = 0; r && i < in; i++)
        for (size_t j = i; j < in; j++) r[i * in + j] *= stretch[j];
    const sotto_status st = sotto__find_steps(w, coding, dead, r, err);
    if (st != SOTTO_OK || !sotto__widen_columns(c->column, w, stretch, r)) return st;
    return sotto__find_steps(w, coding, dead, r, err);
}

static sotto_status columns(sotto__coded *c, sotto__weights_in *w, const sotto__coding *coding, double *stretch,
                            double *cost, sotto__gram *g, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    if (coding->awq) st = sotto__awq_search(&c->column, w, coding, g, err);
    if (st == SOTTO_OK && c->column) apply_columns(c->column, w->in, stretch, cost, g);
    return st;
}

sotto_status sotto__quantise(sotto__coded *out, const float *w, size_t rows, size_t in, const sotto__coding *c,
                             const float *gram, sotto_error *err)
{
    sotto__gram g = {0};
    double *r = NULL;
    *out = (sotto__coded){0};
    sotto_status st = check(w, rows, in, c, gram, err);
    if (st != SOTTO_OK) return st;
    double *ones = sotto__aligned(in, 3 * sizeof *ones);
    if (!ones) return sotto__fail_nomem(err, "a row of weights");
    for (size_t i = 0; i < 2 * in; i++) ones[i] = 1;
    sotto__weights_in weights = {.w = w, .out = rows, .in = in, .stretch = ones, .cost = ones + in};
    weights.rare = c->rare;
    weights.rare_bits = (int)c->rare_bits;
    st = sotto__coded_open(out, rows, in, c, err);
    if (st == SOTTO_OK && gram) {
        st = sotto__gram_open(&g, gram, in, err);
        weights.cost = g.mean;
    }
    if (st == SOTTO_OK && c->centred && (st = centre(out, w, ones + 2 * in, !(c->rate > 0), err)) == SOTTO_OK)
        weights.offset = ones + 2 * in;
    if (st == SOTTO_OK && !(c->rate > 0)) st = columns(out, &weights, c, ones, ones + in, &g, err);
    if (st == SOTTO_OK && c->gptq && !(r = sotto__gram_factor(&g, sotto__inverse_factor)))
        st = sotto__fail_nomem(err, "gptq");
    if (st == SOTTO_OK && c->rate > 0) st = even_out(out, &weights, c, ones, g.dead, r, err);
    if (st == SOTTO_OK) st = r ? sotto__gptq(out, &weights, g.dead, r, err) : round_all(out, &weights, err);
    if (st != SOTTO_OK) sotto__coded_free(out);
    sotto__gram_free(&g);
    free(r);
    free(ones);
    return st;
}
