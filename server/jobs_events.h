/* SPDX-License-Identifier: MIT
 * Who follows which job, and what it is told (GET /v1/jobs/{id}/events). Knows nothing of sockets or of the store.
 *
 * What changes a job does so, and tells it, between followers_lock and followers_unlock; who begins to follow looks at
 * the job there too, and so hears of every change once. The lock comes before the store's and the jobs'. */
#ifndef SOTTOD_JOBS_EVENTS_H
#define SOTTOD_JOBS_EVENTS_H

#include "events.h"

typedef struct followers followers;

/* NULL when memory ran out. NULL may be freed. */
followers *followers_create(void);
void followers_free(followers *f);

void followers_lock(followers *f);
void followers_unlock(followers *f);

/* With the lock held: */

/* `e` hears of job `id` from now on, until followers_remove. False when memory ran out, or after followers_close. */
bool followers_add(followers *f, const char *id, events *e);
bool followers_any(const followers *f, const char *id);
/* Tells all who follow `id`; takes the reference. Who is too far behind is told nothing more: its stream ends. */
void followers_tell(followers *f, const char *id, json_t *event);
/* The last word on a job: [DONE]. */
void followers_done(followers *f, const char *id);

/* Without it: */

/* `e` hears nothing more, and may be freed. */
void followers_remove(followers *f, const events *e);
/* A comment to all, by which those who left are noticed. */
void followers_ping(followers *f);
/* The daemon ends: so do all streams, without [DONE], and no new one begins. */
void followers_close(followers *f);

#endif
