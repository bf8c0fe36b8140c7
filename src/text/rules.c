/* SPDX-License-Identifier: MIT
 * Logits -> masked logits, log-probabilities: whisper.decoding's SuppressBlank, SuppressTokens, ApplyTimestampRules.
 *
 * These run over the whole vocabulary for every token, so the loops are written in fixed lanes that the compiler turns
 * into vector code, once for the baseline and once for AVX2; both add in the same order and give the same bits. */
#include "text/rules.h"

#include <math.h>
#include <string.h>

enum {
    LANES = 32,
    BLOCK = 64 * LANES /* f32 partial sums are carried into double after this many */
};

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_AVX2_CLONE 1
#endif

/* exp(x) for x <= 0, within 2 ulp; 0 below -87, where the result would leave the normal range. Cephes' polynomial after
 * reduction by powers of two; no calls and no branches. */
static inline __attribute__((always_inline)) float exp_of(float x)
{
    const float c = x < -87.0f ? -87.0f : x;
    const float shifted = c * 1.44269504088896341f + 12582912.0f; /* 1.5 * 2^23: rounds to an integer in the low bits */
    const float k = shifted - 12582912.0f;
    const float r = c - k * 0.693359375f + k * 2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.9875691500e-4f, scale, y;
    uint32_t bits;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    y = p * r * r + r + 1.0f;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23; /* its low bits are k: 2^k */
    memcpy(&scale, &bits, sizeof scale);
    return x < -87.0f ? 0.0f : y * scale;
}

/* Largest of n values, -INFINITY for none. */
static inline __attribute__((always_inline)) float max_body(const float *x, size_t n)
{
    float lane[LANES], m = -INFINITY;
    size_t i = 0;
    for (size_t l = 0; l < LANES; l++) lane[l] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (; i < n; i++) m = x[i] > m ? x[i] : m;
    for (size_t l = 0; l < LANES; l++) m = lane[l] > m ? lane[l] : m;
    return m;
}

/* Sum of exp(x - max). */
static inline __attribute__((always_inline)) double exp_sum_body(const float *x, size_t n, float max)
{
    double sum = 0;
    size_t i = 0;
    while (n - i >= LANES) {
        const size_t left = n - i, count = (left < BLOCK ? left : BLOCK) / LANES * LANES;
        float lane[LANES] = {0};
        for (const size_t end = i + count; i < end; i += LANES)
            for (size_t l = 0; l < LANES; l++) lane[l] += exp_of(x[i + l] - max);
        for (size_t l = 0; l < LANES; l++) sum += (double)lane[l];
    }
    for (; i < n; i++) sum += (double)exp_of(x[i] - max);
    return sum;
}

#ifdef HAVE_AVX2_CLONE
/* Chosen at each call rather than by an ifunc resolver: those run before sanitizers are ready. */
#define CLONED(type, name, params, args)                                                                               \
    __attribute__((target("avx2"))) static type name##_avx2 params { return name##_body args; }                        \
    static type name##_base params { return name##_body args; }                                                        \
    static type name params { return __builtin_cpu_supports("avx2") ? name##_avx2 args : name##_base args; }
#else
#define CLONED(type, name, params, args)                                                                               \
    static type name params { return name##_body args; }
#endif

CLONED(float, max, (const float *x, size_t n), (x, n))
CLONED(double, exp_sum, (const float *x, size_t n, float max), (x, n, max))

/* log(sum(exp(x))) split as torch does: returns the log of the sum of exp(x - *top). */
static double log_sum_exp(const float *x, size_t n, float *top)
{
    *top = max(x, n);
    return *top == -INFINITY ? 0.0 : log(exp_sum(x, n, *top));
}

float sotto__log_softmax(const float *logits, size_t n, float *lsm)
{
    float top;
    const float log_sum = (float)log_sum_exp(logits, n, &top);
    if (top == -INFINITY) { /* everything is masked */
        for (size_t i = 0; i < n; i++) lsm[i] = -INFINITY;
        return -INFINITY;
    }
    for (size_t i = 0; i < n; i++) lsm[i] = logits[i] - top - log_sum; /* in this order, as torch */
    return top + log_sum;
}

/* logits[from, to) = -INFINITY. */
static void mask(float *logits, int32_t from, int32_t to)
{
    for (int32_t i = from; i < to; i++) logits[i] = -INFINITY;
}

static void mask_timestamps(const sotto__rules *rules, const int32_t *sampled, size_t n, float *logits)
{
    const sotto__specials *s = &rules->specials;
    const int32_t begin = s->timestamp_begin, n_vocab = s->n_vocab;
    const bool last_was_timestamp = n >= 1 && sampled[n - 1] >= begin;
    const bool penultimate_was_timestamp = n < 2 || sampled[n - 2] >= begin;
    size_t last = n; /* one past the last timestamp */
    float text_top, time_top;
    double time_log_sum;

    mask(logits, s->no_timestamps, s->no_timestamps + 1);

    /* Timestamps come in pairs, except directly before the end of the text. */
    if (last_was_timestamp) {
        if (penultimate_was_timestamp)
            mask(logits, begin, n_vocab);
        else
            mask(logits, 0, s->eot);
    }

    /* They never decrease, and a segment that is opened may not close at the same time. */
    while (last && sampled[last - 1] < begin) last--;
    if (last) {
        const int32_t next = sampled[last - 1] + (last_was_timestamp && !penultimate_was_timestamp ? 0 : 1);
        mask(logits, begin, next < n_vocab ? next : n_vocab);
    }

    if (!n) {
        mask(logits, 0, begin);
        if (rules->max_initial_timestamp >= 0 && rules->max_initial_timestamp < n_vocab - begin)
            mask(logits, begin + rules->max_initial_timestamp + 1, n_vocab);
    }

    /* When all timestamps together are likelier than any single text token, it is a timestamp. The reference compares
     * log-probabilities; their common log-sum-exp cancels, so it is not computed. */
    text_top = max(logits, (size_t)begin);
    time_log_sum = log_sum_exp(logits + begin, (size_t)(n_vocab - begin), &time_top);
    if ((double)time_top + time_log_sum > (double)text_top) mask(logits, 0, begin);
}

void sotto__rules_apply(const sotto__rules *rules, const int32_t *sampled, size_t n, float *logits)
{
    if (rules->keywords) sotto__keywords_apply(rules->keywords, sampled, n, logits);
    if (rules->suppress_blank && !n) {
        mask(logits, rules->space, rules->space + 1);
        mask(logits, rules->specials.eot, rules->specials.eot + 1);
    }
    for (size_t i = 0; i < rules->n_suppressed; i++) {
        const int32_t id = rules->suppressed[i];
        if (id >= 0 && id < rules->specials.n_vocab) logits[id] = -INFINITY;
    }
    if (rules->timestamps) mask_timestamps(rules, sampled, n, logits);
}
