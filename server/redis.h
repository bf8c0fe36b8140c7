/* SPDX-License-Identifier: MIT
 * A queue of recordings in Redis, as the workers of one consumer group see it (docs/QUEUE.md), over hiredis, which no
 * other file includes. One thread. Knows nothing of audio or of the engine.
 *
 * Every call but redis_free may fail because the connection is gone, and redis_is_open tells so; then it is closed and
 * opened anew. */
#ifndef SOTTOD_REDIS_H
#define SOTTOD_REDIS_H

#include <stdint.h>

#include "sotto.h"

enum { REDIS_ENTRY_BYTES = 64 };

/* redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] */
typedef struct redis_address {
    char host[256], user[128], password[256];
    int port, database;
} redis_address;

/* SOTTO_EINVAL with a sentence that begins with "--queue", and that has no password in it. */
sotto_status redis_address_parse(redis_address *out, const char *url, sotto_error *err);

/* What is called how: stream "NAME:jobs", its group NAME, results "NAME:result:ID", stream of results "NAME:results".
 */
typedef struct redis_names {
    const char *name;     /* of the queue */
    const char *consumer; /* of this worker, no other's */
} redis_names;

typedef struct redis redis;

/* Connects, and makes the group where there is none. `timeout_s` is for every command. */
sotto_status redis_open(redis **out, const redis_address *a, const redis_names *names, double timeout_s,
                        sotto_error *err);
void redis_free(redis *r); /* NULL is fine */
bool redis_is_open(const redis *r);

/* A job: its entry in the stream, and n fields of it, whose values are bytes. What is pointed to lives for the call. */
typedef struct redis_job {
    const char *entry;
    size_t n;
    const char *const *names;
    const char *const *values;
    const size_t *lengths;
} redis_job;

typedef void redis_see(void *user, const redis_job *job);

/* Takes up to `most` jobs that no worker had yet; waits for the first at most `wait_s` (0: not at all). */
sotto_status redis_take(redis *r, size_t most, double wait_s, redis_see *see, void *user, sotto_error *err);
/* Takes up to `most` jobs over whose worker was not heard of for `idle_s`. */
sotto_status redis_take_over(redis *r, size_t most, double idle_s, redis_see *see, void *user, sotto_error *err);
/* How often an entry has been given to a worker; 0 when it is nobody's. */
sotto_status redis_deliveries(redis *r, const char *entry, int64_t *out, sotto_error *err);
/* This worker is still at these. */
sotto_status redis_keep(redis *r, const char *const *entries, size_t n, sotto_error *err);
/* This worker will not answer these: others may take them over at once. */
sotto_status redis_give_back(redis *r, const char *const *entries, size_t n, sotto_error *err);

typedef struct redis_result {
    const char *entry, *id;
    unsigned status; /* HTTP's */
    const char *type, *body;
    double audio_s;
    double ttl_s; /* is deleted afterwards */
} redis_result;

/* Stores a result and takes its entry from the queue, in one step. *stored is false when there was one of that id
 * already, which stays. */
sotto_status redis_answer(redis *r, const redis_result *result, bool *stored, sotto_error *err);

#endif
