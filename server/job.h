/* SPDX-License-Identifier: MIT
 * One transcription asked for by one request: received -> queued -> running -> done or cancelled.
 *
 * References: the HTTP exchange holds one from reception to the end of the request, the queue and then the engine hold
 * another. Whoever moves a job to done or cancelled (queue.c does, under its lock) calls on_done exactly once. */
#ifndef SOTTOD_JOB_H
#define SOTTOD_JOB_H

#include <stdatomic.h>

#include "form.h"
#include "reply.h"
#include "upload.h"

typedef enum job_state { JOB_RECEIVED, JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_CANCELLED } job_state;

enum { JOB_CLIENT_BYTES = 64 };

typedef struct job job;
struct job {
    atomic_int refs;
    job_state state;               /* guarded by the queue's lock once pushed */
    atomic_bool cancelled;         /* asks a running job to end soon */
    bool gone;                     /* the client hung up; guarded by the queue's lock */
    atomic_bool late;              /* `deadline` is over */
    char id[72];                   /* of the request */
    char client[JOB_CLIENT_BYTES]; /* who shares the queue with others: a key's name or an address */
    size_t lane;                   /* queue.c's */
    double deadline;               /* by clock_now_s; 0 = none */
    form form;                     /* options borrow its texts */
    upload upload;
    int client_fd;                       /* the waiting client's socket until on_done; -1 = nobody to watch */
    void (*on_done)(job *j, void *user); /* no lock held */
    void *user;
    job *next_ended; /* queue.c's */
    reply reply;     /* valid when done; a cancelled job has none (status 0) */
    double queued_at, started_at;
    double audio_s;
};

/* One reference, the caller's. NULL when memory ran out. */
job *job_create(const char *id, const char *client);
job *job_hold(job *j);
void job_release(job *j);

double clock_now_s(void); /* monotonic */

#endif
