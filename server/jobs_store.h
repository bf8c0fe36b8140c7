/* SPDX-License-Identifier: MIT
 * Durable jobs on disk: what was asked for and what has come of it, in SQLite with a write-ahead log. A call that
 * returned true has its change on the disk. Knows nothing of audio, queues or HTTP. Any thread. */
#ifndef SOTTOD_JOBS_STORE_H
#define SOTTOD_JOBS_STORE_H

#include <stdint.h>

#include "reply.h"
#include "sotto.h"

typedef struct store store;

typedef enum store_state { STORE_QUEUED, STORE_DONE, STORE_FAILED, STORE_STATES } store_state;

/* One recording of a job. */
typedef struct store_file {
    int64_t key;      /* of the recording in the store; recordings that came earlier have smaller ones */
    size_t number;    /* in its job, from 0 */
    const char *name; /* the client's */
    uint64_t bytes;
    store_state state;
    unsigned status;           /* of the answer, once there is one: HTTP's */
    const char *type, *answer; /* NULL before */
    double audio_s;
} store_file;

typedef struct store_job {
    const char *id, *owner, *fields;
    double created, ended; /* seconds since 1970; 0 = not yet */
    size_t files[STORE_STATES];
} store_job;

/* Opens `path`, or makes it. It is checked: what is no database, or a damaged one, is SOTTO_EFORMAT; else SOTTO_EIO. */
sotto_status store_open(store **out, const char *path, sotto_error *err);
void store_close(store *s); /* NULL is fine */

/* All of these: false with *e filled, 507 when the disk is full, 503 when it takes no writes or the database is
 * damaged, 404 for a job that `owner` does not have, 500 else. */

bool store_add(store *s, const store_job *job, const store_file *files, size_t n, api_error *e);
/* Calls `see` with each job of `owner`, newest first; with `id`, for that job. What is pointed to lives for the call;
 * `see` must not call the store. */
bool store_jobs(store *s, const char *owner, const char *id, void (*see)(void *user, const store_job *job), void *user,
                api_error *e);
/* The recordings of a job, in their order. */
bool store_files(store *s, const char *id, void (*see)(void *user, const store_file *file), void *user, api_error *e);
/* The oldest recording that waits and that `take` takes (returns true), of the owner that comes after `last`, round and
 * round. *found tells whether there was one. */
bool store_next(store *s, const char *last, bool (*take)(void *user, const store_job *job, const store_file *file),
                void *user, bool *found, api_error *e);
/* What is known so far of a recording that waits (`text` ends with a newline), behind what was known before; and all of
 * it, from malloc, NULL for nothing. Its answer replaces it. */
bool store_add_part(store *s, int64_t key, const char *text, api_error *e);
bool store_drop_parts(store *s, int64_t key, api_error *e);
bool store_parts(store *s, int64_t key, char **text, api_error *e);
/* An answer to recording `key`; where it was deleted meanwhile nothing happens. The job has ended at `now` when it was
 * the last. */
bool store_answer(store *s, const store_file *file, double now, api_error *e);
bool store_delete(store *s, const char *owner, const char *id, api_error *e);
/* Deletes a job that ended before `before`: `id` gets which, "" when there is none. */
bool store_expire(store *s, double before, char id[64], api_error *e);
/* Does the recording wait for its turn? */
bool store_waits(store *s, const char *id, size_t number, bool *waits, api_error *e);
/* Recordings by state, of all owners or, with `owner`, of that one. */
bool store_count(store *s, const char *owner, size_t files[STORE_STATES], api_error *e);

#endif
