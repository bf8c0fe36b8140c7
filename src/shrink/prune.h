/* SPDX-License-Identifier: MIT
 * What can go from a matrix: single weights (set to zero), and whole inputs, that is attention heads or MLP neurons, by
 * what their absence does to the layer's outputs. gram is always the sum of x x^T over the layer's inputs, [in, in]. */
#ifndef SOTTO_SHRINK_PRUNE_H
#define SOTTO_SHRINK_PRUNE_H

#include <stddef.h>

#include "sotto.h"

/* Sets the round(fraction * n) values of smallest magnitude to zero; of equal ones the first. Values that are zero
 * already count among them. NaN counts as largest. SOTTO_EINVAL: fraction not in 0 … 1. */
sotto_status sotto__prune_magnitude(float *w, size_t n, double fraction, sotto_error *err);

/* Wanda (Sun et al. 2023, arXiv:2306.11695): in every row of w[out, in] the round(fraction * in) weights with the
 * smallest |w| * sqrt(gram[i][i]). SOTTO_EINVAL as above or without gram, SOTTO_ENOMEM. */
sotto_status sotto__prune_wanda(float *w, size_t out, size_t in, double fraction, const float *gram, sotto_error *err);

/* The squared change of the outputs of y = w x, summed over what gram was summed over, when head h's inputs, columns
 * h * width … of w[out, heads * width], are taken away: score[h] = trace(W_h G_hh W_h^T). SOTTO_ENOMEM. */
sotto_status sotto__score_heads(double *score, const float *w, size_t out, size_t heads, size_t width,
                                const float *gram, sotto_error *err);

/* The same for single inputs: score[j] = gram[j][j] * |w[:, j]|^2. */
void sotto__score_inputs(double *score, const float *w, size_t out, size_t in, const float *gram);

/* What w[out, in] becomes when only the inputs keep[0 … kept - 1] (ascending) remain: to[out, kept], the least-squares
 * imitation of the old outputs, W_K + W_R G_RK (G_KK + d)^-1 with R the inputs that go and d 1 % of the mean of G_KK's
 * diagonal; without damping that is W G_:K G_KK^-1. gram NULL: the columns as they are. Biases stay. SOTTO_EINVAL when
 * keep is not ascending below in, SOTTO_ENOMEM. */
sotto_status sotto__compensate(float *to, const float *w, size_t out, size_t in, const size_t *keep, size_t kept,
                               const float *gram, sotto_error *err);

#endif
