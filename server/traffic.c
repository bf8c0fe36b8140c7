/* SPDX-License-Identifier: MIT
 * Counting requests (traffic.h). */
#include "traffic.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const double traffic_bounds[TRAFFIC_BUCKETS] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800};

struct traffic {
    pthread_mutex_t lock;
    traffic_counts counts;
};

traffic *traffic_create(void)
{
    traffic *t = calloc(1, sizeof *t);
    if (t) pthread_mutex_init(&t->lock, NULL);
    return t;
}

void traffic_free(traffic *t)
{
    if (!t) return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static void add_time(traffic_times *to, double seconds)
{
    size_t i = 0;
    while (i < TRAFFIC_BUCKETS && seconds > traffic_bounds[i]) i++;
    to->buckets[i]++;
    to->sum_s += seconds;
}

void traffic_request(traffic *t, const char *route, unsigned status, uint64_t received_bytes)
{
    traffic_counts *c = &t->counts;
    size_t i = 0;
    pthread_mutex_lock(&t->lock);
    while (i < c->n_kinds && !(c->kinds[i].status == status && strcmp(c->kinds[i].route, route) == 0)) i++;
    if (i == c->n_kinds && i < TRAFFIC_KINDS) c->kinds[c->n_kinds++] = (traffic_kind){.route = route, .status = status};
    c->kinds[i < TRAFFIC_KINDS ? i : TRAFFIC_KINDS - 1].n++;
    c->received_bytes += received_bytes;
    pthread_mutex_unlock(&t->lock);
}

void traffic_transcription(traffic *t, double answer_s, double queue_s)
{
    pthread_mutex_lock(&t->lock);
    add_time(&t->counts.answer, answer_s);
    add_time(&t->counts.queue, queue_s);
    pthread_mutex_unlock(&t->lock);
}

void traffic_get(traffic *t, traffic_counts *out)
{
    pthread_mutex_lock(&t->lock);
    *out = t->counts;
    pthread_mutex_unlock(&t->lock);
}
