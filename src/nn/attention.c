/* SPDX-License-Identifier: MIT
 * softmax(q k^T / sqrt(width)) v, a block of SOTTO__ATTENTION_ROWS query rows of one head a task. Whisper scales q and
 * k by width^-1/4 each (model.py, MultiHeadAttention.qkv_attention); with width 64 that is the same power of two. */
#include "nn/attention.h"
#include "base/checked.h"

#include <math.h>
#include <string.h>

struct job {
    const sotto__nn *nn;
    const sotto__attention *a;
    size_t n, heads, width;
    float *scratch;
    size_t scratch_stride;
    float scale;
};

size_t sotto__attention_scratch(size_t keys) { return (size_t)SOTTO__ATTENTION_ROWS * ((keys + 31) / 32 * 32); }

/* The packed form of a block: integer products with the same meaning as below. A row's weights take the place of its
 * scores, so that the block stays in the second cache beside the head's keys or values. */
static void packed_block(const struct job *j, const sotto__attention *a, size_t head, size_t r0, size_t rows,
                         float *scores)
{
    enum { MAX_WIDTH = 256 };
    const sotto__ops *ops = j->nn->ops;
    const size_t ld = (a->keys + 31) / 32 * 32, ldw = (j->width + 1) / 2 * 2;
    int16_t *weights = (int16_t *)(void *)scores, q[SOTTO__ATTENTION_ROWS * MAX_WIDTH];
    float scale[SOTTO__ATTENTION_ROWS];
    const float limit = sotto__activation_limit(&a->packed_k[head]);
    for (size_t r = 0; r < rows; r++)
        scale[r] = j->scale * ops->quantise(q + r * ldw, a->q + (r0 + r) * a->ldq + head * j->width, j->width, limit);
    sotto__product g = {.a = q,
                        .lda = ldw,
                        .rows = rows,
                        .a_scale = scale,
                        .b = &a->packed_k[head],
                        .bias = a->raw ? NULL : a->key_bias,
                        .c = scores,
                        .ldc = ld};
    ops->product(&g, 0, sotto__panels(a->keys));
    for (size_t r = 0; r < rows; r++) {
        if (a->raw && a->raw[head])
            memcpy(a->raw[head] + (r0 + r) * a->raw_ld, scores + r * ld, a->keys * sizeof *scores);
        if (a->raw && a->key_bias) ops->add(scores + r * ld, a->key_bias, a->keys);
        scale[r] = ops->softmax_quantised(weights + 2 * r * ld, scores + r * ld, a->keys);
    }
    g = (sotto__product){.a = weights,
                         .lda = 2 * ld,
                         .rows = rows,
                         .a_scale = scale,
                         .b = &a->packed_v[head],
                         .c = a->out + r0 * a->ldo + head * j->width,
                         .ldc = a->ldo};
    ops->product(&g, 0, sotto__panels(j->width));
}

static bool in_bytes(const sotto__nn *nn, const sotto__attention *a)
{
    return a->packed_k && a->bytes && nn->ops->bytes && !a->raw;
}

/* The same with queries and weights of 8 bits. */
static void byte_block(const struct job *j, const sotto__attention *a, size_t head, size_t r0, size_t rows,
                       float *scores)
{
    enum { MAX_WIDTH = 256 };
    const sotto__byte_ops *bytes = j->nn->ops->bytes;
    const size_t ld = (a->keys + 31) / 32 * 32, ldq = (j->width + 3) / 4 * 4;
    int8_t q[SOTTO__ATTENTION_ROWS * MAX_WIDTH];
    float scale[SOTTO__ATTENTION_ROWS];
    int32_t sums[SOTTO__ATTENTION_ROWS];
    for (size_t r = 0; r < rows; r++) {
        bytes->quantise(q + r * ldq, scale + r, sums + r, a->q + (r0 + r) * a->ldq + head * j->width, j->width,
                        j->width);
        scale[r] *= j->scale;
    }
    sotto__byte_product g = {.a = q,
                             .lda = ldq,
                             .rows = rows,
                             .a_scale = scale,
                             .a_sums = sums,
                             .b = &a->packed_k[head],
                             .bias = a->key_bias,
                             .c = scores,
                             .ldc = ld};
    bytes->product(&g, 0, sotto__panels(a->keys));
    for (size_t r = 0; r < rows; r++)
        scale[r] = bytes->softmax((uint8_t *)(void *)(scores + r * ld), scores + r * ld, a->keys);
    g = (sotto__byte_product){.a = (const int8_t *)(const void *)scores,
                              .lda = ld * sizeof *scores,
                              .rows = rows,
                              .a_scale = scale,
                              .b = &a->packed_v[head],
                              .c = a->out + r0 * a->ldo + head * j->width,
                              .ldc = a->ldo};
    bytes->product(&g, 0, sotto__panels(j->width));
}

static size_t blocks_of(const sotto__attention *a)
{
    return (a->rows + SOTTO__ATTENTION_ROWS - 1) / SOTTO__ATTENTION_ROWS;
}

static void block_task(void *arg, size_t index, int thread)
{
    const struct job *j = arg;
    const sotto__ops *ops = j->nn->ops;
    const sotto__attention *a = j->a;
    float *scores = j->scratch + (size_t)thread * j->scratch_stride;
    size_t head, block, rows, seen;

    while (index >= blocks_of(a) * j->heads) {
        index -= blocks_of(a) * j->heads;
        a++;
    }
    head = index / blocks_of(a); /* one head's blocks in a row: its keys and values stay in the cache */
    block = index % blocks_of(a);
    const size_t r0 = block * SOTTO__ATTENTION_ROWS;
    rows = a->rows - r0 < SOTTO__ATTENTION_ROWS ? a->rows - r0 : SOTTO__ATTENTION_ROWS;
    if (in_bytes(j->nn, a)) {
        byte_block(j, a, head, r0, rows, scores);
        return;
    }
    if (a->packed_k) {
        packed_block(j, a, head, r0, rows, scores);
        return;
    }
    /* keys that the last row of the block sees */
    seen = a->causal ? a->keys - a->rows + r0 + rows : a->keys;
    const size_t ld = (seen + 15) / 16 * 16;
    const float *q = a->q + r0 * a->ldq + head * j->width;
    const float *k = a->k + head * a->k_head, *v = a->v + head * a->v_head;
    float *out = a->out + r0 * a->ldo + head * j->width;

    if (rows <= SOTTO__ATTENTION_FEW_ROWS) {
        for (size_t t = 0; t < seen; t++)
            for (size_t r = 0; r < rows; r++) scores[r * ld + t] = ops->dot(q + r * a->ldq, k + t * a->k_row, j->width);
    } else {
        ops->gemm_nt(rows, seen, j->width, q, a->ldq, k, a->k_row, 0.0f, scores, ld);
    }

    if (a->raw && a->raw[head]) {
        for (size_t r = 0; r < rows; r++) {
            float *raw = a->raw[head] + (r0 + r) * a->raw_ld;
            for (size_t t = 0; t < seen; t++) raw[t] = scores[r * ld + t] * j->scale;
        }
    }
    for (size_t r = 0; r < rows; r++) {
        const size_t own = a->causal ? a->keys - a->rows + r0 + r + 1 : seen;
        ops->softmax(scores + r * ld, j->scale, a->key_bias, own);
        if (own < seen) memset(scores + r * ld + own, 0, (seen - own) * sizeof *scores);
    }
    if (rows <= SOTTO__ATTENTION_FEW_ROWS) {
        for (size_t r = 0; r < rows; r++) memset(out + r * a->ldo, 0, j->width * sizeof *out);
        for (size_t t = 0; t < seen; t++) /* a masked score adds 0 */
            for (size_t r = 0; r < rows; r++)
                ops->axpy(out + r * a->ldo, scores[r * ld + t], v + t * a->v_row, j->width);
    } else {
        ops->gemm_nn(rows, j->width, seen, scores, ld, v, a->v_row, 0.0f, out, a->ldo);
    }
}

/* ---- packing ---- */

struct kv_job {
    const sotto__nn *nn;
    sotto__packed *kv;
    const float *k, *v;
    size_t ldx, keys, heads, width;
    int bits;
};

static size_t matrix_bytes(size_t in, size_t out, int bits)
{
    return sotto__round_64(sotto__packed_bytes(in, out, bits)) +
           sotto__round_64(sotto__panels(out) * SOTTO__PANEL * sizeof(float)); /* one group */
}

size_t sotto__kv_bytes(size_t keys, size_t heads, size_t width, int bits)
{
    return sotto__round_64(2 * heads * sizeof(sotto__packed)) +
           heads * (matrix_bytes(width, keys, bits) + matrix_bytes(keys, width, bits));
}

static unsigned char *place_matrix(sotto__packed *p, unsigned char *at, size_t in, size_t out, int bits)
{
    *p = (sotto__packed){
        .data = at, .in = in, .out = out, .group = in, .bits = bits, .largest = bits == 8 ? 127 : 32767};
    p->scale = (const float *)(void *)(at + sotto__round_64(sotto__packed_bytes(in, out, bits)));
    return at + matrix_bytes(in, out, bits);
}

/* One panel of keys (of `panels` a head) or of values. */
static void pack_panel(void *arg, size_t index, int thread)
{
    enum { MAX_WIDTH = 256 };
    const struct kv_job *j = arg;
    const size_t key_panels = sotto__panels(j->keys), value_panels = sotto__panels(j->width);
    const bool values = index < j->heads * value_panels; /* the longer ones first */
    const size_t per_head = values ? value_panels : key_panels;
    if (!values) index -= j->heads * value_panels;
    const size_t head = index / per_head, first = index % per_head * SOTTO__PANEL;
    sotto__packed *p = &j->kv[values ? j->heads + head : head];
    const size_t left = p->out - first, n = left < SOTTO__PANEL ? left : SOTTO__PANEL;
    unsigned char *data = (unsigned char *)p->data + first / SOTTO__PANEL * sotto__packed_bytes(p->in, 1, j->bits);
    float *scale = (float *)p->scale + first;
    int16_t row[MAX_WIDTH];
    (void)thread;
    if (values)
        j->nn->ops->pack_columns(data, scale, j->v + head * j->width + first, j->ldx, j->keys, n, j->bits);
    else
        j->nn->ops->pack_rows(data, scale, j->k + first * j->ldx + head * j->width, j->ldx, n, j->width, j->bits,
                              (float)p->largest, row);
}

void sotto__kv_pack(const sotto__nn *nn, sotto__packed *memory, const float *k, const float *v, size_t ldx, size_t keys,
                    size_t heads, size_t width, int bits)
{
    struct kv_job j = {nn, memory, k, v, ldx, keys, heads, width, bits};
    unsigned char *at = (unsigned char *)memory + sotto__round_64(2 * heads * sizeof *memory);
    for (size_t h = 0; h < heads; h++) at = place_matrix(&memory[h], at, width, keys, bits);
    for (size_t h = 0; h < heads; h++) at = place_matrix(&memory[heads + h], at, keys, width, bits);
    sotto__did(nn, 0, SOTTO__ON_FLOATS, 2 * keys * heads * width * (sizeof(float) + (size_t)bits / 8), 0);
    sotto__pool_run(nn->pool, pack_panel, &j, heads * (sotto__panels(width) + sotto__panels(keys)));
}

static void count_attention(const struct job *j, const sotto__attention *a)
{
    const size_t d = j->heads * j->width;
    const size_t value = a->packed_k ? (size_t)a->packed_k->bits / 8 : sizeof(float);
    const sotto__operands on = !a->packed_k ? SOTTO__ON_FLOATS : in_bytes(j->nn, a) ? SOTTO__ON_BYTES : SOTTO__ON_PAIRS;
    sotto__did(j->nn, 2 * a->rows * a->keys * d, on, 2 * a->rows * d * sizeof(float), 2 * a->keys * d * value);
}

void sotto__attention_run(const sotto__nn *nn, const sotto__attention *a, size_t n, size_t heads, size_t width,
                          float *scratch, size_t scratch_stride)
{
    struct job j = {nn, a, n, heads, width, scratch, scratch_stride, 1.0f / sqrtf((float)width)};
    size_t tasks = 0;
    for (size_t i = 0; i < n; i++) {
        tasks += blocks_of(&a[i]) * heads;
        count_attention(&j, &a[i]);
    }
    sotto__pool_run(nn->pool, block_task, &j, tasks);
}
