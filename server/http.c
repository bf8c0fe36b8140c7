/* SPDX-License-Identifier: MIT
 * Sockets -> jobs -> replies, and WebSockets -> live streams, over libmicrohttpd, which no other file includes.
 *
 * One thread runs the event loop. For a transcription it checks what the headers tell, streams the form's file into the
 * spool, queues a job and suspends the connection; the engine's thread resumes it when the reply is there. A suspended
 * connection neither times out nor notices a hang-up: watch.c looks after those. An upgraded one belongs to live.c
 * until that lets go of it. */
#include "http.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "access.h"
#include "cors.h"
#include "handshake.h"
#include "log.h"
#include "realtime.h"
#include "route.h"
#include "tls.h"
#include "visitors.h"

enum {
    CONNECTION_BYTES = 128 << 10, /* each connection's memory: headers, and what is read of a body at a time */
    FORM_BUFFER_BYTES = 64 << 10,
    QUERY_PAIRS = 16,
    SMALL_BODY_BYTES = 1 << 20 /* read to its end before a refusal, so that the connection lives on */
};

struct http {
    server *s;
    struct MHD_Daemon *daemon;
    visitors *visitors;
    atomic_size_t busy;
};

/* One request, from its headers to the last byte of its reply. Touched by the HTTP thread only. */
typedef struct exchange {
    http *h;
    struct MHD_Connection *connection;
    char id[ACCESS_ID_BYTES];
    char client[ACCESS_CLIENT_BYTES]; /* whose key it is, else the address */
    const char *method;               /* static */
    const route *route;
    visitor *visitor;   /* the connection; may be NULL */
    const char *origin; /* the page's that may read the answer, else NULL; the request's */
    char *tail;
    struct MHD_PostProcessor *form; /* reads the multipart body */
    job *job;
    jobs_draft *draft; /* the form's files become a job that lasts */
    live *live;        /* is being opened while we are suspended, then waits for the end of the handshake */
    char accept[WEBSOCKET_ACCEPT_BYTES];
    realtime *realtime; /* opened, waits for the end of the handshake */
    query_pair query[QUERY_PAIRS];
    size_t n_query;
    bool streaming; /* the reply is the job's events */
    bool submitted; /* the job was queued; its reply is ours once we are resumed */
    bool http11;
    bool preflight; /* a browser asks whether a page may send a request */
    bool has_reply; /* `reply` is set: what is left of the body is dropped */
    bool linger;    /* the client may still be sending when we close */
    bool raw_sent;
    reply reply;
    unsigned status;
    uint64_t received; /* bytes of the body */
    double began;
} exchange;

/* Where the events of a reply come from: a transcription's job, or, NULL, what `route` follows. */
typedef struct outflow {
    job *job;
    const route *route;
    server *s;
    events *events;
} outflow;

/* ---- replies ---------------------------------------------------------------------------------------------------- */

static void refuse(exchange *x, const api_error *e)
{
    if (x->has_reply) return;
    reply_error(&x->reply, e);
    if (e->status == 503) x->reply.retry_after = engine_retry_after(x->h->s->engine, 1);
    /* One of its own is done when each client has had a turn. */
    if (e->status == 429) x->reply.retry_after = engine_retry_after(x->h->s->engine, queue_clients(x->h->s->queue));
    x->reply.authenticate = e->status == 401;
    x->has_reply = true;
}

static const char *header(exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static void add_cors(exchange *x, struct MHD_Response *response)
{
    /* Answers differ by origin wherever there is a list, for caches. */
    if (x->h->s->config->cors.n > 0) MHD_add_response_header(response, "Vary", "Origin");
    if (!x->origin) return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", x->origin);
    MHD_add_response_header(response, "Access-Control-Expose-Headers", CORS_EXPOSED);
    if (!x->preflight) return;
    const char *asked = header(x, "Access-Control-Request-Headers");
    MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE");
    if (asked && cors_headers_are_sound(asked))
        MHD_add_response_header(response, "Access-Control-Allow-Headers", asked);
    MHD_add_response_header(response, "Access-Control-Max-Age", "600");
}

static enum MHD_Result send_reply(exchange *x)
{
    static char nothing[] = "";
    reply *r = &x->reply;
    char number[16];
    struct MHD_Response *response =
        r->body ? MHD_create_response_from_buffer_with_free_callback(r->len, r->body, r->release)
                : MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    r->body = NULL; /* the response's now */
    MHD_add_response_header(response, "X-Request-Id", x->id);
    if (r->content_type) MHD_add_response_header(response, "Content-Type", r->content_type);
    if (r->allow) MHD_add_response_header(response, "Allow", r->allow);
    if (r->coverage[0]) MHD_add_response_header(response, "X-Speech-Coverage", r->coverage);
    if (r->retry_after) {
        snprintf(number, sizeof number, "%u", r->retry_after);
        MHD_add_response_header(response, "Retry-After", number);
    }
    if (r->authenticate) MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"sotto\"");
    if (r->upgrade) {
        MHD_add_response_header(response, "Upgrade", "websocket");
        MHD_add_response_header(response, "Sec-WebSocket-Version", "13");
    }
    add_cors(x, response);
    if (x->linger) MHD_add_response_header(response, "Connection", "close");
    visitor_turn(x->visitor, VISITOR_SERVED);
    x->status = r->status;
    enum MHD_Result result = MHD_queue_response(x->connection, r->status, response);
    MHD_destroy_response(response);
    return result;
}

static int socket_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* Writes past the library, in whose place in the stream we are; false when not all of it fits. */
static bool send_raw(exchange *x, const void *bytes, size_t n, bool more)
{
    const union MHD_ConnectionInfo *tls = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    int fd = socket_of(x->connection);
    if (x->h->s->config->tls_cert) return tls && tls_send(tls->tls_session, bytes, n);
    return fd >= 0 && send(fd, bytes, n, MSG_NOSIGNAL | (more ? MSG_MORE : 0)) == (ssize_t)n;
}

/* The library takes a response before a body or after it, not in its middle. Where the rest of a body may be endless,
 * the reply is written straight to the socket, into whose send buffer it fits, and the connection ends. */
static enum MHD_Result send_in_mid_body(exchange *x)
{
    char head[1024], cors[512];
    const reply *r = &x->reply;
    cors_head(&x->h->s->config->cors, x->origin, cors, sizeof cors);
    const size_t n = reply_head(r, MHD_get_reason_phrase_for(r->status), x->id, cors, head, sizeof head);
    x->status = r->status;
    x->linger = x->raw_sent = true;
    if (n > 0 && r->body && send_raw(x, head, n, true) && send_raw(x, r->body, r->len, false)) return MHD_NO;
    x->linger = false;
    return MHD_NO;
}

/* ---- the head of a request -------------------------------------------------------------------------------------- */

/* Body length as announced; false for chunked bodies, whose length shows only at their end. */
static bool announced_length(struct MHD_Connection *connection, uint64_t *length)
{
    const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    *length = text ? strtoull(text, NULL, 10) : 0;
    return !MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Transfer-Encoding");
}

static void too_large(exchange *x, uint64_t bytes)
{
    api_error e;
    api_error_set(&e, 413, NULL, NULL, "Maximum content size limit (%llu) exceeded (%llu bytes read)",
                  (unsigned long long)x->h->s->config->max_upload, (unsigned long long)bytes);
    refuse(x, &e);
}

static void refuse_full(exchange *x, queue_result why)
{
    api_error e;
    server_full(x->h->s, why, &e);
    refuse(x, &e);
}

static enum MHD_Result on_form_part(void *cls, enum MHD_ValueKind kind, const char *name, const char *filename,
                                    const char *content_type, const char *transfer_encoding, const char *data,
                                    uint64_t offset, size_t n);

static bool takes_form(const route *r) { return r && (r->check || r->post); }

/* What the headers of a POST alone decide, then the means to read its body. */
static void begin_post(exchange *x)
{
    static const char multipart[] = "multipart/form-data";
    server *s = x->h->s;
    api_error e;
    uint64_t length;
    const char *type = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Content-Type");
    queue_result room = queue_look(s->queue, x->client);
    if (atomic_load(&s->draining) || (room != QUEUE_OK && !x->route->job)) {
        refuse_full(x, room);
        return;
    }
    if (announced_length(x->connection, &length) && length > s->config->max_upload) {
        too_large(x, length);
        return;
    }
    if (!type || strncasecmp(type, multipart, strlen(multipart)) != 0) {
        api_error_set(&e, 400, NULL, "invalid_content_type", "Content-Type is %.80s, but should be multipart/form-data",
                      type ? type : "missing");
        refuse(x, &e);
        return;
    }
    x->form = MHD_create_post_processor(x->connection, FORM_BUFFER_BYTES, on_form_part, x);
    if (!x->form) {
        api_error_set(&e, 400, NULL, "invalid_content_type", "Content-Type multipart/form-data has no usable boundary");
        refuse(x, &e);
        return;
    }
    if ((x->job = job_create(x->id, x->client))) {
        x->job->form.dialect = x->route->dialect;
        if (x->route->job && !(x->draft = jobs_draft_create(s->jobs, s->keys ? x->client : "", &e))) refuse(x, &e);
        return;
    }
    api_error_set(&e, 500, NULL, NULL, "out of memory");
    refuse(x, &e);
}

/* Where there are API keys, only open routes are for those without; not even a 404 tells them what there is. */
static bool may_enter(exchange *x, api_error *e)
{
    const access_headers h = {.authorization = header(x, "Authorization"),
                              .protocols = header(x, "Upgrade") ? header(x, "Sec-WebSocket-Protocol") : NULL};
    const union MHD_ConnectionInfo *from = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!(x->route && x->route->open) && !access_check(x->h->s->keys, &h, x->client, e)) return false;
    if (!*x->client) access_address(from ? from->client_addr : NULL, x->client);
    return true;
}

static visitor *visitor_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static exchange *begin(http *h, struct MHD_Connection *connection, const char *method, const char *url)
{
    exchange *x = calloc(1, sizeof *x);
    const char *tail, *allow;
    api_error e, denied;
    if (!x) return NULL;
    atomic_fetch_add(&h->busy, 1);
    x->h = h;
    x->connection = connection;
    x->began = clock_now_s();
    x->method = strcmp(method, "POST") == 0     ? "POST"
                : strcmp(method, "GET") == 0    ? "GET"
                : strcmp(method, "DELETE") == 0 ? "DELETE"
                                                : "other";
    access_request_id(header(x, "X-Request-Id"), x->id);
    x->visitor = visitor_of(connection);
    x->origin = cors_allowed(&h->s->config->cors, header(x, "Origin"));
    x->preflight = x->origin && strcmp(method, "OPTIONS") == 0 && header(x, "Access-Control-Request-Method");
    visitor_turn(x->visitor, VISITOR_BODY);
    x->route = route_find(method, url, &tail, &allow, &e);
    if (x->preflight) {
        x->reply.status = MHD_HTTP_NO_CONTENT;
        x->has_reply = true;
    } else if (!may_enter(x, &denied)) {
        refuse(x, &denied);
    } else if (!x->route) {
        refuse(x, &e);
        x->reply.allow = allow;
    } else if (takes_form(x->route)) {
        begin_post(x);
    } else if (!(x->tail = route_tail(x->route, tail))) {
        api_error_set(&e, 500, NULL, NULL, "out of memory");
        refuse(x, &e);
    }
    return x;
}

/* Refused by its headers: is it kinder to read its body first? A client that waits for "100 Continue" will not send
 * it. */
static bool should_read_first(const exchange *x)
{
    uint64_t length;
    return announced_length(x->connection, &length) && length <= SMALL_BODY_BYTES &&
           (length == 0 || !MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Expect"));
}

/* ---- the body --------------------------------------------------------------------------------------------------- */

static void take_file(exchange *x, const char *filename, uint64_t offset, const char *data, size_t n)
{
    upload *u = &x->job->upload;
    sotto_error err;
    api_error e;
    char quoted[600];
    sotto_status st = SOTTO_OK;
    /* A file that a read cut off before its first byte is announced twice (form.c). */
    if (offset == 0 && u->size > 0) {
        api_error_set(&e, 400, "file", NULL, "field \"file\" is there twice");
        refuse(x, &e);
        return;
    }
    if (u->fd < 0) st = upload_open(u, x->h->s->spool, filename, &err);
    if (st == SOTTO_OK && n > 0) st = upload_append(u, data, n, &err);
    if (st == SOTTO_OK) return;
    /* The client need not know where our files lie. */
    log_event(LOG_ERROR, "spool", "id=%s error=%s", x->id, log_quote(quoted, sizeof quoted, err.message));
    api_error_set(&e, 500, NULL, NULL, "The upload could not be stored");
    refuse(x, &e);
}

static enum MHD_Result on_form_part(void *cls, enum MHD_ValueKind kind, const char *name, const char *filename,
                                    const char *content_type, const char *transfer_encoding, const char *data,
                                    uint64_t offset, size_t n)
{
    exchange *x = cls;
    api_error e;
    (void)kind, (void)content_type, (void)transfer_encoding;
    if (x->has_reply) return MHD_NO;
    if (!name) {
        api_error_set(&e, 400, NULL, NULL, "a part of the form has no name");
        refuse(x, &e);
    } else if (strcmp(name, "file") == 0 && x->draft) {
        if (!jobs_draft_file(x->draft, filename, offset, data, n, &e)) refuse(x, &e);
    } else if (strcmp(name, "file") == 0 && x->route->check) {
        take_file(x, filename, offset, data, n);
    } else if (!form_append(&x->job->form, name, offset, data, n, &e)) {
        refuse(x, &e);
    }
    return x->has_reply ? MHD_NO : MHD_YES;
}

static void refuse_malformed(exchange *x)
{
    api_error e;
    api_error_set(&e, 400, NULL, NULL, "The multipart/form-data body is malformed or breaks off");
    refuse(x, &e);
}

static enum MHD_Result receive(exchange *x, const char *data, size_t n)
{
    x->received += n;
    visitor_received(x->visitor, n);
    if (x->received > x->h->s->config->max_upload && takes_form(x->route)) {
        too_large(x, x->received);
        return send_in_mid_body(x);
    }
    if (x->has_reply || !x->form) return MHD_YES; /* dropped */
    if (MHD_post_process(x->form, data, n) != MHD_YES) refuse_malformed(x);
    return MHD_YES;
}

/* ---- WebSockets -------------------------------------------------------------------------------------------------- */

static void suspend_connection(void *connection) { MHD_suspend_connection(connection); }

/* On any thread: the event loop takes it from here. */
static void resume_connection(void *connection) { MHD_resume_connection(connection); }

/* On the live stream's thread. */
static void on_live_over(void *user) { MHD_upgrade_action(user, MHD_UPGRADE_ACTION_CLOSE); }

static void on_upgraded(void *cls, struct MHD_Connection *connection, void *state, const char *extra, size_t n_extra,
                        MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
    exchange *x = cls;
    live *l = x->live;
    (void)connection, (void)state;
    realtime *r = x->realtime;
    x->live = NULL;
    x->realtime = NULL;
    if (r)
        realtime_begin(r, fd, extra, n_extra, on_live_over, handle);
    else
        live_begin(l, fd, extra, n_extra, on_live_over, handle);
}

static enum MHD_Result on_query_pair(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    exchange *x = cls;
    (void)kind;
    if (x->n_query < QUERY_PAIRS) x->query[x->n_query] = (query_pair){name, value ? value : ""};
    x->n_query++;
    return MHD_YES;
}

static enum MHD_Result send_upgrade(exchange *x)
{
    struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgraded, x);
    char protocol[ACCESS_PROTOCOL_BYTES];
    if (!response) return MHD_NO;
    access_protocol(header(x, "Sec-WebSocket-Protocol"), protocol);
    if (*protocol) MHD_add_response_header(response, "Sec-WebSocket-Protocol", protocol);
    MHD_add_response_header(response, "Upgrade", "websocket");
    MHD_add_response_header(response, "Sec-WebSocket-Accept", x->accept);
    MHD_add_response_header(response, "X-Request-Id", x->id);
    x->status = MHD_HTTP_SWITCHING_PROTOCOLS;
    enum MHD_Result result = MHD_queue_response(x->connection, MHD_HTTP_SWITCHING_PROTOCOLS, response);
    MHD_destroy_response(response);
    return result;
}

static bool shake_hands(exchange *x, api_error *e)
{
    const handshake h = {.upgrade = x->http11 && strcmp(x->method, "GET") == 0 ? header(x, "Upgrade") : NULL,
                         .connection = header(x, "Connection"),
                         .version = header(x, "Sec-WebSocket-Version"),
                         .key = header(x, "Sec-WebSocket-Key"),
                         .origin = header(x, "Origin"),
                         .host = header(x, "Host")};
    const handshake_welcome welcome = {.origins = x->h->s->config->origins, .hosts = x->h->s->config->hosts};
    return handshake_check(&h, &welcome, x->accept, e);
}

/* Checks what the client asks for and begins to open a stream: true when the connection is suspended now. */
static bool open_live(exchange *x)
{
    api_error e;
    live_request asked;
    MHD_get_connection_values(x->connection, MHD_GET_ARGUMENT_KIND, on_query_pair, x);
    if (x->n_query > QUERY_PAIRS)
        api_error_set(&e, 400, NULL, NULL, "the query has more than %d parameters", QUERY_PAIRS);
    else if (x->route->live(x->h->s, x->query, x->n_query, &asked, &e) && shake_hands(x, &e)) {
        /* Suspended first: it may be open before live_open returns. */
        MHD_suspend_connection(x->connection);
        x->live = live_open(x->h->s->lives, &asked, x->id, resume_connection, x->connection, &e);
        if (x->live) return true;
        refuse(x, &e);
        MHD_resume_connection(x->connection);
        return true;
    }
    refuse(x, &e);
    x->reply.upgrade = e.status == 426;
    return false;
}

/* Lets the stream that was opened have the connection. */
static enum MHD_Result upgrade(exchange *x)
{
    api_error e;
    if (live_is_open(x->live, &e)) return send_upgrade(x);
    live_drop(x->live);
    x->live = NULL;
    refuse(x, &e);
    return send_reply(x);
}

/* The same for a session of OpenAI's realtime API, whose streams are opened later. */
static enum MHD_Result upgrade_realtime(exchange *x)
{
    api_error e;
    const char *beta = header(x, "OpenAI-Beta");
    MHD_get_connection_values(x->connection, MHD_GET_ARGUMENT_KIND, on_query_pair, x);
    if (x->n_query > QUERY_PAIRS)
        api_error_set(&e, 400, NULL, NULL, "the query has more than %d parameters", QUERY_PAIRS);
    else if (x->route->realtime(x->h->s, x->query, x->n_query, &e) && shake_hands(x, &e) &&
             (x->realtime = realtime_open(x->h->s->realtimes, x->id, beta && strstr(beta, "realtime=v1"), &e)))
        return send_upgrade(x);
    refuse(x, &e);
    x->reply.upgrade = e.status == 426;
    return send_reply(x);
}

/* ---- the end of a request ---------------------------------------------------------------------------------------- */

/* On the engine's or the watching thread: the event loop takes it from here. */
static void on_job_done(job *j, void *user)
{
    (void)j;
    MHD_resume_connection(user);
}

/* On the engine's or the watching thread. The connection may be gone; then nobody sleeps. */
static void on_stream_done(job *j, void *user)
{
    (void)user;
    events_end(j->events, NULL);
}

static ssize_t read_events(void *cls, uint64_t offset, char *to, size_t n)
{
    const outflow *o = cls;
    bool over;
    (void)offset;
    size_t got = events_take(o->events, to, n, &over);
    return over ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)got;
}

static void end_outflow(const outflow *o)
{
    if (o->job) {
        job_release(o->job);
        return;
    }
    o->route->unfollow(o->s, o->events);
    events_free(o->events);
}

static void release_events(void *cls)
{
    end_outflow(cls);
    free(cls);
}

/* The first event is there: from now on they go out as they come. `from` is ended with them, whatever happens. */
static enum MHD_Result send_events(exchange *x, const outflow *from)
{
    enum { BLOCK_BYTES = 4096 };
    outflow *o = malloc(sizeof *o);
    struct MHD_Response *response =
        o ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_events, o, release_events) : NULL;
    if (!response) {
        end_outflow(from);
        free(o);
        return MHD_NO;
    }
    *o = *from;
    MHD_add_response_header(response, "Content-Type", "text/event-stream; charset=utf-8");
    MHD_add_response_header(response, "Cache-Control", "no-cache");
    MHD_add_response_header(response, "X-Request-Id", x->id);
    add_cors(x, response);
    x->status = 200;
    x->streaming = o->job;
    enum MHD_Result result = MHD_queue_response(x->connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

/* The events of what belongs to the client and goes on without it. */
static enum MHD_Result follow(exchange *x)
{
    const events_reader reader = {suspend_connection, resume_connection, x->connection};
    server *s = x->h->s;
    api_error e;
    const outflow o = {.route = x->route, .s = s, .events = events_create(&reader)};
    if (!o.events)
        api_error_set(&e, 500, NULL, NULL, "out of memory");
    else if (x->route->follow(s, s->keys ? x->client : "", x->tail, o.events, &e))
        return send_events(x, &o);
    events_free(o.events);
    refuse(x, &e);
    return send_reply(x);
}

/* The means to send events; false when memory ran out. */
static bool prepare_stream(exchange *x)
{
    const events_reader reader = {suspend_connection, resume_connection, x->connection};
    job *j = x->job;
    j->events = events_create(&reader);
    if (!j->events) return false;
    j->on_done = on_stream_done;
    j->client_fd = fcntl(socket_of(x->connection), F_DUPFD_CLOEXEC, 0);
    j->owns_fd = true;
    return true;
}

/* The body is complete: checks the form and queues the job. True when the connection is suspended now. */
static bool submit(exchange *x)
{
    api_error e;
    server *s = x->h->s;
    job *j = x->job;
    bool complete = MHD_destroy_post_processor(x->form) == MHD_YES;
    x->form = NULL;
    if (!complete) {
        refuse_malformed(x);
        return false;
    }
    if (x->route->post) {
        x->route->post(s, s->keys ? x->client : "", &j->form, &x->reply);
        x->has_reply = true;
        return false;
    }
    if (!x->route->check(s, &j->form, &e)) {
        refuse(x, &e);
        return false;
    }
    if (x->draft) {
        char id[JOBS_ID_BYTES];
        if (jobs_draft_commit(x->draft, &j->form, id, &e)) {
            x->route->own(s, s->keys ? x->client : "", id, &x->reply);
            x->has_reply = true;
        } else {
            refuse(x, &e);
        }
        return false;
    }
    if (j->upload.fd < 0 || j->upload.size == 0) {
        api_error_set(&e, 400, "file", j->upload.fd < 0 ? "missing_required_parameter" : "invalid_file",
                      j->upload.fd < 0 ? "field \"file\" is missing: the recording to transcribe"
                                       : "the file is empty");
        refuse(x, &e);
        return false;
    }
    j->client_fd = socket_of(x->connection);
    j->on_done = on_job_done;
    j->user = x->connection;
    if (j->form.stream && !prepare_stream(x)) {
        api_error_set(&e, 500, NULL, NULL, "out of memory");
        refuse(x, &e);
        return false;
    }
    if (s->config->request_timeout > 0) j->deadline = clock_now_s() + s->config->request_timeout;
    /* Suspended first: the job may be done before queue_push returns. */
    if (j->events)
        events_wait(j->events);
    else
        MHD_suspend_connection(x->connection);
    uint64_t bytes = j->upload.size; /* the engine closes the upload when it is done with it */
    queue_result result = queue_push(s->queue, j);
    x->submitted = result == QUEUE_OK;
    if (!x->submitted) {
        refuse_full(x, result);
        j->on_done(j, x->connection);
        return true;
    }
    log_event(LOG_INFO, "queued", "id=%s bytes=%llu waiting=%zu", x->id, (unsigned long long)bytes,
              queue_waiting(s->queue));
    watch_wake(s->watch);
    return true;
}

static void refuse_late(exchange *x)
{
    api_error e;
    api_error_set(&e, 504, NULL, "request_timeout", "The transcription was not done within %g s",
                  x->h->s->config->request_timeout);
    refuse(x, &e);
}

static enum MHD_Result finish(exchange *x)
{
    server *s = x->h->s;
    visitor_turn(x->visitor, VISITOR_SERVED);
    if (x->live) return upgrade(x);
    if (x->route && x->route->live && !x->has_reply) return open_live(x) ? MHD_YES : send_reply(x);
    if (x->route && x->route->realtime && !x->has_reply) return upgrade_realtime(x);
    if (x->submitted && !x->has_reply && x->job->events && events_begun(x->job->events))
        return send_events(x, &(outflow){.job = job_hold(x->job), .events = x->job->events});
    if (x->route && x->route->follow && !x->has_reply) return follow(x);
    if (x->submitted && !x->has_reply) {
        if (x->job->reply.status == 0 && x->job->late) {
            refuse_late(x);
        } else if (x->job->reply.status == 0 && !atomic_load(&s->draining)) {
            return MHD_NO; /* the client left */
        } else if (x->job->reply.status == 0) {
            refuse_full(x, QUEUE_CLOSED);
        } else {
            x->reply = x->job->reply;
            x->job->reply = (reply){0};
            x->has_reply = true;
        }
    }
    if (!x->has_reply && takes_form(x->route) && submit(x)) return MHD_YES;
    if (!x->has_reply) {
        if (x->route->own)
            x->route->own(s, s->keys ? x->client : "", x->tail, &x->reply);
        else
            x->route->answer(s, x->tail, &x->reply);
        x->has_reply = true;
    }
    return send_reply(x);
}

/* ---- libmicrohttpd ---------------------------------------------------------------------------------------------- */

/* Called with the head of a request, with each piece of its body, at its end, and after a resume. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *n, void **state)
{
    exchange *x = *state;
    if (!x) {
        x = *state = begin(cls, connection, method, url);
        if (!x) return MHD_NO;
        x->http11 = strcmp(version, "HTTP/1.1") == 0;
        if (!x->has_reply || should_read_first(x)) return MHD_YES;
        x->linger = true;
        return send_reply(x);
    }
    if (*n > 0) {
        enum MHD_Result result = receive(x, data, *n);
        *n = 0;
        return result;
    }
    return finish(x);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    http *h = cls;
    exchange *x = *state;
    if (!x) return;
    *state = NULL;
    if (x->status != MHD_HTTP_SWITCHING_PROTOCOLS) visitor_turn(x->visitor, VISITOR_HEAD); /* the next one's */
    /* A second handle on the socket outlives the library's close. */
    if (x->linger) watch_linger(h->s->watch, fcntl(socket_of(connection), F_DUPFD_CLOEXEC, 0));
    log_event(LOG_INFO, "request", "id=%s client=%s method=%s route=%s status=%u bytes=%llu seconds=%.3f%s", x->id,
              *x->client ? x->client : "-", x->method, x->route ? x->route->path : "none", x->status,
              (unsigned long long)x->received, clock_now_s() - x->began,
              why == MHD_REQUEST_TERMINATED_COMPLETED_OK || x->raw_sent ? "" : " aborted=1");
    traffic_request(h->s->traffic, x->route ? x->route->path : "none", x->status, x->received);
    if (x->submitted && x->status == MHD_HTTP_OK)
        traffic_transcription(h->s->traffic, clock_now_s() - x->began, x->job->started_at - x->job->queued_at);
    if (x->form) MHD_destroy_post_processor(x->form);
    if (x->streaming && why != MHD_REQUEST_TERMINATED_COMPLETED_OK) { /* the reader left */
        atomic_store(&x->job->cancelled, true);
        watch_wake(h->s->watch);
    }
    job_release(x->job);
    jobs_draft_drop(x->draft);
    if (x->live) live_drop(x->live);
    if (x->realtime) realtime_drop(x->realtime);
    reply_free(&x->reply);
    free(x->tail);
    free(x);
    atomic_fetch_sub(&h->busy, 1);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode what)
{
    http *h = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *state = visitor_enter(h->visitors, socket_of(connection));
    } else {
        visitor_leave(*state);
        *state = NULL;
    }
}

sotto_status http_start(http **out, server *s, sotto_error *err)
{
    *out = NULL;
    http *h = calloc(1, sizeof *h);
    if (!h) return options_fail(err, SOTTO_ENOMEM, "out of memory: http");
    h->s = s;
    atomic_init(&h->busy, 0);
    const bool tls = s->config->tls_cert;
    if (tls && (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES ||
                MHD_is_feature_supported(MHD_FEATURE_HTTPS_CERT_CALLBACK2) != MHD_YES)) {
        free(h);
        return options_fail(err, SOTTO_EUNSUPPORTED, "--tls-cert: this machine's libmicrohttpd was built without TLS");
    }
    sotto_status st = visitors_start(&h->visitors, s->config->idle_timeout, (double)s->config->upload_rate, err);
    if (st != SOTTO_OK) {
        free(h);
        return st;
    }
    /* What stands behind the first END is not read. */
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | (tls ? MHD_USE_TLS : 0), 0, NULL,
        NULL, on_request, h, MHD_OPTION_LISTEN_SOCKET, s->listener, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->config->max_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)s->config->per_address, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)s->config->idle_timeout, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
        tls ? MHD_OPTION_HTTPS_PRIORITIES : MHD_OPTION_END, tls_priorities, MHD_OPTION_HTTPS_CERT_CALLBACK2,
        tls_certificate(), MHD_OPTION_END);
    if (!h->daemon) {
        visitors_stop(h->visitors);
        free(h);
        return options_fail(err, SOTTO_EIO, "the HTTP server could not be started on %s", s->url);
    }
    *out = h;
    return SOTTO_OK;
}

size_t http_connections(const http *h) { return visitors_count(h->visitors); }

size_t http_busy(const http *h) { return atomic_load(&h->busy); }

void http_stop(http *h)
{
    if (!h) return;
    MHD_stop_daemon(h->daemon);
    visitors_stop(h->visitors);
    free(h);
}
