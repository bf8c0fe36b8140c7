/* SPDX-License-Identifier: MIT
 * Aligned words to the words of segments: punctuation joins its word, overlong words are cut back, segments take the
 * times of their words. Mirrors whisper.timing.merge_punctuations and add_word_timestamps; pure functions. */
#ifndef SOTTO_TEXT_WORDS_H
#define SOTTO_TEXT_WORDS_H

#include "text/segment.h"

/* A word as aligned; times count from the window's start. An empty text means: merged into a neighbour. */
typedef struct sotto__timing {
    size_t begin, end; /* bytes of the text that all timings share; neighbours lie next to each other */
    size_t n_tokens;
    double start_s, end_s, probability;
} sotto__timing;

/* Python's `needle in haystack`: the empty needle is in everything. */
bool sotto__is_within(const char *needle, size_t n, const char *haystack);

/* Half the longest plausible word: the median of the non-zero durations, 0.7 s at most, 0 without any. Words longer
 * than twice that at sentence ends are cut back. */
sotto_status sotto__timings_trim(sotto__timing *t, size_t n, const char *text, double *median_s, sotto_error *err);

void sotto__timings_merge(sotto__timing *t, size_t n, const char *text);

/* Hands the words out to the drafts of the window that starts at `seek`; n_text_tokens[i] are those of draft i.
 * Adjusts the drafts' times. */
sotto_status sotto__timings_place(const sotto__timing *t, size_t n, const char *text, double median_s, size_t seek,
                                  const size_t *n_text_tokens, double last_speech_s, sotto__drafts *d,
                                  sotto_error *err);

#endif
