/* SPDX-License-Identifier: MIT
 * The daemon as a whole: its models, one queue, one engine, live streams, one HTTP front. */
#ifndef SOTTOD_SERVER_H
#define SOTTOD_SERVER_H

#include <stdatomic.h>
#include <time.h>

#include "config.h"
#include "engine.h"
#include "jobs.h"
#include "keys.h"
#include "live.h"
#include "pool.h"
#include "queue.h"
#include "traffic.h"
#include "watch.h"
#include "worker.h"

typedef struct http http;
typedef struct wyoming wyoming;
typedef struct realtimes realtimes;

typedef struct server {
    const config *config;
    const char *spool;
    pool *pool;
    atomic_size_t inference_model;    /* which of them /inference takes: /load chooses */
    char model_name[POOL_NAME_BYTES]; /* the default one's */
    char *vad_path;
    time_t started;
    keys *keys; /* NULL: everyone may use the daemon */
    queue *queue;
    engine *engine;
    lives *lives;
    realtimes *realtimes;
    watch *watch;
    traffic *traffic;
    jobs *jobs;     /* NULL without --state-dir */
    worker *worker; /* NULL without --queue */
    http *http;
    wyoming *wyoming; /* NULL unless --wyoming */
    int listener, wyoming_listener;
    char url[128], wyoming_url[128];
    atomic_bool draining; /* accepted requests finish, new ones get 503 */
} server;

/* Loads the model, binds and starts answering. On failure everything is undone. `c` must outlive the server. */
sotto_status server_start(server *s, const config *c, sotto_error *err);

/* Reads again what may change while the daemon runs, the API keys and the certificate; what cannot be read stays as it
 * was, and the log tells. */
void server_reload(server *s);

/* For a watchdog: true when the parts answer, else it does not return. */
bool server_lives(server *s);

/* Which model a request means, and what its fields are checked against. False with *e, 404. */
bool server_choose(const server *s, const char *name, sotto_task task, form_facts *facts, size_t *model, api_error *e);

/* May this client load and unload models? Everyone may where there are no keys. False with *e, 403. */
bool server_admin(const server *s, const char *client, api_error *e);

/* Why a request finds no place in the queue. */
void server_full(const server *s, queue_result why, api_error *e);

/* Takes nothing new; returns at once. */
void server_drain(server *s);
/* Requests not yet answered in full. */
size_t server_busy(const server *s);

/* Cancels what is left, joins all threads, frees. Returns the number of requests that were cut short. */
size_t server_stop(server *s);

#endif
