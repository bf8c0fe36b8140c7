/* SPDX-License-Identifier: MIT
 * Choosing scale and zero point of a group of weights. */
#include "shrink/grid.h"

#include <math.h>
#include <string.h>

/* Candidates: the whole range times 1.05, 1.00 … 0.40. Clipping pays more the fewer bits there are. */
enum { CANDIDATES = 14, REFITS = 4 };
static double candidate(int c) { return 1.05 - 0.05 * c; }

uint16_t sotto__to_half(double x)
{
    const double largest = 65504;
    uint16_t bits;
    x = x > largest ? largest : x < -largest ? -largest : x;
    __extension__ const _Float16 half = (_Float16)x;
    memcpy(&bits, &half, sizeof bits);
    return bits;
}

double sotto__from_half(uint16_t half)
{
    __extension__ _Float16 x;
    memcpy(&x, &half, sizeof x);
    return (double)x;
}

struct group {
    const double *x, *cost;
    size_t n;
};

/* The weighted squared error of a grid. Four sums, so that the compiler may use vectors. */
static double error_of(const struct group *g, const sotto__grid *grid)
{
    const double inverse = sotto__grid_inverse(grid), scale = grid->scale;
    double sum[4] = {0};
    size_t i = 0;
    for (; i + 4 <= g->n; i += 4)
        for (size_t k = 0; k < 4; k++) {
            const double e = g->x[i + k] - scale * sotto__grid_step(grid, inverse, g->x[i + k]);
            sum[k] += g->cost[i + k] * e * e;
        }
    for (; i < g->n; i++) {
        const double e = g->x[i] - scale * sotto__grid_step(grid, inverse, g->x[i]);
        sum[0] += g->cost[i] * e * e;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

struct best {
    sotto__grid grid;
    double error;
};

static bool offer(struct best *best, const struct group *g, sotto__grid grid)
{
    grid.scale = sotto__from_half(sotto__to_half(grid.scale));
    if (grid.scale == 0) return false;
    const double error = error_of(g, &grid);
    if (!(error < best->error)) return false;
    *best = (struct best){grid, error};
    return true;
}

static void offer_symmetric(struct best *best, const struct group *g)
{
    const double ends[] = {-best->grid.zero, best->grid.top - best->grid.zero};
    double extreme = 0;
    for (size_t i = 0; i < g->n; i++)
        if (fabs(g->x[i]) > fabs(extreme)) extreme = g->x[i];
    sotto__grid grid = best->grid;
    for (int c = 0; c < CANDIDATES; c++)
        for (int end = 0; end < 2; end++) {
            grid.scale = extreme / ends[end] * candidate(c);
            offer(best, g, grid);
        }
}

/* For every scale the zero point that low falls on, and its two neighbours. */
static void offer_asymmetric(struct best *best, const struct group *g)
{
    double low = 0, high = 0;
    for (size_t i = 0; i < g->n; i++) {
        low = fmin(low, g->x[i]);
        high = fmax(high, g->x[i]);
    }
    sotto__grid grid = best->grid;
    if (!(high > low)) return;
    for (int c = 0; c < CANDIDATES; c++) {
        grid.scale = (high - low) / grid.top * candidate(c);
        const double zero = sotto__round(-low / (high - low) * grid.top);
        for (int shift = -1; shift <= 1; shift++) {
            grid.zero = fmin(fmax(zero + shift, 0), grid.top);
            offer(best, g, grid);
        }
    }
}

/* The scale that serves the codes as they are best; new codes may then be nearer, so again. */
static void refit(struct best *best, const struct group *g)
{
    for (int again = 0; again < REFITS; again++) {
        sotto__grid grid = best->grid;
        const double inverse = sotto__grid_inverse(&grid);
        double xs = 0, ss = 0;
        for (size_t i = 0; i < g->n; i++) {
            const double step = sotto__grid_step(&grid, inverse, g->x[i]);
            xs += g->cost[i] * g->x[i] * step;
            ss += g->cost[i] * step * step;
        }
        if (!(ss > 0)) return;
        grid.scale = xs / ss;
        if (!offer(best, g, grid)) return;
    }
}

sotto__grid sotto__grid_choose(const double *x, const double *cost, size_t n, int bits, bool asymmetric)
{
    const struct group g = {x, cost, n};
    const double top = (double)((1 << bits) - 1);
    struct best best = {{0, asymmetric ? 0 : (double)(1 << (bits - 1)), top}, 0};
    best.error = error_of(&g, &best.grid); /* of all zeros */
    if (asymmetric)
        offer_asymmetric(&best, &g);
    else
        offer_symmetric(&best, &g);
    refit(&best, &g);
    return best.grid;
}
