/* SPDX-License-Identifier: MIT
 * GPTQ (Frantar et al. 2022, arXiv:2210.17323, Algorithm 1): weights are rounded input after input, and what rounding
 * one loses is made up for by those that come after it, as far as their inputs tell the same. R is the upper factor of
 * the inverse of the damped Gram matrix, R^T R; after input i is rounded with error e, weights j > i change by -e /
 * R_ii * R_ij. The loss of rounding weight i by d is (d / R_ii)^2, so that is what the grid of
 * a group minimises; it is chosen when the group begins, from the weights as changed until then. */
#include "base/checked.h"
#include "base/error.h"
#include "shrink/coding.h"
#include "shrink/lapack.h"

#include <stdlib.h>

enum { ROWS = 128, BLOCK = 128 }; /* rows at a time; inputs whose errors reach the later ones in one product */

struct work {
    sotto__coded *c;
    const sotto__weights_in *w;
    const bool *dead;       /* [in] */
    double *cost;           /* [in]: 1 / R_ii^2 */
    const double *r;        /* [in, in] */
    double *x;              /* [ROWS, in]: the weights as changed */
    double *errors;         /* [ROWS, BLOCK] */
    double *group;          /* [in]: a group's weights, those that stay zero as zeros */
    sotto__grid grid[ROWS]; /* of the group that runs */
};

/* Whole groups where some fit a block, else a part of one. */
static size_t block_end(const sotto__coded *c, size_t i)
{
    const size_t length = c->group > BLOCK ? BLOCK : BLOCK / c->group * c->group;
    const size_t end = c->group > BLOCK ? sotto__group_end(c, i / c->group * c->group) : c->in;
    return end - i < length ? end : i + length;
}

static bool stays_zero(const struct work *k, size_t o, size_t i)
{
    return k->dead[i] || (!k->w->offset && k->w->w[o * k->w->in + i] == 0);
}

static void begin_group(struct work *k, size_t o, size_t row, size_t i)
{
    const size_t n = sotto__group_end(k->c, i) - i;
    for (size_t j = 0; j < n; j++) k->group[j] = stays_zero(k, o, i + j) ? 0 : k->x[row * k->c->in + i + j];
    k->grid[row] = sotto__row_grid(k->c, k->w, o, k->group, k->cost + i, n);
    sotto__coded_set_grid(k->c, o, i / k->c->group, &k->grid[row]);
}

/* Inputs first … end - 1 of one row. */
static void round_block(struct work *k, size_t o, size_t row, size_t first, size_t end)
{
    const size_t in = k->c->in;
    double *x = k->x + row * in;
    for (size_t i = first; i < end; i++) {
        const double *r = k->r + i * in;
        if (i % k->c->group == 0) begin_group(k, o, row, i);
        const sotto__grid *grid = &k->grid[row];
        const double step = stays_zero(k, o, i) ? 0 : sotto__grid_step(grid, sotto__grid_inverse(grid), x[i]);
        const double e = (x[i] - grid->scale * step) / r[i];
        sotto__coded_set(k->c, o, i, grid, step);
        k->errors[row * BLOCK + i - first] = e;
        for (size_t j = i + 1; j < end; j++) x[j] -= e * r[j];
    }
}

static void round_rows(struct work *k, size_t first_row, size_t rows)
{
    const size_t in = k->c->in;
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < in; i++)
            k->x[row * in + i] = k->dead[i] ? 0 : sotto__weight_in(k->w, first_row + row, i);
    for (size_t i = 0, end; i < in; i = end) {
        end = block_end(k->c, i);
        for (size_t row = 0; row < rows; row++) round_block(k, first_row + row, row, i, end);
        sotto__product_d(false, false, rows, in - end, end - i, -1, k->errors, BLOCK, k->r + i * in + end, in, 1,
                         k->x + end, in);
    }
}

sotto_status sotto__gptq(sotto__coded *c, const sotto__weights_in *w, const bool *dead, const double *r,
                         sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    struct work *k = calloc(1, sizeof *k);
    double *x = sotto__aligned(c->in, ROWS * sizeof *x), *errors = sotto__aligned(ROWS * BLOCK, sizeof *errors);
    double *group = sotto__aligned(c->in, sizeof *group), *cost = sotto__aligned(c->in, sizeof *cost);
    if (!k || !x || !errors || !group || !cost) {
        st = sotto__fail_nomem(err, "gptq");
    } else {
        *k = (struct work){.c = c, .w = w, .dead = dead, .r = r, .x = x, .errors = errors, .group = group};
        k->cost = cost;
        for (size_t i = 0; i < c->in; i++) cost[i] = 1 / (r[i * c->in + i] * r[i * c->in + i]);
        for (size_t o = 0; o < c->out; o += ROWS) round_rows(k, o, c->out - o < ROWS ? c->out - o : ROWS);
    }
    free(k);
    free(x);
    free(errors);
    free(group);
    free(cost);
    return st;
}
