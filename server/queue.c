/* SPDX-License-Identifier: MIT
 * The queue (queue.h): a ring of waiting jobs and the ones that run. */
#include "queue.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

struct worker {
    pthread_cond_t wake; /* a job waits, or closed */
    bool idle;           /* sleeps, and nobody has woken it */
    job *running;
};

struct queue {
    pthread_mutex_t lock;
    size_t capacity, first, waiting, running, n_workers;
    bool closed;
    job **ring;             /* [capacity] */
    struct worker *workers; /* [n_workers] */
};

queue *queue_create(size_t capacity, size_t workers)
{
    queue *q = calloc(1, sizeof *q);
    if (!q) return NULL;
    q->capacity = capacity;
    q->n_workers = workers;
    q->ring = calloc(capacity, sizeof *q->ring);
    q->workers = calloc(workers, sizeof *q->workers);
    if (!q->ring || !q->workers) {
        free(q->ring);
        free(q->workers);
        free(q);
        return NULL;
    }
    pthread_mutex_init(&q->lock, NULL);
    for (size_t i = 0; i < workers; i++) pthread_cond_init(&q->workers[i].wake, NULL);
    return q;
}

void queue_free(queue *q)
{
    if (!q) return;
    for (size_t i = 0; i < q->n_workers; i++) pthread_cond_destroy(&q->workers[i].wake);
    pthread_mutex_destroy(&q->lock);
    free(q->ring);
    free(q->workers);
    free(q);
}

/* The lock is held. */
static queue_result look(const queue *q)
{
    return q->closed ? QUEUE_CLOSED : q->waiting == q->capacity ? QUEUE_FULL : QUEUE_OK;
}

queue_result queue_look(queue *q)
{
    pthread_mutex_lock(&q->lock);
    queue_result result = look(q);
    pthread_mutex_unlock(&q->lock);
    return result;
}

/* The lowest idle worker, so that few of them ever have to make what a job needs; the lock is held. */
static void wake_one(queue *q)
{
    for (size_t i = 0; i < q->n_workers; i++) {
        struct worker *w = &q->workers[i];
        if (!w->idle) continue;
        w->idle = false;
        pthread_cond_signal(&w->wake);
        return;
    }
}

queue_result queue_push(queue *q, job *j)
{
    pthread_mutex_lock(&q->lock);
    queue_result result = look(q);
    if (result == QUEUE_OK) {
        j->state = JOB_QUEUED;
        j->queued_at = clock_now_s();
        q->ring[(q->first + q->waiting++) % q->capacity] = job_hold(j);
        wake_one(q);
    }
    pthread_mutex_unlock(&q->lock);
    return result;
}

job *queue_pop(queue *q, size_t worker)
{
    struct worker *w = &q->workers[worker];
    job *j = NULL;
    pthread_mutex_lock(&q->lock);
    while (q->waiting == 0 && !q->closed) {
        w->idle = true;
        pthread_cond_wait(&w->wake, &q->lock);
    }
    w->idle = false;
    if (q->waiting > 0) {
        j = q->ring[q->first];
        q->first = (q->first + 1) % q->capacity;
        q->waiting--;
        q->running++;
        w->running = j;
        j->state = JOB_RUNNING;
        j->started_at = clock_now_s();
    }
    pthread_mutex_unlock(&q->lock);
    return j;
}

/* Tells the owner and lets go; the lock is not held, as on_done may take others. */
static void end(job *j)
{
    if (j->on_done) j->on_done(j, j->user);
    job_release(j);
}

void queue_finish(queue *q, size_t worker, bool done)
{
    pthread_mutex_lock(&q->lock);
    job *j = q->workers[worker].running;
    q->workers[worker].running = NULL;
    q->running--;
    j->state = done ? JOB_DONE : JOB_CANCELLED;
    pthread_mutex_unlock(&q->lock);
    end(j);
}

/* The socket stays open as long as its connection is suspended, that is until on_done. */
static bool client_gone(const job *j)
{
    struct pollfd p = {.fd = j->client_fd, .events = POLLRDHUP};
    return j->client_fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Takes all waiting jobs, or those whose clients left, out of the ring, keeping order, and ends them. Called with the
 * lock held, returns without it. */
static void remove_waiting(queue *q, bool all)
{
    size_t kept = 0, n = q->waiting;
    job *ended = NULL;
    for (size_t i = 0; i < n; i++) {
        job *j = q->ring[(q->first + i) % q->capacity];
        if (all || client_gone(j)) {
            j->state = JOB_CANCELLED;
            j->next_ended = ended;
            ended = j;
        } else {
            q->ring[(q->first + kept++) % q->capacity] = j;
        }
    }
    q->waiting = kept;
    pthread_mutex_unlock(&q->lock);
    while (ended) {
        job *j = ended;
        ended = j->next_ended;
        end(j);
    }
}

size_t queue_sweep(queue *q, void (*cancel)(void *user, size_t worker), void *user)
{
    pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < q->n_workers; i++) {
        job *j = q->workers[i].running;
        if (!j) continue;
        if (client_gone(j)) atomic_store(&j->cancelled, true);
        if (atomic_load(&j->cancelled)) cancel(user, i);
    }
    remove_waiting(q, false);
    return queue_waiting(q) + queue_running(q);
}

void queue_close(queue *q, bool abort)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    for (size_t i = 0; i < q->n_workers; i++) {
        pthread_cond_signal(&q->workers[i].wake);
        if (abort && q->workers[i].running) atomic_store(&q->workers[i].running->cancelled, true);
    }
    if (abort)
        remove_waiting(q, true);
    else
        pthread_mutex_unlock(&q->lock);
}

size_t queue_waiting(queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->waiting;
    pthread_mutex_unlock(&q->lock);
    return n;
}

size_t queue_running(queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->running;
    pthread_mutex_unlock(&q->lock);
    return n;
}
