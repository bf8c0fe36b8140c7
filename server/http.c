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
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handshake.h"
#include "log.h"
#include "realtime.h"
#include "route.h"

enum {
    CONNECTION_BYTES = 128 << 10, /* each connection's memory: headers, and what is read of a body at a time */
    FORM_BUFFER_BYTES = 64 << 10,
    QUERY_PAIRS = 16,
    SMALL_BODY_BYTES = 1 << 20 /* read to its end before a refusal, so that the connection lives on */
};

struct http {
    server *s;
    struct MHD_Daemon *daemon;
    atomic_size_t busy;
};

/* One request, from its headers to the last byte of its reply. Touched by the HTTP thread only. */
typedef struct exchange {
    http *h;
    struct MHD_Connection *connection;
    char id[65];
    const char *method; /* static */
    const route *route;
    char *tail;
    struct MHD_PostProcessor *form; /* reads the multipart body */
    job *job;
    live *live;         /* opened, waits for the end of the handshake */
    realtime *realtime; /* the same of a session */
    query_pair query[QUERY_PAIRS];
    size_t n_query;
    bool submitted; /* the job was queued; its reply is ours once we are resumed */
    bool http11;
    bool has_reply; /* `reply` is set: what is left of the body is dropped */
    bool linger;    /* the client may still be sending when we close */
    bool raw_sent;
    reply reply;
    unsigned status;
    uint64_t received; /* bytes of the body */
    double began;
} exchange;

/* ---- replies ------------------------------------------------------------------------------------------------------
 */

static void refuse(exchange *x, const api_error *e)
{
    if (x->has_reply) return;
    reply_error(&x->reply, e);
    if (e->status == 503) x->reply.retry_after = engine_retry_after(x->h->s->engine);
    x->has_reply = true;
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
    if (r->retry_after) {
        snprintf(number, sizeof number, "%u", r->retry_after);
        MHD_add_response_header(response, "Retry-After", number);
    }
    if (r->upgrade) {
        MHD_add_response_header(response, "Upgrade", "websocket");
        MHD_add_response_header(response, "Sec-WebSocket-Version", "13");
    }
    if (x->linger) MHD_add_response_header(response, "Connection", "close");
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

/* The library takes a response before a body or after it, not in its middle. Where the rest of a body may be endless,
 * the reply is written straight to the socket, into whose send buffer it fits, and the connection ends. */
static enum MHD_Result send_in_mid_body(exchange *x)
{
    char head[512], retry[48] = "";
    const reply *r = &x->reply;
    if (r->retry_after) snprintf(retry, sizeof retry, "Retry-After: %u\r\n", r->retry_after);
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nX-Request-Id: %s\r\n"
                     "%s%s%s%sConnection: close\r\n\r\n",
                     r->status, MHD_get_reason_phrase_for(r->status), r->content_type, r->len, x->id, retry,
                     r->allow ? "Allow: " : "", r->allow ? r->allow : "", r->allow ? "\r\n" : "");
    int fd = socket_of(x->connection);
    x->status = r->status;
    x->linger = x->raw_sent = true;
    if (fd >= 0 && n > 0 && (size_t)n < sizeof head && send(fd, head, (size_t)n, MSG_NOSIGNAL | MSG_MORE) == n &&
        r->body && send(fd, r->body, r->len, MSG_NOSIGNAL) == (ssize_t)r->len)
        return MHD_NO;
    x->linger = false;
    return MHD_NO;
}

/* ---- the head of a request -------------------------------------------------------------------------------------- */

/* The client's own id when it is a harmless word, else a random one. */
static void choose_id(exchange *x)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const char *given = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "X-Request-Id");
    uint64_t random = 0;
    if (given && *given && strlen(given) < sizeof x->id && strspn(given, allowed) == strlen(given)) {
        snprintf(x->id, sizeof x->id, "%s", given);
        return;
    }
    if (getrandom(&random, sizeof random, 0) < 0) random = (uint64_t)(clock_now_s() * 1e9);
    snprintf(x->id, sizeof x->id, "req_%016llx", (unsigned long long)random);
}

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
    const server *s = x->h->s;
    if (why == QUEUE_CLOSED || atomic_load(&s->draining))
        api_error_set(&e, 503, NULL, "shutting_down", "The server is shutting down; try again");
    else
        api_error_set(&e, 503, NULL, "queue_full", "The queue is full (%zu requests wait); try again later",
                      (size_t)s->config->queue);
    refuse(x, &e);
}

static enum MHD_Result on_form_part(void *cls, enum MHD_ValueKind kind, const char *name, const char *filename,
                                    const char *content_type, const char *transfer_encoding, const char *data,
                                    uint64_t offset, size_t n);

/* What the headers of a POST alone decide, then the means to read its body. */
static void begin_post(exchange *x)
{
    static const char multipart[] = "multipart/form-data";
    server *s = x->h->s;
    api_error e;
    uint64_t length;
    const char *type = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Content-Type");
    queue_result room = queue_look(s->queue);
    if (atomic_load(&s->draining) || room != QUEUE_OK) {
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
    if ((x->job = job_create(x->id))) return;
    api_error_set(&e, 500, NULL, NULL, "out of memory");
    refuse(x, &e);
}

static exchange *begin(http *h, struct MHD_Connection *connection, const char *method, const char *url)
{
    exchange *x = calloc(1, sizeof *x);
    const char *tail, *allow;
    api_error e;
    if (!x) return NULL;
    atomic_fetch_add(&h->busy, 1);
    x->h = h;
    x->connection = connection;
    x->began = clock_now_s();
    x->method = strcmp(method, "POST") == 0 ? "POST" : strcmp(method, "GET") == 0 ? "GET" : "other";
    choose_id(x);
    x->route = route_find(method, url, &tail, &allow, &e);
    if (!x->route) {
        refuse(x, &e);
        x->reply.allow = allow;
    } else if (x->route->check) {
        begin_post(x);
    } else if (!(x->tail = strdup(tail))) {
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

/* ---- the body -----------------------------------------------------------------------------------------------------
 */

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
    } else if (strcmp(name, "file") == 0) {
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
    if (x->received > x->h->s->config->max_upload && x->route && x->route->check) {
        too_large(x, x->received);
        return send_in_mid_body(x);
    }
    if (x->has_reply || !x->form) return MHD_YES; /* dropped */
    if (MHD_post_process(x->form, data, n) != MHD_YES) refuse_malformed(x);
    return MHD_YES;
}

/* ---- WebSockets -------------------------------------------------------------------------------------------------- */

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

static enum MHD_Result send_upgrade(exchange *x, const char *accept)
{
    struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgraded, x);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, "Upgrade", "websocket");
    MHD_add_response_header(response, "Sec-WebSocket-Accept", accept);
    MHD_add_response_header(response, "X-Request-Id", x->id);
    x->status = MHD_HTTP_SWITCHING_PROTOCOLS;
    enum MHD_Result result = MHD_queue_response(x->connection, MHD_HTTP_SWITCHING_PROTOCOLS, response);
    MHD_destroy_response(response);
    return result;
}

static const char *header(exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

/* Checks what the client asks for, then lets the stream have the connection. */
static enum MHD_Result upgrade(exchange *x)
{
    char accept[WEBSOCKET_ACCEPT_BYTES];
    api_error e;
    const handshake h = {.upgrade = x->http11 && strcmp(x->method, "GET") == 0 ? header(x, "Upgrade") : NULL,
                         .connection = header(x, "Connection"),
                         .version = header(x, "Sec-WebSocket-Version"),
                         .key = header(x, "Sec-WebSocket-Key"),
                         .origin = header(x, "Origin"),
                         .host = header(x, "Host")};
    const handshake_welcome welcome = {.origins = x->h->s->config->origins, .hosts = x->h->s->config->hosts};
    live_request asked;
    MHD_get_connection_values(x->connection, MHD_GET_ARGUMENT_KIND, on_query_pair, x);
    if (x->n_query > QUERY_PAIRS)
        api_error_set(&e, 400, NULL, NULL, "the query has more than %d parameters", QUERY_PAIRS);
    else if (x->route->live(x->h->s, x->query, x->n_query, &asked, &e) && handshake_check(&h, &welcome, accept, &e) &&
             (x->live = live_open(x->h->s->lives, &asked, x->id, &e)))
        return send_upgrade(x, accept);
    refuse(x, &e);
    x->reply.upgrade = e.status == 426;
    return send_reply(x);
}

/* The same for a session of OpenAI's realtime API, whose streams are opened later. */
static enum MHD_Result upgrade_realtime(exchange *x)
{
    char accept[WEBSOCKET_ACCEPT_BYTES];
    api_error e;
    const char *beta = header(x, "OpenAI-Beta");
    const handshake h = {.upgrade = x->http11 && strcmp(x->method, "GET") == 0 ? header(x, "Upgrade") : NULL,
                         .connection = header(x, "Connection"),
                         .version = header(x, "Sec-WebSocket-Version"),
                         .key = header(x, "Sec-WebSocket-Key"),
                         .origin = header(x, "Origin"),
                         .host = header(x, "Host")};
    const handshake_welcome welcome = {.origins = x->h->s->config->origins, .hosts = x->h->s->config->hosts};
    MHD_get_connection_values(x->connection, MHD_GET_ARGUMENT_KIND, on_query_pair, x);
    if (x->n_query > QUERY_PAIRS)
        api_error_set(&e, 400, NULL, NULL, "the query has more than %d parameters", QUERY_PAIRS);
    else if (x->route->realtime(x->h->s, x->query, x->n_query, &e) && handshake_check(&h, &welcome, accept, &e) &&
             (x->realtime = realtime_open(x->h->s->realtimes, x->id, beta && strstr(beta, "realtime=v1"), &e)))
        return send_upgrade(x, accept);
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
    if (!x->route->check(s, &j->form, &e)) {
        refuse(x, &e);
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
    /* Suspended first: the job may be done before queue_push returns. */
    MHD_suspend_connection(x->connection);
    uint64_t bytes = j->upload.size; /* the engine closes the upload when it is done with it */
    queue_result result = queue_push(s->queue, j);
    x->submitted = result == QUEUE_OK;
    if (!x->submitted) {
        refuse_full(x, result);
        MHD_resume_connection(x->connection);
        return true;
    }
    log_event(LOG_INFO, "queued", "id=%s bytes=%llu waiting=%zu", x->id, (unsigned long long)bytes,
              queue_waiting(s->queue));
    watch_wake(s->watch);
    return true;
}

static enum MHD_Result finish(exchange *x)
{
    server *s = x->h->s;
    if (x->route && x->route->live && !x->has_reply) return upgrade(x);
    if (x->route && x->route->realtime && !x->has_reply) return upgrade_realtime(x);
    if (x->submitted && !x->has_reply) {
        if (x->job->reply.status == 0 && !atomic_load(&s->draining)) return MHD_NO; /* the client left */
        if (x->job->reply.status == 0) {
            refuse_full(x, QUEUE_CLOSED);
        } else {
            x->reply = x->job->reply;
            x->job->reply = (reply){0};
            x->has_reply = true;
        }
    }
    if (!x->has_reply && x->route->check && submit(x)) return MHD_YES;
    if (!x->has_reply) {
        x->route->answer(s, x->tail, &x->reply);
        x->has_reply = true;
    }
    return send_reply(x);
}

/* ---- libmicrohttpd ------------------------------------------------------------------------------------------------
 */

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
    /* A second handle on the socket outlives the library's close. */
    if (x->linger) watch_linger(h->s->watch, fcntl(socket_of(connection), F_DUPFD_CLOEXEC, 0));
    log_event(LOG_INFO, "request", "id=%s method=%s route=%s status=%u bytes=%llu seconds=%.3f%s", x->id, x->method,
              x->route ? x->route->path : "none", x->status, (unsigned long long)x->received, clock_now_s() - x->began,
              why == MHD_REQUEST_TERMINATED_COMPLETED_OK || x->raw_sent ? "" : " aborted=1");
    if (x->form) MHD_destroy_post_processor(x->form);
    job_release(x->job);
    if (x->live) live_drop(x->live);
    if (x->realtime) realtime_drop(x->realtime);
    reply_free(&x->reply);
    free(x->tail);
    free(x);
    atomic_fetch_sub(&h->busy, 1);
}

sotto_status http_start(http **out, server *s, sotto_error *err)
{
    *out = NULL;
    http *h = calloc(1, sizeof *h);
    if (!h) return options_fail(err, SOTTO_ENOMEM, "out of memory: http");
    h->s = s;
    atomic_init(&h->busy, 0);
    h->daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE, 0, NULL, NULL,
                         on_request, h, MHD_OPTION_LISTEN_SOCKET, s->listener, MHD_OPTION_NOTIFY_COMPLETED,
                         on_completed, h, MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->config->max_connections,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)s->config->idle_timeout,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
    if (!h->daemon) {
        free(h);
        return options_fail(err, SOTTO_EIO, "the HTTP server could not be started on %s", s->url);
    }
    *out = h;
    return SOTTO_OK;
}

size_t http_busy(const http *h) { return atomic_load(&h->busy); }

void http_stop(http *h)
{
    if (!h) return;
    MHD_stop_daemon(h->daemon);
    free(h);
}
