/* SPDX-License-Identifier: MIT
 * PCM from the socket -> sotto_stream -> captions to the socket (live.h).
 *
 * The socket's thread pushes what it reads at once, so audio never waits for a hearing. A client that sends faster than
 * is heard is not read from while AHEAD_S seconds wait, so memory stays bounded. The other thread hears and puts
 * captions into the outbox, whose end is the socket's thread's. */
#include "live.h"

#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "caption.h"
#include "log.h"
#include "options.h"
#include "outbox.h"
#include "websocket.h"
#include "wakeup.h"

enum {
    OUTBOX_BYTES = 256 << 10,
    SOCKET_BYTES = 128 << 10, /* of the kernel's buffers: what comes in, */
    SEND_BYTES = 16 << 10,    /* and what goes out; small, so that words wait where newer ones can replace them */
    PUSH_SAMPLES = 2048
};
static const double AHEAD_S = 30, STATUS_S = 0.25, TICK_S = 0.25, GOODBYE_S = 2, DELIVER_S = 30;

/* A place is taken; the stream is being opened on a thread of its own; it is there (or has failed); it is served; it is
 * over. Given up: the daemon ended, and opening still does not return. */
typedef enum live_state { LIVE_TAKEN, LIVE_OPENING, LIVE_OPEN, LIVE_RUNNING, LIVE_OVER, LIVE_GIVEN_UP } live_state;
enum verdict { VERDICT_OPEN, VERDICT_DONE, VERDICT_FAILED };

struct live {
    lives *all;
    live_state state;    /* guarded by all->lock, as are counts, touched and joining */
    sotto_counts counts; /* so far */
    uint64_t touched[SOTTO_PART_COUNT];
    bool joining;
    char id[72];
    char *prompt;
    int32_t rate;
    sotto_stream *stream;
    size_t which;       /* of the models */
    sotto_model *model; /* while `leased` */
    bool leased;
    outbox *out;
    int event;                 /* wakes the socket's thread */
    pthread_t thread, hearing; /* thread: of the opening, then the socket's */
    sotto_stream_options options;
    sotto_status opened;
    void (*on_open)(void *user);
    void (*on_over)(void *user);
    void *user;

    /* the hearing thread's, read by the other one once `heard_all` is set */
    atomic_bool heard_all, overflow;
    atomic_int verdict; /* of enum verdict: the first to settle it, of both threads, is heard by the client */
    bool complete;      /* up to the last caption */
    sotto_error error;

    /* the socket's thread's */
    websocket *ws;
    int fd;
    bool ended;          /* no audio is taken any more */
    bool failed, gone;   /* `code` and `message` say why; the client left */
    bool closing, told;  /* a close frame is on its way; the error was put into the outbox */
    websocket_code code; /* to close with */
    char message[320];
    live_samples samples;
    uint8_t part[4]; /* the first bytes of a sample whose others have not come */
    size_t n_part;
    uint64_t received;
    double began, received_at, pinged_at, told_at, closing_at, heard_all_at, stopped_at;
    bool fresh; /* audio came since the last status */
};

struct lives {
    lives_config c;
    pthread_mutex_t lock;
    atomic_bool ending, stopped;
    live **places; /* [c.most], NULL = free */
    size_t guests; /* places taken by lives_reserve */
};

/* ---- the hearing thread ----------------------------------------------------------------------------------------- */

static void wake(live *l) { wakeup_send(l->event); }

static void say(live *l, outbox_kind kind, char *text)
{
    bool may_be_lost = kind == OUTBOX_TENTATIVE || kind == OUTBOX_STATUS;
    if (!outbox_put(l->out, kind, text) && !may_be_lost) atomic_store(&l->overflow, true);
}

/* True for who comes first; what the other one has to say is out of date. */
static bool settle(live *l, enum verdict v)
{
    int open = VERDICT_OPEN;
    return atomic_compare_exchange_strong(&l->verdict, &open, v);
}

static void say_done(live *l, const sotto_caption *c)
{
    char *report = NULL;
    sotto_error err;
    if (atomic_load(&l->overflow) || !settle(l, VERDICT_DONE)) return;
    if (sotto_report_write(l->model, &c->counts, c->touched_part_parameters, &report, &err) == SOTTO_OK)
        say(l, OUTBOX_KEEP, caption_done(report));
    sotto_string_free(report);
}

static void tell(live *l, const sotto_caption *c)
{
    sotto_stream_state state = {.size = sizeof state};
    bool firm = c->n_confirmed > 0 || c->utterance_end || c->last;
    pthread_mutex_lock(&l->all->lock);
    l->counts = c->counts;
    memcpy(l->touched, c->touched_part_parameters, sizeof l->touched);
    pthread_mutex_unlock(&l->all->lock);
    engine_add_hearing(l->all->c.engine, c->wall_s);
    sotto_stream_get_state(l->stream, &state);
    say(l, firm ? OUTBOX_CAPTION : OUTBOX_TENTATIVE, caption_words(c, state.interval_s));
    if (c->last) say_done(l, c);
}

static void *hear(void *arg)
{
    live *l = arg;
    const sotto_caption *c = NULL;
    while (!l->complete) {
        if (sotto_stream_next(l->stream, TICK_S, &c, &l->error) != SOTTO_OK) break;
        if (!c) continue;
        tell(l, c);
        l->complete = c->last;
        wake(l);
    }
    atomic_store(&l->heard_all, true);
    wake(l);
    return NULL;
}

/* ---- what comes in ------------------------------------------------------------------------------------------------
 */

static void end_audio(live *l, websocket_code code)
{
    if (l->ended) return;
    l->ended = true;
    l->code = code;
    sotto_stream_end(l->stream);
}

/* Ends with an error: what was heard is still sent, the rest is not heard any more. Nothing, when all has been heard
 * and said to be done, but for captions that were lost. */
static void fail(live *l, websocket_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fail(live *l, websocket_code code, const char *format, ...)
{
    va_list args;
    if (l->failed || (!settle(l, VERDICT_FAILED) && !atomic_load(&l->overflow))) return;
    l->failed = l->ended = true;
    l->code = code;
    va_start(args, format);
    vsnprintf(l->message, sizeof l->message, format, args);
    va_end(args);
    websocket_ignore(l->ws);
    sotto_stream_cancel(l->stream);
}

static void push(live *l, const float *samples, size_t n)
{
    sotto_error err;
    if (l->failed) return;
    sotto_status st = sotto_stream_push(l->stream, samples, n, &err);
    if (st != SOTTO_OK) fail(l, st == SOTTO_EINVAL ? WEBSOCKET_INVALID : WEBSOCKET_INTERNAL, "%s", err.message);
}

static float sample_of(const uint8_t *b, live_samples kind)
{
    uint16_t low = (uint16_t)(b[0] | b[1] << 8);
    float value;
    if (kind == LIVE_S16) return (float)(int16_t)low / 32768.0F;
    uint32_t bits = low | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void on_binary(void *user, const uint8_t *bytes, size_t n)
{
    live *l = user;
    float samples[PUSH_SAMPLES];
    size_t m = 0, sample_bytes = l->samples == LIVE_S16 ? 2 : 4;
    if (l->ended) fail(l, WEBSOCKET_POLICY, "audio came after {\"type\": \"end\"}");
    if (l->ended) return;
    l->fresh = true;
    for (size_t i = 0; i < n; i++) {
        l->part[l->n_part++] = bytes[i];
        if (l->n_part < sample_bytes) continue;
        samples[m++] = sample_of(l->part, l->samples);
        l->n_part = 0;
        if (m < PUSH_SAMPLES) continue;
        push(l, samples, m);
        m = 0;
    }
    if (m) push(l, samples, m);
}

static void on_text(void *user, const char *text, size_t n)
{
    live *l = user;
    json_t *root = json_loadb(text, n, 0, NULL), *type = json_object_get(root, "type");
    bool end = json_is_string(type) && strcmp(json_string_value(type), "end") == 0;
    char quoted[100];
    json_decref(root);
    if (end)
        end_audio(l, WEBSOCKET_NORMAL);
    else
        fail(l, WEBSOCKET_UNSUPPORTED, "a text message is %s, but should be {\"type\": \"end\"}",
             log_quote(quoted, sizeof quoted, text));
}

static void on_too_big(void *user)
{
    fail(user, WEBSOCKET_TOO_BIG, "a message is longer than %d bytes (text: %d)", WEBSOCKET_MESSAGE_BYTES,
         WEBSOCKET_TEXT_BYTES);
}

/* So much audio waits to be heard that the client has to wait too. */
static bool is_ahead(live *l)
{
    sotto_stream_state state = {.size = sizeof state};
    if (l->ended) return false;
    sotto_stream_get_state(l->stream, &state);
    return state.pushed_s - state.heard_s > AHEAD_S;
}

/* Of a connection that is no WebSocket any more: unread bytes would make the kernel reset it, and could take from the
 * client what it was sent last. */
static void drop_bytes(live *l)
{
    char bytes[16 << 10];
    ssize_t n = 0;
    for (int i = 0; i < 16; i++)
        if ((n = recv(l->fd, bytes, sizeof bytes, MSG_DONTWAIT)) <= 0) break;
    if (n == 0) l->gone = true;
}

static void receive(live *l, double now)
{
    if (websocket_deaf(l->ws)) {
        drop_bytes(l);
        return;
    }
    if (!websocket_receive(l->ws)) {
        l->gone = true;
        return;
    }
    if (websocket_received(l->ws) != l->received) {
        l->received = websocket_received(l->ws);
        l->received_at = now;
    }
    /* The peer's close, or bytes that are no WebSocket: the answer is under way already. */
    if (websocket_deaf(l->ws) && !l->failed && !l->closing) {
        l->closing = l->ended = true;
        l->closing_at = now;
        sotto_stream_cancel(l->stream);
    }
}

/* ---- what goes out ------------------------------------------------------------------------------------------------
 */

static void send_status(live *l, double now)
{
    sotto_stream_state state = {.size = sizeof state};
    if (!l->fresh || l->ended || now - l->told_at < STATUS_S) return;
    l->fresh = false;
    l->told_at = now;
    sotto_stream_get_state(l->stream, &state);
    say(l, OUTBOX_STATUS, caption_status(&state));
}

static void drain_outbox(live *l)
{
    for (;;) {
        if (!websocket_flush(l->ws)) l->gone = true;
        if (l->gone || l->closing || websocket_wants_write(l->ws)) return;
        char *text = outbox_take(l->out);
        if (!text) return;
        if (!websocket_send_text(l->ws, text, strlen(text))) l->gone = true;
        free(text);
    }
}

static void say_goodbye(live *l, double now)
{
    if (!atomic_load(&l->heard_all) || l->closing) return;
    if (l->heard_all_at == 0) l->heard_all_at = now;
    if (!l->complete && !l->failed) {
        char quoted[600];
        log_event(LOG_ERROR, "live", "id=%s error=%s", l->id, log_quote(quoted, sizeof quoted, l->error.message));
        fail(l, WEBSOCKET_INTERNAL, "The audio could not be processed");
    }
    if (l->failed && !l->told) {
        l->told = true;
        say(l, OUTBOX_KEEP, caption_error(l->message));
        drain_outbox(l);
    }
    if (now - l->heard_all_at > DELIVER_S) l->gone = true;
    if (l->gone || !outbox_is_empty(l->out) || websocket_wants_write(l->ws)) return;
    l->closing = true;
    l->closing_at = now;
    websocket_close(l->ws, l->code, l->failed ? l->message : "");
    if (!websocket_flush(l->ws)) l->gone = true;
}

static void check_life(live *l, double now)
{
    double silent_s = now - l->received_at, most = l->all->c.idle_s;
    if (l->closing || silent_s < most) return;
    if (silent_s >= 2 * most) {
        fail(l, WEBSOCKET_POLICY, "no message for %.0f s, nor an answer to a ping", 2 * most);
    } else if (now - l->pinged_at >= most) {
        l->pinged_at = now;
        websocket_ping(l->ws);
    }
}

static bool is_over(const live *l, double now)
{
    if (l->gone || (l->closing && now - l->closing_at > GOODBYE_S)) return true;
    return l->closing && websocket_closed(l->ws) && !websocket_wants_write(l->ws);
}

/* ---- the socket's thread ---------------------------------------------------------------------------------------- */

static void await(live *l, bool reads)
{
    short wanted = (short)((reads ? POLLIN : POLLRDHUP) | (websocket_wants_write(l->ws) ? POLLOUT : 0));
    struct pollfd p[] = {{.fd = l->event, .events = POLLIN}, {.fd = l->fd, .events = wanted}};
    poll(p, 2, reads && websocket_has_more(l->ws) ? 0 : (int)(TICK_S * 1000));
    if (p[0].revents) wakeup_clear(l->event);
    if (p[1].revents & (POLLERR | POLLNVAL) || (!reads && p[1].revents & (POLLRDHUP | POLLHUP))) l->gone = true;
}

/* The daemon ends and waits for this thread. */
static void stop(live *l, double now)
{
    fail(l, WEBSOCKET_GOING_AWAY, "the daemon is shutting down");
    if (l->stopped_at == 0) l->stopped_at = now;
    if (now - l->stopped_at > GOODBYE_S) l->gone = true;
}

static void exchange_messages(live *l)
{
    double now = clock_now_s();
    drain_outbox(l);
    while (!is_over(l, now)) {
        bool ahead = is_ahead(l), reads = !ahead && !websocket_clogged(l->ws);
        await(l, reads);
        now = clock_now_s();
        if (atomic_load(&l->all->stopped)) stop(l, now);
        if (atomic_load(&l->all->ending)) end_audio(l, WEBSOCKET_GOING_AWAY);
        if (l->ended && l->code == WEBSOCKET_GOING_AWAY) websocket_ignore(l->ws);
        if (atomic_load(&l->overflow)) fail(l, WEBSOCKET_POLICY, "captions are read more slowly than they come");
        if (reads && !l->gone)
            receive(l, now);
        else if (ahead)
            l->received_at = now; /* who is not listened to is not silent */
        check_life(l, now);
        send_status(l, now);
        drain_outbox(l);
        say_goodbye(l, now);
    }
}

static void count_stream(live *l)
{
    bool broken = l->code == WEBSOCKET_INTERNAL;
    engine_outcome outcome = l->complete ? ENGINE_DONE : broken ? ENGINE_FAILED : ENGINE_CANCELLED;
    pthread_mutex_lock(&l->all->lock);
    double audio_s = l->counts.audio_s, heard_s = l->counts.wall_s;
    engine_add_stream(l->all->c.engine, &l->counts, l->touched, outcome);
    l->counts = (sotto_counts){0};
    pthread_mutex_unlock(&l->all->lock);
    log_event(LOG_INFO,
              l->complete ? "captioned"
              : broken    ? "failed"
                          : "cancelled",
              "id=%s audio_s=%.2f hearing_s=%.3f seconds=%.3f code=%d", l->id, audio_s, heard_s,
              clock_now_s() - l->began, l->complete || l->failed ? (int)l->code : 1006);
}

/* What a stream whose thread is not joined yet need not keep. */
static void empty(live *l)
{
    websocket_free(l->ws);
    sotto_stream_free(l->stream);
    if (l->leased) pool_release(l->all->c.pool, l->which, true);
    l->leased = false;
    outbox_free(l->out);
    free(l->prompt);
    l->ws = NULL;
    l->stream = NULL;
    l->out = NULL;
    l->prompt = NULL;
}

static void *serve(void *arg)
{
    live *l = arg;
    int one = 1, bytes = SOCKET_BYTES;
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* What waits in the kernel waits longer than what is pushed, pings included. */
    setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    bytes = SEND_BYTES;
    setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    l->began = l->received_at = l->told_at = clock_now_s();
    say(l, OUTBOX_KEEP, caption_ready(l->all->c.pool ? pool_get_facts(l->all->c.pool, l->which)->name : "", l->rate));
    bool hears = pthread_create(&l->hearing, NULL, hear, l) == 0;
    if (!hears) {
        snprintf(l->error.message, sizeof l->error.message, "no thread to hear with");
        atomic_store(&l->heard_all, true);
    }
    exchange_messages(l);
    sotto_stream_cancel(l->stream);
    if (hears) pthread_join(l->hearing, NULL);
    count_stream(l);
    void (*on_over)(void *user) = l->on_over;
    void *user = l->user;
    empty(l);
    /* First the place, then the socket: who sees it closed may come back at once. */
    pthread_mutex_lock(&l->all->lock);
    l->state = LIVE_OVER;
    pthread_mutex_unlock(&l->all->lock);
    on_over(user);
    return NULL;
}

/* ---- places -------------------------------------------------------------------------------------------------------
 */

static void live_free(live *l)
{
    empty(l);
    if (l->event >= 0) close(l->event);
    free(l);
}

/* The lock is held. */
static void leave(live *l)
{
    for (size_t i = 0; i < l->all->c.most; i++)
        if (l->all->places[i] == l) l->all->places[i] = NULL;
}

/* Joins threads that are through, or with `all_of_them` waits until they are. */
static void reap(lives *all, bool all_of_them)
{
    for (size_t i = 0; i < all->c.most; i++) {
        pthread_mutex_lock(&all->lock);
        live *l = all->places[i];
        bool ready = l && !l->joining && (l->state == LIVE_OVER || (all_of_them && l->state == LIVE_RUNNING));
        if (ready) l->joining = true; /* nobody else's */
        pthread_mutex_unlock(&all->lock);
        if (!ready) continue;
        pthread_join(l->thread, NULL);
        pthread_mutex_lock(&all->lock);
        leave(l);
        pthread_mutex_unlock(&all->lock);
        live_free(l);
    }
}

sotto_status lives_start(lives **out, const lives_config *c, sotto_error *err)
{
    *out = NULL;
    lives *all = calloc(1, sizeof *all);
    if (all) all->places = calloc(c->most, sizeof *all->places);
    if (!all || !all->places) {
        free(all);
        return options_fail(err, SOTTO_ENOMEM, "out of memory: %zu live streams", c->most);
    }
    all->c = *c;
    pthread_mutex_init(&all->lock, NULL);
    atomic_init(&all->ending, false);
    atomic_init(&all->stopped, false);
    *out = all;
    return SOTTO_OK;
}

static void set_and_wake(lives *all, atomic_bool *flag)
{
    pthread_mutex_lock(&all->lock);
    atomic_store(flag, true);
    for (size_t i = 0; i < all->c.most; i++)
        if (all->places[i]) wake(all->places[i]);
    pthread_mutex_unlock(&all->lock);
}

void lives_end(lives *all)
{
    if (all) set_and_wake(all, &all->ending);
}

/* Streams that are being opened; with `give_up` they are waited for no more. */
static size_t openings(lives *all, bool give_up)
{
    size_t n = 0;
    for (size_t i = 0; i < all->c.most; i++) {
        pthread_mutex_lock(&all->lock);
        live *l = all->places[i];
        bool opening = l && l->state == LIVE_OPENING;
        if (opening && give_up) {
            l->state = LIVE_GIVEN_UP;
            pthread_detach(l->thread);
        }
        pthread_mutex_unlock(&all->lock);
        n += opening;
        if (opening && give_up) l->on_open(l->user);
    }
    return n;
}

bool lives_stop(lives *all)
{
    if (!all) return true;
    set_and_wake(all, &all->stopped);
    for (double until = clock_now_s() + GOODBYE_S; openings(all, false) && clock_now_s() < until;) usleep(10000);
    size_t stuck = openings(all, true);
    reap(all, true);
    if (stuck) log_event(LOG_ERROR, "live", "error=\"%zu streams are still being opened\"", stuck);
    return stuck == 0;
}

void lives_free(lives *all)
{
    if (!all) return;
    pthread_mutex_destroy(&all->lock);
    free(all->places);
    free(all);
}

size_t lives_count(lives *all)
{
    size_t n = 0;
    pthread_mutex_lock(&all->lock);
    n = all->guests;
    for (size_t i = 0; i < all->c.most; i++) n += all->places[i] && all->places[i]->state != LIVE_OVER;
    pthread_mutex_unlock(&all->lock);
    return n;
}

void lives_get_totals(lives *all, engine_totals *out)
{
    pthread_mutex_lock(&all->lock); /* a stream that ends now is counted here or there, once */
    engine_get_totals(all->c.engine, out);
    const double busy_s = out->sum.wall_s; /* has the hearings already */
    const uint64_t runs = out->sum.runs;
    for (size_t i = 0; i < all->c.most; i++) {
        const live *l = all->places[i];
        if (!l) continue;
        sotto_counts_add(&out->sum, &l->counts);
        engine_touch(out->touched, l->touched);
    }
    pthread_mutex_unlock(&all->lock);
    out->sum.wall_s = busy_s;
    out->sum.runs = runs;
}

/* The lock is held. */
static bool has_room(const lives *all)
{
    size_t taken = all->guests;
    for (size_t i = 0; i < all->c.most; i++) taken += all->places[i] != NULL;
    return taken < all->c.most;
}

static void refuse_place(const lives *all, bool closed, api_error *e)
{
    if (closed)
        api_error_set(e, 503, NULL, "shutting_down", "The server is shutting down; try again");
    else
        api_error_set(e, 503, NULL, "live_streams_full",
                      "All %zu live streams are taken (--live-streams); try again later", all->c.most);
}

bool lives_reserve(lives *all, api_error *e)
{
    if (!atomic_load(&all->ending)) reap(all, false);
    pthread_mutex_lock(&all->lock);
    bool closed = atomic_load(&all->ending) || atomic_load(&all->stopped), taken = !closed && has_room(all);
    all->guests += taken;
    pthread_mutex_unlock(&all->lock);
    if (!taken) refuse_place(all, closed, e);
    return taken;
}

void lives_release(lives *all)
{
    pthread_mutex_lock(&all->lock);
    all->guests--;
    pthread_mutex_unlock(&all->lock);
}

/* Takes a free place; NULL with *e. */
static live *take_place(lives *all, const char *id, api_error *e)
{
    size_t i = 0;
    live *l = calloc(1, sizeof *l);
    if (!l) {
        api_error_set(e, 500, NULL, NULL, "out of memory");
        return NULL;
    }
    l->all = all;
    l->event = wakeup_open(); /* before others see the place and wake it */
    l->code = WEBSOCKET_NORMAL;
    snprintf(l->id, sizeof l->id, "%s", id);
    atomic_init(&l->heard_all, false);
    atomic_init(&l->overflow, false);
    if (!atomic_load(&all->ending)) reap(all, false);
    pthread_mutex_lock(&all->lock);
    while (i < all->c.most && all->places[i]) i++;
    bool closed = atomic_load(&all->ending) || atomic_load(&all->stopped), room = has_room(all);
    if (room && !closed) all->places[i] = l;
    pthread_mutex_unlock(&all->lock);
    if (room && !closed) return l;
    live_free(l);
    refuse_place(all, closed, e);
    return NULL;
}

static bool is_given_up(void *user)
{
    live *l = user;
    pthread_mutex_lock(&l->all->lock);
    const bool given_up = l->state != LIVE_OPENING;
    pthread_mutex_unlock(&l->all->lock);
    return given_up;
}

static void *open_stream(void *arg)
{
    live *l = arg;
    lives *all = l->all;
    sotto_status st = pool_lease(all->c.pool, l->which, true, is_given_up, l, &l->model, &l->error);
    l->leased = st == SOTTO_OK;
    if (st == SOTTO_OK) st = sotto_stream_open(&l->stream, l->model, &l->options, &l->error);
    pthread_mutex_lock(&all->lock);
    bool awaited = l->state == LIVE_OPENING;
    if (awaited) {
        l->opened = st;
        l->state = LIVE_OPEN;
    }
    pthread_mutex_unlock(&all->lock);
    /* What was given up ends with the process. */
    if (awaited) l->on_open(l->user); /* whoever takes it from here joins this thread first */
    return NULL;
}

static bool begin_opening(live *l)
{
    lives *all = l->all;
    pthread_mutex_lock(&all->lock);
    bool begun = !atomic_load(&all->stopped) && pthread_create(&l->thread, NULL, open_stream, l) == 0;
    if (begun) l->state = LIVE_OPENING;
    pthread_mutex_unlock(&all->lock);
    return begun;
}

live *live_open(lives *all, const live_request *asked, const char *id, void (*on_open)(void *user), void *user,
                api_error *e)
{
    live *l = take_place(all, id, e);
    if (!l) return NULL;
    l->options = asked->options;
    l->rate = l->options.sample_rate;
    l->samples = asked->samples;
    l->which = asked->model;
    l->on_open = on_open;
    l->user = user;
    l->out = outbox_create(OUTBOX_BYTES);
    if (asked->options.initial_prompt) l->options.initial_prompt = l->prompt = strdup(asked->options.initial_prompt);
    if (l->event >= 0 && l->out && (l->prompt || !asked->options.initial_prompt) && begin_opening(l)) return l;
    api_error_set(e, 500, NULL, NULL, "No memory or no thread for another stream");
    live_drop(l);
    return NULL;
}

bool live_is_open(live *l, api_error *e)
{
    char quoted[600];
    pthread_mutex_lock(&l->all->lock);
    bool given_up = l->state == LIVE_GIVEN_UP;
    pthread_mutex_unlock(&l->all->lock);
    if (given_up) return api_error_set(e, 503, NULL, "shutting_down", "The server is shutting down; try again");
    pthread_join(l->thread, NULL);
    pthread_mutex_lock(&l->all->lock);
    l->state = LIVE_TAKEN;
    pthread_mutex_unlock(&l->all->lock);
    if (l->opened == SOTTO_OK) return true;
    if (l->opened == SOTTO_ELIMIT && !l->leased)
        return api_error_set(e, 503, "model", "model_busy", "%s; try again later", l->error.message);
    if (l->opened == SOTTO_EINVAL || l->opened == SOTTO_EUNSUPPORTED || l->opened == SOTTO_ELIMIT)
        return api_error_set(e, 400, NULL, "invalid_value", "%s", l->error.message);
    log_event(LOG_ERROR, "live", "id=%s error=%s", l->id, log_quote(quoted, sizeof quoted, l->error.message));
    return api_error_set(e, 500, NULL, NULL, "The stream could not be opened");
}

void live_drop(live *l)
{
    lives *all = l->all;
    pthread_mutex_lock(&all->lock);
    live_state state = l->state;
    if (state != LIVE_GIVEN_UP) leave(l);
    pthread_mutex_unlock(&all->lock);
    if (state == LIVE_GIVEN_UP) return; /* its thread still has it */
    if (state == LIVE_OPEN) pthread_join(l->thread, NULL);
    live_free(l);
}

void live_begin(live *l, int fd, const void *extra, size_t n_extra, void (*on_over)(void *user), void *user)
{
    static const websocket_handler handler = {.on_binary = on_binary, .on_text = on_text, .on_too_big = on_too_big};
    lives *all = l->all;
    l->fd = fd;
    l->on_over = on_over;
    l->user = user;
    l->ws = websocket_open(fd, extra, n_extra, &handler, l);
    pthread_mutex_lock(&all->lock);
    bool begun = l->ws && !atomic_load(&all->stopped) && pthread_create(&l->thread, NULL, serve, l) == 0;
    if (begun) l->state = LIVE_RUNNING;
    pthread_mutex_unlock(&all->lock);
    if (begun) return;
    live_drop(l);
    on_over(user);
}
