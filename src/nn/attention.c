/* SPDX-License-Identifier: MIT
 * softmax(q k^T / sqrt(width)) v, a block of SOTTO__ATTENTION_ROWS query rows of one head a task. Whisper scales q and
 * k by width^-1/4 each (model.py, MultiHeadAttention.qkv_attention); with width 64 that is the same power of two. */
#include "nn/attention.h"

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

size_t sotto__attention_scratch(size_t keys) { return (size_t)SOTTO__ATTENTION_ROWS * ((keys + 15) / 16 * 16); }

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
    head = index % j->heads;
    block = index / j->heads;
    const size_t r0 = block * SOTTO__ATTENTION_ROWS;
    rows = a->rows - r0 < SOTTO__ATTENTION_ROWS ? a->rows - r0 : SOTTO__ATTENTION_ROWS;
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

void sotto__attention_run(const sotto__nn *nn, const sotto__attention *a, size_t n, size_t heads, size_t width,
                          float *scratch, size_t scratch_stride)
{
    struct job j = {nn, a, n, heads, width, scratch, scratch_stride, 1.0f / sqrtf((float)width)};
    size_t tasks = 0;
    for (size_t i = 0; i < n; i++) tasks += blocks_of(&a[i]) * heads;
    sotto__pool_run(nn->pool, block_task, &j, tasks);
}
