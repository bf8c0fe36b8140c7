/* SPDX-License-Identifier: MIT
 * Where live captions get their sound from: a thread that pushes a microphone, a recording or standard input into a
 * captioner, and ends it when there is no more. */
#ifndef SOTTO_CLIENT_FEED_H
#define SOTTO_CLIENT_FEED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "captioner.h"
#include "sotto.h"

typedef struct feed feed;

typedef struct feed_options {
    const char *device;      /* NULL: the default one */
    const char *file;        /* NULL: the microphone; "-": standard input */
    bool is_fast;            /* files: as fast as they are heard, not as fast as they were spoken */
    const atomic_bool *stop; /* set by a signal handler: no more sound, what was captured is still pushed */
} feed_options;

/* Opens the source; a microphone captures from here on. Waits for standard input's first bytes. SOTTO_ECANCELLED when
 * stop was set meanwhile. */
sotto_status feed_open(feed **out, const feed_options *o, sotto_error *err);
/* Of the samples that will be pushed. */
int feed_rate(const feed *f);
/* "the microphone \"pulse\"", a file's name, "standard input". */
const char *feed_name(const feed *f);
sotto_status feed_start(feed *f, captioner *to, sotto_error *err);
/* A message for people since the last call, for free(), or NULL. */
char *feed_notice(feed *f);
/* Times that sound was lost on its way here. */
uint64_t feed_losses(const feed *f);
/* Waits for the thread, which ends soon after `stop` or the end of the source, and says what became of it. */
sotto_status feed_finish(feed *f, sotto_error *err);
void feed_free(feed *f); /* after feed_finish where feed_start was */

#endif
