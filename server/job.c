/* SPDX-License-Identifier: MIT
 * Life of a job (job.h). */
#include "job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

job *job_create(const char *id, const char *client)
{
    job *j = calloc(1, sizeof *j);
    if (!j) return NULL;
    atomic_init(&j->refs, 1);
    atomic_init(&j->cancelled, false);
    atomic_init(&j->late, false);
    snprintf(j->id, sizeof j->id, "%s", id);
    snprintf(j->client, sizeof j->client, "%s", client);
    j->client_fd = -1;
    form_init(&j->form);
    upload_init(&j->upload);
    return j;
}

job *job_hold(job *j)
{
    atomic_fetch_add_explicit(&j->refs, 1, memory_order_relaxed);
    return j;
}

void job_release(job *j)
{
    if (!j || atomic_fetch_sub_explicit(&j->refs, 1, memory_order_acq_rel) != 1) return;
    form_free(&j->form);
    upload_close(&j->upload);
    events_free(j->events);
    json_decref(j->logprobs);
    if (j->owns_fd && j->client_fd >= 0) close(j->client_fd);
    reply_free(&j->reply);
    free(j);
}

double clock_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct timespec clock_after_s(double seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const double end = (double)t.tv_nsec * 1e-9 + seconds;
    t.tv_sec += (time_t)end;
    t.tv_nsec = (long)((end - floor(end)) * 1e9);
    return t;
}
