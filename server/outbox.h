/* SPDX-License-Identifier: MIT
 * What a live stream has to say and its socket has not taken yet: bounded, in order. What is out of date goes first. */
#ifndef SOTTOD_OUTBOX_H
#define SOTTOD_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>

typedef enum outbox_kind {
    OUTBOX_KEEP,      /* the beginning, errors, the end: few, taken beyond the limit */
    OUTBOX_CAPTION,   /* confirmed words: kept; tentative words before them are out of date */
    OUTBOX_TENTATIVE, /* out of date when the next caption comes */
    OUTBOX_STATUS     /* out of date when the next one comes */
} outbox_kind;

typedef struct outbox outbox;

outbox *outbox_create(size_t limit_bytes);
void outbox_free(outbox *o);

/* Takes `text` (from malloc; NULL is refused). False when it does not fit: what has to be kept is more than the limit,
 * or memory ran out. After a caption that did not fit no other one fits. Any thread. */
bool outbox_put(outbox *o, outbox_kind kind, char *text);
/* The oldest text, now the caller's to free; NULL when there is none. */
char *outbox_take(outbox *o);
bool outbox_is_empty(outbox *o);

#endif
