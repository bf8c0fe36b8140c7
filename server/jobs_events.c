/* SPDX-License-Identifier: MIT
 * A list of those who follow jobs (jobs_events.h). */
#include "jobs_events.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"

typedef struct follower {
    struct follower *next;
    events *events;
    char id[JOBS_ID_BYTES];
} follower;

struct followers {
    pthread_mutex_t lock;
    follower *first;
    bool closed;
};

followers *followers_create(void)
{
    followers *f = calloc(1, sizeof *f);
    if (f) pthread_mutex_init(&f->lock, NULL);
    return f;
}

void followers_free(followers *f)
{
    if (!f) return;
    for (follower *one = f->first, *next; one; one = next) {
        next = one->next;
        free(one);
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void followers_lock(followers *f) { pthread_mutex_lock(&f->lock); }

void followers_unlock(followers *f) { pthread_mutex_unlock(&f->lock); }

bool followers_add(followers *f, const char *id, events *e)
{
    follower *one = f->closed ? NULL : calloc(1, sizeof *one);
    if (!one) return false;
    snprintf(one->id, sizeof one->id, "%s", id);
    one->events = e;
    one->next = f->first;
    f->first = one;
    return true;
}

static const follower *find(const follower *one, const char *id)
{
    while (one && strcmp(one->id, id) != 0) one = one->next;
    return one;
}

bool followers_any(const followers *f, const char *id) { return find(f->first, id); }

void followers_tell(followers *f, const char *id, json_t *event)
{
    for (const follower *one = find(f->first, id); one; one = find(one->next, id))
        if (!events_add(one->events, json_incref(event))) events_end(one->events, NULL);
    json_decref(event);
}

void followers_done(followers *f, const char *id)
{
    for (const follower *one = find(f->first, id); one; one = find(one->next, id)) events_end(one->events, "[DONE]");
}

void followers_remove(followers *f, const events *e)
{
    followers_lock(f);
    for (follower **at = &f->first; *at; at = &(*at)->next) {
        follower *one = *at;
        if (one->events != e) continue;
        *at = one->next;
        free(one);
        break;
    }
    followers_unlock(f);
}

void followers_ping(followers *f)
{
    followers_lock(f);
    for (const follower *one = f->first; one; one = one->next) events_ping(one->events);
    followers_unlock(f);
}

void followers_close(followers *f)
{
    followers_lock(f);
    f->closed = true;
    for (const follower *one = f->first; one; one = one->next) events_end(one->events, NULL);
    followers_unlock(f);
}
