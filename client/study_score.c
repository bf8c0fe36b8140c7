/* SPDX-License-Identifier: MIT
 * Intervals are percentiles of rates over utterances drawn with replacement (Bisani and Ney 2004, "Bootstrap estimates
 * for confidence intervals in ASR performance evaluation"); of a difference, over the same draw of both. p is that of
 * approximate randomisation (Noreen 1989). */
#include "study_score.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "options.h"

enum { DRAWS = 10000 };

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The q-th quantile of sorted x[n], between neighbours in proportion (type 7 of Hyndman and Fan 1996). */
static double quantile(const double *x, size_t n, double q)
{
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    return i + 1 < n ? x[i] + (at - (double)i) * (x[i + 1] - x[i]) : x[n - 1];
}

static double rate_of(const uint64_t *edits, const uint64_t *base, const uint64_t *words, size_t n, uint64_t *random)
{
    double sum = 0, of = 0;
    for (size_t i = 0; i < n; i++) {
        /* the upper 32 bits, scaled to 0 … n - 1 */
        const size_t k = random ? (size_t)(((next_random(random) >> 32) * (uint64_t)n) >> 32) : i;
        sum += (double)edits[k] - (base ? (double)base[k] : 0);
        of += (double)words[k];
    }
    return of > 0 ? sum / of : NAN;
}

static sotto_status interval(const uint64_t *edits, const uint64_t *base, const uint64_t *words, size_t n,
                             uint64_t seed, sotto_interval *out, sotto_error *err)
{
    double *drawn = malloc(DRAWS * sizeof *drawn);
    size_t n_drawn = 0;
    if (!drawn) return options_fail(err, SOTTO_ENOMEM, "out of memory: an interval");
    for (size_t i = 0; i < DRAWS; i++) {
        drawn[n_drawn] = rate_of(edits, base, words, n, &seed);
        if (!isnan(drawn[n_drawn])) n_drawn++;
    }
    qsort(drawn, n_drawn, sizeof *drawn, ascending);
    *out = (sotto_interval){rate_of(edits, base, words, n, NULL), NAN, NAN};
    if (n_drawn) out->low = quantile(drawn, n_drawn, 0.025), out->high = quantile(drawn, n_drawn, 0.975);
    free(drawn);
    return SOTTO_OK;
}

sotto_status sotto_score_interval(const uint64_t *edits, const uint64_t *words, size_t n, uint64_t seed,
                                  sotto_interval *out, sotto_error *err)
{
    return interval(edits, NULL, words, n, seed, out, err);
}

sotto_status sotto_score_paired(const uint64_t *edits, const uint64_t *base_edits, const uint64_t *words, size_t n,
                                uint64_t seed, sotto_paired *out, sotto_error *err)
{
    sotto_interval v = {NAN, NAN, NAN};
    double all = 0;
    size_t as_much = 0;
    sotto_status st = interval(edits, base_edits, words, n, seed, &v, err);
    if (st != SOTTO_OK) return st;
    for (size_t i = 0; i < n; i++) all += (double)edits[i] - (double)base_edits[i];
    for (size_t draw = 0; draw < DRAWS; draw++) {
        double sum = 0;
        uint64_t bits = 0;
        for (size_t i = 0; i < n; i++, bits >>= 1) {
            if (i % 64 == 0) bits = next_random(&seed);
            const double one = (double)edits[i] - (double)base_edits[i];
            sum += bits & 1 ? one : -one;
        }
        as_much += fabs(sum) >= fabs(all);
    }
    *out = (sotto_paired){v.value, v.low, v.high, (double)(as_much + 1) / (DRAWS + 1)};
    return SOTTO_OK;
}
