/* SPDX-License-Identifier: MIT
 * Linear layers: the products are OpenBLAS's, one block a task, and what follows (bias, GELU, residual) is done on the
 * block while it is in cache. */
#include "nn/linear.h"
#include "nn/linear_packed.h"

enum {
    CHUNK_FLOATS = 24576, /* weights of one such task: 96 KiB, so that the second row finds them in the L2 cache */
    BLOCK_ROWS = 192      /* rows of one product otherwise */
};

struct job {
    const sotto__nn *nn;
    const sotto__linear *layer;
    const float *x;
    float *y;
    size_t ldx, ldy, rows, block;
    sotto__epilogue epilogue;
    float *const *to; /* NULL, or where each row goes */
};

/* Rows r of outputs o … o+n-1 after their product. */
static void finish(const struct job *j, float *y, size_t o, size_t n)
{
    const sotto__ops *ops = j->nn->ops;
    const float *bias = j->layer->bias ? j->layer->bias + o : NULL;
    if (j->epilogue == SOTTO__GELU)
        ops->bias_gelu(y, bias, n);
    else if (bias)
        ops->add(y, bias, n);
}

/* Weights of outputs o … o+n-1; half-precision ones are widened into this thread's scratch. */
static const float *weights_of(const struct job *j, size_t tap, size_t o, size_t n, int thread)
{
    const sotto__linear *l = j->layer;
    const size_t at = (tap * l->out + o) * l->in;
    float *w;
    if (!l->half) return l->weight + at;
    w = j->nn->scratch + (size_t)thread * j->nn->scratch_stride;
    j->nn->ops->from_f16(w, (const unsigned char *)l->half + 2 * at, n * l->in);
    return w;
}

/* The weights are streamed once, and every row is a matrix-vector product. */
static void few_rows(void *arg, size_t index, int thread)
{
    const struct job *j = arg;
    const size_t in = j->layer->in, o = index * j->block,
                 n = j->layer->out - o < j->block ? j->layer->out - o : j->block;
    const float *w = weights_of(j, 0, o, n, thread);
    for (size_t r = 0; r < j->rows; r++) {
        float *y = (j->to ? j->to[r] : j->y + r * j->ldy) + o;
        j->nn->ops->gemv(n, in, w, in, j->x + r * j->ldx, j->epilogue == SOTTO__RESIDUAL ? 1.0f : 0.0f, y);
        finish(j, y, o, n);
    }
}

static void many_rows(void *arg, size_t index, int thread)
{
    const struct job *j = arg;
    const sotto__linear *l = j->layer;
    const size_t r0 = index * j->block, n = j->rows - r0 < j->block ? j->rows - r0 : j->block;
    (void)thread;
    for (size_t tap = 0; tap < l->taps; tap++)
        j->nn->ops->gemm_nt(n, l->out, l->in, j->x + r0 * j->ldx + tap * l->in, j->ldx,
                            l->weight + tap * l->out * l->in, l->in,
                            tap || j->epilogue == SOTTO__RESIDUAL ? 1.0f : 0.0f, j->y + r0 * j->ldy, j->ldy);
    for (size_t r = r0; r < r0 + n; r++) finish(j, j->y + r * j->ldy, 0, j->layer->out);
}

/* Many rows times half-precision weights: a task is a run of outputs, widened and used at once. */
static void half_outputs(void *arg, size_t index, int thread)
{
    const struct job *j = arg;
    const sotto__linear *l = j->layer;
    const size_t o = index * j->block, n = l->out - o < j->block ? l->out - o : j->block;
    for (size_t tap = 0; tap < l->taps; tap++)
        j->nn->ops->gemm_nt(j->rows, n, l->in, j->x + tap * l->in, j->ldx, weights_of(j, tap, o, n, thread), l->in,
                            tap || j->epilogue == SOTTO__RESIDUAL ? 1.0f : 0.0f, j->y + o, j->ldy);
    for (size_t r = 0; r < j->rows; r++) finish(j, j->y + r * j->ldy + o, o, n);
}

static size_t outputs_of_chunk(const sotto__linear *l) { return CHUNK_FLOATS / l->in < 16 ? 16 : CHUNK_FLOATS / l->in; }

size_t sotto__half_scratch(size_t in) { return CHUNK_FLOATS > 16 * in ? CHUNK_FLOATS : 16 * in; }

/* Input rows of a convolution overlap: each is in / stride new values, about in. */
static void count_layer(const sotto__nn *nn, const sotto__linear *l, size_t rows)
{
    const size_t matrix = l->taps * l->in * l->out, bias = l->bias ? l->out : 0;
    sotto__did(nn, rows * (matrix + bias), SOTTO__ON_FLOATS, rows * (l->in + l->out) * sizeof(float),
               matrix * (l->half ? sizeof(uint16_t) : sizeof(float)) + bias * sizeof(float));
}

/* Through both factors of a layer, as many rows at a time as there is room for. With a norm, x is dense. */
static void two_factors(const sotto__nn *nn, const sotto__norm *norm, const sotto__linear *layer, const float *x,
                        size_t ldx, size_t rows, float *xn, float *y, size_t ldy, float *const *to, bool each,
                        sotto__epilogue epilogue)
{
    const sotto__linear *inner = layer->inner;
    sotto__linear outer = *layer;
    outer.inner = NULL;
    for (size_t r = 0; r < rows; r += nn->low_rows) {
        const size_t n = rows - r < nn->low_rows ? rows - r : nn->low_rows;
        if (norm)
            sotto__norm_linear_run(nn, norm, inner, x + r * ldx, n, xn, nn->low, inner->out, SOTTO__STORE);
        else if (each)
            sotto__linear_each(nn, inner, x + r * ldx, ldx, n, nn->low, inner->out, NULL, SOTTO__STORE);
        else
            sotto__linear_run(nn, inner, x + r * ldx, ldx, n, nn->low, inner->out, SOTTO__STORE);
        if (each)
            sotto__linear_each(nn, &outer, nn->low, outer.in, n, to ? NULL : y + r * ldy, ldy, to ? to + r : NULL,
                               epilogue);
        else
            sotto__linear_run(nn, &outer, nn->low, outer.in, n, y + r * ldy, ldy, epilogue);
    }
}

void sotto__linear_each(const sotto__nn *nn, const sotto__linear *layer, const float *x, size_t ldx, size_t rows,
                        float *y, size_t ldy, float *const *to, sotto__epilogue epilogue)
{
    struct job j = {nn, layer, x, y, ldx, ldy, rows, outputs_of_chunk(layer), epilogue, to};
    if (rows == 0) return;
    if (layer->inner) {
        two_factors(nn, NULL, layer, x, ldx, rows, NULL, y, ldy, to, true, epilogue);
        return;
    }
    if (layer->packed.data) {
        sotto__packed_run(nn, NULL, layer, x, ldx, rows, y, ldy, to, epilogue);
        return;
    }
    if (nn->tap) nn->tap(nn->tap_user, layer, x, ldx, rows);
    count_layer(nn, layer, rows);
    sotto__pool_run(nn->pool, few_rows, &j, (layer->out + j.block - 1) / j.block);
}

void sotto__linear_run(const sotto__nn *nn, const sotto__linear *layer, const float *x, size_t ldx, size_t rows,
                       float *y, size_t ldy, sotto__epilogue epilogue)
{
    struct job j = {nn, layer, x, y, ldx, ldy, rows, 0, epilogue, NULL};
    if (rows == 0) return;
    if (layer->inner) {
        two_factors(nn, NULL, layer, x, ldx, rows, NULL, y, ldy, NULL, false, epilogue);
        return;
    }
    if (layer->packed.data || (rows <= SOTTO__FEW_ROWS && layer->taps == 1)) {
        sotto__linear_each(nn, layer, x, ldx, rows, y, ldy, NULL, epilogue);
        return;
    }
    if (nn->tap) nn->tap(nn->tap_user, layer, x, ldx, rows);
    count_layer(nn, layer, rows);
    if (layer->half) {
        j.block = outputs_of_chunk(layer);
        sotto__pool_run(nn->pool, half_outputs, &j, (layer->out + j.block - 1) / j.block);
    } else {
        const size_t threads = (size_t)sotto__pool_threads(nn->pool);
        j.block = BLOCK_ROWS;
        if (rows < j.block * threads) j.block = (rows + threads - 1) / threads;
        sotto__pool_run(nn->pool, many_rows, &j, (rows + j.block - 1) / j.block);
    }
}

struct norm_job {
    const sotto__nn *nn;
    const sotto__norm *norm;
    const float *x;
    float *y;
    size_t rows;
};

enum { NORM_ROWS = 128 };

static void norm_rows(void *arg, size_t index, int thread)
{
    const struct norm_job *j = arg;
    const size_t n = j->norm->n, r0 = index * NORM_ROWS, r1 = r0 + NORM_ROWS < j->rows ? r0 + NORM_ROWS : j->rows;
    (void)thread;
    for (size_t r = r0; r < r1; r++)
        j->nn->ops->layer_norm(j->y + r * n, j->x + r * n, j->norm->gamma, j->norm->beta, n, 1e-5f);
}

void sotto__norm_run(const sotto__nn *nn, const sotto__norm *norm, const float *x, size_t rows, float *y)
{
    struct norm_job j = {nn, norm, x, y, rows};
    sotto__did(nn, 2 * rows * norm->n, SOTTO__ON_FLOATS, 2 * rows * norm->n * sizeof(float),
               2 * norm->n * sizeof(float));
    sotto__pool_run(nn->pool, norm_rows, &j, (rows + NORM_ROWS - 1) / NORM_ROWS);
}

void sotto__norm_linear_run(const sotto__nn *nn, const sotto__norm *norm, const sotto__linear *layer, const float *x,
                            size_t rows, float *xn, float *y, size_t ldy, sotto__epilogue epilogue)
{
    if (layer->inner) {
        two_factors(nn, norm, layer, x, norm->n, rows, xn, y, ldy, NULL, false, epilogue);
        return;
    }
    if (layer->packed.data) {
        sotto__packed_run(nn, norm, layer, x, layer->in, rows, y, ldy, NULL, epilogue);
        return;
    }
    sotto__norm_run(nn, norm, x, rows, xn);
    sotto__lap_end(nn, SOTTO__LAP_ROWS);
    sotto__linear_run(nn, layer, xn, layer->in, rows, y, ldy, epilogue);
}

void sotto__mlp_run(const sotto__nn *nn, const sotto__norm *norm, const sotto__linear *up, const sotto__linear *down,
                    const float *x, size_t rows, float *xn, float *wide, float *y)
{
    if (!up->inner && !down->inner && sotto__packed_mlp_run(nn, norm, up, down, x, rows, wide, y)) return;
    sotto__norm_linear_run(nn, norm, up, x, rows, xn, wide, up->out, SOTTO__GELU);
    sotto__lap_end(nn, SOTTO__LAP_UP);
    sotto__linear_run(nn, down, wide, up->out, rows, y, down->out, SOTTO__RESIDUAL);
}
