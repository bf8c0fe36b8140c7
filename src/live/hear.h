/* SPDX-License-Identifier: MIT
 * Hearing a caption window: samples -> log-mel -> encoder -> decoder, with the confirmed words forced and the last
 * hypothesis as a draft -> words with times. */
#ifndef SOTTO_LIVE_HEAR_H
#define SOTTO_LIVE_HEAR_H

#include "live/frontier.h"
#include "model/runtime.h"

/* Caches, rules and scratch memory of one stream. */
typedef struct sotto__hearer sotto__hearer;

/* Task and language are those of `options`; the language is borrowed. SOTTO_EINVAL for options that do not suit the
 * model, SOTTO_EUNSUPPORTED for a model without alignment heads. */
sotto_status sotto__hearer_create(sotto__hearer **out, sotto__runtime *rt, const sotto_stream_options *options,
                                  sotto_error *err);
void sotto__hearer_free(sotto__hearer *h);

typedef struct sotto__hearing {
    const float *samples; /* of the window, at most 30 s */
    size_t n;
    uint64_t start;         /* position of the first in the stream: samples heard before are taken as known */
    const int32_t *history; /* text tokens before the window */
    size_t n_history;
    const sotto__frontier *before; /* of the window: its confirmed words are forced, the others a draft */
    const char *language;          /* code; NULL = to be told from the window */
    bool final;                    /* nothing follows: failing decodings are repeated as in a transcription */
} sotto__hearing;

typedef struct sotto__verdict {
    bool trusted;         /* false: repeats itself, does not end, or is improbable; then `out` is empty */
    const char *language; /* code */
} sotto__verdict;

/* Fills *out (emptied first). Without speech in the window, as the model sees it, there are no words. */
sotto_status sotto__hear(sotto__hearer *h, const sotto__hearing *ask, sotto__hypothesis *out, sotto__verdict *verdict,
                         sotto_error *err);

#endif
