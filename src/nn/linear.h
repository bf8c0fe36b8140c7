/* SPDX-License-Identifier: MIT
 * Layers over the kernel table: linear layers with what follows them fused in, layer norms, attention. No I/O, no
 * allocation, cannot fail. Shapes: rows x width, row-major. */
#ifndef SOTTO_NN_LINEAR_H
#define SOTTO_NN_LINEAR_H

#include "base/pool.h"
#include "nn/ops.h"
#include "nn/timer.h"

struct sotto__linear;

/* What layers run on: kernels, threads, and memory for what they make on the way. One layer at a time. */
typedef struct sotto__nn {
    const sotto__ops *ops;
    sotto__pool *pool;
    /* made by sotto__nn_reserve: the activations of a packed layer, quantised to 16 bits, or to 8 in groups */
    int16_t *act;
    float *act_scale;
    int32_t *act_sums;
    size_t act_rows, act_values; /* room for so many rows, and values in all */
    float *scratch;              /* [threads, scratch_stride] */
    size_t scratch_stride;
    float *low; /* [low_rows, rank]: what the first of two factors made */
    size_t low_rows;
    sotto__timer *timer; /* NULL = off */
    /* NULL, or told of every layer's input before its product: x[rows, taps * in], stride ldx. Layers in f32 only. */
    void (*tap)(void *user, const struct sotto__linear *layer, const float *x, size_t ldx, size_t rows);
    void *tap_user;
} sotto__nn;

/* What multiply-adds work on. */
typedef enum sotto__operands { SOTTO__ON_FLOATS, SOTTO__ON_PAIRS, SOTTO__ON_BYTES } sotto__operands;

/* The lap that runs does this: for laps that the layers below do not count themselves. */
static inline void sotto__did(const sotto__nn *nn, size_t multiply_adds, sotto__operands on, size_t bytes,
                              size_t weights)
{
    if (!nn->timer) return;
    nn->timer->open.multiply_adds += multiply_adds;
    if (on == SOTTO__ON_PAIRS) nn->timer->open.integer_multiply_adds += multiply_adds;
    if (on == SOTTO__ON_BYTES) nn->timer->open.byte_multiply_adds += multiply_adds;
    nn->timer->open.bytes += bytes + weights;
    nn->timer->open.weight_bytes += weights;
}

static inline void sotto__lap_end(const sotto__nn *nn, sotto__lap_name name)
{
    if (nn->timer) sotto__timer_lap(nn->timer, name);
}

/* Memory for packed layers of up to `width` inputs and `floats` of scratch a thread. More rows than `rows` are worked
 * on in parts. SOTTO_ENOMEM. */
sotto_status sotto__nn_reserve(sotto__nn *nn, size_t rows, size_t width, size_t floats, sotto_error *err);
void sotto__nn_release(sotto__nn *nn);
/* Memory for layers of two factors of up to `rank`, after sotto__nn_reserve. SOTTO_ENOMEM. */
sotto_status sotto__nn_reserve_low(sotto__nn *nn, size_t rank, sotto_error *err);
/* Floats of scratch that layers of `in` inputs in half precision need. */
size_t sotto__half_scratch(size_t in);

/* y = x W^T + b; with taps = 3 a convolution of width 3: y[r] = b + sum over k of x[r at offset k * in] W_k^T.
 * The weights are held in one of three forms. */
typedef struct sotto__linear {
    const float *weight;  /* [out, in], or [taps, out, in] */
    const void *half;     /* the same in IEEE half precision, widened when used */
    sotto__packed packed; /* [out, taps * in] in 8 or 4 bits; taken when packed.data is set */
    const float *bias;    /* [out] or NULL */
    size_t in, out;
    size_t taps; /* 1 = an ordinary layer */
    bool bytes;  /* packed in 8 bits: activations in 8 bits too, where the kernel table has products of bytes */
    struct sotto__linear *inner; /* NULL, or the first of two factors: x goes through it, without a bias, and what comes
                                    out, `in` values, through this one. No taps. */
} sotto__linear;

/* Values that a row of the layer's input has. */
static inline size_t sotto__linear_in(const sotto__linear *layer)
{
    return layer->inner ? layer->inner->in : layer->in;
}

typedef struct sotto__norm {
    const float *gamma, *beta; /* [n] */
    size_t n;
} sotto__norm;

typedef enum sotto__epilogue {
    SOTTO__STORE,   /* y = x W^T + b */
    SOTTO__GELU,    /* y = gelu(x W^T + b) */
    SOTTO__RESIDUAL /* y += x W^T + b */
} sotto__epilogue;

/* Whether the layer's products are of bytes here. */
static inline bool sotto__takes_bytes(const sotto__nn *nn, const sotto__linear *layer)
{
    return layer->bytes && layer->packed.data && layer->packed.bits == 8 && nn->ops->bytes;
}

/* y[rows, out] (stride ldy) from x[rows, in] (stride ldx; with taps, row r reads taps * in values from x + r * ldx on,
 * overlapping its neighbours). Rows are split over the pool; few rows split the outputs instead (no taps then). */
void sotto__linear_run(const sotto__nn *nn, const sotto__linear *layer, const float *x, size_t ldx, size_t rows,
                       float *y, size_t ldy, sotto__epilogue epilogue);

/* The same of norm(x), x[rows, in] dense; `xn` [rows, in] is where the plain form keeps it. */
void sotto__norm_linear_run(const sotto__nn *nn, const sotto__norm *norm, const sotto__linear *layer, const float *x,
                            size_t rows, float *xn, float *y, size_t ldy, sotto__epilogue epilogue);

/* The same for rows that must not feel each other: each is a matrix-vector product of its own, so its result does not
 * depend on how many there are; packed layers compute so in any case. sotto__linear_run does no other up to
 * SOTTO__FEW_ROWS. Row r goes to to[r] if `to` is given, else to y + r * ldy. No taps. */
enum { SOTTO__FEW_ROWS = 12 };
void sotto__linear_each(const sotto__nn *nn, const sotto__linear *layer, const float *x, size_t ldx, size_t rows,
                        float *y, size_t ldy, float *const *to, sotto__epilogue epilogue);

/* y += gelu(norm(x) U^T + b) D^T + c, x and y [rows, width] dense and the same if need be; `wide` [rows, up->out] is
 * where the middle is kept, `xn` as above. Where layers take bytes, gelu makes them and its floats are never written.
 */
void sotto__mlp_run(const sotto__nn *nn, const sotto__norm *norm, const sotto__linear *up, const sotto__linear *down,
                    const float *x, size_t rows, float *xn, float *wide, float *y);

/* y[rows, n] = norm(x[rows, n]) */
void sotto__norm_run(const sotto__nn *nn, const sotto__norm *norm, const float *x, size_t rows, float *y);

#endif
