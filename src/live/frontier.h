/* SPDX-License-Identifier: MIT
 * The commit frontier of a caption window: which words of its hypotheses are confirmed, and where the window may be
 * cut. Pure functions of words and tokens; no audio, no model.
 *
 * LocalAgreement-2 (arXiv:2307.14743, "Turning Whisper into Real-Time Transcription System"): words on which two
 * hypotheses in a row agree are confirmed. Here the tokens of confirmed words then begin every later hypothesis of the
 * window (the decoder is made to say them), so they cannot change. */
#ifndef SOTTO_LIVE_FRONTIER_H
#define SOTTO_LIVE_FRONTIER_H

#include "live/hypothesis.h"

/* Zero-initialise; free with sotto__frontier_free. */
typedef struct sotto__frontier {
    sotto__hypothesis now; /* the last hypothesis; its first `confirmed` words are confirmed */
    size_t confirmed;
} sotto__frontier;

void sotto__frontier_free(sotto__frontier *f);

/* Forgets the window. */
void sotto__frontier_reset(sotto__frontier *f);

/* Tokens of the confirmed words, and those after them. Borrowed from f->now. */
const int32_t *sotto__frontier_forced(const sotto__frontier *f, size_t *n);
const int32_t *sotto__frontier_draft(const sotto__frontier *f, size_t *n);

/* Takes `next` (swapped with f->now), which begins with the confirmed words, and confirms what it and the hypothesis
 * before agree on, but for words that end less than sotto__frontier_wait_s before the end of the window, which is
 * `length_s` long; none in a window of less than 3 s without confirmed words. Words agree that are alike but for case
 * and punctuation; the later form is confirmed. */
void sotto__frontier_advance(sotto__frontier *f, sotto__hypothesis *next, double length_s, double sure_s);

/* How much has to be heard behind a word before it is confirmed, seconds: sure_s + 5 (1 - p)^1.5, p being the lesser of
 * its probabilities in the two hypotheses. */
double sotto__frontier_wait_s(double sure_s, double probability);

/* Confirms what ends by `until_s`. */
void sotto__frontier_settle(sotto__frontier *f, double until_s);

/* Confirms everything. */
void sotto__frontier_finish(sotto__frontier *f);

/* A place to cut the window at: words 0 … words-1, all confirmed, end before it. words = 0: none. */
typedef struct sotto__cut {
    size_t words;
    double at_s;
} sotto__cut;

/* The last end of a confirmed sentence, if another word follows; with `anywhere`, failing that, the longest gap behind
 * a confirmed word. */
sotto__cut sotto__frontier_cut(const sotto__frontier *f, bool anywhere);

/* Takes the first cut->words words away and shifts the times of the rest. */
void sotto__frontier_drop(sotto__frontier *f, const sotto__cut *cut);

/* Whether two words are the same but for case and punctuation. */
bool sotto__same_word(const char *a, size_t n_a, const char *b, size_t n_b);

#endif
