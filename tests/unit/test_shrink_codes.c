/* SPDX-License-Identifier: MIT
 * Matrices as small integers: cases worked out by hand, what must hold for any, and input that is not fit. */
#include "base/checked.h"
#include "cmocka_all.h"
#include "shrink/coded.h"
#include "shrink/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ONE = 0x3c00, HALF = 0x3800, TWO = 0x4000, MINUS_ONE = 0xbc00 }; /* IEEE half */

static uint32_t seed = 1;

static float random_float(void) /* -1 … 1 */
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (float)(1 << 23) - 1.0f;
}

static void random_weights(float *w, size_t n)
{
    for (size_t i = 0; i < n; i++) w[i] = 0.1f * random_float() * random_float();
}

/* The Gram matrix of inputs that are mixtures of fewer signals, plus a little of their own. */
static void correlated_gram(float *gram, size_t in)
{
    const size_t signals = in / 3 + 1, samples = 4 * in;
    float *mix = malloc(in * signals * sizeof *mix), *x = malloc(in * sizeof *x), *s = malloc(signals * sizeof *s);
    for (size_t i = 0; i < in * signals; i++) mix[i] = random_float();
    memset(gram, 0, in * in * sizeof *gram);
    for (size_t t = 0; t < samples; t++) {
        for (size_t k = 0; k < signals; k++) s[k] = random_float();
        for (size_t i = 0; i < in; i++) {
            x[i] = 0.1f * random_float();
            for (size_t k = 0; k < signals; k++) x[i] += mix[i * signals + k] * s[k] * (i % 7 == 0 ? 4 : 1);
        }
        for (size_t i = 0; i < in; i++)
            for (size_t j = 0; j < in; j++) gram[i * in + j] += x[i] * x[j];
    }
    free(mix), free(x), free(s);
}

/* trace((W - Q) G (W - Q)^T) */
static double output_error(const sotto__coded *c, const float *w, const float *gram)
{
    double sum = 0;
    float *e = malloc(c->in * sizeof *e);
    for (size_t o = 0; o < c->out; o++) {
        sotto__dequantise_row(c, o, e);
        for (size_t i = 0; i < c->in; i++) e[i] -= w[o * c->in + i];
        for (size_t i = 0; i < c->in; i++)
            for (size_t j = 0; j < c->in; j++) sum += (double)e[i] * (double)gram[i * c->in + j] * (double)e[j];
    }
    free(e);
    return sum;
}

static sotto__coded quantised(const float *w, size_t out, size_t in, sotto__coding coding, const float *gram)
{
    sotto__coded c;
    sotto_error err = {0};
    if (sotto__quantise(&c, w, out, in, &coding, gram, &err) != SOTTO_OK) fail_msg("%s", err.message);
    assert_int_equal(c.out, out);
    assert_int_equal(c.in, in);
    assert_int_equal(c.bits, coding.bits);
    for (size_t i = 0; i < out * in; i++) assert_true(c.codes[i] < 1 << c.bits);
    return c;
}

/* Row 0: exact with scales 1 and 0.5, row 1: 3 and -4 want scale -1, for 3 is the highest code and 4 the lowest; then a
 * group of a single weight, which no grid of 2 bits can miss. */
static void test_symmetric_by_hand(void **state)
{
    static const float w[] = {-4, 3, 0, 1, /**/ 1.5f, -2, 0.5f, 0, /**/ 2, 4, -3, 0, 1, /**/ 0, 0, 0, 0, /**/ 0};
    static const uint8_t codes[] = {0, 7, 4, 5, 7, 0, 5, 4, /* 2 / 0.5 = 4: as -4 * -0.5 */ 0,
                                    0, 7, 4, 3, 4, 4, 4, 4, 4};
    static const uint16_t scale[] = {ONE, HALF, 0xb800, MINUS_ONE, 0, 0};
    (void)state;
    sotto__coded c = quantised(w, 2, 9, (sotto__coding){.bits = 3, .group = 4}, NULL);
    assert_null(c.zero);
    assert_null(c.column);
    assert_int_equal(c.group, 4);
    assert_memory_equal(c.codes, codes, sizeof codes);
    assert_memory_equal(c.scale, scale, sizeof scale);
    for (size_t o = 0; o < 2; o++) {
        float y[9];
        sotto__dequantise_row(&c, o, y);
        for (size_t i = 0; i < 9; i++) assert_true(y[i] == w[o * 9 + i]);
    }
    sotto__coded_free(&c);
    assert_null(c.codes);
    sotto__coded_free(&c);
}

/* -1 … 2 in steps of 1, all positive, all equal, all zeros. */
static void test_asymmetric_by_hand(void **state)
{
    static const float w[] = {-1, 0, 2, 1, /**/ 2, 6, 4, 0, /**/ 3, 3, 3, 3, /**/ 0, 0, 0, 0};
    static const uint8_t codes[] = {0, 1, 3, 2, 1, 3, 2, 0, 3, 3, 3, 3, 0, 0, 0, 0}, zero[] = {1, 0, 0, 0};
    static const uint16_t scale[] = {ONE, TWO, ONE, 0};
    (void)state;
    sotto__coded c = quantised(w, 1, 16, (sotto__coding){.bits = 2, .group = 4, .asymmetric = true}, NULL);
    assert_memory_equal(c.codes, codes, sizeof codes);
    assert_memory_equal(c.scale, scale, sizeof scale);
    assert_memory_equal(c.zero, zero, sizeof zero);
    sotto__coded_free(&c);
}

/* Two inputs that always are the same: what rounding the first loses, the second takes over. 2 bits of scale 1 (the
 * fourth weight fixes it): 0.4 becomes 0, so the second 0.4 becomes 0.8, then 1. Rounding to nearest makes both 0. */
static void test_gptq_by_hand(void **state)
{
    static const float w[] = {0.4f, 0.4f, 0, -2};
    static const float gram[] = {100, 100, 0, 0, 100, 100, 0, 0, 0, 0, 100, 0, 0, 0, 0, 1e6f};
    static const uint8_t nearest[] = {2, 2, 2, 0}, fed[] = {2, 3, 2, 0};
    (void)state;
    sotto__coded c = quantised(w, 1, 4, (sotto__coding){.bits = 2}, NULL);
    assert_int_equal(c.scale[0], ONE);
    assert_memory_equal(c.codes, nearest, 4);
    sotto__coded_free(&c);
    float even[16]; /* the mean of the diagonal decides how much is damped: keep it near the others */
    memcpy(even, gram, sizeof even);
    even[15] = 100;
    c = quantised(w, 1, 4, (sotto__coding){.bits = 2, .gptq = true}, even);
    assert_memory_equal(c.codes, fed, 4);
    sotto__coded_free(&c);
}

/* Columns undo what AWQ multiplied by; the formula of coded.h is the one that rows are made by. */
static void test_formula(void **state)
{
    enum { OUT = 5, IN = 70 };
    float w[OUT * IN], gram[IN * IN], y[IN];
    (void)state;
    random_weights(w, OUT * IN);
    correlated_gram(gram, IN);
    sotto__coded c = quantised(
        w, OUT, IN, (sotto__coding){.bits = 3, .group = 32, .asymmetric = true, .gptq = true, .awq = true}, gram);
    assert_non_null(c.column);
    for (size_t o = 0; o < OUT; o++) {
        sotto__dequantise_row(&c, o, y);
        for (size_t i = 0; i < IN; i++) {
            const size_t g = o * 3 + i / 32;
            const double value =
                sotto__from_half(c.column[i]) * sotto__from_half(c.scale[g]) * (c.codes[o * IN + i] - c.zero[g]);
            assert_true(fabs(value - (double)y[i]) <= 1e-6 * fabs(value));
        }
    }
    sotto__coded_free(&c);
}

/* On inputs that are related, each step up costs less than the one before; more bits and smaller groups cost less too.
 */
static void test_errors_in_order(void **state)
{
    enum { OUT = 24, IN = 192 };
    float *w = malloc(OUT * IN * sizeof *w), *gram = malloc(IN * IN * sizeof *gram);
    (void)state;
    random_weights(w, OUT * IN);
    correlated_gram(gram, IN);
    double before = INFINITY;
    for (int bits = 2; bits <= 8; bits++) {
        for (int a = 0; a < 2; a++) {
            const sotto__coding plain = {.bits = bits, .group = 64, .asymmetric = a};
            sotto__coding awq = plain, gptq = plain;
            awq.awq = gptq.gptq = true;
            sotto__coded nearest = quantised(w, OUT, IN, plain, gram), scaled = quantised(w, OUT, IN, awq, gram),
                         fed = quantised(w, OUT, IN, gptq, gram);
            const double e = output_error(&nearest, w, gram);
            assert_true(output_error(&scaled, w, gram) <= e * 1.0001);
            assert_true(output_error(&fed, w, gram) < 0.5 * e);
            sotto__coded_free(&nearest), sotto__coded_free(&scaled), sotto__coded_free(&fed);
        }
        sotto__coded row = quantised(w, OUT, IN, (sotto__coding){.bits = bits, .gptq = true}, gram),
                     small = quantised(w, OUT, IN, (sotto__coding){.bits = bits, .group = 16, .gptq = true}, gram);
        const double e = output_error(&small, w, gram);
        assert_true(e < output_error(&row, w, gram));
        assert_true(e < 0.6 * before);
        before = e;
        sotto__coded_free(&row), sotto__coded_free(&small);
    }
    free(w), free(gram);
}

/* What was pruned stays pruned, with the codes of zero, in every mode. */
static void test_zeros_stay(void **state)
{
    enum { OUT = 6, IN = 96 };
    float w[OUT * IN], *gram = malloc(IN * IN * sizeof *gram), y[IN];
    (void)state;
    random_weights(w, OUT * IN);
    correlated_gram(gram, IN);
    for (size_t i = 0; i < OUT * IN; i++)
        if (i % 3 == 1 || i / IN == 4) w[i] = i % 2 ? 0.0f : -0.0f;
    for (int mode = 0; mode < 8; mode++) {
        const sotto__coding coding = {
            .bits = 3, .group = 32, .asymmetric = mode & 1, .gptq = mode & 2, .awq = mode & 4};
        sotto__coded c = quantised(w, OUT, IN, coding, gram);
        for (size_t o = 0; o < OUT; o++) {
            sotto__dequantise_row(&c, o, y);
            for (size_t i = 0; i < IN; i++) {
                if (w[o * IN + i] != 0) continue;
                assert_true(y[i] == 0.0f);
                assert_int_equal(c.codes[o * IN + i], c.zero ? c.zero[o * 3 + i / 32] : 4);
            }
        }
        sotto__coded_free(&c);
    }
    free(gram);
}

/* Gram matrices that no Cholesky takes: nothing at all, of rank one, inputs that never came, values that overflowed. */
static void test_unfit_gram(void **state)
{
    enum { OUT = 4, IN = 48 };
    float w[OUT * IN], gram[IN * IN], y[IN];
    (void)state;
    random_weights(w, OUT * IN);
    for (int kind = 0; kind < 6; kind++) {
        correlated_gram(gram, IN);
        for (size_t i = 0; i < IN; i++)
            for (size_t j = 0; j < IN; j++) {
                float *g = &gram[i * IN + j];
                if (kind == 0) *g = 0;
                if (kind == 1) *g = 1e30f;
                if (kind == 2 && (i == 5 || j == 5)) *g = 0;
                if (kind == 3 && (i == 5 || j == 5)) *g = NAN;
                if (kind == 4) *g = INFINITY;
                if (kind == 5) *g = i == j ? 1 : -1; /* not positive definite by far */
            }
        for (int mode = 0; mode < 8; mode++) {
            const sotto__coding coding = {
                .bits = 8, .group = 16, .asymmetric = mode & 1, .gptq = mode & 2, .awq = mode & 4};
            sotto__coded c = quantised(w, OUT, IN, coding, gram);
            for (size_t o = 0; o < OUT; o++) {
                sotto__dequantise_row(&c, o, y);
                for (size_t i = 0; i < IN; i++) {
                    assert_true(isfinite(y[i]));
                    if ((kind == 0 || (kind == 2 && i == 5)) && (mode & 2)) assert_true(y[i] == 0);
                    if (kind == 3 && i == 5) assert_true(fabsf(y[i] - w[o * IN + i]) < 0.01f);
                }
            }
            sotto__coded_free(&c);
        }
    }
}

/* Values that half precision cannot scale become zeros, large ones the largest that it can. */
static void test_extremes(void **state)
{
    static const float w[] = {1e-12f, -1e-12f, 1e-30f, 0, /**/ 1e6f, -1e6f, 1, 0, /**/ 3e38f, 0, 0, 0};
    float y[12];
    (void)state;
    sotto__coded c = quantised(w, 1, 12, (sotto__coding){.bits = 4, .group = 4}, NULL);
    sotto__dequantise_row(&c, 0, y);
    for (size_t i = 0; i < 4; i++) assert_true(y[i] == 0);
    assert_true(y[4] - y[5] == 15 * 65504.0f && y[4] > 0 && y[5] < 0 && y[6] == 0 && y[7] == 0);
    for (size_t i = 8; i < 12; i++) assert_true(y[i] == 0);
    sotto__coded_free(&c);
    c = quantised(w, 0, 8, (sotto__coding){.bits = 4, .group = 4}, NULL); /* no rows */
    sotto__coded_free(&c);
}

static void test_refusals(void **state)
{
    float w[] = {1, 2, NAN, 4};
    static const float gram[] = {1, 0, 0, 1};
    static const struct {
        sotto__coding coding;
        const float *gram;
        const char *says;
    } cases[] = {
        {{.bits = 1}, gram, "codes of 1 bits; 2 to 8 are known"},
        {{.bits = 9}, gram, "codes of 9 bits; 2 to 8 are known"},
        {{.bits = 4, .gptq = true}, NULL, "gptq needs calibration: what the layer's inputs look like is not known"},
        {{.bits = 4, .awq = true}, NULL, "awq needs calibration: what the layer's inputs look like is not known"},
        {{.bits = 4}, gram, "the weight of output 1, input 0 is not finite"},
    };
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sotto__coded c;
        sotto_error err = {0};
        memset(&c, 1, sizeof c);
        assert_int_equal(sotto__quantise(&c, w, 2, 2, &cases[k].coding, cases[k].gram, &err), SOTTO_EINVAL);
        assert_string_equal(err.message, cases[k].says);
        assert_null(c.codes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symmetric_by_hand), cmocka_unit_test(test_asymmetric_by_hand),
        cmocka_unit_test(test_gptq_by_hand),      cmocka_unit_test(test_formula),
        cmocka_unit_test(test_errors_in_order),   cmocka_unit_test(test_zeros_stay),
        cmocka_unit_test(test_unfit_gram),        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
