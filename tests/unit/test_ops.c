/* SPDX-License-Identifier: MIT
 * Every kernel table of this machine against plain double arithmetic, over lengths that leave remainders and starts
 * that are not aligned; and the layers over them against naive loops. */
#include "cmocka_all.h"

#include "base/checked.h"
#include "nn/attention.h"
#include "nn/linear.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_N = 67 };
static const sotto__ops *tables[SOTTO__ISAS];
static size_t n_tables;

static uint64_t rng = 1;

static float uniform(void)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (float)(rng >> 40) / (float)(1 << 24) * 2.0f - 1.0f;
}

static void fill(float *x, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) x[i] = scale * uniform();
}

#define FOR_EACH_CASE(ops, n, off)                                                                                     \
    for (size_t t_ = 0; t_ < n_tables; t_++)                                                                           \
        for (size_t n = 1; n <= MAX_N; n++)                                                                            \
            for (size_t off = 0, once_ = (size_t)(ops = tables[t_], 1); off < 3 && once_; off++)

static void close_to(double got, double want, double bound, const char *table, size_t n, size_t i)
{
    if (fabs(got - want) <= bound) return;
    fail_msg("table %s, length %zu, at %zu: %.9g, expected %.9g within %.2g", table, n, i, got, want, bound);
}

static void test_dot_axpy_add(void **state)
{
    const sotto__ops *ops;
    (void)state;
    FOR_EACH_CASE(ops, n, off)
    {
        float a[MAX_N + 3], b[MAX_N + 3], y[MAX_N + 4];
        double want = 0, mass = 0;
        fill(a, MAX_N + 3, 2.0f);
        fill(b, MAX_N + 3, 2.0f);
        for (size_t i = 0; i < n; i++) {
            want += (double)a[off + i] * b[off + i];
            mass += fabs((double)a[off + i] * b[off + i]);
        }
        close_to(ops->dot(a + off, b + off, n), want, (double)n * 1.2e-7 * mass, ops->name, n, 0);
        memcpy(y, b, sizeof b);
        y[off + n] = 77.0f;
        ops->axpy(y + off, 0.3f, a + off, n);
        for (size_t i = 0; i < n; i++)
            close_to(y[off + i], b[off + i] + 0.3f * (double)a[off + i], 5e-7, ops->name, n, i);
        assert_true(y[off + n] == 77.0f);
        memcpy(y, b, sizeof b);
        y[off + n] = 77.0f;
        ops->add(y + off, a + off, n);
        for (size_t i = 0; i < n; i++) assert_true(y[off + i] == b[off + i] + a[off + i]);
        assert_true(y[off + n] == 77.0f);
    }
}

static void test_lstm_step(void **state)
{
    enum { UNITS = 48 };
    static float w[UNITS / 16][UNITS][4][16], gates[UNITS / 16][4][16];
    float h[UNITS], c[UNITS], state_before[UNITS], h_next[UNITS + 1];
    (void)state;
    fill(w[0][0][0], sizeof w / sizeof(float), 0.3f);
    for (int loud = 0; loud < 3; loud++) {
        fill(gates[0][0], sizeof gates / sizeof(float), loud == 0 ? 2.0f : loud == 1 ? 60.0f : 1e9f);
        fill(h, UNITS, 1.0f);
        fill(state_before, UNITS, 2.0f);
        for (size_t t = 0; t < n_tables; t++) {
            memcpy(c, state_before, sizeof c);
            h_next[UNITS] = 77.0f;
            tables[t]->lstm_step(h_next, c, h, gates[0][0], w[0][0][0], UNITS);
            for (size_t u = 0; u < UNITS; u++) {
                double g[4], cell;
                for (size_t k = 0; k < 4; k++) {
                    g[k] = (double)gates[u / 16][k][u % 16];
                    for (size_t i = 0; i < UNITS; i++) g[k] += (double)w[u / 16][i][k][u % 16] * (double)h[i];
                }
                cell = (double)state_before[u] / (1 + exp(-g[1])) + tanh(g[2]) / (1 + exp(-g[0]));
                close_to(c[u], cell, loud ? 2e-5 : 3e-6, tables[t]->name, UNITS, u);
                close_to(h_next[u], tanh(cell) / (1 + exp(-g[3])), loud ? 2e-5 : 3e-6, tables[t]->name, UNITS, u);
            }
            assert_true(h_next[UNITS] == 77.0f);
        }
    }
}

static void test_layer_norm(void **state)
{
    const sotto__ops *ops;
    (void)state;
    FOR_EACH_CASE(ops, n, off)
    {
        float x[MAX_N + 3], g[MAX_N + 3], b[MAX_N + 3], y[MAX_N + 4];
        double mean = 0, var = 0;
        fill(x, MAX_N + 3, 3.0f);
        fill(g, MAX_N + 3, 2.0f);
        fill(b, MAX_N + 3, 1.0f);
        for (size_t i = 0; i < n; i++) mean += x[off + i];
        mean /= (double)n;
        for (size_t i = 0; i < n; i++) var += (x[off + i] - mean) * (x[off + i] - mean);
        var /= (double)n;
        y[off + n] = 77.0f;
        ops->layer_norm(y + off, x + off, g + off, b + off, n, 1e-5f);
        for (size_t i = 0; i < n; i++) {
            /* length 1 divides rounding noise by sqrt(eps) */
            const double bound = n == 1 ? 1e-3 : 2e-5;
            close_to(y[off + i], (x[off + i] - mean) / sqrt(var + 1e-5) * g[off + i] + b[off + i], bound, ops->name, n,
                     i);
        }
        assert_true(y[off + n] == 77.0f);
    }
}

static void test_gelu(void **state)
{
    const sotto__ops *ops;
    (void)state;
    FOR_EACH_CASE(ops, n, off)
    {
        float x[MAX_N + 4], bias[MAX_N + 3], y[MAX_N + 4];
        fill(x, MAX_N + 3, 6.0f);
        fill(bias, MAX_N + 3, 1.0f);
        for (int with = 0; with < 2; with++) {
            memcpy(y, x, sizeof x);
            y[off + n] = 77.0f;
            ops->bias_gelu(y + off, with ? bias + off : NULL, n);
            for (size_t i = 0; i < n; i++) {
                const double v = (double)x[off + i] + (with ? bias[off + i] : 0.0f);
                close_to(y[off + i], 0.5 * v * (1 + erf(v / sqrt(2))), 1e-6 * (1 + fabs(v)), ops->name, n, i);
            }
            assert_true(y[off + n] == 77.0f);
        }
    }
    /* far out and exactly zero */
    for (size_t t = 0; t < n_tables; t++) {
        float x[4] = {-100.0f, 0.0f, 100.0f, -6.0f};
        tables[t]->bias_gelu(x, NULL, 4);
        close_to(x[0], 0, 1e-4, tables[t]->name, 4, 0);
        assert_true(x[1] == 0.0f);
        close_to(x[2], 100, 1e-4, tables[t]->name, 4, 2);
        close_to(x[3], 0, 2e-6, tables[t]->name, 4, 3);
    }
}

static void test_softmax(void **state)
{
    const sotto__ops *ops;
    (void)state;
    FOR_EACH_CASE(ops, n, off)
    {
        float x[MAX_N + 4], y[MAX_N + 4], bias[MAX_N + 4];
        fill(x, MAX_N + 3, 40.0f);
        fill(bias, MAX_N + 3, 3.0f);
        for (int with = 0; with < 2; with++) {
            double v[MAX_N], max = -1e9, sum = 0;
            for (size_t i = 0; i < n; i++) {
                v[i] = x[off + i] * 0.25 + (with ? (double)bias[off + i] : 0.0);
                max = v[i] > max ? v[i] : max;
            }
            for (size_t i = 0; i < n; i++) sum += exp(v[i] - max);
            memcpy(y, x, sizeof x);
            y[off + n] = 77.0f;
            ops->softmax(y + off, 0.25f, with ? bias + off : NULL, n);
            for (size_t i = 0; i < n; i++) {
                const double want = exp(v[i] - max) / sum;
                close_to(y[off + i], want, 3e-6 * want + 1e-12, ops->name, n, i);
            }
            assert_true(y[off + n] == 77.0f);
        }
    }
    for (size_t t = 0; t < n_tables; t++) { /* huge spread: no overflow, no NaN */
        float x[3] = {3e30f, -3e30f, -INFINITY};
        tables[t]->softmax(x, 1.0f, NULL, 3);
        assert_true(x[0] == 1.0f && x[1] == 0.0f && x[2] == 0.0f);
    }
}

/* All 65,536 half-precision values, against arithmetic on their fields. */
static void test_halves(void **state)
{
    uint16_t *in = malloc(65536 * 2 + 1);
    float *out = malloc(65536 * sizeof *out);
    (void)state;
    for (size_t t = 0; t < n_tables; t++) {
        for (uint32_t i = 0; i < 65536; i++) {
            const uint16_t h = (uint16_t)i;
            memcpy((char *)in + 1 + 2 * i, &h, 2); /* unaligned on purpose */
        }
        tables[t]->from_f16(out, (char *)in + 1, 65536);
        for (uint32_t i = 0; i < 65536; i++) {
            const uint32_t e = i >> 10 & 31, m = i & 1023;
            const double size = e == 0 ? ldexp(m, -24) : ldexp(1024 + m, (int)e - 25);
            if (e == 31 && m)
                assert_true(isnan(out[i]));
            else if (e == 31)
                assert_true(isinf(out[i]) && (signbit(out[i]) != 0) == (i >> 15 != 0));
            else
                assert_true(out[i] == (float)(i >> 15 ? -size : size) && (signbit(out[i]) != 0) == (i >> 15 != 0));
        }
        tables[t]->from_bf16(out, (char *)in + 1, 65536);
        for (uint32_t i = 0; i < 65536; i++) {
            const uint32_t bits = i << 16;
            assert_memory_equal(&out[i], &bits, 4);
        }
    }
    free(in);
    free(out);
}

static void test_pick(void **state)
{
    (void)state;
    assert_string_equal(sotto__ops_pick("scalar")->name, "scalar");
    assert_null(sotto__ops_pick("mmx"));
    assert_ptr_equal(sotto__ops_pick(NULL), tables[0]);
    assert_true(sotto__ops_pick("avx2")->isa <= SOTTO__ISA_AVX2);
}

/* ---- layers ---- */

static void naive_linear(const sotto__linear *l, const float *x, size_t ldx, size_t rows, float *y, sotto__epilogue e)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t o = 0; o < l->out; o++) {
            double v = l->bias ? l->bias[o] : 0.0;
            for (size_t tap = 0; tap < l->taps; tap++) {
                for (size_t i = 0; i < l->in; i++)
                    v += (double)l->weight[(tap * l->out + o) * l->in + i] * x[r * ldx + tap * l->in + i];
            }
            if (e == SOTTO__GELU) v = 0.5 * v * (1 + erf(v / sqrt(2)));
            y[r * l->out + o] = (float)(e == SOTTO__RESIDUAL ? y[r * l->out + o] + v : v);
        }
    }
}

static void test_linear(void **state)
{
    static const size_t shapes[][3] = {{1, 64, 129}, {5, 96, 31},   {12, 33, 70},
                                       {13, 64, 64}, {200, 40, 96}, {401, 24, 17}};
    sotto__pool *pool = NULL;
    (void)state;
    assert_int_equal(sotto__pool_create(&pool, 3, NULL), SOTTO_OK);
    for (size_t t = 0; t < n_tables; t++) {
        const sotto__nn nn = {.ops = tables[t], .pool = pool};
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            const size_t rows = shapes[s][0], in = shapes[s][1], out = shapes[s][2];
            for (int e = 0; e < 6; e++) {
                const size_t taps = rows > 12 && e >= 3 ? 3 : 1, ldx = taps == 3 ? 2 * in : in + 3;
                float *w = malloc(3 * in * out * 4), *b = malloc(out * 4), *x = malloc((rows * ldx + 3 * in) * 4);
                float *y = malloc(rows * out * 4), *want = malloc(rows * out * 4);
                const sotto__linear l = {.weight = w, .bias = e % 2 ? b : NULL, .in = in, .out = out, .taps = taps};
                fill(w, 3 * in * out, 0.3f);
                fill(b, out, 1.0f);
                fill(x, rows * ldx + 3 * in, 1.0f);
                fill(y, rows * out, 1.0f);
                memcpy(want, y, rows * out * 4);
                naive_linear(&l, x, ldx, rows, want, (sotto__epilogue)(e % 3));
                sotto__linear_run(&nn, &l, x, ldx, rows, y, out, (sotto__epilogue)(e % 3));
                for (size_t i = 0; i < rows * out; i++) close_to(y[i], want[i], 2e-5, tables[t]->name, rows, i);
                free(w), free(b), free(x), free(y), free(want);
            }
        }
    }
    sotto__pool_free(pool);
}

static void test_attention(void **state)
{
    enum { HEADS = 3, W = 8, KEYS = 150, D = HEADS * W };
    static const size_t queries[] = {1, 2, 63, 64, 65, 150};
    sotto__pool *pool = NULL;
    (void)state;
    assert_int_equal(sotto__pool_create(&pool, 2, NULL), SOTTO_OK);
    float *q = malloc(KEYS * D * 4), *k = malloc(KEYS * D * 4), *v = malloc(KEYS * D * 4), *out = malloc(KEYS * D * 4);
    float *scratch = malloc(2 * sotto__attention_scratch(KEYS) * 4), *raw = malloc(KEYS * KEYS * 4);
    for (size_t t = 0; t < n_tables; t++) {
        const sotto__nn nn = {.ops = tables[t], .pool = pool};
        for (size_t c = 0; c < 12; c++) {
            const size_t rows = queries[c % 6];
            const bool causal = c >= 6;
            float *raws[HEADS] = {NULL, raw, NULL};
            fill(q, KEYS * D, 2.0f);
            fill(k, KEYS * D, 2.0f);
            fill(v, KEYS * D, 2.0f);
            const sotto__attention a = {.q = q,
                                        .k = k,
                                        .v = v,
                                        .out = out,
                                        .ldq = D,
                                        .ldo = D,
                                        .k_head = W,
                                        .k_row = D,
                                        .v_head = W,
                                        .v_row = D,
                                        .rows = rows,
                                        .keys = KEYS,
                                        .causal = causal,
                                        .raw = raws,
                                        .raw_ld = KEYS};
            sotto__attention_run(&nn, &a, 1, HEADS, W, scratch, sotto__attention_scratch(KEYS));
            for (size_t h = 0; h < HEADS; h++) {
                for (size_t r = 0; r < rows; r++) {
                    const size_t seen = causal ? KEYS - rows + r + 1 : KEYS;
                    double score[KEYS], max = -1e9, sum = 0;
                    for (size_t i = 0; i < seen; i++) {
                        score[i] = 0;
                        for (size_t j = 0; j < W; j++)
                            score[i] += (double)q[r * D + h * W + j] * k[i * D + h * W + j] / sqrt(W);
                        max = score[i] > max ? score[i] : max;
                        if (h == 1) close_to(raw[r * KEYS + i], score[i], 1e-4, "raw", rows, i);
                    }
                    for (size_t i = 0; i < seen; i++) sum += score[i] = exp(score[i] - max);
                    for (size_t j = 0; j < W; j++) {
                        double want = 0;
                        for (size_t i = 0; i < seen; i++) want += score[i] / sum * v[i * D + h * W + j];
                        close_to(out[r * D + h * W + j], want, 2e-5, tables[t]->name, rows, r);
                    }
                }
            }
        }
    }
    free(q), free(k), free(v), free(out), free(scratch), free(raw);
    sotto__pool_free(pool);
}

/* A key with bias log S stands for S equal keys. */
static void test_key_bias(void **state)
{
    enum { W = 8, KEYS = 40, ROWS = 70, S = 5 };
    float q[ROWS * W], k[KEYS * W], v[KEYS * W], out[ROWS * W], want[ROWS * W], bias[KEYS];
    float *kk = malloc(KEYS * S * W * 4), *vv = malloc(KEYS * S * W * 4);
    float *scratch = malloc(2 * sotto__attention_scratch(KEYS * S) * 4);
    sotto__pool *pool = NULL;
    size_t repeated = 0;
    (void)state;
    assert_int_equal(sotto__pool_create(&pool, 2, NULL), SOTTO_OK);
    fill(q, ROWS * W, 2.0f);
    fill(k, KEYS * W, 2.0f);
    fill(v, KEYS * W, 2.0f);
    for (size_t i = 0; i < KEYS; i++) {
        const size_t times = i % 3 == 0 ? S : 1;
        bias[i] = logf((float)times);
        for (size_t j = 0; j < times; j++, repeated++) {
            memcpy(kk + repeated * W, k + i * W, W * 4);
            memcpy(vv + repeated * W, v + i * W, W * 4);
        }
    }
    for (size_t t = 0; t < n_tables; t++) {
        const sotto__nn nn = {.ops = tables[t], .pool = pool};
        for (size_t rows = 1; rows <= ROWS; rows += 69) {
            sotto__attention a = {.q = q,
                                  .k = kk,
                                  .v = vv,
                                  .out = want,
                                  .ldq = W,
                                  .ldo = W,
                                  .k_row = W,
                                  .v_row = W,
                                  .rows = rows,
                                  .keys = repeated};
            sotto__attention_run(&nn, &a, 1, 1, W, scratch, sotto__attention_scratch(KEYS * S));
            a.k = k, a.v = v, a.out = out, a.keys = KEYS, a.key_bias = bias;
            sotto__attention_run(&nn, &a, 1, 1, W, scratch, sotto__attention_scratch(KEYS * S));
            for (size_t i = 0; i < rows * W; i++) close_to(out[i], want[i], 2e-5, tables[t]->name, rows, i);
        }
    }
    free(kk), free(vv), free(scratch);
    sotto__pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dot_axpy_add), cmocka_unit_test(test_lstm_step), cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_gelu),         cmocka_unit_test(test_softmax),   cmocka_unit_test(test_halves),
        cmocka_unit_test(test_pick),         cmocka_unit_test(test_linear),    cmocka_unit_test(test_attention),
        cmocka_unit_test(test_key_bias),
    };
    sotto__gemm_init();
    n_tables = sotto__ops_all(tables, SOTTO__ISAS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
