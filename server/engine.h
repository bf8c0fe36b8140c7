/* SPDX-License-Identifier: MIT
 * The threads that transcribe: each takes jobs from the queue, runs them on a session of its own of the model that is
 * asked for and writes their replies. Sessions of one model at work at the same time share its decoder passes. Also the
 * totals of all work, that of live streams included. */
#ifndef SOTTOD_ENGINE_H
#define SOTTOD_ENGINE_H

#include "pool.h"
#include "queue.h"
#include "sotto.h"

typedef struct engine engine;

typedef struct engine_totals {
    /* sum.wall_s: seconds in which something ran, so that recordings transcribed at the same time count once */
    sotto_counts sum, last;
    uint64_t touched[SOTTO_PART_COUNT]; /* most of each part that any run touched */
    uint64_t last_touched[SOTTO_PART_COUNT];
    uint64_t failed, cancelled;
} engine_totals;

/* `models` and `q`, which has as many workers, must outlive the engine. A slot keeps the session of
 * its last job, until a job of another model comes or the model is unloaded. */
sotto_status engine_start(engine **out, pool *models, queue *q, size_t slots, const char *vad_path, sotto_error *err);
/* Cancels the run that is going on in that slot, if any. For queue_sweep. */
void engine_cancel(void *engine, size_t slot);
/* Waits for the threads to end; the queue must have been closed. The totals can be read until engine_free. NULL is fine
 * for both. */
void engine_join(engine *e);
void engine_free(engine *e);

/* What became of a live stream (live.h). */
typedef enum engine_outcome { ENGINE_DONE, ENGINE_FAILED, ENGINE_CANCELLED } engine_outcome;
/* A stream has heard for `seconds`, until now. */
void engine_add_hearing(engine *e, double seconds);
/* A stream ended: its work joins the totals; done, it is one of the runs. */
void engine_add_stream(engine *e, const sotto_counts *counts, const uint64_t touched[SOTTO_PART_COUNT],
                       engine_outcome outcome);
/* Each part of `most` becomes the larger one. */
void engine_touch(uint64_t most[SOTTO_PART_COUNT], const uint64_t touched[SOTTO_PART_COUNT]);

void engine_get_totals(engine *e, engine_totals *out);
/* Of recordings transcribed with one of the models; sum.wall_s is the sum of what each took. */
void engine_get_model_totals(engine *e, size_t model, engine_totals *out);
/* Seconds in which so many recordings get done, by the rate of the last ones; 1 to 600. */
unsigned engine_retry_after(engine *e, size_t recordings);

#endif
