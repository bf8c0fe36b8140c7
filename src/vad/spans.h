/* SPDX-License-Identifier: MIT
 * Speech probabilities -> spans of speech -> chunks of at most 30 s to transcribe. Pure functions; all positions are
 * samples at 16 kHz, [start, end). */
#ifndef SOTTO_VAD_SPANS_H
#define SOTTO_VAD_SPANS_H

#include "sotto.h"

typedef struct sotto__span {
    uint64_t start, end;
} sotto__span;

/* Zero-initialise; free with sotto__spans_free. Functions below replace what it holds. */
typedef struct sotto__spans {
    sotto__span *items;
    size_t n, cap;
} sotto__spans;

void sotto__spans_free(sotto__spans *spans);

/* Named and defaulted as in silero_vad's get_speech_timestamps(). */
typedef struct sotto__vad_options {
    double threshold;                    /* 0.5: speech from here up */
    double neg_threshold;                /* silence below; NAN = max(threshold - 0.15, 0.01) */
    double min_speech_duration_ms;       /* 250: shorter spans are dropped */
    double max_speech_duration_s;        /* INFINITY: longer ones are cut, at a silence if they hold one */
    double min_silence_duration_ms;      /* 100: shorter silences do not end a span */
    double speech_pad_ms;                /* 30: added on both sides */
    double min_silence_at_max_speech;    /* 98 ms: silences longer than this serve to cut */
    bool use_max_poss_sil_at_max_speech; /* true: cut at the longest of them; false: at the last */
} sotto__vad_options;

void sotto__vad_options_default(sotto__vad_options *o);

/* get_speech_timestamps_from_probs: the speech in a recording of `samples` samples with one probability for each
 * started 512 of them. */
sotto_status sotto__vad_spans(const float *probabilities, size_t n, uint64_t samples, const sotto__vad_options *o,
                              sotto__spans *out, sotto_error *err);

typedef struct sotto__chunk_options {
    uint64_t max;  /* 480000 = 30 s: longest chunk; a multiple of `grid` */
    uint64_t pad;  /* 3200 = 0.2 s: silence kept before and behind a chunk, where there is that much */
    uint64_t grid; /* 160 = one feature frame: chunks begin and end at multiples, or at the recording's end */
} sotto__chunk_options;

void sotto__chunk_options_default(sotto__chunk_options *o);

/* Stretches of the recording that together hold every sample of `spans` (ordered, disjoint) exactly once, ordered,
 * disjoint, none longer than o->max. Neighbouring spans share a chunk, with the silence between them, while it stays
 * within o->max; a chunk that is full is cut at the longest silence of its second half or behind it; a span longer than
 * that is cut where speech is least probable (`probabilities` as above). */
sotto_status sotto__vad_chunks(const sotto__spans *spans, const float *probabilities, size_t n, uint64_t samples,
                               const sotto__chunk_options *o, sotto__spans *out, sotto_error *err);

#endif
