/* SPDX-License-Identifier: MIT
 * Packed matrices and the layers over them: every kernel table against plain loops over the same integers, exactly
 * where only integers are involved; layers against f32. */
#include "cmocka_all.h"

#include "base/checked.h"
#include "nn/attention.h"
#include "nn/linear.h"
#include "nn/linear_packed.h"
#include "nn/ops_tables.h"
#include "tables.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t rng = 7;

static float uniform(void)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (float)(rng >> 40) / (float)(1 << 24) * 2.0f - 1.0f;
}

static float *floats(size_t n, float scale)
{
    float *x = sotto__aligned(n + 64, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n + 64; i++) x[i] = i < n ? scale * uniform() : 0;
    return x;
}

/* A packed random matrix; w = what it was made from. */
static sotto__packed packed(const float *w, size_t in, size_t out, size_t taps, int bits)
{
    void *data = sotto__aligned(sotto__packed_bytes(taps * in, out, bits) + 64, 1);
    float *scale = sotto__aligned(sotto__packed_scales(taps * in, out, bits) + 16, sizeof *scale);
    for (size_t p = 0; p < sotto__panels(out); p++) sotto__pack(data, scale, w, in, out, taps, bits, p);
    return sotto__packed_weights(data, scale, taps * in, out, bits);
}

static void release(sotto__packed *p)
{
    free((void *)(uintptr_t)p->data);
    free((void *)(uintptr_t)p->scale);
}

static void test_pack(void **state)
{
    static const size_t shapes[][2] = {{32, 16}, {64, 33}, {96, 5}, {7, 18}, {1, 1}};
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const size_t in = shapes[s][0], out = shapes[s][1];
        for (int bits = 4; bits <= 16; bits *= 2) {
            if (bits == 4 && in % SOTTO__GROUP4) continue;
            float *w = floats(in * out, 0.5f), *y = floats(in, 0);
            sotto__packed p = packed(w, in, out, 1, bits);
            double error = 0, power = 0;
            for (size_t o = 0; o < out; o++) {
                float largest = 0;
                for (size_t i = 0; i < in; i++) largest = fmaxf(largest, fabsf(w[o * in + i]));
                sotto__unpack_row(&p, o, y);
                for (size_t i = 0; i < in; i++) {
                    const double e = fabs((double)y[i] - w[o * in + i]);
                    assert_true(e <= largest * (bits == 16 ? 0.5001 / 4095 : bits == 8 ? 0.5001 / 127 : 0.2));
                    error += e * e;
                    power += (double)w[o * in + i] * w[o * in + i];
                }
            }
            if (in > 1) assert_true(sqrt(error / power) < (bits == 16 ? 2e-4 : bits == 8 ? 0.005 : 0.09));
            /* The kernel that models are packed with writes the same bytes. */
            for (size_t t = 0; bits >= 8 && t < n_tables; t++) {
                const size_t bytes = sotto__packed_bytes(in, SOTTO__PANEL, bits), panel = (out - 1) / SOTTO__PANEL;
                const size_t scales = sotto__packed_scales(in, SOTTO__PANEL, bits);
                int8_t *other = sotto__aligned(bytes + 64, 1);
                float *scale = floats(scales, 0);
                int16_t row[128];
                const size_t first = panel * SOTTO__PANEL;
                for (size_t i = 0; i < in; i += p.group)
                    tables[t]->pack_rows(other + i * SOTTO__PANEL * (size_t)bits / 8,
                                         scale + i / p.group * SOTTO__PANEL, w + first * in + i, in, out - first,
                                         in - i < p.group ? in - i : p.group, bits, (float)p.largest, row);
                assert_memory_equal(other, (const int8_t *)p.data + panel * bytes, bytes);
                assert_memory_equal(scale, p.scale + panel * scales, scales * sizeof *scale);
                free(other), free(scale);
            }
            release(&p);
            free(w), free(y);
        }
    }
}

/* Outputs 3 and 5 hold NaN and infinity, 7 nothing: they become zeros with scale 0, the others as if alone. */
static void test_not_finite(void **state)
{
    enum { IN = 64 };
    static const float bad[] = {NAN, INFINITY, 0.0f};
    float *w = floats(IN * SOTTO__PANEL, 0.5f), *columns = floats(IN * SOTTO__PANEL, 0), y[IN], good[IN];
    int8_t *data = sotto__aligned(4 * IN * SOTTO__PANEL, 1);
    float scale[SOTTO__PANEL];
    int16_t row[IN];
    (void)state;
    for (size_t i = 0; i < IN; i++) w[7 * IN + i] = 0;
    sotto__packed clean[3];
    for (int b = 0; b < 3; b++) clean[b] = packed(w, IN, SOTTO__PANEL, 1, 4 << b);
    for (size_t g = 0; g < 2; g++) /* in every group */
        for (size_t o = 0; o < 3; o++) w[(3 + 2 * o) * IN + 32 * g + 9] = bad[o];
    for (size_t i = 0; i < IN * SOTTO__PANEL; i++) columns[i % IN * SOTTO__PANEL + i / IN] = w[i];
    for (int b = 0; b < 3; b++) {
        sotto__packed p = packed(w, IN, SOTTO__PANEL, 1, 4 << b);
        for (size_t o = 0; o < SOTTO__PANEL; o++) {
            sotto__unpack_row(&p, o, y);
            sotto__unpack_row(&clean[b], o, good);
            for (size_t i = 0; i < IN; i++) assert_true(y[i] == (o == 3 || o == 5 || o == 7 ? 0.0f : good[i]));
        }
        for (size_t t = 0; b > 0 && t < n_tables; t++) {
            tables[t]->pack_rows(data, scale, w, IN, SOTTO__PANEL, IN, p.bits, (float)p.largest, row);
            assert_memory_equal(data, p.data, sotto__packed_bytes(IN, SOTTO__PANEL, p.bits));
            assert_memory_equal(scale, p.scale, sizeof scale);
            tables[t]->pack_columns(data, scale, columns, SOTTO__PANEL, IN, SOTTO__PANEL, p.bits);
            const sotto__packed c = {data, scale, IN, SOTTO__PANEL, IN, p.bits, 0};
            for (size_t o = 0; o < SOTTO__PANEL; o++) {
                sotto__unpack_row(&c, o, y);
                assert_true((scale[o] == 0) == (o == 3 || o == 5 || o == 7));
                for (size_t i = 0; i < IN; i++)
                    assert_true(scale[o] == 0 ? y[i] == 0 : fabsf(y[i] - w[o * IN + i]) <= 0.51f * scale[o]);
            }
        }
        release(&p), release(&clean[b]);
    }
    free(w), free(columns), free(data);
}

static void test_quantise(void **state)
{
    (void)state;
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t n = 1; n < 40; n++) {
            float x[41];
            int16_t q[42];
            float largest = 0;
            for (size_t i = 0; i < n; i++) {
                x[i] = 3.0f * uniform();
                largest = fmaxf(largest, fabsf(x[i]));
            }
            q[n] = q[n + 1] = 99;
            const float scale = tables[t]->quantise(q, x, n, 1000.0f);
            assert_float_equal(scale, largest / 1000.0f, 1e-9);
            for (size_t i = 0; i < n; i++) {
                assert_true(fabs((double)q[i] * scale - x[i]) <= 0.501 * (double)scale);
                assert_int_equal(q[i], (int)rintf(x[i] * (1000.0f / largest)));
            }
            assert_int_equal(q[n], n % 2 ? 0 : 99);
            x[n / 2] = n % 4 == 0 ? INFINITY : n % 4 == 1 ? -INFINITY : n % 4 == 2 ? NAN : 0.0f;
            if (n % 4 == 3) memset(x, 0, sizeof x);
            assert_true(tables[t]->quantise(q, x, n, 1000.0f) == 0.0f);
            for (size_t i = 0; i < n; i++) assert_int_equal(q[i], 0);
        }
    }
}

static void test_softmax(void **state)
{
    (void)state;
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t n = 1; n < 1600; n += n < 40 ? 1 : 389) {
            for (int sharp = 0; sharp < 4; sharp++) {
                float *x = floats(n, sharp == 3 ? 0.0f : powf(10.0f, (float)sharp)), *e = floats(n, 0);
                int16_t *q = sotto__aligned(n + 2, sizeof *q);
                double max = -1e9, sum = 0, wrong = 0;
                int64_t total = 0;
                for (size_t i = 0; i < n; i++) max = fmax(max, (double)x[i]);
                for (size_t i = 0; i < n; i++) sum += exp(x[i] - max);
                memcpy(e, x, n * sizeof *x);
                const float scale = tables[t]->softmax_quantised(q, e, n);
                for (size_t i = 0; i < n; i++) {
                    total += q[i];
                    wrong += fabs((double)scale * q[i] - exp(x[i] - max) / sum);
                }
                assert_true(total < 65536 && total > 30000);
                assert_true(wrong < 0.013); /* half a step of 1/65500 for each of 1600 */
                /* in the place of the scores; and a row that is not finite */
                memcpy(e, x, n * sizeof *x);
                assert_true(tables[t]->softmax_quantised((int16_t *)(void *)e, e, n) == scale);
                assert_memory_equal(e, q, n * sizeof *q);
                x[n / 2] = sharp % 2 ? NAN : INFINITY;
                assert_true(tables[t]->softmax_quantised(q, x, n) == 0.0f);
                for (size_t i = 0; i < n; i++) assert_int_equal(q[i], 0);
                free(x), free(e), free(q);
            }
        }
    }
}

/* Rows times panels against the same integers in 64 bits; and every row on its own gives the same bits. */
static void test_product(void **state)
{
    static const size_t shapes[][2] = {{32, 16}, {64, 40}, {7, 18}, {384, 33}, {96, 100}};
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int bits = 4; bits <= 16; bits *= 2) {
            const size_t in = shapes[s][0], out = shapes[s][1], lda = in + 9, groups = in / SOTTO__GROUP4;
            if (bits == 4 && in % SOTTO__GROUP4) continue;
            float *w = floats(in * out, 0.5f), *unpacked = floats(in, 0), *bias = floats(out, 1.0f);
            sotto__packed b = packed(w, in, out, 1, bits);
            int16_t *a = calloc(13 * lda, sizeof *a);
            int32_t *sums = calloc(13 * groups + 1, sizeof *sums);
            float a_scale[13];
            for (size_t r = 0; r < 13; r++) {
                a_scale[r] = 0.01f * (uniform() + 1.5f);
                for (size_t i = 0; i < in; i++) a[r * lda + i] = (int16_t)(3000 * uniform());
                for (size_t i = 0; i < groups * SOTTO__GROUP4; i++)
                    sums[r * groups + i / SOTTO__GROUP4] += a[r * lda + i];
            }
            for (size_t t = 0; t < n_tables; t++) {
                for (size_t rows = 1; rows <= 13; rows++) {
                    const size_t ldc = out + 3;
                    float *c = floats(rows * ldc, 1.0f), *before = malloc(rows * ldc * sizeof *c),
                          *one = floats(out, 0);
                    memcpy(before, c, rows * ldc * sizeof *c);
                    const bool add_to = rows % 2;
                    sotto__product g = {.a = a,
                                        .lda = lda,
                                        .rows = rows,
                                        .a_scale = a_scale,
                                        .a_sums = sums,
                                        .b = &b,
                                        .bias = rows % 3 ? bias : NULL,
                                        .c = c,
                                        .ldc = ldc,
                                        .add_to = add_to};
                    tables[t]->product(&g, 0, 1);
                    tables[t]->product(&g, 1, sotto__panels(out) - 1);
                    for (size_t o = 0; o < out; o++) {
                        sotto__unpack_row(&b, o, unpacked);
                        for (size_t r = 0; r < rows; r++) {
                            double want = g.bias ? bias[o] : 0, mass = fabs(want);
                            for (size_t i = 0; i < in; i++) {
                                want += (double)a_scale[r] * a[r * lda + i] * unpacked[i];
                                mass += fabs((double)a_scale[r] * a[r * lda + i] * unpacked[i]);
                            }
                            if (add_to) want += before[r * ldc + o];
                            if (fabs(c[r * ldc + o] - want) > 1e-6 * mass + 1e-6)
                                fail_msg("%s, %d bits, %zu x %zu, row %zu of %zu, output %zu: %g, expected %g",
                                         tables[t]->name, bits, in, out, r, rows, o, (double)c[r * ldc + o], want);
                        }
                    }
                    for (size_t r = 0; r < rows; r++) { /* nothing behind a row is touched; alone = among others */
                        assert_memory_equal(c + r * ldc + out, before + r * ldc + out, 3 * sizeof *c);
                        memcpy(one, before + r * ldc, out * sizeof *one);
                        g.a = a + r * lda, g.a_scale = a_scale + r, g.a_sums = sums + r * groups;
                        g.rows = 1, g.c = one;
                        tables[t]->product(&g, 0, sotto__panels(out));
                        assert_memory_equal(one, c + r * ldc, out * sizeof *one);
                    }
                    free(c), free(before), free(one);
                }
            }
            release(&b);
            free(w), free(unpacked), free(bias), free(a), free(sums);
        }
    }
}

/* The largest values there can be stay inside 32 bits. */
static void test_limits(void **state)
{
    (void)state;
    for (int bits = 4; bits <= 16; bits *= 2) {
        const size_t in = 8192;
        float *w = floats(in * 16, 0), *y = floats(in, 0), c[16];
        for (size_t i = 0; i < in * 16; i++) w[i] = -1.0f;
        sotto__packed b = packed(w, in, 16, 1, bits);
        int16_t *a = sotto__aligned(in, sizeof *a);
        int32_t *sums = sotto__aligned(in / SOTTO__GROUP4, sizeof *sums);
        const float limit = sotto__activation_limit(&b), one = 1.0f;
        for (size_t i = 0; i < in; i++) a[i] = (int16_t)limit;
        for (size_t i = 0; i < in / SOTTO__GROUP4; i++) sums[i] = (int32_t)limit * SOTTO__GROUP4;
        assert_true(limit > 1000);
        sotto__unpack_row(&b, 3, y);
        assert_float_equal(y[0], -1.0f, 0.01f);
        for (size_t t = 0; t < n_tables; t++) {
            const sotto__product g = {
                .a = a, .lda = in, .rows = 1, .a_scale = &one, .a_sums = sums, .b = &b, .c = c, .ldc = 16};
            tables[t]->product(&g, 0, 1);
            for (size_t o = 0; o < 16; o++) assert_float_equal(c[o] / ((float)in * limit * y[0]), 1.0f, 1e-5f);
        }
        release(&b);
        free(w), free(y), free(a), free(sums);
    }
}

/* ---- 8-bit activations ---- */

/* The twin that defines them, and what the tables have. */
static const sotto__byte_ops *byte_ops[SOTTO__ISAS + 1] = {&sotto__bytes_scalar};
static const char *byte_names[SOTTO__ISAS + 1] = {"twin"};
static size_t n_byte_ops = 1;

static void find_byte_ops(void)
{
    for (size_t t = 0; t < n_tables; t++) {
        if (!tables[t]->bytes) continue;
        byte_ops[n_byte_ops] = tables[t]->bytes;
        byte_names[n_byte_ops++] = tables[t]->name;
    }
}

static void test_quantise_bytes(void **state)
{
    static const size_t groups[] = {64, 7, 20, 32};
    (void)state;
    for (size_t t = 0; t < n_byte_ops; t++) {
        for (size_t n = 1; n < 300; n += n < 140 ? 1 : 37) {
            const size_t group = groups[n % 4], all = (n + group - 1) / group, bad = n % 3 ? all : n / 2 / group;
            static const float values[] = {NAN, INFINITY, -INFINITY, 0.0f};
            float *x = floats(n, 3.0f), scale[301];
            int8_t q[308];
            int32_t sums[301];
            memset(q, 99, sizeof q);
            if (bad < all) {
                x[n / 2] = values[n / 3 % 4];
                for (size_t i = 0; n / 3 % 4 == 3 && i < n; i++) x[i] = i / group == bad ? 0 : x[i];
            }
            byte_ops[t]->quantise(q, scale, sums, x, n, group);
            for (size_t g = 0; g < all; g++) {
                float largest = 0;
                int sum = 0;
                const size_t first = g * group, end = first + group < n ? first + group : n;
                for (size_t i = first; i < end; i++) largest = fmaxf(largest, fabsf(x[i])), sum += q[i];
                assert_int_equal(sums[g], -128 * sum);
                if (g == bad) {
                    assert_true(scale[g] == 0.0f);
                    continue;
                }
                assert_float_equal(scale[g], largest / 127.0f, 1e-9);
                for (size_t i = first; i < end; i++) assert_int_equal(q[i], (int)rintf(x[i] * (127.0f / largest)));
            }
            for (size_t i = n; i < sizeof q; i++) assert_int_equal(q[i], i < (n + 3) / 4 * 4 ? 0 : 99);
            free(x);
        }
    }
}

static void test_softmax_bytes(void **state)
{
    (void)state;
    for (size_t t = 0; t < n_byte_ops; t++) {
        for (size_t n = 1; n < 1600; n += n < 70 ? 1 : 389) {
            for (int sharp = 0; sharp < 4; sharp++) {
                float *x = floats(n, sharp == 3 ? 0.0f : powf(10.0f, (float)sharp)), *e = floats(n, 0);
                uint8_t *q = sotto__aligned(n + 64, 1);
                double max = -1e9;
                int64_t total = 0;
                for (size_t i = 0; i < n; i++) max = fmax(max, (double)x[i]);
                memcpy(e, x, n * sizeof *x);
                memset(q, 99, n + 64);
                const float scale = byte_ops[t]->softmax(q, e, n);
                for (size_t i = 0; i < n; i++) {
                    total += q[i];
                    if (fabs(q[i] - 255 * exp(x[i] - max)) > 0.53)
                        fail_msg("%s: %zu of %zu is %d, expected %g", byte_names[t], i, n, q[i], 255 * exp(x[i] - max));
                }
                assert_float_equal(scale * (float)total, 1.0f, 1e-6f);
                for (size_t i = n; i < n + 64; i++) assert_int_equal(q[i], i < (n + 3) / 4 * 4 ? 0 : 99);
                /* in the place of the scores; and a row that is not finite */
                memcpy(e, x, n * sizeof *x);
                assert_true(byte_ops[t]->softmax((uint8_t *)(void *)e, e, n) == scale);
                assert_memory_equal(e, q, n);
                x[n / 2] = sharp % 2 ? NAN : INFINITY;
                assert_true(byte_ops[t]->softmax(q, x, n) == 0.0f);
                for (size_t i = 0; i < n; i++) assert_int_equal(q[i], 0);
                free(x), free(e), free(q);
            }
        }
    }
}

/* Rows times panels against the same integers in floats of 64 bits, for activations with and without a sign. */
static void test_product_bytes(void **state)
{
    enum { ROWS = 21 };
    static const size_t shapes[][2] = {{64, 40}, {7, 18}, {384, 33}, {240, 96}, {98, 130}, {1503, 64}};
    (void)state;
    for (size_t c = 0; c < 2 * sizeof shapes / sizeof *shapes; c++) {
        const bool has_sign = c % 2;
        const size_t in = shapes[c / 2][0], out = shapes[c / 2][1], lda = (in + 3) / 4 * 4 + 8, ldc = out + 3;
        float *w = floats(in * out, 0.5f), *bias = floats(out, 1.0f), *unpacked = floats(in * out, 0);
        sotto__packed b = packed(w, in, out, 1, 8);
        if (!has_sign || in > 1000) { /* one group, of the first group's scales */
            float *scale = floats(sotto__panels(out) * SOTTO__PANEL, 0);
            for (size_t o = 0; o < out; o++) scale[o] = 0.01f * (uniform() + 1.5f);
            free((void *)(uintptr_t)b.scale);
            b.scale = scale;
            b.group = in;
        }
        const size_t groups = sotto__groups(in, b.group);
        int8_t *a = calloc(ROWS, lda);
        float *a_scale = floats(ROWS * groups, 0);
        int32_t *sums = calloc(ROWS * groups, sizeof *sums);
        for (size_t r = 0; r < ROWS; r++) {
            for (size_t i = 0; i < in; i++)
                a[r * lda + i] = has_sign ? (int8_t)(127.4f * uniform()) : (int8_t)(uint8_t)(255 * fabsf(uniform()));
            for (size_t i = 0; i < in; i++) sums[r * groups + i / b.group] -= 128 * a[r * lda + i];
            for (size_t g = 0; g < groups; g++) a_scale[r * groups + g] = 0.01f * (uniform() + 1.5f);
        }
        for (size_t o = 0; o < out; o++) sotto__unpack_row(&b, o, unpacked + o * in);
        for (size_t t = 0; t < n_byte_ops; t++) {
            for (size_t rows = 1; rows <= ROWS; rows++) {
                float *y = floats(rows * ldc, 1.0f), *before = malloc(rows * ldc * sizeof *y), *one = floats(out, 0);
                memcpy(before, y, rows * ldc * sizeof *y);
                sotto__byte_product g = {.a = a,
                                         .lda = lda,
                                         .rows = rows,
                                         .a_scale = a_scale,
                                         .a_sums = has_sign ? sums : NULL,
                                         .b = &b,
                                         .bias = rows % 3 ? bias : NULL,
                                         .c = y,
                                         .ldc = ldc,
                                         .add_to = rows % 2};
                byte_ops[t]->product(&g, 0, 1);
                byte_ops[t]->product(&g, 1, sotto__panels(out) - 1);
                for (size_t r = 0; r < rows; r++) {
                    for (size_t o = 0; o < out; o++) {
                        double want = g.bias ? bias[o] : 0, mass = fabs(want);
                        for (size_t i = 0; i < in; i++) {
                            const double value = has_sign ? a[r * lda + i] : (uint8_t)a[r * lda + i];
                            const double term = value * a_scale[r * groups + i / b.group] * unpacked[o * in + i];
                            want += term;
                            mass += fabs(term);
                        }
                        if (g.add_to) want += before[r * ldc + o];
                        if (fabs(y[r * ldc + o] - want) > 1e-6 * mass + 1e-6)
                            fail_msg("%s, %zu x %zu, row %zu of %zu, output %zu: %g, expected %g", byte_names[t], in,
                                     out, r, rows, o, (double)y[r * ldc + o], want);
                    }
                    /* nothing behind a row is touched; alone = among others */
                    assert_memory_equal(y + r * ldc + out, before + r * ldc + out, 3 * sizeof *y);
                    memcpy(one, before + r * ldc, out * sizeof *one);
                    g.a = a + r * lda, g.a_scale = a_scale + r * groups, g.rows = 1, g.c = one;
                    g.a_sums = has_sign ? sums + r * groups : NULL;
                    byte_ops[t]->product(&g, 0, sotto__panels(out));
                    assert_memory_equal(one, y + r * ldc, out * sizeof *one);
                    g.a = a, g.a_scale = a_scale, g.rows = rows, g.c = y, g.a_sums = has_sign ? sums : NULL;
                }
                free(y), free(before), free(one);
            }
        }
        release(&b);
        free(w), free(bias), free(unpacked), free(a), free(a_scale), free(sums);
    }
}

/* The largest values there can be, with both signs, do not leave 32 bits or meet in 16. */
static void test_limits_of_bytes(void **state)
{
    enum { IN = 8192 };
    float *w = floats(IN * 16, 0), c[16], scale[16];
    int8_t *a = sotto__aligned(IN, 1);
    (void)state;
    for (size_t i = 0; i < IN * 16; i++) w[i] = i / IN % 2 ? 1.0f : -1.0f;
    sotto__packed b = packed(w, IN, 16, 1, 8);
    for (size_t o = 0; o < 16; o++) scale[o] = 1.0f;
    free((void *)(uintptr_t)b.scale);
    b.scale = scale;
    b.group = IN;
    for (size_t t = 0; t < n_byte_ops; t++) {
        for (int kind = 0; kind < 3; kind++) {
            const int value = kind == 0 ? 255 : kind == 1 ? 127 : -127;
            const int32_t sum = -128 * value * IN;
            const float one = 1.0f;
            memset(a, value, IN);
            const sotto__byte_product g = {.a = a,
                                           .lda = IN,
                                           .rows = 1,
                                           .a_scale = &one,
                                           .a_sums = kind ? &sum : NULL,
                                           .b = &b,
                                           .c = c,
                                           .ldc = 16};
            byte_ops[t]->product(&g, 0, 1);
            for (size_t o = 0; o < 16; o++) assert_true(c[o] == (float)((o % 2 ? 127 : -127) * value) * IN);
        }
    }
    free((void *)(uintptr_t)b.data);
    free(w), free(a);
}

static double relative(const float *got, const float *want, size_t n)
{
    double error = 0, power = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        power += (double)want[i] * want[i];
    }
    return sqrt(error / (power > 0 ? power : 1));
}

/* Packed, half and float forms of one layer: close to each other, epilogues, taps and norms alike. */
static void test_layers(void **state)
{
    static const size_t shapes[][3] = {{1, 64, 129}, {5, 96, 31}, {13, 64, 64}, {200, 32, 96}, {401, 64, 17}};
    sotto__pool *pool = NULL;
    (void)state;
    assert_int_equal(sotto__pool_create(&pool, 3, NULL), SOTTO_OK);
    for (size_t t = 0; t < n_tables; t++) {
        sotto__nn nn = {.ops = tables[t], .pool = pool};
        assert_int_equal(sotto__nn_reserve(&nn, 100, 3 * 96, sotto__half_scratch(3 * 96), NULL), SOTTO_OK);
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            const size_t rows = shapes[s][0], in = shapes[s][1], out = shapes[s][2];
            for (int e = 0; e < 6; e++) {
                const size_t taps = rows > 12 && e >= 3 ? 3 : 1, ldx = taps == 3 ? 2 * in : in;
                float *w = floats(3 * in * out, 0.3f), *b = floats(out, 1.0f), *x = floats(rows * ldx + 3 * in, 1.0f);
                float *start = floats(rows * out, 1.0f), *plain = floats(rows * out, 0), *y = floats(rows * out, 0);
                float *xn = floats(rows * in, 0), *gamma = floats(in, 1.0f), *beta = floats(in, 1.0f);
                uint16_t *half = sotto__aligned(3 * in * out, sizeof *half);
                const sotto__norm norm = {gamma, beta, in};
                const sotto__epilogue epilogue = (sotto__epilogue)(e % 3);
                for (size_t i = 0; i < 3 * in * out; i++) { /* a value that half precision holds exactly */
                    __extension__ _Float16 h = (_Float16)w[i];
                    memcpy(half + i, &h, sizeof h);
                    w[i] = (float)h;
                }
                const sotto__linear l = {.weight = w, .bias = e % 2 ? b : NULL, .in = in, .out = out, .taps = taps};
                for (int form = 0; form < 5; form++) {
                    static const double bounds[] = {1e-6, 1e-3, 0.01, 0.15, 0.02};
                    sotto__linear other = l;
                    other.weight = NULL;
                    if (form == 0)
                        other.half = half;
                    else
                        other.packed = packed(w, in, out, taps, form == 1 ? 16 : form == 3 ? 4 : 8);
                    other.bytes = form == 4;
                    memcpy(plain, start, rows * out * sizeof *y);
                    memcpy(y, start, rows * out * sizeof *y);
                    if (taps == 1 && e >= 3) {
                        sotto__norm_linear_run(&nn, &norm, &l, x, rows, xn, plain, out, epilogue);
                        sotto__norm_linear_run(&nn, &norm, &other, x, rows, xn, y, out, epilogue);
                    } else {
                        sotto__linear_run(&nn, &l, x, ldx, rows, plain, out, epilogue);
                        sotto__linear_run(&nn, &other, x, ldx, rows, y, out, epilogue);
                    }
                    const double off = relative(y, plain, rows * out);
                    if (off > bounds[form])
                        fail_msg("%s, form %d, %zu rows, %zu -> %zu, case %d: off by %g", tables[t]->name, form, rows,
                                 in, out, e, off);
                    if (form) release(&other.packed);
                }
                free(w), free(b), free(x), free(start), free(plain), free(y), free(xn), free(gamma), free(beta);
                free(half);
            }
        }
        sotto__nn_release(&nn);
    }
    sotto__pool_free(pool);
}

/* An MLP whose middle is bytes: the two layers one after the other, to the bit. */
static void test_mlp(void **state)
{
    enum { IN = 64, WIDE = 320 };
    static const size_t rows_of[] = {1, 48, 101, 333};
    sotto__pool *pool = NULL;
    size_t with_bytes = 0;
    (void)state;
    assert_int_equal(sotto__pool_create(&pool, 3, NULL), SOTTO_OK);
    for (size_t t = 0; t < n_tables; t++) {
        sotto__nn nn = {.ops = tables[t], .pool = pool};
        assert_int_equal(sotto__nn_reserve(&nn, 100, WIDE, sotto__half_scratch(WIDE), NULL), SOTTO_OK);
        for (size_t c = 0; c < sizeof rows_of / sizeof *rows_of; c++) {
            const size_t rows = rows_of[c];
            float *wu = floats(IN * WIDE, 0.3f), *wd = floats(IN * WIDE, 0.3f), *bu = floats(WIDE, 1),
                  *bd = floats(IN, 1);
            float *x = floats(rows * IN, 1.0f), *y = floats(rows * IN, 0), *want = floats(rows * IN, 0);
            float *xn = floats(rows * IN, 0), *wide = floats(rows * WIDE, 0);
            float *gamma = floats(IN, 1.0f), *beta = floats(IN, 1.0f);
            const sotto__norm norm = {gamma, beta, IN};
            for (int form = 0; form < 3; form++) {
                const bool bytes = form == 2;
                sotto__linear up = {.weight = wu, .bias = bu, .in = IN, .out = WIDE, .taps = 1, .bytes = bytes};
                sotto__linear down = {.weight = wd, .bias = bd, .in = WIDE, .out = IN, .taps = 1, .bytes = bytes};
                if (form) up.packed = packed(wu, IN, WIDE, 1, 8), down.packed = packed(wd, WIDE, IN, 1, 8);
                memcpy(y, x, rows * IN * sizeof *y);
                memcpy(want, x, rows * IN * sizeof *y);
                sotto__norm_linear_run(&nn, &norm, &up, want, rows, xn, wide, WIDE, SOTTO__GELU);
                sotto__linear_run(&nn, &down, wide, WIDE, rows, want, IN, SOTTO__RESIDUAL);
                memset(wide, 0x7f, rows * WIDE * sizeof *wide);
                sotto__mlp_run(&nn, &norm, &up, &down, y, rows, xn, wide, y);
                assert_memory_equal(y, want, rows * IN * sizeof *y);
                if (bytes && tables[t]->bytes) {
                    assert_true(sotto__packed_mlp_run(&nn, &norm, &up, &down, y, rows, wide, y));
                    with_bytes++;
                } else {
                    assert_false(sotto__packed_mlp_run(&nn, &norm, &up, &down, y, rows, wide, y));
                }
                if (form) release(&up.packed), release(&down.packed);
            }
            free(wu), free(wd), free(bu), free(bd), free(x), free(y), free(want), free(xn), free(wide);
            free(gamma), free(beta);
        }
        sotto__nn_release(&nn);
    }
    if (!with_bytes) print_message("no table with products of bytes here\n");
    sotto__pool_free(pool);
}

static void test_attention(void **state)
{
    enum { HEADS = 3, KEYS = 151 };
    static const size_t queries[] = {1, 2, 47, 64, 65, 150}, widths[] = {64, 8, 20};
    sotto__pool *pool = NULL;
    (void)state;
    assert_int_equal(sotto__pool_create(&pool, 2, NULL), SOTTO_OK);
    for (size_t t = 0; t < n_tables; t++) {
        const sotto__nn nn = {.ops = tables[t], .pool = pool};
        for (size_t c = 0; c < 54; c++) {
            const size_t rows = queries[c % 6], w = widths[c / 6 % 3], d = HEADS * w;
            const int bits = c < 18 ? 16 : 8;
            const bool bytes = c >= 36;
            float *q = floats(KEYS * d, 2.0f), *k = floats(KEYS * d, 1.0f), *v = floats(KEYS * d, 2.0f);
            float *want = floats(rows * d, 0), *out = floats(rows * d, 0), *bias = floats(KEYS, 1.0f);
            float *raw = floats(rows * KEYS, 0), *raw_want = floats(rows * KEYS, 0);
            float *scratch = sotto__aligned(2 * sotto__attention_scratch(KEYS), sizeof(float));
            sotto__packed *kv = sotto__aligned(sotto__kv_bytes(KEYS, HEADS, w, bits), 1);
            float *raws[HEADS] = {NULL, raw_want, NULL};
            sotto__attention a = {.q = q,
                                  .k = k,
                                  .v = v,
                                  .out = want,
                                  .ldq = d,
                                  .ldo = d,
                                  .k_head = w,
                                  .k_row = d,
                                  .v_head = w,
                                  .v_row = d,
                                  .rows = rows,
                                  .keys = KEYS,
                                  .key_bias = c % 2 ? bias : NULL,
                                  .raw = c % 5 || bytes ? NULL : raws,
                                  .raw_ld = KEYS};
            sotto__attention_run(&nn, &a, 1, HEADS, w, scratch, sotto__attention_scratch(KEYS));
            sotto__kv_pack(&nn, kv, k, v, d, KEYS, HEADS, w, bits);
            a.packed_k = kv, a.packed_v = kv + HEADS, a.out = out, a.k = a.v = NULL, a.bytes = bytes;
            raws[1] = raw;
            sotto__attention_run(&nn, &a, 1, HEADS, w, scratch, sotto__attention_scratch(KEYS));
            const double off = relative(out, want, rows * d), bound = bits == 16 ? 1e-3 : bytes ? 4e-2 : 2e-2;
            if (off > bound)
                fail_msg("%s, %d bits, %zu rows, width %zu: off by %g", tables[t]->name, bits, rows, w, off);
            if (a.raw) assert_true(relative(raw, raw_want, rows * KEYS) < bound);
            free(q), free(k), free(v), free(want), free(out), free(bias), free(raw), free(raw_want);
            free(scratch), free(kv);
        }
    }
    sotto__pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_quantise),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_product),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_quantise_bytes),
        cmocka_unit_test(test_softmax_bytes),
        cmocka_unit_test(test_mlp),
        cmocka_unit_test(test_product_bytes),
        cmocka_unit_test(test_limits_of_bytes),
    };
    sotto__gemm_init();
    find_tables();
    find_byte_ops();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
