/* SPDX-License-Identifier: MIT
 * Bounded queue between the HTTP thread and the engine's workers, shared fairly between clients. It owns the states of
 * jobs: all changes happen under its one lock.
 *
 * A free worker gets a job of the client that has the fewest running; of those, of the one that was served longest ago;
 * of a client's jobs the oldest. So many requests of one client make the others wait for one of them at most, and a
 * client that is alone has all workers. Jobs of the background, which nobody waits for, come after all others; their
 * owner pushes as many as may run. */
#ifndef SOTTOD_QUEUE_H
#define SOTTOD_QUEUE_H

#include "job.h"

typedef struct queue queue;
/* QUEUE_CLIENT_FULL: not the queue, but its share of one client. */
typedef enum queue_result { QUEUE_OK, QUEUE_FULL, QUEUE_CLIENT_FULL, QUEUE_CLOSED } queue_result;

/* At most `capacity` >= 1 jobs wait, besides those running on `workers` >= 1 threads, and at most `per_client` >= 1 of
 * one client wait or run. */
queue *queue_create(size_t capacity, size_t per_client, size_t workers);
/* Closed and empty by now. */
void queue_free(queue *q);

/* A job of the background is refused when as many of them wait as there are workers, and by no other bound.
 * On QUEUE_OK the queue holds a reference of its own and on_done will be called once, from another thread. Never
 * blocks. */
queue_result queue_push(queue *q, job *j);
/* Would a push of that client be refused now? */
queue_result queue_look(queue *q, const char *client);

/* Waits for a job and marks it running on `worker`, 0 … workers - 1, which is one thread; the caller gets the queue's
 * reference and must call queue_finish. Of idle workers the lowest gets the next job. NULL once the queue is closed and
 * empty. */
job *queue_pop(queue *q, size_t worker);
/* Ends the job that runs on `worker`: sets its state, calls on_done, releases the reference. */
void queue_finish(queue *q, size_t worker, bool done);

/* Looks for clients that hung up and for deadlines that are over. Such waiting jobs end as cancelled; for a running one
 * `cancel` is called with its worker, under the lock, so that the job cannot end meanwhile. Returns the number of jobs
 * waiting or running. A client that closes only its sending half counts as gone. */
size_t queue_sweep(queue *q, void (*cancel)(void *user, size_t worker), void *user);

/* No pushes any more. With `abort`, waiting jobs end as cancelled and running ones are marked so. */
void queue_close(queue *q, bool abort);

/* Clients with jobs that wait or run. */
size_t queue_clients(queue *q);
size_t queue_waiting(queue *q);
size_t queue_running(queue *q);

#endif
