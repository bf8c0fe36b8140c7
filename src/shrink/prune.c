/* SPDX-License-Identifier: MIT
 * Setting single weights to zero. */
#include "shrink/prune.h"

#include "base/checked.h"
#include "base/error.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Floats that are not negative order like the integers with their bits. */
static uint32_t key(float score)
{
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x7fffffffu;
}

static size_t count_below(const float *score, size_t n, uint32_t limit)
{
    size_t below = 0;
    for (size_t i = 0; i < n; i++) below += key(score[i]) < limit;
    return below;
}

/* Sets to zero the w[i] with the `count` smallest |score[i]|; score may be w itself. The key of the last of them is
 * found bit by bit from the top: the greatest that fewer than `count` are below of. */
static void zero_smallest(float *w, const float *score, size_t n, size_t count)
{
    uint32_t last = 0;
    if (count == 0) return;
    for (uint32_t bit = 1u << 30; bit; bit >>= 1)
        if (count_below(score, n, last | bit) < count) last |= bit;
    size_t equal = count - count_below(score, n, last);
    for (size_t i = 0; i < n; i++) {
        const uint32_t k = key(score[i]);
        if (k > last || (k == last && equal == 0)) continue;
        if (k == last) equal--;
        w[i] = 0;
    }
}

static sotto_status check_fraction(double fraction, sotto_error *err)
{
    if (fraction >= 0 && fraction <= 1) return SOTTO_OK;
    return sotto__fail(err, SOTTO_EINVAL, "a share of %g of the weights is to go; 0 to 1 is expected", fraction);
}

static size_t share(double fraction, size_t n) { return (size_t)(fraction * (double)n + 0.5); }

sotto_status sotto__prune_magnitude(float *w, size_t n, double fraction, sotto_error *err)
{
    const sotto_status st = check_fraction(fraction, err);
    if (st == SOTTO_OK) zero_smallest(w, w, n, share(fraction, n));
    return st;
}

sotto_status sotto__prune_wanda(float *w, size_t out, size_t in, double fraction, const float *gram, sotto_error *err)
{
    const sotto_status st = check_fraction(fraction, err);
    if (st != SOTTO_OK) return st;
    if (!gram)
        return sotto__fail(err, SOTTO_EINVAL,
                           "wanda needs calibration: what the layer's inputs look like is not known");
    float *norm = sotto__aligned(in, 2 * sizeof *norm), *score = norm ? norm + in : NULL;
    if (!norm) return sotto__fail_nomem(err, "scores of weights");
    for (size_t i = 0; i < in; i++) norm[i] = gram[i * in + i] > 0 ? sqrtf(gram[i * in + i]) : 0;
    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < in; i++) score[i] = fabsf(w[o * in + i]) * norm[i];
        zero_smallest(w + o * in, score, in, share(fraction, in));
    }
    free(norm);
    return SOTTO_OK;
}
