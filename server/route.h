/* SPDX-License-Identifier: MIT
 * Endpoints: one route_*.c each, all in one table. A route knows the server and replies, nothing of sockets. */
#ifndef SOTTOD_ROUTE_H
#define SOTTOD_ROUTE_H

#include "live.h"
#include "server.h"

typedef struct query_pair {
    const char *name, *value; /* "" when it has none */
} query_pair;

typedef struct route {
    const char *method; /* "GET" (HEAD is answered too), "POST" or "DELETE" */
    const char *path;
    bool open;        /* to everyone, without an API key */
    bool tail;        /* `path` is the beginning, what follows (not empty) is handed on */
    const char *ends; /* with `tail`: what stands behind that; NULL = nothing */
    /* GET: answers at once, on the HTTP thread. */
    void (*answer)(server *s, const char *tail, reply *out);
    /* The same, of what belongs to a client; POST too, whose body is dropped. */
    void (*own)(server *s, const char *client, const char *tail, reply *out);
    /* GET: events of what belongs to a client, until they end or the reader leaves; after a true `follow`, `unfollow`
     * is called once. */
    bool (*follow)(server *s, const char *client, const char *tail, events *to, api_error *e);
    void (*unfollow)(server *s, const events *to);
    /* POST: the files of the form become a job; `check` sees its fields. */
    bool job;
    const char *allow; /* methods of the path, where it has several; static */
    /* POST: a multipart form with a file has arrived; turns its fields into options, or says what is wrong. */
    bool (*check)(server *s, form *f, api_error *e);
    /* POST: a multipart form without a file, answered at once on the HTTP thread. */
    void (*post)(server *s, const char *client, const form *f, reply *out);
    /* POST: names of its fields, where they are not OpenAI's (form.h). */
    bool (*dialect)(const char *name);
    /* GET that goes on as a WebSocket: turns its query into options, which may borrow texts, or says what is wrong. */
    bool (*live)(server *s, const query_pair *query, size_t n, live_request *r, api_error *e);
    /* GET that goes on as a WebSocket with OpenAI's realtime events: is the query as it should be? */
    bool (*realtime)(server *s, const query_pair *query, size_t n, api_error *e);
} route;

extern const route route_transcriptions, route_translations, route_models, route_model, route_health, route_report,
    route_captions, route_home, route_page, route_study, route_metrics, route_ready, route_inference, route_load,
    route_openapi, route_realtime, route_jobs_add, route_jobs_list, route_jobs_one, route_jobs_delete,
    route_jobs_events, route_model_load, route_model_unload;

/* NULL with *e (404, or 405 and *allow) when there is none. */
const route *route_find(const char *method, const char *path, const char **tail, const char **allow, api_error *e);
/* What route_find left of the path, without the route's end: from malloc, NULL when memory ran out. */
char *route_tail(const route *r, const char *tail);

#endif
