/* SPDX-License-Identifier: MIT
 * What the steps of sotto__quantise share: the weights as they are to be coded, some rows at a time. */
#ifndef SOTTO_SHRINK_CODING_H
#define SOTTO_SHRINK_CODING_H

#include "shrink/coded.h"
#include "shrink/gram.h"
#include "shrink/grid.h"

/* The input of a step: row o, input i of what it codes is (w[o * in + i] - offset[i]) * stretch[i]. */
typedef struct sotto__weights_in {
    const float *w; /* [out, in] */
    size_t out, in;
    const double *stretch; /* [in] */
    const double *offset;  /* [in], or NULL = 0 */
    const double *cost;    /* [in]: what a squared error in input i counts */
    const uint8_t *rare;   /* [out], or NULL: rows of rare_bits (or with the step rare_step) */
    int rare_bits;
    double step, rare_step; /* 0, or the scale of all rows; in half precision */
} sotto__weights_in;

static inline double sotto__weight_in(const sotto__weights_in *w, size_t o, size_t i)
{
    return ((double)w->w[o * w->in + i] - (w->offset ? w->offset[i] : 0)) * w->stretch[i];
}

static inline size_t sotto__coded_groups(const sotto__coded *c) { return (c->in + c->group - 1) / c->group; }

/* Where the group ends that begins with input i. */
static inline size_t sotto__group_end(const sotto__coded *c, size_t i)
{
    return c->in - i < c->group ? c->in : i + c->group;
}

/* Arrays for codes, scales and, if `asymmetric`, zero points of [out, in]. SOTTO_ENOMEM; to free in any case. */
sotto_status sotto__coded_open(sotto__coded *c, size_t out, size_t in, const sotto__coding *coding, sotto_error *err);

void sotto__coded_set_grid(sotto__coded *c, size_t o, size_t group, const sotto__grid *grid);

static inline void sotto__coded_set(sotto__coded *c, size_t o, size_t i, const sotto__grid *grid, double step)
{
    c->codes[o * c->in + i] = (uint8_t)(step + (c->zero ? grid->zero : 1 << (c->bits - 1)));
}

/* The grid for n weights x of row o. */
sotto__grid sotto__row_grid(const sotto__coded *c, const sotto__weights_in *w, size_t o, const double *x,
                            const double *cost, size_t n);

/* Row o of the weights, coded as row `to` of c; x is scratch of [in]. */
void sotto__round_row(sotto__coded *c, size_t to, const sotto__weights_in *w, size_t o, double *x);

/* gptq.c: all rows; r[in, in] is the upper factor of the inverse Gram matrix of the inputs as stretch leaves them. */
sotto_status sotto__gptq(sotto__coded *c, const sotto__weights_in *w, const bool *dead, const double *r,
                         sotto_error *err);

/* rate.c: the columns that make errors cost alike: in proportion to R_ii, or without r to 1 / sqrt(cost); their middle
 * is 1. NULL: out of memory. */
uint16_t *sotto__even_columns(size_t in, const double *r, const double *cost);
/* Widens columns (and what follows from them: stretch, and r unless it is NULL) whose weights are more steps than a
 * code has, as those of inputs far larger than the others can be; whether any are. The finest step there still is less
 * than a hundredth of the column's largest weight. */
bool sotto__widen_columns(uint16_t *column, const sotto__weights_in *w, double *stretch, double *r);
/* The steps that give w->rare rows and the others the entropies in coding; sets step and rare_step. */
sotto_status sotto__find_steps(sotto__weights_in *w, const sotto__coding *coding, const bool *dead, const double *r,
                               sotto_error *err);
/* The mean entropy in bits a code: of rare rows ([out], or NULL = none) and the others by themselves. */
double sotto__entropy(const sotto__coded *c, const uint8_t *rare);

/* awq.c: the columns, in half precision, that leave the least error of the outputs when weights are rounded to nearest;
 * *column (for free()) is NULL where none are better. */
sotto_status sotto__awq_search(uint16_t **column, const sotto__weights_in *w, const sotto__coding *coding,
                               const sotto__gram *gram, sotto_error *err);

#endif
