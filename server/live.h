/* SPDX-License-Identifier: MIT
 * Live captions: clients that send audio over a WebSocket and get words back while they speak. Two threads a stream:
 * one reads and writes the socket and never waits, the other hears. */
#ifndef SOTTOD_LIVE_H
#define SOTTOD_LIVE_H

#include "engine.h"
#include "reply.h"
#include "sotto.h"

typedef struct lives lives; /* all streams of the daemon */
typedef struct live live;   /* one */

typedef struct lives_config {
    pool *pool;
    engine *engine; /* has the totals */
    size_t most;    /* streams at a time */
    double idle_s;  /* a client silent for so long is pinged, after twice of it dropped */
} lives_config;

/* What `c` points at must outlive the streams. */
sotto_status lives_start(lives **out, const lives_config *c, sotto_error *err);
/* No new ones; those there are confirm what they were sent, and end. Returns at once. */
void lives_end(lives *all);
/* Cuts short what has not ended, waits for the threads. NULL is fine for both. False: the opening of a stream does not
 * return (its detector lies on a disk that does not answer, say), and goes on using model, engine and `all`, which must
 * not be freed any more. */
bool lives_stop(lives *all);
/* After lives_stop, when no live_* call can come any more. */
void lives_free(lives *all);

size_t lives_count(lives *all);
/* One place for a stream that is served elsewhere (realtime.h): it counts as those here. False with *e (503). */
bool lives_reserve(lives *all, api_error *e);
void lives_release(lives *all);
/* The engine's totals, and in them the work of the streams that go on. */
void lives_get_totals(lives *all, engine_totals *out);

typedef enum live_samples { LIVE_S16, LIVE_F32 } live_samples;

/* What a client asks for. */
typedef struct live_request {
    sotto_stream_options options;
    live_samples samples; /* how they are sent, both little-endian */
    size_t model;         /* which of the daemon's */
} live_request;

/* Takes a place and opens a stream on a thread of its own, because reading the detector may take any time; the texts of
 * the options are copied. When that is through, or given up, `on_open(user)` is called once, from any thread, and
 * live_is_open is to be called next. NULL with *e, and no call of on_open: 503 when there is no place. */
live *live_open(lives *all, const live_request *asked, const char *id, void (*on_open)(void *user), void *user,
                api_error *e);
/* Once, after on_open: is there a stream? Else false with *e. The next call is live_begin (if there is one) or
 * live_drop. */
bool live_is_open(live *l, api_error *e);
/* The handshake is done: serves `fd` from now on, `extra` being bytes that came early. When it is over `on_over` is
 * called once, from any thread; `fd` is not touched afterwards. */
void live_begin(live *l, int fd, const void *extra, size_t n_extra, void (*on_over)(void *user), void *user);
/* No live_begin will come, but on_open has: the client left, or there is no stream. */
void live_drop(live *l);

#endif
