/* SPDX-License-Identifier: MIT
 * The worker pool: jobs are handed over by a generation counter that workers spin on for a fraction of a millisecond
 * before they sleep on a condition variable, so that the many short products of a decoder step cost little to spread.
 *
 * Each worker keeps to a processor of its own and callers to the others. Left to itself, the system wakes a worker on
 * its caller's processor, where it waits behind a caller that never sleeps: encodings took as long as on one thread.
 *
 * A job is open from its announcement until the caller finds no index left; a worker that the system runs too late for
 * it is not waited for. On a busy machine a job then costs no more than the caller doing all of it. */
#include "base/pool.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/processors.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { MAX_THREADS = 256, SPINS = 8000, CLOSED = 1 << 30 };

struct worker {
    sotto__pool *pool;
    pthread_t thread;
    int number; /* 1 … threads - 1 */
};

struct sotto__pool {
    bool placed;            /* there is a processor for every thread */
    cpu_set_t all, callers; /* the process's processors; those without a worker */
    cpu_set_t *own;         /* [threads]: each worker's */
    int threads;            /* the caller counts as one */
    int n_workers;          /* threads - 1 once all have started */
    struct worker *workers;
    pthread_mutex_t turn;  /* held by the caller that runs a job */
    pthread_mutex_t sleep; /* guards `wake` */
    pthread_cond_t wake;
    atomic_uint generation; /* a new value is a new job */
    atomic_bool stop;
    atomic_int sleepers;
    /* the job: written under `turn` while `inside` is CLOSED */
    sotto__task *task;
    void *arg;
    size_t n;
    atomic_size_t next; /* next index to claim */
    atomic_int inside;  /* workers that look at the job, plus CLOSED while there is none */
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void work(sotto__pool *p, int thread)
{
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (i >= p->n) return;
        p->task(p->arg, i, thread);
    }
}

/* Blocks until the generation differs from `seen`; returns the new one. */
static unsigned await_job(sotto__pool *p, unsigned seen)
{
    unsigned now;
    for (int i = 0; i < SPINS; i++) {
        now = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (now != seen) return now;
        relax();
    }
    pthread_mutex_lock(&p->sleep);
    atomic_fetch_add(&p->sleepers, 1);
    while ((now = atomic_load(&p->generation)) == seen) pthread_cond_wait(&p->wake, &p->sleep);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->sleep);
    return now;
}

static void *worker_main(void *arg)
{
    const struct worker *w = arg;
    sotto__pool *p = w->pool;
    unsigned seen = 0;
    if (p->placed) sched_setaffinity(0, sizeof p->own[w->number], &p->own[w->number]); /* failing is fine */
    for (;;) {
        seen = await_job(p, seen);
        if (atomic_load(&p->stop)) return NULL;
        /* Inside an open job its fields stay as they are until we leave; it may be a later one than woke us. */
        if (!(atomic_fetch_add(&p->inside, 1) & CLOSED)) work(p, w->number);
        atomic_fetch_sub(&p->inside, 1);
    }
}

/* Raises the generation and wakes whoever sleeps. A worker raises `sleepers` before it looks at the generation for the
 * last time, and we raise the generation before we look at `sleepers`: one of the two sees the other. */
static void publish(sotto__pool *p)
{
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->sleep);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->sleep);
    }
}

/* The last processors of the affinity mask for the workers, the first ones for callers. */
static void place(sotto__pool *p)
{
    int worker = p->threads - 1;
    if (p->threads < 2 || sched_getaffinity(0, sizeof p->all, &p->all) != 0 || CPU_COUNT(&p->all) < p->threads) return;
    p->own = calloc((size_t)p->threads, sizeof *p->own);
    if (!p->own) return;
    p->callers = p->all;
    for (unsigned i = CPU_SETSIZE; i-- > 0 && worker > 0;) {
        if (!CPU_ISSET(i, &p->all)) continue;
        CPU_SET(i, &p->own[worker--]);
        CPU_CLR(i, &p->callers);
    }
    p->placed = true;
}

/* The calling thread was moved by enter() and has not left yet. */
static _Thread_local bool moved;

static void enter(const sotto__pool *p)
{
    const int processor = p->placed && !moved ? sched_getcpu() : -1;
    if (processor >= 0 && !CPU_ISSET((unsigned)processor, &p->callers))
        moved = sched_setaffinity(0, sizeof p->callers, &p->callers) == 0;
}

void sotto__pool_leave(const sotto__pool *p)
{
    if (moved) sched_setaffinity(0, sizeof p->all, &p->all);
    moved = false;
}

sotto_status sotto__pool_create(sotto__pool **out, int threads, sotto_error *err)
{
    sotto__pool *p;
    *out = NULL;
    if (threads == 0) {
        threads = sotto__processors();
        if (threads > MAX_THREADS) threads = MAX_THREADS;
    }
    if (threads < 0 || threads > MAX_THREADS)
        return sotto__fail(err, SOTTO_EINVAL, "threads is %d, expected 0 to %d", threads, MAX_THREADS);
    p = calloc(1, sizeof *p);
    if (!p) return sotto__fail_nomem(err, "thread pool");
    p->threads = threads;
    atomic_store(&p->inside, CLOSED);
    pthread_mutex_init(&p->turn, NULL);
    pthread_mutex_init(&p->sleep, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->workers = calloc((size_t)threads, sizeof *p->workers);
    if (!p->workers) {
        sotto__pool_free(p);
        return sotto__fail_nomem(err, "thread pool");
    }
    place(p);
    while (p->n_workers < threads - 1) {
        struct worker *w = &p->workers[p->n_workers];
        *w = (struct worker){.pool = p, .number = p->n_workers + 1};
        int rc = pthread_create(&w->thread, NULL, worker_main, w);
        if (rc) {
            sotto__fail(err, SOTTO_ENOMEM, "cannot start worker thread %d of %d (error %d)", p->n_workers + 1,
                        threads - 1, rc);
            sotto__pool_free(p);
            return SOTTO_ENOMEM;
        }
        p->n_workers++;
    }
    *out = p;
    return SOTTO_OK;
}

void sotto__pool_free(sotto__pool *p)
{
    if (!p) return;
    atomic_store(&p->stop, true);
    publish(p);
    for (int i = 0; i < p->n_workers; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->sleep);
    pthread_mutex_destroy(&p->turn);
    free(p->workers);
    free(p->own);
    free(p);
}

int sotto__pool_threads(const sotto__pool *p) { return p->threads; }

void sotto__pool_run(sotto__pool *p, sotto__task *task, void *arg, size_t n)
{
    if (n == 0) return;
    if (n == 1 || p->n_workers == 0) {
        for (size_t i = 0; i < n; i++) task(arg, i, 0);
        return;
    }
    enter(p);
    pthread_mutex_lock(&p->turn);
    p->task = task;
    p->arg = arg;
    p->n = n;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    atomic_fetch_sub(&p->inside, CLOSED);
    publish(p);
    work(p, 0);
    atomic_fetch_add(&p->inside, CLOSED);
    for (int i = 0; atomic_load(&p->inside) != CLOSED; i++) {
        if (i < SPINS)
            relax();
        else
            sched_yield();
    }
    pthread_mutex_unlock(&p->turn);
}
