/* SPDX-License-Identifier: MIT
 * Server-sent events of one request (WHATWG HTML, 9.2) on their way from the engine's thread, which never waits for the
 * reader, to the HTTP thread. What has not been read is bounded. Knows nothing of sockets. */
#ifndef SOTTOD_EVENTS_H
#define SOTTOD_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Unread events; a transcript of three hours with log-probabilities of all tokens has about 3 MB of them. */
enum { EVENTS_UNREAD_BYTES = 8 << 20 };

typedef struct events events;

/* How the reader sleeps: `suspend` is called on its own thread, `resume` on any, once after each. */
typedef struct events_reader {
    void (*suspend)(void *user);
    void (*resume)(void *user);
    void *user;
} events_reader;

/* NULL when memory ran out. Freed after events_end, and after the reader's last call. NULL is fine. */
events *events_create(const events_reader *reader);
void events_free(events *e);

/* One event, the reference to `data` is taken. False when memory ran out, when `data` is NULL, or when the reader is
 * too far behind; nothing is added then. */
bool events_add(events *e, json_t *data);
/* The last of all, of a fixed text: "data: TEXT". Also wakes the reader for good; later calls do nothing. */
void events_end(events *e, const char *text);
/* A comment, where nothing else waits to be read: it keeps proxies from closing, and shows who left. */
void events_ping(events *e);
/* Is there, or was there, an event? */
bool events_begun(events *e);

/* Reader: suspends until the first event or the end. */
void events_wait(events *e);
/* Reader: up to `n` bytes. 0 with *over false: nothing yet, and the reader is suspended; with *over true: that was
 * all. */
size_t events_take(events *e, char *to, size_t n, bool *over);

#endif
