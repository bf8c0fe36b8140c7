/* SPDX-License-Identifier: MIT
 * Jobs from a queue in Redis that many daemons share (--queue URL, docs/QUEUE.md). A thread takes as many as the engine
 * has room for, behind all requests that someone waits for, and stores what they become; those of a worker that died
 * are taken over. A result that cannot be stored, because Redis is away, waits here until it can. */
#ifndef SOTTOD_WORKER_H
#define SOTTOD_WORKER_H

#include <stdint.h>

#include "sotto.h"

typedef struct worker worker;
typedef struct server server;

/* Without --queue there is none: *out stays NULL, SOTTO_OK. Redis need not be there yet. */
sotto_status worker_start(worker **out, server *s, sotto_error *err);

/* For these NULL is fine. Takes no more; returns at once. */
void worker_drain(worker *w);
/* Stores what is done, gives back what is not. The queue is closed and the engine joined. */
void worker_stop(worker *w);

typedef struct worker_counts {
    bool connected;
    size_t running;
    uint64_t taken, taken_over, stored, repeated, connections; /* repeated: another worker had answered */
} worker_counts;
/* False when there is no worker. */
bool worker_get_counts(worker *w, worker_counts *out);

#endif
