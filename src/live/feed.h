/* SPDX-License-Identifier: MIT
 * Between the thread that pushes audio and the one that hears it: a buffer of 16 kHz samples under a lock. Positions
 * are samples since the stream began. */
#ifndef SOTTO_LIVE_FEED_H
#define SOTTO_LIVE_FEED_H

#include "sotto.h"

typedef struct sotto__feed sotto__feed;

sotto_status sotto__feed_create(sotto__feed **out, int32_t sample_rate, sotto_error *err);
void sotto__feed_free(sotto__feed *f);

/* The pushing side. */
sotto_status sotto__feed_push(sotto__feed *f, const float *samples, size_t n, sotto_error *err);
void sotto__feed_end(sotto__feed *f);

/* Any thread. */
void sotto__feed_cancel(sotto__feed *f);
void sotto__feed_get_state(sotto__feed *f, sotto_stream_state *state);

/* The hearing side. */
typedef enum sotto__feed_news {
    SOTTO__FEED_CHUNK,   /* `chunk` is filled; after the end with zeros behind the last samples */
    SOTTO__FEED_NOTHING, /* the deadline came first */
    SOTTO__FEED_END,     /* the stream was ended and all samples were taken */
    SOTTO__FEED_CANCELLED
} sotto__feed_news;

/* Waits, until `deadline` on the monotonic clock, for samples at … at+n-1. *more: those after them are there, too. */
sotto__feed_news sotto__feed_take(sotto__feed *f, uint64_t at, double deadline, float *chunk, size_t n, bool *more);

/* Samples from … from+n-1, none of them released; zeros for those not pushed. */
void sotto__feed_copy(sotto__feed *f, uint64_t from, size_t n, float *dst);

/* Samples before `from` are not needed any more; `at` and the rest are for the state. */
void sotto__feed_release(sotto__feed *f, uint64_t from, uint64_t at, double interval_s, bool speech);

#endif
