/* SPDX-License-Identifier: MIT
 * Workers that take numbers, and the order restored (jobs.h). */
#include "jobs.h"

#include <pthread.h>
#include <stdlib.h>

#include "client.h"

typedef struct shared {
    const jobs *j;
    pthread_mutex_t lock;
    size_t next, turn;
    bool *done;
} shared;

typedef struct worker {
    shared *s;
    size_t number;
} worker;

static void *work_on(void *user)
{
    const worker *me = user;
    shared *s = me->s;
    const jobs *j = s->j;
    if (!j->open(me->number, j->user)) return NULL;
    pthread_mutex_lock(&s->lock);
    while (s->next < j->n && !j->stopped()) {
        const size_t i = s->next++;
        pthread_mutex_unlock(&s->lock);
        j->run(me->number, i, j->user);
        pthread_mutex_lock(&s->lock);
        s->done[i] = true;
        for (; s->turn < j->n && s->done[s->turn]; s->turn++) j->taken(s->turn, j->user);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void jobs_run(const jobs *j)
{
    shared s = {.j = j, .lock = PTHREAD_MUTEX_INITIALIZER, .done = calloc(j->n + 1, sizeof *s.done)};
    worker *workers = calloc(j->workers + 1, sizeof *workers);
    pthread_t *threads = calloc(j->workers + 1, sizeof *threads);
    size_t started = 0;
    if (s.done && workers && threads) {
        for (size_t i = 0; i < j->workers; i++) workers[i] = (worker){&s, i};
        /* Fewer threads than asked for just take longer. */
        while (started + 1 < j->workers && thread_start(&threads[started], work_on, &workers[started + 1]) == 0)
            started++;
        work_on(&workers[0]);
        while (started) pthread_join(threads[--started], NULL);
    }
    free(s.done);
    free(workers);
    free(threads);
}
