/* SPDX-License-Identifier: MIT
 * One transcription asked for by one request: received -> queued -> running -> done or cancelled.
 *
 * References: the HTTP exchange holds one from reception to the end of the request, the queue and then the engine hold
 * another. Whoever moves a job to done or cancelled (queue.c does, under its lock) calls on_done exactly once. */
#ifndef SOTTOD_JOB_H
#define SOTTOD_JOB_H

#include <stdatomic.h>
#include <time.h>

#include "events.h"
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
    bool background;               /* nobody waits for it: after all others; set before the push */
    bool gone;                     /* the client hung up; guarded by the queue's lock */
    atomic_bool late;              /* `deadline` is over */
    char id[72];                   /* of the request */
    char client[JOB_CLIENT_BYTES]; /* who shares the queue with others: a key's name or an address */
    size_t lane;                   /* queue.c's */
    double deadline;               /* by clock_now_s; 0 = none */
    form form;                     /* options borrow its texts */
    upload upload;
    events *events; /* of a stream, else NULL: its reply is them, once one is there */
    /* the engine's thread only: */
    sotto_model *model;                  /* that works on it */
    size_t told;                         /* bytes of text in the events */
    json_t *logprobs;                    /* of the next of them; NULL = none are asked for, or there are none yet */
    int client_fd;                       /* the waiting client's socket until on_done; -1 = nobody to watch */
    bool owns_fd;                        /* a handle of the job's own, as a stream's connection may end before it */
    void (*on_done)(job *j, void *user); /* no lock held */
    /* Segments are finished; on the engine's thread, before on_done. NULL: nobody wants to know. */
    void (*on_progress)(job *j, const sotto_progress *progress, void *user);
    void *user;
    job *next_ended; /* queue.c's */
    reply reply;     /* valid when done; a cancelled job has none (status 0) */
    double queued_at, started_at;
    double audio_s, resumed_s; /* of the recording; of it what was known before */
};

/* One reference, the caller's. NULL when memory ran out. */
job *job_create(const char *id, const char *client);
job *job_hold(job *j);
void job_release(job *j);

double clock_now_s(void); /* monotonic */
/* So many seconds from now by CLOCK_MONOTONIC, for pthread_cond_clockwait and sem_clockwait: the wall clock may jump.
 */
struct timespec clock_after_s(double seconds);

#endif
