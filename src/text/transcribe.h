/* SPDX-License-Identifier: MIT
 * Features in, segments out: the window loop of whisper.transcribe (seek, prompts, fallback, segments, words). */
#ifndef SOTTO_TEXT_TRANSCRIBE_H
#define SOTTO_TEXT_TRANSCRIBE_H

#include "audio/features.h"
#include "model/runtime.h"

typedef struct sotto__transcript sotto__transcript; /* segments with owned text, tokens and words, growing */

sotto_status sotto__transcript_create(sotto__transcript **out, sotto_error *err);
void sotto__transcript_free(sotto__transcript *t);

/* Frames begin … end-1 of the features. */
typedef struct sotto__stretch {
    size_t begin, end;
} sotto__stretch;

/* A stretch to transcribe, and where in the recording there is speech: stretches in order, borrowed. With some, the
 * speech of the part that its segments leave out is decoded again, coverage.h says which. */
typedef struct sotto__part {
    size_t begin, end;
    const sotto__stretch *speech;
    size_t n_speech;
} sotto__part;

/* What options->offset_s and duration_s leave of `frames` frames; empty where there is nothing. */
sotto__stretch sotto__wanted_frames(const sotto_options *options, size_t frames);

/* Fills `t` (emptied first) from finished features. Calls options->on_progress after every window. Adds tokens_*,
 * fallbacks, windows_skipped to the runtime's counts. Returns SOTTO_EINVAL naming the option for bad options. */
sotto_status sotto__transcribe(sotto__runtime *rt, const sotto__features *f, const sotto_options *options,
                               sotto__transcript *t, sotto_error *err);

/* The same, and gaps in `speech` decoded again, without options->sequential and
 * hallucination_silence_threshold. Then on_progress is called once, at the
 * end. */
sotto_status sotto__transcribe_covering(sotto__runtime *rt, const sotto__features *f, const sotto_options *options,
                                        const sotto__stretch *speech, size_t n_speech, sotto__transcript *t,
                                        sotto_error *err);

/* The same in steps, for recordings that are transcribed in parts: `options` and `f` are borrowed until the free. A run
 * fills `t` with the segments of a part (its text is not put together), times counting from the
 * recording's start and within the part; `language` is the code that an earlier part was found to have, or NULL. */
typedef struct sotto__transcriber sotto__transcriber;
sotto_status sotto__transcriber_create(sotto__transcriber **out, sotto__runtime *rt, const sotto__features *f,
                                       const sotto_options *options, sotto_error *err);
void sotto__transcriber_free(sotto__transcriber *r);
sotto_status sotto__transcriber_run(sotto__transcriber *r, const sotto__part *part, const char *language,
                                    sotto__transcript *t, sotto_error *err);

/* Sets result's text, language, language_probability, segments and n_segments to what `t` owns (valid until it
 * changes). */
void sotto__transcript_view(const sotto__transcript *t, sotto_result *result);

#endif
