/* SPDX-License-Identifier: MIT
 * Packed layers: rows are quantised (after their norm, where they have one), then blocks of rows times runs of panels
 * are products, each finished (bias, scale, GELU, residual) while it is in cache. */
#include "nn/linear_packed.h"
#include "base/checked.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_ROWS = 48,   /* rows of one product: with 16 outputs' weights they fit the first two caches */
    QUANTISE_ROWS = 32 /* rows of one task of quantising */
};

sotto_status sotto__nn_reserve(sotto__nn *nn, size_t rows, size_t width, size_t floats, sotto_error *err)
{
    const size_t lda = (width + 31) / 32 * 32, threads = (size_t)sotto__pool_threads(nn->pool);
    sotto__nn_release(nn);
    if (floats < width) floats = width; /* a row between its norm and its integers */
    nn->scratch_stride = (floats + 15) / 16 * 16;
    nn->act_rows = rows;
    nn->act_values = rows * lda;
    nn->act = sotto__aligned(nn->act_values, sizeof *nn->act);
    nn->act_scale = sotto__aligned(nn->act_values / SOTTO__GROUP4 + rows, sizeof *nn->act_scale);
    nn->act_sums = sotto__aligned(nn->act_values / SOTTO__GROUP4 + 1, sizeof *nn->act_sums);
    nn->scratch = sotto__aligned(threads * nn->scratch_stride, sizeof *nn->scratch);
    if (nn->act && nn->act_scale && nn->act_sums && nn->scratch) return SOTTO_OK;
    sotto__nn_release(nn);
    return sotto__fail_nomem(err, "memory for activations");
}

sotto_status sotto__nn_reserve_low(sotto__nn *nn, size_t rank, sotto_error *err)
{
    nn->low_rows = nn->act_rows;
    nn->low = sotto__aligned(nn->low_rows * rank, sizeof *nn->low);
    return nn->low ? SOTTO_OK : sotto__fail_nomem(err, "memory for layers of two factors");
}

void sotto__nn_release(sotto__nn *nn)
{
    free(nn->low);
    nn->low = NULL;
    free(nn->act);
    free(nn->act_scale);
    free(nn->act_sums);
    free(nn->scratch);
    nn->act = NULL;
    nn->act_scale = nn->scratch = NULL;
    nn->act_sums = NULL;
}

/* Rows of bytes in groups of 64, as a product of bytes takes them. */
struct rounded {
    int8_t *q; /* [rows, ld] */
    size_t ld, groups;
    float *scale;  /* [rows, groups] */
    int32_t *sums; /* the same */
};

struct job {
    const sotto__nn *nn;
    const sotto__norm *norm;
    const sotto__linear *layer;
    const float *x;
    size_t ldx, rows, in, lda;
    float *y;
    size_t ldy;
    float *const *to; /* NULL, or where each row goes */
    sotto__epilogue epilogue;
    const sotto__byte_ops *bytes; /* NULL, or what makes 8-bit activations */
    struct rounded in8, out8; /* with bytes: what goes in, and where what comes out goes in the place of y, if set */
    float limit;
    size_t chunk, chunks; /* panels of a task, tasks of a block of rows */
};

static void quantise_rows(void *arg, size_t index, int thread)
{
    const struct job *j = arg;
    const sotto__nn *nn = j->nn;
    const size_t r0 = index * QUANTISE_ROWS, r1 = r0 + QUANTISE_ROWS < j->rows ? r0 + QUANTISE_ROWS : j->rows;
    for (size_t r = r0; r < r1; r++) {
        const float *x = j->x + r * j->ldx;
        int16_t *q = nn->act + r * j->lda; /* 16 bits */
        if (j->norm) {
            float *normed = nn->scratch + (size_t)thread * nn->scratch_stride;
            nn->ops->layer_norm(normed, x, j->norm->gamma, j->norm->beta, j->in, 1e-5f);
            x = normed;
        }
        if (j->bytes) {
            j->bytes->quantise(j->in8.q + r * j->in8.ld, j->in8.scale + r * j->in8.groups,
                               j->in8.sums + r * j->in8.groups, x, j->in, j->layer->packed.group);
            continue;
        }
        nn->act_scale[r] = nn->ops->quantise(q, x, j->in, j->limit);
        if (j->layer->packed.bits == 4) {
            const size_t groups = j->in / SOTTO__GROUP4;
            for (size_t g = 0; g < groups; g++) {
                int32_t sum = 0;
                for (size_t i = 0; i < SOTTO__GROUP4; i++) sum += q[g * SOTTO__GROUP4 + i];
                nn->act_sums[r * groups + g] = sum;
            }
        }
    }
}

static void product_of_bytes(const struct job *j, size_t r0, size_t rows, size_t first, size_t n)
{
    const sotto__byte_product g = {.a = j->in8.q + r0 * j->in8.ld,
                                   .lda = j->in8.ld,
                                   .rows = rows,
                                   .a_scale = j->in8.scale + r0 * j->in8.groups,
                                   .a_sums = j->in8.sums + r0 * j->in8.groups,
                                   .b = &j->layer->packed,
                                   .bias = j->layer->bias,
                                   .c = j->y + r0 * j->ldy,
                                   .ldc = j->ldy,
                                   .add_to = j->epilogue == SOTTO__RESIDUAL};
    j->bytes->product(&g, first, n);
}

/* gelu of a product of bytes as bytes again, some panels at a time, whose floats do not leave the first cache. */
enum { ROUND_PANELS = 8, PANELS_OF_GROUP = 64 / SOTTO__PANEL };

static void product_to_bytes(const struct job *j, size_t r0, size_t rows, size_t first, size_t n, int thread)
{
    const sotto__packed *b = &j->layer->packed;
    const size_t panel_bytes = sotto__packed_bytes(b->in, SOTTO__PANEL, 8);
    const size_t panel_scales = sotto__packed_scales(b->in, SOTTO__PANEL, 8);
    float *y = j->nn->scratch + (size_t)thread * j->nn->scratch_stride; /* [rows, outputs] */
    for (size_t panel = first; panel < first + n; panel += ROUND_PANELS) {
        const size_t panels = first + n - panel < ROUND_PANELS ? first + n - panel : ROUND_PANELS;
        const size_t o = panel * SOTTO__PANEL, outputs = panels * SOTTO__PANEL;
        sotto__packed some = *b;
        some.data = (const unsigned char *)b->data + panel * panel_bytes;
        some.scale = b->scale + panel * panel_scales;
        some.out = outputs;
        const sotto__byte_product g = {.a = j->in8.q + r0 * j->in8.ld,
                                       .lda = j->in8.ld,
                                       .rows = rows,
                                       .a_scale = j->in8.scale + r0 * j->in8.groups,
                                       .a_sums = j->in8.sums + r0 * j->in8.groups,
                                       .b = &some,
                                       .bias = j->layer->bias ? j->layer->bias + o : NULL,
                                       .c = y,
                                       .ldc = outputs};
        j->bytes->product(&g, 0, panels);
        for (size_t r = 0; r < rows; r++) {
            const size_t row = r0 + r, group = row * j->out8.groups + o / 64;
            j->nn->ops->bias_gelu(y + r * outputs, NULL, outputs);
            j->bytes->quantise(j->out8.q + row * j->out8.ld + o, j->out8.scale + group, j->out8.sums + group,
                               y + r * outputs, outputs, 64);
        }
    }
}

static void product_of_pairs(const struct job *j, size_t r0, size_t rows, size_t first, size_t n)
{
    const sotto__product g = {.a = j->nn->act + r0 * j->lda,
                              .lda = j->lda,
                              .rows = rows,
                              .a_scale = j->nn->act_scale + r0,
                              .a_sums = j->nn->act_sums + r0 * (j->in / SOTTO__GROUP4),
                              .b = &j->layer->packed,
                              .bias = j->layer->bias,
                              .c = j->to ? NULL : j->y + r0 * j->ldy,
                              .to = j->to ? j->to + r0 : NULL,
                              .ldc = j->ldy,
                              .add_to = j->epilogue == SOTTO__RESIDUAL};
    j->nn->ops->product(&g, first, n);
}

static void multiply(void *arg, size_t index, int thread)
{
    const struct job *j = arg;
    const size_t block = index / j->chunks, first = index % j->chunks * j->chunk;
    const size_t panels = sotto__panels(j->layer->out), n = panels - first < j->chunk ? panels - first : j->chunk;
    const size_t r0 = block * BLOCK_ROWS, rows = j->rows - r0 < BLOCK_ROWS ? j->rows - r0 : BLOCK_ROWS;
    if (j->out8.q) {
        product_to_bytes(j, r0, rows, first, n, thread);
        return;
    }
    if (j->bytes)
        product_of_bytes(j, r0, rows, first, n);
    else
        product_of_pairs(j, r0, rows, first, n);
    if (j->epilogue == SOTTO__GELU) {
        const size_t o = first * SOTTO__PANEL, end = (first + n) * SOTTO__PANEL;
        const size_t outputs = (end < j->layer->out ? end : j->layer->out) - o;
        for (size_t r = 0; r < rows; r++)
            j->nn->ops->bias_gelu((j->to ? j->to[r0 + r] : j->y + (r0 + r) * j->ldy) + o, NULL, outputs);
    }
}

/* Few rows are memory-bound: their tasks are runs of panels, so that weights are read once. Many rows have blocks
 * enough to go round. */
static void split(struct job *j)
{
    enum { TASKS = 8 }; /* a thread, at least */
    const size_t threads = (size_t)sotto__pool_threads(j->nn->pool), panels = sotto__panels(j->layer->out);
    const size_t blocks = (j->rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    j->chunks = threads == 1 ? 1 : (TASKS * threads + blocks - 1) / blocks;
    if (j->chunks > panels / 4) j->chunks = panels / 4;
    if (j->chunks == 0) j->chunks = 1;
    j->chunk = (panels + j->chunks - 1) / j->chunks;
    if (j->out8.q) j->chunk = (j->chunk + PANELS_OF_GROUP - 1) / PANELS_OF_GROUP * PANELS_OF_GROUP;
    j->chunks = (panels + j->chunk - 1) / j->chunk;
}

static size_t size_of(const struct job *j) { return j->bytes ? sizeof(int8_t) : sizeof(int16_t); }

static void count_rounding(const struct job *j)
{
    const size_t values = j->rows * j->in, fresh = j->rows * j->layer->in; /* rows of a convolution overlap */
    sotto__did(j->nn, j->norm ? 2 * values : 0, SOTTO__ON_FLOATS, fresh * sizeof(float) + values * size_of(j), 0);
}

static void count_product(const struct job *j)
{
    const sotto__packed *p = &j->layer->packed;
    const size_t bias = j->layer->bias ? p->out : 0;
    sotto__did(j->nn, j->rows * (p->in * p->out + bias), j->bytes ? SOTTO__ON_BYTES : SOTTO__ON_PAIRS,
               j->rows * (j->in * size_of(j) + p->out * (j->out8.q ? sizeof(int8_t) : sizeof(float))),
               sotto__packed_bytes(p->in, p->out, p->bits) +
                   (sotto__packed_scales(p->in, p->out, p->bits) + bias) * sizeof(float));
}

static void run_rows(struct job *j)
{
    split(j);
    count_product(j);
    sotto__pool_run(j->nn->pool, multiply, j, (j->rows + BLOCK_ROWS - 1) / BLOCK_ROWS * j->chunks);
}

static void round_rows(struct job *j)
{
    count_rounding(j);
    sotto__pool_run(j->nn->pool, quantise_rows, j, (j->rows + QUANTISE_ROWS - 1) / QUANTISE_ROWS);
    sotto__lap_end(j->nn, SOTTO__LAP_ROWS);
}

/* What the layer reads, for nn->act; returns how many rows that holds. */
static size_t prepare(struct job *j)
{
    const sotto__nn *nn = j->nn;
    j->in = j->layer->taps * j->layer->in;
    j->lda = (j->in + 31) / 32 * 32;
    j->limit = sotto__activation_limit(&j->layer->packed);
    size_t most = nn->act_values / j->lda;
    if (j->bytes) {
        j->in8 = (struct rounded){.q = (int8_t *)nn->act,
                                  .ld = (j->in + 63) / 64 * 64,
                                  .groups = sotto__groups(j->in, j->layer->packed.group),
                                  .scale = nn->act_scale,
                                  .sums = nn->act_sums};
        most = 2 * nn->act_values / j->in8.ld;
    }
    return most < nn->act_rows ? most : nn->act_rows;
}

void sotto__packed_run(const sotto__nn *nn, const sotto__norm *norm, const sotto__linear *layer, const float *x,
                       size_t ldx, size_t rows, float *y, size_t ldy, float *const *to, sotto__epilogue epilogue)
{
    struct job j = {.nn = nn, .norm = norm, .layer = layer, .ldx = ldx, .ldy = ldy, .epilogue = epilogue};
    if (!to && sotto__takes_bytes(nn, layer)) j.bytes = nn->ops->bytes;
    const size_t most = prepare(&j);
    for (size_t r = 0; r < rows; r += j.rows) {
        j.rows = rows - r < most ? rows - r : most;
        j.x = x + r * ldx;
        j.y = to ? NULL : y + r * ldy;
        j.to = to ? to + r : NULL;
        round_rows(&j);
        run_rows(&j);
    }
}

bool sotto__packed_mlp_run(const sotto__nn *nn, const sotto__norm *norm, const sotto__linear *up,
                           const sotto__linear *down, const float *x, size_t rows, float *wide, float *y)
{
    if (!sotto__takes_bytes(nn, up) || !sotto__takes_bytes(nn, down) || up->out % 64 != 0 ||
        nn->scratch_stride < BLOCK_ROWS * ROUND_PANELS * SOTTO__PANEL)
        return false;
    struct job j = {.nn = nn, .norm = norm, .layer = up, .ldx = up->in, .bytes = nn->ops->bytes};
    struct job k = {.nn = nn, .layer = down, .ldy = down->out, .epilogue = SOTTO__RESIDUAL, .bytes = nn->ops->bytes};
    const size_t most = prepare(&j), groups = up->out / 64;
    k.in = up->out;
    for (size_t r = 0; r < rows; r += j.rows) {
        j.rows = k.rows = rows - r < most ? rows - r : most;
        j.x = x + r * up->in;
        k.y = y + r * down->out;
        /* a byte and an eighth of every value of four */
        float *scale = wide + j.rows * up->out / 4;
        j.out8 = k.in8 = (struct rounded){.q = (int8_t *)wide,
                                          .ld = up->out,
                                          .groups = groups,
                                          .scale = scale,
                                          .sums = (int32_t *)(void *)(scale + j.rows * groups)};
        round_rows(&j);
        run_rows(&j);
        sotto__lap_end(nn, SOTTO__LAP_UP);
        run_rows(&k);
        if (r + j.rows < rows) sotto__lap_end(nn, SOTTO__LAP_DOWN);
    }
    return true;
}
