/* SPDX-License-Identifier: MIT
 * The integers that a group of weights is rounded to: scale and zero point. */
#ifndef SOTTO_SHRINK_GRID_H
#define SOTTO_SHRINK_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* value = scale * (code - zero), code 0 … top */
typedef struct sotto__grid {
    double scale; /* a half-precision number; 0: everything is 0 */
    double zero, top;
} sotto__grid;

uint16_t sotto__to_half(double x);
double sotto__from_half(uint16_t half);

/* The grid for x[n] with the least sum of cost[i] * (x[i] - value)^2 among some candidates: symmetric ones map the
 * value of largest magnitude, or some more or less than it, to the lowest or the highest code; asymmetric ones the
 * range from the smallest to the largest value, 0 included. The best one's scale is then refitted to its codes as long
 * as that helps. */
sotto__grid sotto__grid_choose(const double *x, const double *cost, size_t n, int bits, bool asymmetric);

/* Rounds to the nearest integer, ties to even; |x| < 2^51. As rint(), but without a call and so in vectors. */
static inline double sotto__round(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

/* code - zero of the nearest value to x; inverse = 1 / scale, or 0 where scale is 0. */
static inline double sotto__grid_step(const sotto__grid *g, double inverse, double x)
{
    const double low = -g->zero, high = g->top - g->zero;
    double step = x * inverse;
    step = step > low ? step : low;
    step = step < high ? step : high;
    return sotto__round(step);
}

static inline double sotto__grid_inverse(const sotto__grid *g) { return g->scale != 0 ? 1 / g->scale : 0; }

#endif
