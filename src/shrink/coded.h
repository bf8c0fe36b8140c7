/* SPDX-License-Identifier: MIT
 * Matrices of weights as small integers: how a matrix is to be coded, the codes, and the way from one to the other. */
#ifndef SOTTO_SHRINK_CODED_H
#define SOTTO_SHRINK_CODED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sotto.h"

typedef struct sotto__coding {
    int bits;     /* 2 … 8 */
    size_t group; /* inputs that share a scale, counted from input 0, the last group may be shorter; 0 = a whole row */
    bool asymmetric; /* every group has a zero point of its own */
    bool gptq;       /* feed errors forward: GPTQ, Frantar et al. 2022, arXiv:2210.17323 */
    bool awq;        /* scale inputs by what they carry first: AWQ, Lin et al. 2023, arXiv:2306.00978 */
    bool centred;    /* code what is left of an input's weights less their mean, over their deviation */
    double rate;     /* 0, or the bits that a code has on average once it is packed (its entropy): then one step for the
                        whole matrix, times a column that makes an error of one step cost the same in every input; bits is
                        8, group 0, and neither asymmetric nor awq */
    const uint8_t *rare; /* NULL, or [out]: not 0 for rows with fewer bits (or another rate) than the others */
    double rare_bits;    /* of those; a whole number up to bits where rate is 0 */
} sotto__coding;

/* w[out, in]: value (o, i) = offset[i] + column[i] * scale[o][g] * (code[o][i] - zero[o][g]), g = i / group */
typedef struct sotto__coded {
    size_t out, in, group; /* group: 1 … in */
    int bits;
    uint8_t *codes;   /* [out, in], 0 … 2^bits - 1; of rare rows the middle 2^rare_bits of these, or with zero points
                         0 … 2^rare_bits - 1 */
    uint16_t *scale;  /* [out, groups] IEEE half, of either sign; groups = ceil(in / group) */
    uint8_t *zero;    /* [out, groups], or NULL: 2^(bits - 1) everywhere (symmetric) */
    uint16_t *column; /* [in] IEEE half, or NULL = 1 */
    uint16_t *offset; /* [in] IEEE half, or NULL = 0 */
} sotto__coded;

/* Codes w[rows, in]. gram is the sum of x x^T over inputs x that the layer saw, [in, in], or NULL; only its proportions
 * count. With it a group's scale is the one with the least squared error weighted by the mean square of each input;
 * without, each input weighs the same. gptq and awq need it. Where it is singular, or partly not finite, damping makes
 * up for that (gram.h). A weight that is exactly 0 stays exactly 0 in every mode but centred; with gptq so does the
 * weight of an input that was 0 throughout. A group of zeros, or of values that half precision cannot scale, has scale
 * 0. Step sizes at a rate are found on some of the rows, to a few hundredths of a bit; steps beyond -128 … 127 are
 * clipped. With gptq a column is what rounding leaves of that input once later ones have made up for it, so that the
 * product of all errors is least for the bits; without, one over the root mean square.
 * On success the caller frees *out; on failure it is all zeros. SOTTO_EINVAL: coding out of range, no gram where one
 * is needed, a weight that is not finite. SOTTO_ENOMEM. Thread-safe; the result does not depend on threads. */
sotto_status sotto__quantise(sotto__coded *out, const float *w, size_t rows, size_t in, const sotto__coding *c,
                             const float *gram, sotto_error *err);
void sotto__coded_free(sotto__coded *c);

/* Row o in floats: y[in]. */
void sotto__dequantise_row(const sotto__coded *c, size_t o, float *y);

#endif
