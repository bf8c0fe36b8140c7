/* SPDX-License-Identifier: MIT
 * What one hearing of a window took it for: text tokens, and the words that they make with their times. */
#ifndef SOTTO_LIVE_HYPOTHESIS_H
#define SOTTO_LIVE_HYPOTHESIS_H

#include "base/checked.h"
#include "sotto.h"

typedef struct sotto__heard_word {
    size_t token_end;      /* its tokens end here; they begin where those of the word before end */
    size_t begin, end;     /* bytes of the text */
    double start_s, end_s; /* from the window's start */
    double probability;
} sotto__heard_word;

/* Zero-initialise; free with sotto__hypothesis_free. */
typedef struct sotto__hypothesis {
    sotto__ids tokens; /* text tokens only */
    sotto__heard_word *words;
    size_t n, cap;
    sotto__str text;
} sotto__hypothesis;

void sotto__hypothesis_clear(sotto__hypothesis *h);
void sotto__hypothesis_free(sotto__hypothesis *h);

#endif
