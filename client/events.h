/* SPDX-License-Identifier: MIT
 * text/event-stream (server-sent events), as it arrives -> the data of each event. */
#ifndef SOTTO_CLIENT_EVENTS_H
#define SOTTO_CLIENT_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct events {
    bool (*on_event)(const char *data, size_t n, void *user); /* lines of data, joined; false ends the reading */
    void *user;
    char *bytes; /* of the event that has not ended yet */
    size_t n, cap;
} events;

/* Takes the next bytes. False when on_event said so, memory ran out or an event is longer than 64 MiB. */
bool events_feed(events *e, const char *bytes, size_t n);
void events_free(events *e);

#endif
