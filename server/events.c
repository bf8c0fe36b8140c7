/* SPDX-License-Identifier: MIT
 * A buffer between two threads (events.h). */
#include "events.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct events {
    events_reader reader;
    pthread_mutex_t lock; /* of what follows */
    char *bytes;          /* [cap]: unread from `at` to `len` */
    size_t at, len, cap;
    bool begun, ended, suspended;
};

events *events_create(const events_reader *reader)
{
    events *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->reader = *reader;
    pthread_mutex_init(&e->lock, NULL);
    return e;
}

void events_free(events *e)
{
    if (!e) return;
    pthread_mutex_destroy(&e->lock);
    free(e->bytes);
    free(e);
}

/* The lock is held. */
static bool append(events *e, const char *text, size_t n)
{
    if (e->at > 0) {
        memmove(e->bytes, e->bytes + e->at, e->len - e->at);
        e->len -= e->at;
        e->at = 0;
    }
    if (n > e->cap - e->len) {
        size_t cap = e->cap ? e->cap : 1024;
        while (cap < e->len + n) cap *= 2;
        char *bytes = realloc(e->bytes, cap);
        if (!bytes) return false;
        e->bytes = bytes;
        e->cap = cap;
    }
    memcpy(e->bytes + e->len, text, n);
    e->len += n;
    return true;
}

/* "data: TEXT", an empty line; both or nothing. The lock is held. */
static bool append_event(events *e, const char *text)
{
    static const char head[] = "data: ", tail[] = "\n\n";
    const size_t unread = e->len - e->at, n = strlen(text);
    if (n > EVENTS_UNREAD_BYTES - sizeof head - sizeof tail ||
        unread > EVENTS_UNREAD_BYTES - sizeof head - sizeof tail - n)
        return false;
    if (append(e, head, strlen(head)) && append(e, text, n) && append(e, tail, strlen(tail))) return true;
    e->len = e->at + unread;
    return false;
}

/* Ends the locked section, and the reader's sleep. */
static void unlock_and_wake(events *e)
{
    const bool wake = e->suspended;
    e->suspended = false;
    pthread_mutex_unlock(&e->lock);
    if (wake) e->reader.resume(e->reader.user);
}

bool events_add(events *e, json_t *data)
{
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
    bool added = false;
    json_decref(data);
    if (!text) return false;
    pthread_mutex_lock(&e->lock);
    added = !e->ended && append_event(e, text);
    e->begun |= added;
    if (added)
        unlock_and_wake(e);
    else
        pthread_mutex_unlock(&e->lock);
    free(text);
    return added;
}

void events_end(events *e, const char *text)
{
    pthread_mutex_lock(&e->lock);
    /* The reader has read all it will get of a stream that is too long to be ended in due form. */
    if (!e->ended && text && append_event(e, text)) e->begun = true;
    e->ended = true;
    unlock_and_wake(e);
}

void events_ping(events *e)
{
    static const char comment[] = ":\n\n";
    pthread_mutex_lock(&e->lock);
    if (!e->ended && e->at == e->len && append(e, comment, sizeof comment - 1))
        unlock_and_wake(e);
    else
        pthread_mutex_unlock(&e->lock);
}

bool events_begun(events *e)
{
    pthread_mutex_lock(&e->lock);
    const bool begun = e->begun;
    pthread_mutex_unlock(&e->lock);
    return begun;
}

/* Suspended with the lock held, so that no resume comes before it. */
static void suspend(events *e)
{
    e->reader.suspend(e->reader.user);
    e->suspended = true;
}

void events_wait(events *e)
{
    pthread_mutex_lock(&e->lock);
    if (!e->begun && !e->ended) suspend(e);
    pthread_mutex_unlock(&e->lock);
}

size_t events_take(events *e, char *to, size_t n, bool *over)
{
    pthread_mutex_lock(&e->lock);
    size_t got = e->len - e->at;
    if (got > n) got = n;
    if (got) memcpy(to, e->bytes + e->at, got);
    e->at += got;
    *over = got == 0 && e->ended;
    if (got == 0 && !e->ended) suspend(e);
    pthread_mutex_unlock(&e->lock);
    return got;
}
