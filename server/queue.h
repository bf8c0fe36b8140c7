/* SPDX-License-Identifier: MIT
 * Bounded first-in first-out queue between the HTTP thread and the engine's workers. It owns the states of jobs: all
 * changes happen under its one lock. */
#ifndef SOTTOD_QUEUE_H
#define SOTTOD_QUEUE_H

#include "job.h"

typedef struct queue queue;
typedef enum queue_result { QUEUE_OK, QUEUE_FULL, QUEUE_CLOSED } queue_result;

/* At most `capacity` >= 1 jobs wait, besides those running on `workers` >= 1 threads. */
queue *queue_create(size_t capacity, size_t workers);
/* Closed and empty by now. */
void queue_free(queue *q);

/* On QUEUE_OK the queue holds a reference of its own and on_done will be called once, from another thread. Never
 * blocks. */
queue_result queue_push(queue *q, job *j);
/* Would a push be refused now? */
queue_result queue_look(queue *q);

/* Waits for a job and marks it running on `worker`, 0 … workers - 1, which is one thread; the caller gets the queue's
 * reference and must call queue_finish. Of idle workers the lowest gets the next job. NULL once the queue is closed and
 * empty. */
job *queue_pop(queue *q, size_t worker);
/* Ends the job that runs on `worker`: sets its state, calls on_done, releases the reference. */
void queue_finish(queue *q, size_t worker, bool done);

/* Looks for clients that hung up. Their waiting jobs end as cancelled; for a running one `cancel` is called with its
 * worker, under the lock, so that the job cannot end meanwhile. Returns the number of jobs waiting or running. A client
 * that closes only its sending half counts as gone. */
size_t queue_sweep(queue *q, void (*cancel)(void *user, size_t worker), void *user);

/* No pushes any more. With `abort`, waiting jobs end as cancelled and running ones are marked so. */
void queue_close(queue *q, bool abort);

size_t queue_waiting(queue *q);
size_t queue_running(queue *q);

#endif
