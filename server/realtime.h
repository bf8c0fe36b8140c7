/* SPDX-License-Identifier: MIT
 * OpenAI's realtime transcription sessions over a WebSocket, on the streams of live captions. Two threads a session:
 * one reads and writes the socket, the other hears. */
#ifndef SOTTOD_REALTIME_H
#define SOTTOD_REALTIME_H

#include "reply.h"
#include "server.h"

typedef struct realtimes realtimes; /* all sessions of the daemon */
typedef struct realtime realtime;   /* one */

/* `s` must outlive the sessions; its model, engine and lives are ready. */
sotto_status realtimes_start(realtimes **out, server *s, sotto_error *err);
/* What was committed or said until now is still transcribed, then sessions end. Returns at once. */
void realtimes_end(realtimes *all);
/* Cuts short what has not ended, waits for the threads. NULL is fine for all three. */
void realtimes_stop(realtimes *all);
void realtimes_free(realtimes *all);

/* Takes one of the places for live streams. `beta`: the client speaks the older dialect. NULL with *e. The next call is
 * realtime_begin or realtime_drop. */
realtime *realtime_open(realtimes *all, const char *id, bool beta, api_error *e);
/* The handshake is done: as live_begin. */
void realtime_begin(realtime *r, int fd, const void *extra, size_t n_extra, void (*on_over)(void *user), void *user);
void realtime_drop(realtime *r);

#endif
