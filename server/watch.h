/* SPDX-License-Identifier: MIT
 * The thread that looks at sockets which the HTTP library does not look at: those of clients that wait for a
 * transcription (did they hang up?), and those of refused uploads (the rest is read and dropped for a while, as a close
 * with unread bytes would make the kernel reset the connection and could take the reply from the client). */
#ifndef SOTTOD_WATCH_H
#define SOTTOD_WATCH_H

#include "engine.h"

typedef struct watch watch;

/* `q` and `e` must outlive the watch. */
sotto_status watch_start(watch **out, queue *q, engine *e, sotto_error *err);
/* A job was queued. */
void watch_wake(watch *w);
/* Takes ownership of `fd`, a socket whose reply has been written; it is shut for writing, emptied and closed. */
void watch_linger(watch *w, int fd);
void watch_stop(watch *w);

#endif
