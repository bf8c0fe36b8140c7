/* SPDX-License-Identifier: MIT
 * Captions by a daemon (captioner.h): /v1/captions as docs/HTTP.md describes it.
 *
 * A thread of its own has the socket. It sends what is pushed, as far as the daemon takes it, and puts what comes in
 * the inbox; sound that is not taken yet stays in a buffer that grows. */
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "captioner.h"
#include "client.h"
#include "upgrade.h"

/* The socket's buffer is small: what waits in the kernel waits for the daemon too. */
enum { SAMPLE_BYTES = 4, MESSAGE_BYTES = 32 << 10, SOCKET_BYTES = 128 << 10, TICK_MS = 250 };
static const double ahead_s = 2;   /* of sound not sent; the daemon reads on until 30 s wait there */
static const double goodbye_s = 2; /* from the last caption to the end of the connection */

/* Bytes in their order. */
typedef struct bytes_queue {
    uint8_t *data;
    size_t begin, end, cap;
} bytes_queue;

typedef struct captioner_remote {
    captioner base;
    const live_options *options;
    remote *remote;
    int rate;
    websocket *ws;
    int event; /* wakes the socket's thread */
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t news;
    bytes_queue sound;
    bool ended;    /* no more is pushed */
    bool leaving;  /* nobody takes captions any more */
    json_t *inbox; /* messages with captions */
    captioner_state state;
    uint64_t pushed;     /* samples */
    bool over;           /* the thread is done; no news come */
    sotto_status status; /* why, if something was wrong */
    sotto_error error;

    /* the socket's thread's */
    bool end_sent, done, gone;
    double leaving_since;
    uint64_t received; /* bytes, as of the last look */
    double received_at, pinged_at;

    /* of whom takes captions */
    json_t *document;
    parsed_caption caption;
} captioner_remote;

static void wake(captioner_remote *c)
{
    uint64_t one = 1;
    if (write(c->event, &one, sizeof one) < 0) return; /* the counter is full, so the thread is awake anyway */
}

/* ---- bytes ---------------------------------------------------------------------------------------------------- */

static bool make_room(bytes_queue *q, size_t n)
{
    if (q->begin == q->end) q->begin = q->end = 0;
    if (n <= q->cap - q->end) return true;
    size_t held = q->end - q->begin, cap = 2 * (held + n);
    if (n > SIZE_MAX / 4 - held) return false;
    uint8_t *data = malloc(cap);
    if (!data) return false;
    if (held) memcpy(data, q->data + q->begin, held);
    free(q->data);
    *q = (bytes_queue){.data = data, .end = held, .cap = cap};
    return true;
}

/* As little-endian floats: the daemon hears what a stream of this process would hear. */
static void put_samples(bytes_queue *q, const float *samples, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &samples[i], sizeof bits);
        for (int shift = 0; shift < 32; shift += 8) q->data[q->end++] = (uint8_t)(bits >> shift);
    }
}

static size_t take_bytes(bytes_queue *q, uint8_t *out, size_t most)
{
    size_t n = q->end - q->begin < most ? q->end - q->begin : most;
    if (n) memcpy(out, q->data + q->begin, n);
    q->begin += n;
    return n;
}

/* ---- what comes in, on the socket's thread -------------------------------------------------------------------- */

/* "the daemon at … went away". The first error is the one told. The lock is held. */
static void note_error(captioner_remote *c, sotto_status code, const char *what)
{
    if (c->status == SOTTO_OK)
        c->status = options_fail(&c->error, code, "the daemon at %.150s %.340s", remote_url(c->remote), what);
}

static void fail(captioner_remote *c, sotto_status code, const char *what)
{
    pthread_mutex_lock(&c->lock);
    note_error(c, code, what);
    pthread_mutex_unlock(&c->lock);
}

static double number(const json_t *message, const char *key)
{
    return json_number_value(json_object_get(message, key));
}

/* These run with the lock held. */
static void on_caption(captioner_remote *c, json_t *message)
{
    if (json_array_append(c->inbox, message) != 0)
        note_error(c, SOTTO_ENOMEM, "sent captions that memory has no place for");
    c->state.heard_s = number(message, "heard");
    c->state.hearing_s += number(message, "wall");
    c->state.multiply_adds = (uint64_t)json_integer_value(json_object_get(message, "multiply_adds"));
    pthread_cond_signal(&c->news);
}

static void on_status(captioner_remote *c, json_t *message)
{
    c->state.heard_s = number(message, "heard");
    c->state.level_db = number(message, "level_db");
    c->state.speech = json_is_true(json_object_get(message, "speech"));
}

static void on_done(captioner_remote *c, json_t *message)
{
    (void)message;
    c->done = true;
}

static void on_error(captioner_remote *c, json_t *message)
{
    const char *reason = json_string_value(json_object_get(message, "message"));
    char what[340];
    snprintf(what, sizeof what, "ended the captions: %s", reason ? reason : "it does not say why");
    note_error(c, SOTTO_EIO, what);
}

static void on_text(void *user, const char *text, size_t n)
{
    static const struct {
        const char *type;
        void (*take)(captioner_remote *c, json_t *message);
    } types[] = {{"caption", on_caption}, {"status", on_status}, {"done", on_done}, {"error", on_error}};
    captioner_remote *c = user;
    json_t *message = json_loadb(text, n, 0, NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    pthread_mutex_lock(&c->lock);
    if (!type) note_error(c, SOTTO_EFORMAT, "sent a message that is none of captions");
    for (size_t i = 0; type && i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i].type) == 0) types[i].take(c, message);
    json_decref(message); /* here, so that whoever takes it from the inbox has it alone */
    pthread_mutex_unlock(&c->lock);
}

static void on_too_big(void *user) { fail(user, SOTTO_ELIMIT, "sent a message longer than 1 MiB"); }

/* ---- the socket's thread -------------------------------------------------------------------------------------- */

/* A message of sound, or the end behind the last. */
static bool send_sound(captioner_remote *c)
{
    static const char end[] = "{\"type\": \"end\"}";
    uint8_t bytes[MESSAGE_BYTES];
    if (websocket_wants_write(c->ws) || c->end_sent) return true;
    pthread_mutex_lock(&c->lock);
    size_t n = take_bytes(&c->sound, bytes, sizeof bytes);
    bool ended = c->ended;
    pthread_mutex_unlock(&c->lock);
    if (n) return websocket_send_binary(c->ws, bytes, n);
    if (!ended) return true;
    c->end_sent = true;
    return websocket_send_text(c->ws, end, sizeof end - 1);
}

static bool has_to_send(captioner_remote *c)
{
    pthread_mutex_lock(&c->lock);
    bool has = c->sound.begin < c->sound.end || (c->ended && !c->end_sent);
    pthread_mutex_unlock(&c->lock);
    return has || websocket_wants_write(c->ws);
}

static void await(captioner_remote *c)
{
    uint64_t count;
    short writes = has_to_send(c) ? POLLOUT : 0;
    struct pollfd p[] = {{.fd = c->event, .events = POLLIN},
                         {.fd = remote_socket(c->remote), .events = (short)(POLLIN | writes)}};
    if (p[1].fd < 0) c->gone = true;
    poll(p, 2, websocket_has_more(c->ws) || c->gone ? 0 : TICK_MS);
    if (p[0].revents && read(c->event, &count, sizeof count) < 0) return;
}

/* The daemon has said goodbye, or is waited for no longer. */
static bool is_over(captioner_remote *c)
{
    pthread_mutex_lock(&c->lock);
    bool leaving = c->leaving, failed = c->status != SOTTO_OK;
    pthread_mutex_unlock(&c->lock);
    if (leaving && c->leaving_since <= 0) c->leaving_since = now_s();
    return c->gone || failed || (websocket_deaf(c->ws) && !websocket_wants_write(c->ws)) ||
           (leaving && now_s() - c->leaving_since > goodbye_s);
}

static void tell_end(captioner_remote *c)
{
    if (websocket_peer_code(c->ws) == WEBSOCKET_GOING_AWAY)
        fail(c, SOTTO_EIO, "is shutting down; what it had received is written");
    else if (!c->done)
        fail(c, SOTTO_EIO, "went away; what it had confirmed is written");
    pthread_mutex_lock(&c->lock);
    c->over = true;
    pthread_cond_signal(&c->news);
    pthread_mutex_unlock(&c->lock);
}

/* Who could not be written to any more may have left its last words. */
static void read_rest(captioner_remote *c)
{
    uint64_t before;
    do {
        before = websocket_received(c->ws);
        if (!websocket_deaf(c->ws)) websocket_receive(c->ws); /* false either way: writing has failed */
    } while (websocket_received(c->ws) != before);
}

/* A daemon that hangs keeps its connection: one that is silent is pinged four times, then given up. */
static void check_life(captioner_remote *c)
{
    double now = now_s(), most = c->options->daemon_timeout;
    char what[100];
    if (websocket_received(c->ws) != c->received) {
        c->received = websocket_received(c->ws);
        c->received_at = now;
    } else if (now - c->received_at >= most) {
        snprintf(what, sizeof what, "sent nothing for %g s; what it had confirmed is written", most);
        fail(c, SOTTO_EIO, what);
    } else if (now - fmax(c->received_at, c->pinged_at) >= most / 5 && !websocket_wants_write(c->ws)) {
        c->pinged_at = now;
        if (!websocket_ping(c->ws)) c->gone = true;
    }
}

static void *exchange(void *user)
{
    captioner_remote *c = user;
    c->received_at = c->pinged_at = now_s();
    while (!is_over(c)) {
        await(c);
        if (!websocket_deaf(c->ws) && !websocket_receive(c->ws)) c->gone = true;
        check_life(c);
        if (!send_sound(c) || !websocket_flush(c->ws)) c->gone = true;
    }
    read_rest(c);
    tell_end(c);
    return NULL;
}

/* ---- captioner ------------------------------------------------------------------------------------------------ */

static sotto_status begin(captioner *base, int rate, sotto_error *err)
{
    static const websocket_handler handler = {.on_text = on_text, .on_too_big = on_too_big};
    captioner_remote *c = (captioner_remote *)base;
    const live_options *o = c->options;
    char rate_text[16], interval[32];
    int bytes = SOCKET_BYTES;
    snprintf(rate_text, sizeof rate_text, "%d", rate);
    snprintf(interval, sizeof interval, "%g", o->interval);
    const remote_parameter parameters[] = {
        {"rate", rate_text},
        {"samples", "f32"},
        {"model", o->model},
        {"language", *o->language ? o->language : NULL},
        {"prompt", *o->prompt ? o->prompt : NULL},
        {"task", o->task == LIVE_TASK_TRANSLATE ? "translate" : NULL},
        {"interval", o->interval > 0 ? interval : NULL},
        {"every_interval", o->pace == LIVE_PACE_FAST ? "true" : NULL},
    };
    sotto_status st = upgrade(c->remote, "/v1/captions", parameters, sizeof parameters / sizeof *parameters, &handler,
                              c, &c->ws, err);
    if (st != SOTTO_OK) return st;
    c->rate = rate;
    setsockopt(remote_socket(c->remote), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    int failed = thread_start(&c->thread, exchange, c);
    if (failed)
        return options_fail(err, SOTTO_ENOMEM, "the thread that talks with the daemon cannot be started: %s",
                            strerror(failed));
    c->has_thread = true;
    return SOTTO_OK;
}

static sotto_status push(captioner *base, const float *samples, size_t n, sotto_error *err)
{
    captioner_remote *c = (captioner_remote *)base;
    pthread_mutex_lock(&c->lock);
    bool ok = n < SIZE_MAX / 16 && make_room(&c->sound, SAMPLE_BYTES * n);
    if (ok) put_samples(&c->sound, samples, n);
    c->pushed += n;
    pthread_mutex_unlock(&c->lock);
    wake(c);
    return ok ? SOTTO_OK : options_fail(err, SOTTO_ENOMEM, "out of memory: sound that waits for the daemon");
}

static bool is_ahead(captioner *base)
{
    captioner_remote *c = (captioner_remote *)base;
    pthread_mutex_lock(&c->lock);
    double waits_s = (double)(c->sound.end - c->sound.begin) / SAMPLE_BYTES / c->rate;
    pthread_mutex_unlock(&c->lock);
    return waits_s >= ahead_s;
}

static void end(captioner *base)
{
    captioner_remote *c = (captioner_remote *)base;
    pthread_mutex_lock(&c->lock);
    c->ended = true;
    pthread_mutex_unlock(&c->lock);
    wake(c);
}

/* The next message, or NULL when none came in time. */
static json_t *take_message(captioner_remote *c, double timeout_s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    double whole = floor(timeout_s);
    until.tv_sec += (time_t)whole;
    until.tv_nsec += (long)((timeout_s - whole) * 1e9);
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    while (json_array_size(c->inbox) == 0 && !c->over)
        if (pthread_cond_timedwait(&c->news, &c->lock, &until) != 0) break;
    json_t *message = json_incref(json_array_get(c->inbox, 0));
    if (message) json_array_remove(c->inbox, 0);
    return message;
}

static sotto_status next(captioner *base, double timeout_s, const sotto_caption **out, sotto_error *err)
{
    captioner_remote *c = (captioner_remote *)base;
    sotto_status st = SOTTO_OK;
    *out = NULL;
    parsed_caption_free(&c->caption);
    json_decref(c->document);
    pthread_mutex_lock(&c->lock);
    if (!(c->document = take_message(c, timeout_s)) && c->over) {
        if (c->status == SOTTO_OK) note_error(c, SOTTO_EFORMAT, "said that it was done, but sent no last caption");
        *err = c->error;
        st = c->status;
    }
    pthread_mutex_unlock(&c->lock);
    if (!c->document || (st = parsed_caption_read(&c->caption, c->document, err)) != SOTTO_OK) return st;
    *out = &c->caption.caption;
    return SOTTO_OK;
}

static void get_state(captioner *base, captioner_state *to)
{
    captioner_remote *c = (captioner_remote *)base;
    pthread_mutex_lock(&c->lock);
    *to = c->state;
    to->pushed_s = (double)c->pushed / c->rate;
    pthread_mutex_unlock(&c->lock);
}

static void leave(captioner_remote *c)
{
    if (!c->has_thread) return;
    pthread_mutex_lock(&c->lock);
    c->leaving = true;
    pthread_mutex_unlock(&c->lock);
    wake(c);
    pthread_join(c->thread, NULL);
    c->has_thread = false;
}

static sotto_status finish(captioner *base, sotto_error *err)
{
    captioner_remote *c = (captioner_remote *)base;
    leave(c);
    if (c->status != SOTTO_OK) *err = c->error;
    return c->status;
}

static void release(captioner *base)
{
    captioner_remote *c = (captioner_remote *)base;
    leave(c);
    websocket_free(c->ws);
    remote_free(c->remote);
    if (c->event >= 0) close(c->event);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->news);
    parsed_caption_free(&c->caption);
    json_decref(c->document);
    json_decref(c->inbox);
    free(c->sound.data);
    free(c);
}

sotto_status captioner_open_remote(captioner **out, const live_options *o, sotto_error *err)
{
    static const captioner_kind kind = {begin, push, is_ahead, end, next, get_state, finish, release};
    captioner_remote *c = calloc(1, sizeof *c);
    pthread_condattr_t how;
    *out = NULL;
    if (!c) return options_fail(err, SOTTO_ENOMEM, "out of memory: captions");
    const remote_access access = {.api_key = o->api_key, .ca_file = o->cacert};
    c->base.kind = &kind;
    c->options = o;
    c->state.level_db = -120;
    c->inbox = json_array();
    c->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&how);
    pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
    pthread_cond_init(&c->news, &how);
    pthread_condattr_destroy(&how);
    sotto_status st = c->inbox && c->event >= 0 ? remote_open(&c->remote, o->server, &access, err)
                                                : options_fail(err, SOTTO_ENOMEM, "out of memory: captions");
    if (st == SOTTO_OK)
        *out = &c->base;
    else
        release(&c->base);
    return st;
}
