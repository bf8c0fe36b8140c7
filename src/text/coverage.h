/* SPDX-License-Identifier: MIT
 * Speech that no segment holds: stretches of speech (frames, ordered, disjoint) against segments. Pure. */
#ifndef SOTTO_TEXT_COVERAGE_H
#define SOTTO_TEXT_COVERAGE_H

#include "text/transcribe.h"

enum {
    SOTTO__GAP_FRAMES = 100, /* speech outside segments of 1 s or more is a gap, */
    SOTTO__GAP_JOIN = 50,    /* also when it is in pieces with less than 0.5 s between them and no segment */
    SOTTO__GAP_PAD = 20      /* 0.2 s on both sides are decoded with it, where no segment is */
};

typedef struct sotto__gap {
    size_t begin, end; /* frames */
    size_t low, high;  /* frames that the segments around it, or the range asked for, leave free */
} sotto__gap;

/* Zero-initialise; free with sotto__gaps_free. */
typedef struct sotto__gaps {
    sotto__gap *items;
    size_t n, cap;
    size_t speech, covered; /* frames of speech, and those of them in segments */
} sotto__gaps;

void sotto__gaps_free(sotto__gaps *g);

/* The gaps of frames begin … end-1; replaces what `out` holds. Segments may be in any order and overlap. */
sotto_status sotto__gaps_find(const sotto__stretch *speech, size_t n_speech, const sotto_segment *segments, size_t n,
                              sotto__stretch range, sotto__gaps *out, sotto_error *err);

#endif
