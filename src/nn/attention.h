/* SPDX-License-Identifier: MIT
 * Scaled dot-product attention over heads, scores never wider than a block of rows. */
#ifndef SOTTO_NN_ATTENTION_H
#define SOTTO_NN_ATTENTION_H

#include <stdbool.h>

#include "nn/linear.h"

/* One query block of one head group: queries q[rows, …] against keys and values of `keys` positions.
 * Head h of query row r is q + r * ldq + h * width; of key t is k + h * k_head + t * k_row (values alike); of output
 * row r is out + r * ldo + h * width. */
typedef struct sotto__attention {
    const float *q, *k, *v;
    float *out;
    size_t ldq, ldo;
    size_t k_head, k_row, v_head, v_row; /* strides in floats */
    size_t rows, keys;
    const float *key_bias; /* NULL, or [keys]: added to every scaled score of that key */
    bool causal;           /* row r sees keys 0 … keys - rows + r only */
    float **raw;           /* NULL, or [heads]: where head h's raw scaled scores go, [rows, raw_ld], NULL = nowhere */
    size_t raw_ld;
    const sotto__packed *packed_k, *packed_v; /* NULL, or [heads] each: taken instead of k and v; not causal */
    bool bytes; /* both in 8 bits: queries and weights too, where the kernel table has products of bytes; no raw */
} sotto__attention;

/* Rows of queries worked on together: bounds the scratch that callers provide. */
enum { SOTTO__ATTENTION_ROWS = 48 };

/* Up to so many rows are worked on one by one: what a row gets does not depend on the others, to the bit. */
enum { SOTTO__ATTENTION_FEW_ROWS = 8 };

/* Floats of scratch that one thread needs for up to `keys` keys. */
size_t sotto__attention_scratch(size_t keys);

/* Keys and values k, v [keys, heads * width] (stride ldx) of all heads as packed matrices of 8 or 16 bits: memory holds
 * heads keys, then heads values, then what they point to, and has the room that sotto__kv_bytes tells. */
size_t sotto__kv_bytes(size_t keys, size_t heads, size_t width, int bits);
void sotto__kv_pack(const sotto__nn *nn, sotto__packed *memory, const float *k, const float *v, size_t ldx, size_t keys,
                    size_t heads, size_t width, int bits);

/* Runs all `n` attentions, each over `heads` heads of `width`; scratch[threads][sotto__attention_scratch(max keys)]. */
void sotto__attention_run(const sotto__nn *nn, const sotto__attention *a, size_t n, size_t heads, size_t width,
                          float *scratch, size_t scratch_stride);

#endif
