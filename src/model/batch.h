/* SPDX-License-Identifier: MIT
 * The desk where the sessions of a model meet: continuous batching by rendezvous.
 *
 * Each session runs in its caller's thread and hands its windows and decoder steps to the desk. One of the waiting
 * threads executes at a time, on the model's pool: windows first, one after the other, then one decoder pass over the
 * steps of all sessions that decode. A sequence joins and leaves between two passes; no result depends on what else was
 * in a pass. */
#ifndef SOTTO_MODEL_BATCH_H
#define SOTTO_MODEL_BATCH_H

#include <pthread.h>

#include "sotto.h"

typedef struct sotto__desk sotto__desk;
struct sotto__work;

/* model->nn and the dimensions must be set. */
sotto_status sotto__desk_open(sotto__desk **out, sotto_model *model, sotto_error *err);
void sotto__desk_free(sotto__desk *desk);

/* Scratch memory of whoever executes. */
struct sotto__work *sotto__desk_work(sotto__desk *desk);

/* Since the model was opened: decoder passes computed, and sessions' steps in them; their quotient is the mean batch.
 */
typedef struct sotto__desk_tally {
    uint64_t passes, steps;
} sotto__desk_tally;
sotto__desk_tally sotto__desk_get_tally(sotto__desk *desk);

#endif
