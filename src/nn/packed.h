/* SPDX-License-Identifier: MIT
 * Matrices of small integers in the order that the integer kernels read: weights (16, 8 or 4 bits, a scale for every
 * output and group of inputs) and, made on the fly, the keys and values of attention (16 or 8 bits, one group).
 *
 * y[o] = sum over groups g of scale[g][o] * sum over i in g of q[o][i] * x[i]. The outputs lie in panels of 16; a panel
 * holds, for each pair of inputs 2p and 2p + 1, the 16 outputs' two values next to each other:
 *
 *     data[(o / 16) * pairs * 32 + (i / 2) * 32 + (o % 16) * 2 + i % 2],   pairs = ceil(in / 2)
 *     scale[((o / 16) * groups + i / group) * 16 + o % 16]
 *
 * so that one multiply-and-add-pairs instruction serves 4, 8 or 16 outputs and any register width reads the same bytes.
 * Where in or out leave a remainder, zeros fill it. Activations are 16-bit integers, one scale a row. */
#ifndef SOTTO_NN_PACKED_H
#define SOTTO_NN_PACKED_H

#include <stddef.h>
#include <stdint.h>

enum { SOTTO__PANEL = 16 };

typedef struct sotto__packed {
    const void *data;   /* int8_t or int16_t as above; 4 bits: see below */
    const float *scale; /* [panels, groups, 16] */
    size_t in, out;
    size_t group; /* inputs that share a scale; the last group may be shorter */
    int bits;     /* 4, 8 or 16 */
    int largest;  /* magnitude that a value may have as the product sees it */
} sotto__packed;

static inline size_t sotto__panels(size_t out) { return (out + SOTTO__PANEL - 1) / SOTTO__PANEL; }
static inline size_t sotto__pairs(size_t in) { return (in + 1) / 2; }

static inline size_t sotto__groups(size_t in, size_t group) { return (in + group - 1) / group; }

/* A matrix of weights: inputs in groups of 64 (32 where they have 4 bits), 16 bits holding -4095 … 4095, 8 bits
 * -127 … 127, 4 bits -8 … 7. */
sotto__packed sotto__packed_weights(const void *data, const float *scale, size_t in, size_t out, int bits);

/* The largest activation that a product may have, so that no group's sum leaves 32 bits. */
float sotto__activation_limit(const sotto__packed *b);

/* 4 bits, in groups of 32. A panel holds per group and per eight inputs 8e … 8e + 7, as 16-bit words in the order above
 * (16 outputs x 2), four pairs' values: bits 4t … 4t + 3 of word (o, j) are input 8e + 2t + j of output o, -8 … 7
 * stored as 0 … 15. in must be a multiple of 32. */
enum { SOTTO__GROUP4 = 32 };

/* Bytes of data, and floats of scale, of an [out, in] matrix of weights. */
size_t sotto__packed_bytes(size_t in, size_t out, int bits);
size_t sotto__packed_scales(size_t in, size_t out, int bits);

/* Quantises panel `panel` of w into data and scale. Value (o, i) is w[o * in + i]; with taps > 1, w is [taps, out, in]
 * and input tap * in + i is w[tap][o][i]. A group's scale maps its largest value to the largest integer; with 4 bits it
 * is the one of a few candidates with the least squared error. */
void sotto__pack(void *data, float *scale, const float *w, size_t in, size_t out, size_t taps, int bits, size_t panel);

/* Row o of the matrix in floats: y[in]. For tests and look-ups. */
void sotto__unpack_row(const sotto__packed *p, size_t o, float *y);

#endif
