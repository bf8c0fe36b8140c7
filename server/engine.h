/* SPDX-License-Identifier: MIT
 * The one thread that transcribes: takes jobs from the queue, runs them on its session, writes their replies, adds up
 * what was counted. */
#ifndef SOTTOD_ENGINE_H
#define SOTTOD_ENGINE_H

#include "queue.h"
#include "sotto.h"

typedef struct engine engine;

typedef struct engine_totals {
    sotto_counts sum, last;
    uint64_t touched[SOTTO_PART_COUNT]; /* most of each part that any run touched */
    uint64_t last_touched[SOTTO_PART_COUNT];
    uint64_t failed, cancelled;
} engine_totals;

/* `model` and `q` must outlive the engine. */
sotto_status engine_start(engine **out, sotto_model *model, queue *q, sotto_error *err);
/* Cancels the run that is going on, if any. For queue_sweep. */
void engine_cancel(void *engine);
/* Waits for the thread to end; the queue must have been closed. The totals can be read until engine_free. NULL is fine
 * for both. */
void engine_join(engine *e);
void engine_free(engine *e);

void engine_get_totals(engine *e, engine_totals *out);
/* Seconds after which a refused client may well get a place. */
unsigned engine_retry_after(engine *e);

#endif
