/* SPDX-License-Identifier: MIT
 * Durable jobs: recordings that were handed over to be transcribed later, kept under --state-dir until their answers
 * expire, whatever becomes of the process meanwhile. A thread feeds them to the queue, behind all requests that someone
 * waits for and into all slots but one. A recording that was under way when the process ended goes on behind its last
 * finished window or part. */
#ifndef SOTTOD_JOBS_H
#define SOTTOD_JOBS_H

#include "events.h"
#include "form.h"
#include "jobs_store.h"

typedef struct jobs jobs;
typedef struct jobs_draft jobs_draft;
typedef struct server server;

enum { JOBS_ID_BYTES = 40 };

/* --state-dir, else systemd's STATE_DIRECTORY; NULL: there are no jobs (*out stays NULL, SOTTO_OK). The directory is
 * locked for this process. */
const char *jobs_directory(const server *s);
sotto_status jobs_start(jobs **out, server *s, sotto_error *err);
/* For all of these NULL is fine. Feeds the queue no more; returns at once. */
void jobs_drain(jobs *j);
/* The queue is closed and the engine joined. */
void jobs_stop(jobs *j);

store *jobs_store(jobs *j);
/* Why there are no jobs: 503. */
bool jobs_none(api_error *e);

/* What a recording under way has come to; false when it is not under way. `text` is from malloc, NULL when memory ran
 * out. */
typedef struct jobs_progress {
    double done_s, total_s;
    char *text;
} jobs_progress;
bool jobs_peek(jobs *j, int64_t key, jobs_progress *out);
/* Recordings under way: of a job, or, NULL, of all. */
size_t jobs_running(jobs *j, const char *id);
double jobs_ttl_s(const jobs *j);
/* `to` gets a job's events (jobs_events.h), first what it has come to: true until jobs_unfollow. */
bool jobs_follow(jobs *j, const char *owner, const char *id, events *to, api_error *e);
void jobs_unfollow(jobs *j, const events *to);
/* Deletes a job with its recordings and answers; what of it is under way ends. */
bool jobs_delete(jobs *j, const char *owner, const char *id, api_error *e);

/* ---- a job on its way in (jobs_draft.c); one thread ---- */

/* NULL with *e filled. */
jobs_draft *jobs_draft_create(jobs *j, const char *owner, api_error *e);
/* `n` bytes of a recording, whose first piece has offset 0. */
bool jobs_draft_file(jobs_draft *d, const char *name, uint64_t offset, const char *data, size_t n, api_error *e);
/* All is there and `f` checked: the job is on the disk when this returns true, `id` tells which. */
bool jobs_draft_commit(jobs_draft *d, const form *f, char id[JOBS_ID_BYTES], api_error *e);
/* What was not committed leaves nothing behind. NULL is fine. */
void jobs_draft_drop(jobs_draft *d);

/* For jobs_draft.c. */
void jobs_audio_path(const jobs *j, const char *id, size_t number, char path[4096]);
bool jobs_sync_audio(const jobs *j, api_error *e);
void jobs_wake(jobs *j);
size_t jobs_most_files(const jobs *j);

/* Fields as they are kept, and back. */
bool jobs_fields_write(const form *f, char **text, api_error *e);
bool jobs_fields_read(form *f, const char *text, api_error *e);

#endif
