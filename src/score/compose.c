/* SPDX-License-Identifier: MIT
 * Unicode's compatibility normal forms (UAX #15) over lines. */
#include "score/characters.h"

/* Hangul is computed (The Unicode Standard, 3.12): L, V and T are the three kinds of letter, S the syllables. */
enum { L0 = 0x1100, V0 = 0x1161, T0 = 0x11A7, S0 = 0xAC00, L_N = 19, V_N = 21, T_N = 28, S_N = L_N * V_N * T_N };

static const struct {
    int32_t cp;
    uint16_t begin;
} decompositions[] = {
/* the last one is a sentinel */
#include "decompose.inc"
};
static const int32_t pool[] = {
#include "decompose_pool.inc"
};
static const struct {
    int32_t first, second, both;
} compositions[] = {
/* sorted by first, then second */
#include "compose.inc"
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void put_decomposed(sotto__text *t, int32_t cp)
{
    size_t low = 0, high = COUNT(decompositions) - 1;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (decompositions[middle].cp <= cp)
            low = middle;
        else
            high = middle;
    }
    if (cp < 0xA0 || decompositions[low].cp != cp) {
        sotto__text_put(t, cp);
        return;
    }
    for (size_t i = decompositions[low].begin; i < decompositions[low + 1].begin; i++) sotto__text_put(t, pool[i]);
}

void sotto__text_nfkd(sotto__text *t)
{
    for (size_t i = 0; i < t->now.len; i++) {
        const int32_t s = t->now.data[i] - S0;
        if (s < 0 || s >= S_N) {
            put_decomposed(t, t->now.data[i]);
            continue;
        }
        sotto__text_put(t, L0 + s / (V_N * T_N));
        sotto__text_put(t, V0 + s % (V_N * T_N) / T_N);
        if (s % T_N) sotto__text_put(t, T0 + s % T_N);
    }
    sotto__text_turn(t);
}

/* Marks in [begin, end) of `now`, none of class 0, by combining class; those of one class stay in order. A counting
 * sort, as a run may be as long as the line. `next` is scratch. */
static void order_run(sotto__text *t, size_t begin, size_t end)
{
    size_t count[256] = {0}, sum = 0;
    for (size_t i = begin; i < end; i++) count[sotto__combining(t->now.data[i])]++;
    for (size_t c = 0; c < 256; c++) {
        const size_t n = count[c];
        count[c] = sum;
        sum += n;
    }
    t->next.len = 0;
    sotto__text_copy(t, begin, end);
    if (t->no_memory) return;
    for (size_t i = 0; i < end - begin; i++)
        t->now.data[begin + count[sotto__combining(t->next.data[i])]++] = t->next.data[i];
    t->next.len = 0;
}

static void order_marks(sotto__text *t)
{
    size_t i = 0;
    while (i < t->now.len) {
        size_t end = i;
        while (end < t->now.len && sotto__combining(t->now.data[end])) end++;
        if (end - i > 1) order_run(t, i, end);
        i = end + 1;
    }
}

/* The character that two make together, 0 = none. */
static int32_t composed(int32_t first, int32_t second)
{
    size_t low = 0, high = COUNT(compositions);
    if (first >= L0 && first < L0 + L_N && second >= V0 && second < V0 + V_N)
        return S0 + ((first - L0) * V_N + second - V0) * T_N;
    if (first >= S0 && first < S0 + S_N && (first - S0) % T_N == 0 && second > T0 && second < T0 + T_N)
        return first + second - T0;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int32_t a = compositions[middle].first, b = compositions[middle].second;
        if (a == first && b == second) return compositions[middle].both;
        if (a < first || (a == first && b < second))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* The canonical composition algorithm: a mark joins the last starter unless one of its class or higher is between. */
static void compose(sotto__text *t)
{
    size_t starter = SIZE_MAX; /* its place in `next` */
    int last = 0;              /* class of what was written after the starter, 0 = nothing */
    for (size_t i = 0; i < t->now.len && !t->no_memory; i++) {
        const int32_t cp = t->now.data[i];
        const int class = sotto__combining(cp);
        const bool blocked = starter == SIZE_MAX || (last ? last >= class : t->next.len != starter + 1);
        const int32_t both = blocked ? 0 : composed(t->next.data[starter], cp);
        if (both) {
            t->next.data[starter] = both;
            continue;
        }
        if (!class) starter = t->next.len;
        last = class;
        sotto__text_put(t, cp);
    }
    sotto__text_turn(t);
}

void sotto__text_nfkc(sotto__text *t)
{
    sotto__text_nfkd(t);
    order_marks(t);
    compose(t);
}
