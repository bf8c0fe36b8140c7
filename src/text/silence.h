/* SPDX-License-Identifier: MIT
 * hallucination_silence_threshold: where made-up words surrounded by silence are dropped, and where listening goes on.
 * Mirrors that part of whisper.transcribe; pure functions. */
#ifndef SOTTO_TEXT_SILENCE_H
#define SOTTO_TEXT_SILENCE_H

#include "text/segment.h"

/* How suspicious a word is: improbable, very short or very long. */
double sotto__word_anomaly(const sotto__draft_word *w);
/* Whether a segment looks made up, going by its first 8 words that are not punctuation. */
bool sotto__draft_is_anomaly(const sotto__drafts *d, const sotto__draft *s);

typedef struct sotto__silence {
    double threshold_s;
    double last_speech_s;  /* end of the speech before this window */
    size_t seek, frames;   /* the window */
    size_t window_frames;  /* that a whole one has */
    size_t content_frames; /* of the recording */
} sotto__silence;

/* Adjusts *next_seek and drops suspicious drafts. False when the whole window is to be thrown away and heard again from
 * *next_seek on. */
bool sotto__silence_skip(const sotto__silence *in, sotto__drafts *d, size_t *next_seek);

#endif
