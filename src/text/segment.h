/* SPDX-License-Identifier: MIT
 * A window's tokens cut into segments at their timestamps, still without text. Mirrors the cutting in
 * whisper.transcribe. */
#ifndef SOTTO_TEXT_SEGMENT_H
#define SOTTO_TEXT_SEGMENT_H

#include "base/checked.h"
#include "sotto.h"

/* A word of a draft: text in sotto__drafts.text. */
typedef struct sotto__draft_word {
    size_t begin, end; /* bytes of the text */
    double start_s, end_s, probability;
    size_t n_tokens;
} sotto__draft_word;

typedef struct sotto__draft {
    double start_s, end_s;
    size_t first, n;            /* its tokens among the window's, timestamps included */
    size_t first_word, n_words; /* its words in sotto__drafts.words */
} sotto__draft;

/* The segments of one window. Zero-initialise; free with sotto__drafts_free. */
typedef struct sotto__drafts {
    sotto__draft *items;
    size_t n, cap;
    sotto__draft_word *words;
    size_t n_words, cap_words;
    sotto__str text; /* of all words */
    size_t advance;  /* frames from this window's start to the next one's */
    bool single_timestamp_ending;
} sotto__drafts;

void sotto__drafts_free(sotto__drafts *d);

/* What follows the last pair of timestamps in the last window of a part: text becomes a segment that ends with the
 * window, as the next part does not hear it again; a second or less without text is left. d->advance says whether the
 * rest is done with. */
sotto_status sotto__segments_close(sotto__drafts *d, const int32_t *tokens, size_t n, int32_t timestamp_begin,
                                   size_t seek, size_t frames, sotto_error *err);

/* Fills `d` (emptied first) from the n tokens of the window that starts at frame `seek` and holds `frames` frames.
 * Tokens >= timestamp_begin are times in steps of 0.02 s. */
sotto_status sotto__segments_cut(sotto__drafts *d, const int32_t *tokens, size_t n, int32_t timestamp_begin,
                                 size_t seek, size_t frames, sotto_error *err);

/* whisper.utils.get_end: the end of the last word, of the last segment when no segment has words; false when there is
 * no segment. */
bool sotto__drafts_end(const sotto__drafts *d, double *end_s);

#endif
