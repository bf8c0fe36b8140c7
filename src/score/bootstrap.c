/* SPDX-License-Identifier: MIT
 * How sure an error rate is: resampling of utterances. Edits and words are integers until the last division, so results
 * are the same on every machine. */
#include "score/score.h"
#include "base/error.h"

#include <stdlib.h>

/* PCG32 (O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms for random number
 * generation", 2014): PCG-XSH-RR 64/32 with the stream of its demonstration program. */
struct pcg {
    uint64_t state;
};
static const uint64_t PCG_STREAM = 54 << 1 | 1;

static uint32_t draw(struct pcg *g)
{
    const uint64_t old = g->state;
    const uint32_t mixed = (uint32_t)((old >> 18 ^ old) >> 27), by = (uint32_t)(old >> 59);
    g->state = old * 6364136223846793005u + PCG_STREAM;
    return mixed >> by | mixed << ((32 - by) & 31);
}

static struct pcg pcg_of(uint64_t seed)
{
    struct pcg g = {0};
    draw(&g);
    g.state += seed;
    draw(&g);
    return g;
}

/* 0 … n - 1, all as likely: the part of the 2^32 values that does not divide by n is drawn again. */
static uint32_t draw_below(struct pcg *g, uint32_t n)
{
    const uint32_t rest = (UINT32_MAX - n + 1) % n;
    for (;;) {
        const uint32_t r = draw(g);
        if (r >= rest) return r % n;
    }
}

sotto__resampling sotto__resampling_default(void)
{
    return (sotto__resampling){.resamples = 10000, .level = 0.95, .seed = 42};
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The q-quantile of n sorted values, linear between two (Hyndman and Fan's type 7, numpy's default). */
static double quantile(const double *sorted, size_t n, double q)
{
    const double place = q * (double)(n - 1);
    const size_t below = (size_t)place;
    const double part = place - (double)below;
    if (below + 1 >= n) return sorted[n - 1];
    return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

static sotto__interval interval_of(double *values, size_t n, double level)
{
    qsort(values, n, sizeof *values, by_value);
    return (sotto__interval){quantile(values, n, (1 - level) / 2), quantile(values, n, (1 + level) / 2)};
}

/* Few enough for the sums of any resample, of at most 2^31 utterances, to fit 63 bits. */
static bool is_countable(const sotto__edits *e)
{
    return (e->substitutions | e->deletions | e->insertions | e->reference) <= INT32_MAX &&
           sotto__edits_total(e) <= INT32_MAX;
}

static sotto_status check_counts(const sotto__edits *utterances, size_t n, sotto_error *err)
{
    if (n > INT32_MAX)
        return sotto__fail(err, SOTTO_EINVAL, "%zu utterances are too many to resample: 2^31 - 1 are the most", n);
    for (size_t i = 0; i < n; i++)
        if (!is_countable(&utterances[i]))
            return sotto__fail(err, SOTTO_EINVAL,
                               "utterance %zu has more than 2^31 - 1 edits or words: no text is as long", i + 1);
    return SOTTO_OK;
}

static sotto_status check(const sotto__edits *utterances, size_t n, const sotto__resampling *how, sotto_error *err)
{
    size_t words = 0;
    const sotto_status st = check_counts(utterances, n, err);
    if (st != SOTTO_OK) return st;
    for (size_t i = 0; i < n; i++) words += utterances[i].reference;
    if (!words)
        return sotto__fail(err, SOTTO_EINVAL, "%zu utterances without a word of reference have no error rate", n);
    if (!how->resamples) return sotto__fail(err, SOTTO_EINVAL, "0 resamples: an interval needs at least 1");
    if (!(how->level > 0 && how->level < 1))
        return sotto__fail(err, SOTTO_EINVAL, "a confidence level of %g: it must lie between 0 and 1", how->level);
    return SOTTO_OK;
}

/* One resample: n utterances with replacement. Sums the edits of one or two systems and the words; a resample without a
 * word has no rate and is drawn again. */
struct sums {
    size_t edits[2], words;
};

static struct sums resample(struct pcg *g, const sotto__edits *a, const sotto__edits *b, size_t n)
{
    struct sums s;
    do {
        s = (struct sums){0};
        for (size_t i = 0; i < n; i++) {
            const size_t at = draw_below(g, (uint32_t)n);
            s.edits[0] += sotto__edits_total(&a[at]);
            s.edits[1] += b ? sotto__edits_total(&b[at]) : 0;
            s.words += a[at].reference;
        }
    } while (!s.words);
    return s;
}

static double *room_for(size_t n)
{
    size_t bytes;
    return sotto__mul(n, sizeof(double), &bytes) ? malloc(bytes) : NULL;
}

sotto_status sotto__rate_interval(sotto__interval *out, const sotto__edits *utterances, size_t n,
                                  const sotto__resampling *how, sotto_error *err)
{
    struct pcg g = pcg_of(how->seed);
    double *rates;
    const sotto_status st = check(utterances, n, how, err);
    *out = (sotto__interval){0};
    if (st != SOTTO_OK) return st;
    rates = room_for(how->resamples);
    if (!rates) return sotto__fail_nomem(err, "error rates of resamples");
    for (size_t i = 0; i < how->resamples; i++) {
        const struct sums s = resample(&g, utterances, NULL, n);
        rates[i] = (double)s.edits[0] / (double)s.words;
    }
    *out = interval_of(rates, how->resamples, how->level);
    free(rates);
    return SOTTO_OK;
}

/* Edits of `b` minus those of `a` at one utterance. */
static int64_t more_edits(const sotto__edits *a, const sotto__edits *b)
{
    return (int64_t)sotto__edits_total(b) - (int64_t)sotto__edits_total(a);
}

/* Approximate randomisation: the sign of each utterance's difference is tossed. References are the same, so sums of
 * edits stand for rates. */
static double randomisation_p(struct pcg *g, const sotto__edits *a, const sotto__edits *b, size_t n, size_t trials)
{
    int64_t seen = 0;
    size_t as_large = 0;
    for (size_t i = 0; i < n; i++) seen += more_edits(&a[i], &b[i]);
    for (size_t t = 0; t < trials; t++) {
        int64_t sum = 0;
        uint32_t bits = 0;
        for (size_t i = 0; i < n; i++) {
            if (i % 32 == 0) bits = draw(g);
            sum += bits >> i % 32 & 1 ? more_edits(&a[i], &b[i]) : -more_edits(&a[i], &b[i]);
        }
        as_large += llabs(sum) >= llabs(seen);
    }
    return (double)(as_large + 1) / (double)(trials + 1);
}

static sotto_status check_pairs(const sotto__edits *a, const sotto__edits *b, size_t n, sotto_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (a[i].reference != b[i].reference)
            return sotto__fail(err, SOTTO_EINVAL,
                               "utterance %zu has %zu words of reference with one system and %zu with the other", i + 1,
                               a[i].reference, b[i].reference);
    return SOTTO_OK;
}

sotto_status sotto__compare_systems(sotto__comparison *out, const sotto__edits *baseline, const sotto__edits *other,
                                    size_t n, const sotto__resampling *how, sotto_error *err)
{
    struct pcg g = pcg_of(how->seed);
    sotto__edits a = {0}, b = {0};
    size_t better = 0;
    double *differences;
    sotto_status st = check(baseline, n, how, err);
    *out = (sotto__comparison){0};
    if (st == SOTTO_OK) st = check_counts(other, n, err);
    if (st == SOTTO_OK) st = check_pairs(baseline, other, n, err);
    if (st != SOTTO_OK) return st;
    differences = room_for(how->resamples);
    if (!differences) return sotto__fail_nomem(err, "differences of resamples");
    for (size_t i = 0; i < how->resamples; i++) {
        const struct sums s = resample(&g, baseline, other, n);
        differences[i] = ((double)s.edits[1] - (double)s.edits[0]) / (double)s.words;
        better += s.edits[1] < s.edits[0];
    }
    for (size_t i = 0; i < n; i++) {
        sotto__edits_add(&a, &baseline[i]);
        sotto__edits_add(&b, &other[i]);
    }
    out->difference = sotto__error_rate(&b) - sotto__error_rate(&a);
    out->interval = interval_of(differences, how->resamples, how->level);
    out->improvement = (double)better / (double)how->resamples;
    free(differences);
    out->p = randomisation_p(&g, baseline, other, n, how->resamples);
    return SOTTO_OK;
}
