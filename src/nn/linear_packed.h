/* SPDX-License-Identifier: MIT
 * Layers whose weights are packed integers; linear.c hands them over. */
#ifndef SOTTO_NN_LINEAR_PACKED_H
#define SOTTO_NN_LINEAR_PACKED_H

#include "nn/linear.h"

/* sotto__linear_run or, with `to`, sotto__linear_each, and with `norm` sotto__norm_linear_run, of a layer with
 * packed.data. */
void sotto__packed_run(const sotto__nn *nn, const sotto__norm *norm, const sotto__linear *layer, const float *x,
                       size_t ldx, size_t rows, float *y, size_t ldy, float *const *to, sotto__epilogue epilogue);

/* sotto__mlp_run, if both layers take bytes; else false and nothing is done. */
bool sotto__packed_mlp_run(const sotto__nn *nn, const sotto__norm *norm, const sotto__linear *up,
                           const sotto__linear *down, const float *x, size_t rows, float *wide, float *y);

#endif
