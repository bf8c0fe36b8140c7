/* SPDX-License-Identifier: MIT
 * Looking after slow connections (visitors.h). */
#include "visitors.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "job.h"
#include "log.h"
#include "options.h"

struct visitor {
    visitors *all;
    visitor *before, *after;
    int fd;
    visitor_phase phase;
    double since;
    uint64_t bytes; /* of the body */
    bool shut;
};

struct visitors {
    pthread_t thread;
    double patience_s, rate;
    pthread_mutex_t lock; /* of what follows, and of every visitor */
    pthread_cond_t news;  /* someone came where nobody was, or the end */
    visitor *first;
    size_t n;
    bool stop;
};

static bool is_late(const visitors *v, const visitor *one, double now)
{
    const double spent_s = now - one->since - v->patience_s;
    if (one->phase == VISITOR_HEAD) return spent_s > 0;
    return one->phase == VISITOR_BODY && v->rate > 0 && spent_s > (double)one->bytes / v->rate;
}

/* The lock is held. */
static void look(visitors *v)
{
    const double now = clock_now_s();
    for (visitor *one = v->first; one; one = one->after) {
        if (one->shut || !is_late(v, one, now)) continue;
        one->shut = true;
        shutdown(one->fd, SHUT_RDWR);
        log_event(LOG_INFO, "slow", "phase=%s seconds=%.1f bytes=%llu", one->phase == VISITOR_HEAD ? "head" : "body",
                  now - one->since, (unsigned long long)one->bytes);
    }
}

static void *work(void *arg)
{
    static const struct timespec tick = {.tv_nsec = 250000000};
    visitors *v = arg;
    pthread_mutex_lock(&v->lock);
    while (!v->stop) {
        if (!v->first) {
            pthread_cond_wait(&v->news, &v->lock);
            continue;
        }
        pthread_mutex_unlock(&v->lock);
        nanosleep(&tick, NULL);
        pthread_mutex_lock(&v->lock);
        look(v);
    }
    pthread_mutex_unlock(&v->lock);
    return NULL;
}

sotto_status visitors_start(visitors **out, double patience_s, double rate, sotto_error *err)
{
    *out = NULL;
    visitors *v = calloc(1, sizeof *v);
    if (!v) return options_fail(err, SOTTO_ENOMEM, "out of memory: connections");
    v->patience_s = patience_s;
    v->rate = rate;
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->news, NULL);
    if (pthread_create(&v->thread, NULL, work, v) == 0) {
        *out = v;
        return SOTTO_OK;
    }
    pthread_mutex_destroy(&v->lock);
    pthread_cond_destroy(&v->news);
    free(v);
    return options_fail(err, SOTTO_EIO, "the thread that looks after slow connections could not be started");
}

void visitors_stop(visitors *v)
{
    if (!v) return;
    pthread_mutex_lock(&v->lock);
    v->stop = true;
    pthread_cond_signal(&v->news);
    pthread_mutex_unlock(&v->lock);
    pthread_join(v->thread, NULL);
    pthread_mutex_destroy(&v->lock);
    pthread_cond_destroy(&v->news);
    free(v);
}

visitor *visitor_enter(visitors *v, int fd)
{
    visitor *one = calloc(1, sizeof *one);
    if (!one) return NULL;
    *one = (visitor){.all = v, .fd = fd, .phase = VISITOR_HEAD, .since = clock_now_s()};
    pthread_mutex_lock(&v->lock);
    one->after = v->first;
    if (v->first) v->first->before = one;
    v->first = one;
    v->n++;
    pthread_cond_signal(&v->news);
    pthread_mutex_unlock(&v->lock);
    return one;
}

void visitor_leave(visitor *one)
{
    if (!one) return;
    visitors *v = one->all;
    pthread_mutex_lock(&v->lock);
    if (one->after) one->after->before = one->before;
    *(one->before ? &one->before->after : &v->first) = one->after;
    v->n--;
    pthread_mutex_unlock(&v->lock);
    free(one);
}

void visitor_turn(visitor *one, visitor_phase phase)
{
    if (!one) return;
    pthread_mutex_lock(&one->all->lock);
    one->phase = phase;
    one->since = clock_now_s();
    one->bytes = 0;
    pthread_mutex_unlock(&one->all->lock);
}

void visitor_received(visitor *one, size_t n)
{
    if (!one) return;
    pthread_mutex_lock(&one->all->lock);
    one->bytes += n;
    pthread_mutex_unlock(&one->all->lock);
}

size_t visitors_count(visitors *v)
{
    pthread_mutex_lock(&v->lock);
    size_t n = v->n;
    pthread_mutex_unlock(&v->lock);
    return n;
}
