/* SPDX-License-Identifier: MIT
 * A list of texts that forgets what is out of date (outbox.h). */
#include "outbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct letter {
    struct letter *next;
    outbox_kind kind;
    char *text;
    size_t n;
};

struct outbox {
    pthread_mutex_t lock;
    struct letter *first, **end;
    size_t bytes, limit;
    bool full; /* a caption was refused: none is taken any more, so that none is missing between two others */
};

outbox *outbox_create(size_t limit_bytes)
{
    outbox *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    pthread_mutex_init(&o->lock, NULL);
    o->end = &o->first;
    o->limit = limit_bytes;
    return o;
}

void outbox_free(outbox *o)
{
    if (!o) return;
    for (char *text; (text = outbox_take(o));) free(text);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

/* The lock is held. */
static void forget(outbox *o, outbox_kind kind)
{
    struct letter **at = &o->first;
    while (*at) {
        struct letter *l = *at;
        if (l->kind != kind) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        o->bytes -= l->n;
        free(l->text);
        free(l);
    }
    o->end = at;
}

bool outbox_put(outbox *o, outbox_kind kind, char *text)
{
    struct letter *l = text ? malloc(sizeof *l) : NULL;
    if (l) *l = (struct letter){.kind = kind, .text = text, .n = strlen(text)};
    pthread_mutex_lock(&o->lock);
    if (kind == OUTBOX_STATUS) forget(o, OUTBOX_STATUS);
    if (kind == OUTBOX_TENTATIVE || kind == OUTBOX_CAPTION) forget(o, OUTBOX_TENTATIVE);
    bool fits = l && (kind == OUTBOX_KEEP || (!o->full && o->bytes <= o->limit && l->n <= o->limit - o->bytes));
    o->full = o->full || (kind == OUTBOX_CAPTION && !fits);
    if (fits) {
        o->bytes += l->n;
        *o->end = l;
        o->end = &l->next;
    }
    pthread_mutex_unlock(&o->lock);
    if (fits) return true;
    free(text);
    free(l);
    return false;
}

char *outbox_take(outbox *o)
{
    char *text = NULL;
    pthread_mutex_lock(&o->lock);
    struct letter *l = o->first;
    if (l) {
        o->first = l->next;
        if (!o->first) o->end = &o->first;
        o->bytes -= l->n;
        text = l->text;
    }
    pthread_mutex_unlock(&o->lock);
    free(l);
    return text;
}

bool outbox_is_empty(outbox *o)
{
    pthread_mutex_lock(&o->lock);
    bool empty = !o->first;
    pthread_mutex_unlock(&o->lock);
    return empty;
}
