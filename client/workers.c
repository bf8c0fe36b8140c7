/* SPDX-License-Identifier: MIT
 * Workers that take numbers, and the order restored (workers.h). */
#include "workers.h"

#include <pthread.h>
#include <stdlib.h>

#include "client.h"

typedef struct shared {
    const workers *w;
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
    const workers *w = s->w;
    if (!w->open(me->number, w->user)) return NULL;
    pthread_mutex_lock(&s->lock);
    while (s->next < w->n && !w->stopped()) {
        const size_t i = s->next++;
        pthread_mutex_unlock(&s->lock);
        w->run(me->number, i, w->user);
        pthread_mutex_lock(&s->lock);
        s->done[i] = true;
        for (; s->turn < w->n && s->done[s->turn]; s->turn++) w->taken(s->turn, w->user);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void workers_run(const workers *w)
{
    shared s = {.w = w, .lock = PTHREAD_MUTEX_INITIALIZER, .done = calloc(w->n + 1, sizeof *s.done)};
    worker *each = calloc(w->workers + 1, sizeof *each);
    pthread_t *threads = calloc(w->workers + 1, sizeof *threads);
    size_t started = 0;
    if (s.done && each && threads) {
        for (size_t i = 0; i < w->workers; i++) each[i] = (worker){&s, i};
        /* Fewer threads than asked for just take longer. */
        while (started + 1 < w->workers && thread_start(&threads[started], work_on, &each[started + 1]) == 0) started++;
        work_on(&each[0]);
        while (started) pthread_join(threads[--started], NULL);
    }
    free(s.done);
    free(each);
    free(threads);
}
