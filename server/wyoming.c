/* SPDX-License-Identifier: MIT
 * Sockets -> Wyoming events -> jobs -> transcripts (wyoming.h). One thread has all sockets; the engine's threads leave
 * word with it (`done`, `spoken`) and wake it. While a client's job is in work its next request waits in its socket,
 * but what is answered at once still is. */
#include "wyoming.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "access.h"
#include "listen.h"
#include "log.h"
#include "options.h"
#include "wyoming_request.h"
#include "wyoming_wire.h"
#include "wakeup.h"

enum { IN_BYTES = 16 << 10, OUT_BYTES = 256 << 10, TICK_MS = 250 };
static const double GOODBYE_S = 2, ACCEPT_AGAIN_S = 0.25;

typedef struct peer {
    wyoming *all;
    int fd;
    wyoming_reader reader;
    wyoming_request request;
    job *running; /* queued or in work: one reference */
    bool done;    /* it has ended; guarded by all->lock, as what follows is */
    char *spoken; /* texts of its segments, to be sent, or NULL */
    bool lost;    /* memory for some of them ran out */

    bool told; /* transcript-start was sent */
    char in[IN_BYTES];
    const char *at; /* `n` bytes not yet read by the reader */
    size_t n;
    bool held;     /* the reader's event waits for the end of `running` */
    bool is_chunk; /* payload belongs to the request */
    char *out;     /* [out_capacity], out_n bytes from out_at are to be sent */
    size_t out_at, out_n, out_capacity;
    bool closing; /* once everything is sent */
    bool gone;
    double last; /* something came or went */
} peer;

struct wyoming {
    server *s;
    int event; /* wakes the thread */
    pthread_t thread;
    atomic_bool stopped;
    atomic_size_t busy;
    pthread_mutex_t lock; /* of the peers' `done`, `spoken` and `lost` */
    peer **peers;         /* [n] of `most` */
    struct pollfd *polls; /* [most + 2] */
    size_t n, most;
    double accept_at; /* not before */
};

/* ---- what goes out ------------------------------------------------------------------------------------------------
 */

static void say(peer *p, const char *type, json_t *data)
{
    size_t n;
    char *bytes = wyoming_write(type, data, &n);
    if (!bytes || p->out_at + p->out_n + n > p->out_capacity) {
        size_t capacity = 2 * (p->out_n + n);
        char *grown = bytes ? malloc(capacity) : NULL;
        if (grown && p->out_n) memcpy(grown, p->out + p->out_at, p->out_n);
        if (grown) {
            free(p->out);
            p->out = grown;
            p->out_at = 0;
            p->out_capacity = capacity;
        } else {
            p->gone = true; /* out of memory: better nothing than half an answer */
        }
    }
    if (bytes && !p->gone) {
        memcpy(p->out + p->out_at + p->out_n, bytes, n);
        p->out_n += n;
    }
    free(bytes);
}

static void flush(peer *p, double now)
{
    while (p->out_n && !p->gone) {
        ssize_t n = send(p->fd, p->out + p->out_at, p->out_n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) {
            p->gone = true;
            return;
        }
        p->out_at += (size_t)n;
        p->out_n -= (size_t)n;
        p->last = now;
    }
    if (p->out_n || !p->out) return;
    free(p->out);
    p->out = NULL;
    p->out_at = p->out_capacity = 0;
}

/* A job whose client has no use for it ends soon; on_done is still to come. */
static void cancel_job(peer *p)
{
    if (!p->running || atomic_load(&p->running->cancelled)) return;
    atomic_store(&p->running->cancelled, true);
    watch_wake(p->all->s->watch);
}

/* Says what is wrong and ends the connection: clients wait for a transcript, and the end tells them that none comes. */
static void fail(peer *p, const api_error *e)
{
    if (p->closing) return;
    const char *id = p->running ? p->running->id : p->request.job ? p->request.job->id : "-";
    log_event(LOG_INFO, "wyoming", "id=%s status=%u code=%s", id, e->status, e->code ? e->code : "-");
    say(p, "error",
        json_pack("{s:o, s:s}", "text", reply_json_text(e->message), "code", e->code ? e->code : "server_error"));
    p->closing = true;
    cancel_job(p);
    wyoming_request_drop(&p->request);
}

static void fail_shutting_down(peer *p)
{
    api_error e;
    api_error_set(&e, 503, NULL, "shutting_down", "The server is shutting down; try again");
    fail(p, &e);
}

static void say_chunk(peer *p, const char *text)
{
    if (!p->told) say(p, "transcript-start", json_object());
    p->told = true;
    if (*text) say(p, "transcript-chunk", json_pack("{s:o}", "text", reply_json_text(text)));
}

static void say_transcript(peer *p, const char *text, const char *language)
{
    say_chunk(p, "");
    json_t *data = json_pack("{s:o}", "text", reply_json_text(text));
    if (data && language) json_object_set_new(data, "language", json_string(language));
    say(p, "transcript", data);
    say(p, "transcript-stop", json_object());
    p->told = false;
}

/* ---- the engine's threads -----------------------------------------------------------------------------------------
 */

static void wake(wyoming *w) { wakeup_send(w->event); }

static void on_progress(job *j, const sotto_progress *progress, void *user)
{
    peer *p = user;
    (void)j;
    pthread_mutex_lock(&p->all->lock);
    for (size_t i = 0; i < progress->n_segments; i++) {
        char *more = NULL;
        if (asprintf(&more, "%s%s", p->spoken ? p->spoken : "", progress->segments[i].text) < 0) {
            p->lost = true;
            continue;
        }
        free(p->spoken);
        p->spoken = more;
    }
    pthread_mutex_unlock(&p->all->lock);
    wake(p->all);
}

static void on_done(job *j, void *user)
{
    peer *p = user;
    wyoming *w = p->all;
    (void)j;
    pthread_mutex_lock(&w->lock);
    p->done = true; /* from here on the peer may be freed */
    pthread_mutex_unlock(&w->lock);
    wake(w);
}

/* ---- replies ------------------------------------------------------------------------------------------------------
 */

/* verbose_json, or an error in OpenAI's shape. */
static void answer(peer *p, const job *j)
{
    api_error e;
    json_t *root = j->reply.body ? json_loadb(j->reply.body, j->reply.len, 0, NULL) : NULL;
    const char *text = json_string_value(json_object_get(root, "text")), *message, *code;
    const json_t *error = json_object_get(root, "error");
    if (j->reply.status == 200 && text) {
        say_transcript(p, text, sotto_language_code(json_string_value(json_object_get(root, "language"))));
    } else {
        message = json_string_value(json_object_get(error, "message"));
        code = json_string_value(json_object_get(error, "code"));
        api_error_set(&e, j->reply.status, NULL, code ? code : "server_error", "%s",
                      message ? message : "The recording could not be processed");
        fail(p, &e);
    }
    json_decref(root);
}

/* Tells what the engine's threads have left. */
static void take_news(peer *p, double now)
{
    if (!p->running) return;
    pthread_mutex_lock(&p->all->lock);
    char *spoken = p->spoken;
    bool done = p->done, lost = p->lost;
    p->spoken = NULL;
    pthread_mutex_unlock(&p->all->lock);
    if (spoken && !p->closing && !p->gone && !lost) say_chunk(p, spoken + (!p->told && *spoken == ' '));
    free(spoken);
    if (!done) return;
    job *j = p->running;
    p->running = NULL;
    p->last = now;
    if (p->closing || p->gone)
        p->told = false;
    else if (j->reply.status)
        answer(p, j);
    else if (atomic_load(&p->all->s->draining))
        fail_shutting_down(p);
    else
        p->gone = true; /* it left, and the watch noticed first */
    job_release(j);
}

/* ---- events -------------------------------------------------------------------------------------------------------
 */

static void on_describe(peer *p, json_t *data)
{
    (void)data;
    say(p, "info", wyoming_info(p->all->s));
}

static void on_ping(peer *p, json_t *data)
{
    const json_t *text = json_object_get(data, "text");
    say(p, "pong", text ? json_pack("{s:O}", "text", text) : json_object());
}

static void on_transcribe(peer *p, json_t *data)
{
    api_error e;
    if (!wyoming_request_ask(&p->request, p->all->s, data, &e)) fail(p, &e);
}

static void on_audio_start(peer *p, json_t *data)
{
    api_error e;
    if (!wyoming_request_start(&p->request, p->all->s, data, &e)) fail(p, &e);
}

static void on_audio_chunk(peer *p, json_t *data)
{
    api_error e;
    p->is_chunk = wyoming_request_chunk(&p->request, p->all->s, data, &e);
    if (!p->is_chunk) fail(p, &e);
}

static void on_audio_stop(peer *p, json_t *data)
{
    api_error e;
    job *j;
    server *s = p->all->s;
    (void)data;
    if (!wyoming_request_finish(&p->request, s, &j, &e)) {
        fail(p, &e);
        return;
    }
    if (!j) { /* nothing was said */
        say_transcript(p, "", NULL);
        return;
    }
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    access_address(getpeername(p->fd, (struct sockaddr *)&from, &size) == 0 ? (struct sockaddr *)&from : NULL,
                   j->client);
    j->client_fd = p->fd;
    j->on_progress = on_progress;
    j->on_done = on_done;
    j->user = p;
    p->done = p->lost = false;
    p->running = j;
    uint64_t bytes = j->upload.size; /* the engine closes the upload when it is done with it */
    queue_result result = queue_push(s->queue, j);
    if (result == QUEUE_OK) {
        log_event(LOG_INFO, "queued", "id=%s bytes=%llu waiting=%zu", j->id, (unsigned long long)bytes,
                  queue_waiting(s->queue));
        watch_wake(s->watch);
        return;
    }
    p->running = NULL;
    if (result == QUEUE_CLOSED) {
        fail_shutting_down(p);
    } else if (result == QUEUE_CLIENT_FULL) {
        api_error_set(&e, 429, NULL, "too_many_requests",
                      "This client has its share of the queue (%zu); try again in %u s", (size_t)s->config->per_client,
                      engine_retry_after(s->engine, queue_clients(s->queue)));
        fail(p, &e);
    } else {
        api_error_set(&e, 503, NULL, "queue_full", "The queue is full (%zu requests wait); try again in %u s",
                      (size_t)s->config->max_queue, engine_retry_after(s->engine, 1));
        fail(p, &e);
    }
    job_release(j);
}

static const struct {
    const char *type;
    void (*on)(peer *p, json_t *data);
    bool at_once; /* whatever is in work */
} handlers[] = {
    {"describe", on_describe, true},        {"ping", on_ping, true},
    {"transcribe", on_transcribe, false},   {"audio-start", on_audio_start, false},
    {"audio-chunk", on_audio_chunk, false}, {"audio-stop", on_audio_stop, false},
};

/* The reader's event; false when it has to wait. Unknown ones are passed over, as the protocol wants. */
static bool take_event(peer *p)
{
    p->is_chunk = false;
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        if (strcmp(handlers[i].type, p->reader.type) != 0) continue;
        if (!handlers[i].at_once && p->running) return false;
        if (!handlers[i].at_once && !p->request.job && atomic_load(&p->all->s->draining))
            fail_shutting_down(p);
        else
            handlers[i].on(p, p->reader.data);
    }
    return true;
}

static void take_payload(peer *p)
{
    api_error e;
    if (p->is_chunk && !wyoming_request_append(&p->request, p->all->s, p->reader.payload, p->reader.payload_n, &e))
        fail(p, &e);
}

static void take_bytes(peer *p)
{
    while (!p->closing && !p->gone && p->out_n < OUT_BYTES) {
        api_error e;
        wyoming_step step = WYOMING_EVENT;
        if (!p->held) step = wyoming_read(&p->reader, &p->at, &p->n);
        switch (step) {
        case WYOMING_MORE:
            return;
        case WYOMING_BROKEN:
            api_error_set(&e, 400, NULL, "protocol_error", "This is no Wyoming event: %s", p->reader.why);
            fail(p, &e);
            return;
        case WYOMING_PAYLOAD:
            take_payload(p);
            break;
        case WYOMING_EVENT:
            p->held = !take_event(p);
            if (p->held) return;
            break;
        }
    }
}

/* ---- connections --------------------------------------------------------------------------------------------------
 */

static bool wants_bytes(const peer *p) { return !p->closing && !p->held && !p->n && p->out_n < OUT_BYTES; }

static void receive(peer *p, double now)
{
    ssize_t n = recv(p->fd, p->in, sizeof p->in, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0 || (n == 0 && p->running)) {
        p->gone = true;
        return;
    }
    if (n == 0) p->closing = true; /* what it still asked for goes out */
    p->at = p->in;
    p->n = (size_t)n;
    p->last = now;
}

static void check_life(peer *p, double now)
{
    api_error e;
    double most = p->all->s->config->idle_timeout;
    if (p->running || now - p->last < most) return;
    if (p->request.job && !p->closing) {
        api_error_set(&e, 408, NULL, "timeout", "No audio came for %.0f s", most);
        fail(p, &e);
        p->last = now;
    } else {
        p->gone = true;
    }
}

static void check_end(peer *p)
{
    if (atomic_load(&p->all->stopped)) fail_shutting_down(p);
    if (atomic_load(&p->all->s->draining) && !p->running && !p->request.job) p->closing = true;
}

/* Ends and frees peer `i`, the last one takes its place. */
static void remove_peer(wyoming *w, size_t i)
{
    peer *p = w->peers[i];
    /* Unread bytes would make the kernel reset the connection, and could take the last event from the client. */
    if (p->gone)
        close(p->fd);
    else
        watch_linger(w->s->watch, p->fd);
    wyoming_reader_free(&p->reader);
    wyoming_request_drop(&p->request);
    free(p->spoken);
    free(p->out);
    free(p);
    w->peers[i] = w->peers[--w->n];
}

static void serve(wyoming *w, double now)
{
    size_t busy = 0;
    for (size_t i = 0; i < w->n;) {
        peer *p = w->peers[i];
        const short got = w->polls[i + 2].revents;
        if (got & (POLLERR | POLLNVAL)) p->gone = true;
        if ((got & (POLLIN | POLLHUP)) && wants_bytes(p) && !p->gone) receive(p, now);
        take_news(p, now);
        take_bytes(p);
        check_end(p);
        check_life(p, now);
        flush(p, now);
        if (p->gone) cancel_job(p);
        if (!p->running && (p->gone || (p->closing && !p->out_n))) {
            w->polls[i + 2] = w->polls[w->n + 1]; /* of the peer that moves here */
            remove_peer(w, i);
            continue;
        }
        busy += p->running || p->request.job || p->out_n;
        i++;
    }
    atomic_store(&w->busy, busy);
}

static void refuse_connection(wyoming *w, int fd)
{
    size_t n;
    char text[100];
    snprintf(text, sizeof text, "All %zu connections are taken (--max-connections); try again later", w->most);
    char *bytes = wyoming_write("error", json_pack("{s:s, s:s}", "text", text, "code", "connections_full"), &n);
    if (bytes && send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) shutdown(fd, SHUT_RDWR);
    free(bytes);
    watch_linger(w->s->watch, fd);
}

static void accept_peers(wyoming *w, double now)
{
    int fd, one = 1;
    while ((fd = accept4(w->s->wyoming_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        peer *p = w->n < w->most ? calloc(1, sizeof *p) : NULL;
        if (!p) {
            refuse_connection(w, fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        p->all = w;
        p->fd = fd;
        p->at = p->in;
        p->last = now;
        wyoming_reader_init(&p->reader, w->s->config->max_upload);
        w->polls[w->n + 2].revents = 0;
        w->peers[w->n++] = p;
    }
    /* Out of descriptors, as an example: the listener stays readable, which must not keep this thread busy. */
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) w->accept_at = now + ACCEPT_AGAIN_S;
}

static void *work(void *arg)
{
    wyoming *w = arg;
    double stopped_at = 0;
    for (;;) {
        double now = clock_now_s();
        bool open = !atomic_load(&w->s->draining) && !atomic_load(&w->stopped) && now >= w->accept_at;
        if (atomic_load(&w->stopped)) {
            if (stopped_at == 0) stopped_at = now;
            if (!w->n || now - stopped_at > GOODBYE_S) break;
        }
        w->polls[0] = (struct pollfd){.fd = w->event, .events = POLLIN};
        w->polls[1] = (struct pollfd){.fd = open ? w->s->wyoming_listener : -1, .events = POLLIN};
        for (size_t i = 0; i < w->n; i++) {
            const peer *p = w->peers[i];
            w->polls[i + 2] = (struct pollfd){
                .fd = p->fd, .events = (short)((wants_bytes(p) ? POLLIN : 0) | (p->out_n ? POLLOUT : 0))};
            /* A client that hung up shows again and again: the watch tells of it. */
            if (!w->polls[i + 2].events) w->polls[i + 2].fd = -1;
        }
        poll(w->polls, w->n + 2, w->n || !open ? TICK_MS : -1);
        now = clock_now_s();
        if (w->polls[0].revents) wakeup_clear(w->event);
        if (w->polls[1].revents) accept_peers(w, now);
        serve(w, now);
    }
    while (w->n) {
        w->peers[0]->gone = true;
        remove_peer(w, 0);
    }
    atomic_store(&w->busy, 0);
    return NULL;
}

/* ---- start and end ------------------------------------------------------------------------------------------------
 */

sotto_status wyoming_listen(server *s, sotto_error *err)
{
    bool is_local;
    sotto_status st = listen_open(&s->wyoming_listener, "--wyoming", s->config->wyoming, "tcp", s->wyoming_url,
                                  sizeof s->wyoming_url, &is_local, err);
    if (st == SOTTO_OK && !is_local && !s->config->insecure)
        return options_fail(err, SOTTO_EINVAL,
                            "--wyoming %.100s reaches beyond this machine, and its protocol knows no keys: say "
                            "--insecure to serve everyone",
                            s->config->wyoming);
    return st;
}

sotto_status wyoming_start(wyoming **out, server *s, sotto_error *err)
{
    *out = NULL;
    wyoming *w = calloc(1, sizeof *w);
    if (!w) return options_fail(err, SOTTO_ENOMEM, "out of memory: wyoming");
    w->s = s;
    w->most = (size_t)s->config->max_connections;
    w->peers = calloc(w->most, sizeof *w->peers);
    w->polls = calloc(w->most + 2, sizeof *w->polls);
    w->event = wakeup_open();
    atomic_init(&w->stopped, false);
    atomic_init(&w->busy, 0);
    pthread_mutex_init(&w->lock, NULL);
    if (w->peers && w->polls && w->event >= 0 && pthread_create(&w->thread, NULL, work, w) == 0) {
        *out = w;
        return SOTTO_OK;
    }
    if (w->event >= 0) close(w->event);
    pthread_mutex_destroy(&w->lock);
    free(w->peers);
    free(w->polls);
    free(w);
    return options_fail(err, SOTTO_EIO, "the thread that answers %s could not be started", s->wyoming_url);
}

void wyoming_wake(wyoming *w)
{
    if (w) wake(w);
}

size_t wyoming_busy(const wyoming *w) { return w ? atomic_load(&w->busy) : 0; }

void wyoming_stop(wyoming *w)
{
    if (!w) return;
    atomic_store(&w->stopped, true);
    wake(w);
    pthread_join(w->thread, NULL);
    close(w->event);
    pthread_mutex_destroy(&w->lock);
    free(w->peers);
    free(w->polls);
    free(w);
}
