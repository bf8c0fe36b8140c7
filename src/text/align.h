/* SPDX-License-Identifier: MIT
 * Cross-attention scores of a known token sequence to the times of its tokens. Mirrors the arithmetic of
 * whisper.timing.find_alignment: softmax, normalisation, median filter, dynamic time warping. Pure functions. */
#ifndef SOTTO_TEXT_ALIGN_H
#define SOTTO_TEXT_ALIGN_H

#include "sotto.h"

enum { SOTTO__MEDIAN_WIDTH = 7, SOTTO__POSITIONS_PER_SECOND = 50 };

/* out[n] = running median of 7 over x[n], the ends mirrored without repeating the edge; a copy for n <= 3. `scratch`
 * holds n + 6 floats. NANs sort last. */
void sotto__median_filter(const float *x, size_t n, float *scratch, float *out);

/* scores[heads, tokens, frames] (overwritten) -> matrix[tokens, frames]: softmax over frames, (w - mean) / std over
 * tokens, median filter over frames, mean over heads. */
sotto_status sotto__attention_matrix(float *scores, size_t heads, size_t tokens, size_t frames, float *matrix,
                                     sotto_error *err);

/* The cheapest monotonic path through -matrix[n, m] from corner to corner: the first column of each row on it, into
 * first[n]. Ties go as in whisper.timing.dtw_cpu. With m = 0 all are -1. */
sotto_status sotto__dtw(const float *matrix, size_t n, size_t m, int32_t *first, sotto_error *err);

#endif
