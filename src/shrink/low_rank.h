/* SPDX-License-Identifier: MIT
 * A matrix as the product of two thin ones. */
#ifndef SOTTO_SHRINK_LOW_RANK_H
#define SOTTO_SHRINK_LOW_RANK_H

#include <stddef.h>

#include "sotto.h"

/* w[out, in] ~ b a with a[rank, in] and b[out, rank], so that |(w - b a) X|_F is least, X X^T being gram [in, in] with
 * 1 % of its mean diagonal added (SVD-LLM, Wang et al. 2024, arXiv:2403.07378); gram NULL: X = 1, the plain truncated
 * SVD. Column k of b and row k of a have the same norm. rank is 1 … min(out, in), else SOTTO_EINVAL, as for a weight
 * that is not finite; SOTTO_ENOMEM. */
sotto_status sotto__low_rank(float *a, float *b, const float *w, size_t out, size_t in, size_t rank, const float *gram,
                             sotto_error *err);

#endif
