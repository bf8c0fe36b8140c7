/* SPDX-License-Identifier: MIT
 * A pool of worker threads owned by a model: one parallel-for, used by every kernel, so that no library under us starts
 * threads of its own. */
#ifndef SOTTO_BASE_POOL_H
#define SOTTO_BASE_POOL_H

#include "sotto.h"

typedef struct sotto__pool sotto__pool;
/* `thread` is 0 … threads - 1 and tells scratch memory apart. */
typedef void sotto__task(void *arg, size_t index, int thread);

/* `threads` >= 1 counts the caller: threads - 1 workers are started. 0 = sotto__processors(). */
sotto_status sotto__pool_create(sotto__pool **out, int threads, sotto_error *err);
void sotto__pool_free(sotto__pool *pool);
int sotto__pool_threads(const sotto__pool *pool);

/* Calls task(arg, i, thread) for i in 0 … n-1, spread over the threads, the caller among them; returns when all are
 * done. Callers on several threads take turns. Indices are claimed in order; a task must not call sotto__pool_run. */
void sotto__pool_run(sotto__pool *pool, sotto__task *task, void *arg, size_t n);

/* Between two stretches of work: the calling thread may run anywhere again. sotto__pool_run may have bound it to the
 * processors that have no worker. */
void sotto__pool_leave(const sotto__pool *pool);

#endif
