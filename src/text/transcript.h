/* SPDX-License-Identifier: MIT
 * The growing transcript: finished segments that own their text, tokens and words. */
#ifndef SOTTO_TEXT_TRANSCRIPT_H
#define SOTTO_TEXT_TRANSCRIPT_H

#include "text/segment.h"
#include "text/transcribe.h"

void sotto__transcript_clear(sotto__transcript *t);

/* What every segment of a window has in common, and one draft with its text, to be copied. */
typedef struct sotto__finished {
    size_t seek;
    double temperature, avg_logprob, compression_ratio, no_speech_prob;
    const sotto__drafts *drafts;
    const sotto__draft *draft;
    const int32_t *tokens; /* [draft->n] */
    const float *logprobs; /* [draft->n] */
    const char *text;
    size_t text_len;
} sotto__finished;

sotto_status sotto__transcript_add(sotto__transcript *t, const sotto__finished *one, sotto_error *err);

/* Adds a copy of `s`; its id is its place. */
sotto_status sotto__transcript_copy(sotto__transcript *t, const sotto_segment *s, sotto_error *err);

/* Moves all segments of `from` behind those of `t`. */
sotto_status sotto__transcript_move(sotto__transcript *t, sotto__transcript *from, sotto_error *err);

/* Sets *text to what the segments since the last call add to the whole text: joined over all calls it is the beginning
 * of what sotto__transcript_join makes, stripped likewise. Half a character, or white space, at its end is told with
 * what follows. Valid until the next call. */
sotto_status sotto__transcript_tell(sotto__transcript *t, const sotto__tokenizer *tokenizer, const char **text,
                                    sotto_error *err);

/* Moves segment `i` of `from`, which keeps an empty place, to where it belongs in time among those of `t`. */
sotto_status sotto__transcript_insert(sotto__transcript *t, sotto__transcript *from, size_t i, sotto_error *err);

/* The segments so far; moved by the next add. */
const sotto_segment *sotto__transcript_segments(const sotto__transcript *t, size_t *n);

/* Sets the language (a static string) and the whole text, which is copied. */
const char *sotto__transcript_language(const sotto__transcript *t, double *probability);
void sotto__transcript_set_language(sotto__transcript *t, const char *code, double probability);
/* Sets the whole text to that of all segments' tokens, decoded together, as a character may span two segments. */
sotto_status sotto__transcript_join(sotto__transcript *t, const sotto__tokenizer *tokenizer, sotto_error *err);
sotto_status sotto__transcript_set_text(sotto__transcript *t, const char *text, size_t n, sotto_error *err);

#endif
