/* SPDX-License-Identifier: MIT
 * The kernel table: everything that depends on the instruction set stands behind it. One table is picked when a model
 * is opened and kept in it; layers (linear.c, attention.c, …) never ask what machine they run on.
 *
 * The elementwise kernels are written once (ops_body.inc) in terms of vectors and compiled per instruction set; the
 * scalar table (vectors of one) is the definition that tests hold the others against. Matrix products come from gemm.c.
 */
#ifndef SOTTO_NN_OPS_H
#define SOTTO_NN_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/packed.h"
#include "sotto.h"

typedef enum sotto__isa {
    SOTTO__ISA_SCALAR,
    SOTTO__ISA_SSE2, /* every x86-64 */
    SOTTO__ISA_AVX2,
    SOTTO__ISA_AVXVNNI, /* AVX2 and its VNNI */
    SOTTO__ISA_AVX512,
    SOTTO__ISA_VNNI, /* AVX-512 and its VNNI */
    SOTTO__ISA_NEON
} sotto__isa;
enum { SOTTO__ISAS = 7 };

/* c[rows, b->out] = a b^T scaled, + bias; row r of c is c + r * ldc, of a is a + r * lda (even inputs: the row is
 * zero-filled where b->in is odd). */
typedef struct sotto__product {
    const int16_t *a;
    size_t lda, rows;
    const float *a_scale;  /* [rows] */
    const int32_t *a_sums; /* b of 4 bits: [rows, in / 32], sums of the activations of every group; else not read */
    const sotto__packed *b;
    const float *bias; /* [b->out] or NULL */
    float *c;
    size_t ldc;
    float *const *to; /* NULL, or [rows]: where row r goes instead */
    bool add_to;      /* c += instead of c = */
} sotto__product;

/* The same for activations of 8 bits and b of 8 bits, every group of b's with a scale of its own. Row r is a + r * lda,
 * zero-filled up to a multiple of four. */
typedef struct sotto__byte_product {
    const int8_t *a;
    size_t lda, rows;
    const float *a_scale;  /* [rows, groups] */
    const int32_t *a_sums; /* [rows, groups]: -128 times a group's sum. NULL: a is uint8_t, and b has one group */
    const sotto__packed *b;
    const float *bias; /* [b->out] or NULL */
    float *c;
    size_t ldc;
    bool add_to; /* c += instead of c = */
} sotto__byte_product;

typedef struct sotto__byte_ops {
    /* q[n] = round(x[n] / scale) in groups, largest magnitude 127; scale[groups], sums[groups] as a product takes them.
     * q[n …] = 0 up to a multiple of four. A group without any size, or with a value that is not finite, gives scale
     * 0. */
    void (*quantise)(int8_t *q, float *scale, int32_t *sums, const float *x, size_t n, size_t group);
    /* q[n] = softmax(x[n]) as integers times the scale that it returns, the largest 255; x overwritten by q if it
     * begins where x does. q[n …] = 0 up to a multiple of four. */
    float (*softmax)(uint8_t *q, float *x, size_t n);
    /* Panels first … first + n - 1 of a product. */
    void (*product)(const sotto__byte_product *p, size_t first, size_t n);
    /* as peak_pairs */
    double (*peak)(size_t rounds, float *sink);
} sotto__byte_ops;

typedef struct sotto__ops {
    const char *name;
    sotto__isa isa;
    /* NULL where the processor does not multiply bytes faster than pairs of 16 bits */
    const sotto__byte_ops *bytes;
    /* y[n] = (x - mean) / sqrt(var + eps) * gamma + beta; biased variance, as torch's LayerNorm */
    void (*layer_norm)(float *y, const float *x, const float *gamma, const float *beta, size_t n, float eps);
    /* x[n] = gelu(x + bias), exact (erf) form; bias may be NULL */
    void (*bias_gelu)(float *x, const float *bias, size_t n);
    /* y[n] += x[n] */
    void (*add)(float *y, const float *x, size_t n);
    /* x[n] = softmax(x[n] * scale + bias[n]); bias may be NULL */
    void (*softmax)(float *x, float scale, const float *bias, size_t n);
    /* q[n] = softmax(x[n]) as integers times the scale that it returns, x overwritten, also by q itself if it begins
     * where x does; for a product with 16-bit columns: the sum of q stays below 65536. q[n …] = 0 up to the next even
     * n. */
    float (*softmax_quantised)(int16_t *q, float *x, size_t n);
    /* q[n] = round(x[n] / scale), largest magnitude `limit`; returns scale. q[n …] = 0 up to the next even n. A row of
     * zeros, or with a value that is not finite, gives zeros. */
    float (*quantise)(int16_t *q, const float *x, size_t n, float limit);
    /* One group of a panel of outputs: n <= 16 rows x[n, width] (stride ldx), each with a scale of its own that maps
     * its largest value to `limit`. bits 8 or 16; `row` is scratch of width rounded up to even. */
    void (*pack_rows)(void *data, float *scale, const float *x, size_t ldx, size_t n, size_t width, int bits,
                      float limit, int16_t *row);
    /* One panel of one group, outputs being 16 (or fewer) columns of x[keys, …], inputs its rows. */
    void (*pack_columns)(void *data, float *scale, const float *x, size_t ldx, size_t keys, size_t columns, int bits);
    /* Panels first … first + n - 1 of a product. */
    void (*product)(const sotto__product *p, size_t first, size_t n);
    /* sum of a[i] * b[i] */
    float (*dot)(const float *a, const float *b, size_t n);
    /* y[n] += a * x[n] */
    void (*axpy)(float *y, float a, const float *x, size_t n);
    /* One step of an LSTM of `units`, a multiple of 16, 16 at a time: gates[units / 16][4][16] are the input's share of
     * the input, forget, cell and output gates, bias included; w[units / 16][units][4][16] is multiplied by h[units].
     * Makes h_next[units], which is not h, and c[units] the state after it. */
    void (*lstm_step)(float *h_next, float *c, const float *h, const float *gates, const float *w, size_t units);
    /* widening of n values; x needs no alignment */
    void (*from_f16)(float *y, const void *x, size_t n);
    void (*from_bf16)(float *y, const void *x, size_t n);
    /* Products, row-major: c[m,n] = a[m,k] b[n,k]^T + beta c (leading dimensions lda, ldb, ldc; beta 0 or 1) */
    void (*gemm_nt)(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                    float *c, size_t ldc);
    /* c[m,n] = a[m,k] b[k,n] + beta c */
    void (*gemm_nn)(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                    float *c, size_t ldc);
    /* y[m] = a[m,k] x[k] + beta y */
    void (*gemv)(size_t m, size_t k, const float *a, size_t lda, const float *x, float beta, float *y);
    /* Ceilings: a loop of multiply-adds on registers, of floats or, as product does them, of 16-bit integers; they
     * return how many they did. And a loop that reads all of a whole number of 512 bytes. */
    double (*peak_floats)(size_t rounds, float *sink);
    double (*peak_pairs)(size_t rounds, float *sink);
    void (*read_bytes)(const void *from, size_t bytes, float *sink);
} sotto__ops;

/* The best table that processor and OS offer, not above `ceiling` name ("scalar", "avxvnni", …: ops_pick.c; NULL = no
 * limit). NULL when the name is unknown. */
const sotto__ops *sotto__ops_pick(const char *ceiling);

/* The same with SOTTO_ISA of the environment as ceiling, if it is set; NULL and SOTTO_EINVAL when it names none. */
const sotto__ops *sotto__ops_allowed(sotto_error *err);

/* The tables this build and machine can run, at most `max`; returns how many. For tests. */
size_t sotto__ops_all(const sotto__ops **out, size_t max);

/* gemm.c: the only file that knows BLAS. */
void sotto__gemm_nt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                    float *c, size_t ldc);
void sotto__gemm_nn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                    float *c, size_t ldc);
void sotto__gemv(size_t m, size_t k, const float *a, size_t lda, const float *x, float beta, float *y);
/* Makes BLAS single-threaded: our pool spreads the work. Call before the first product. */
void sotto__gemm_init(void);
/* "openblas 0.3.21 Zen". Static string. */
const char *sotto__gemm_info(void);

#endif
