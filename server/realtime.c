/* SPDX-License-Identifier: MIT
 * Client events -> sotto_stream -> turns -> server events (realtime.h).
 *
 * Audio goes into takes, a stream each: with server VAD one take for all that is said under the same settings, else one
 * from commit to commit. Takes are heard one after the other. The socket's thread pushes into the newest (`current`)
 * and never waits for a hearing; a client more than AHEAD_S of sound ahead is not read from. */
#include "realtime.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "options.h"
#include "realtime_config.h"
#include "realtime_turn.h"
#include "websocket.h"
#include "wakeup.h"

enum {
    TEXT_BYTES = 16 << 20, /* of a message: OpenAI's limit on audio is 15 MiB */
    OUTBOX_BYTES = 1 << 20,
    SOCKET_BYTES = 128 << 10,
    PUSH_SAMPLES = 2048
};
static const double AHEAD_S = 30, TICK_S = 0.25, GOODBYE_S = 2, DELIVER_S = 30, LEAST_S = 0.1;

/* One stream. The socket's thread has it while it is `current`, then it is the hearing thread's alone. */
typedef struct take {
    struct take *next;
    sotto_stream *stream;
    size_t model; /* which of the daemon's; leased */
    realtime_turn turn;
    double pushed_s;
    bool cleared; /* its audio is not wanted any more */
    sotto_counts counts;
    uint64_t touched[SOTTO_PART_COUNT];
} take;

struct realtime {
    realtimes *all;
    realtime *next; /* guarded by all->lock, as `over` is */
    bool over;
    char id[72];
    int event; /* wakes the socket's thread */
    pthread_t thread, hearing;
    void (*on_over)(void *user);
    void *user;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t more;  /* a take was added, or `quiet` */
    realtime_voice voice;
    take *first; /* in the order of hearing; the last one is `current`, if that is not NULL */
    take *current;
    double said_s;  /* of audio in takes before `current` */
    bool quiet;     /* no take will be added */
    bool heard_all; /* and none is left */

    /* the socket's thread's */
    realtime_config config;
    websocket *ws;
    int fd;
    uint8_t part[2]; /* the first byte of a sample whose other has not come */
    size_t n_part;
    bool ended, gone, closing;
    bool told_binary;
    websocket_code code;
    const char *reason;
    uint64_t received;
    double began, received_at, pinged_at, closing_at, heard_all_at, stopped_at;
};

struct realtimes {
    server *s;
    pthread_mutex_t lock;
    atomic_bool ending, stopped;
    realtime *first;
};

static void wake(realtime *r) { wakeup_send(r->event); }

/* ---- takes --------------------------------------------------------------------------------------------------------
 */

/* Its work joins the totals. */
static void end_take(realtime *r, take *t, engine_outcome outcome)
{
    engine_add_stream(r->all->s->engine, &t->counts, t->touched, outcome);
    sotto_stream_free(t->stream);
    pool_release(r->all->s->pool, t->model, true);
    realtime_turn_free(&t->turn);
    free(t);
}

/* The lock is held. */
static void unlink_take(realtime *r, take *t)
{
    take **at = &r->first;
    while (*at != t) at = &(*at)->next;
    *at = t->next;
    if (r->current != t) return;
    r->said_s += t->pushed_s;
    r->current = NULL;
}

static void log_failure(const realtime *r, const sotto_error *err)
{
    char quoted[600];
    log_event(LOG_ERROR, "realtime", "id=%s error=%s", r->id, log_quote(quoted, sizeof quoted, err->message));
}

/* What a hearing of the first take brought. The lock is held. True when that take is through. */
static bool hear_take(realtime *r, take *t, sotto_status st, const sotto_caption *c, const sotto_error *err)
{
    if (t->cleared) {
        unlink_take(r, t);
        end_take(r, t, ENGINE_CANCELLED);
        return true;
    }
    if (st != SOTTO_OK) {
        if (st != SOTTO_ECANCELLED) {
            log_failure(r, err);
            realtime_turn_fail(&t->turn, &r->voice, "The audio could not be processed");
        }
        unlink_take(r, t);
        end_take(r, t, st == SOTTO_ECANCELLED ? ENGINE_CANCELLED : ENGINE_FAILED);
        return true;
    }
    if (!c) return false;
    t->counts = c->counts;
    memcpy(t->touched, c->touched_part_parameters, sizeof t->touched);
    engine_add_hearing(r->all->s->engine, c->wall_s);
    realtime_turn_hear(&t->turn, &r->voice, c);
    if (!c->last) return false;
    unlink_take(r, t);
    end_take(r, t, ENGINE_DONE);
    return true;
}

static void *hear(void *arg)
{
    realtime *r = arg;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (!r->first && !r->quiet) pthread_cond_wait(&r->more, &r->lock);
        take *t = r->first;
        if (!t) break;
        const sotto_caption *c = NULL;
        sotto_error err = {0};
        pthread_mutex_unlock(&r->lock);
        sotto_status st = sotto_stream_next(t->stream, TICK_S, &c, &err);
        pthread_mutex_lock(&r->lock);
        if (hear_take(r, t, st, c, &err) || c) wake(r);
    }
    r->heard_all = true;
    pthread_mutex_unlock(&r->lock);
    wake(r);
    return NULL;
}

/* Nobody waits here for a model to be loaded but where there are several. */
static bool open_take(realtime *r, take *t, const sotto_stream_options *o, sotto_error *err)
{
    pool *models = r->all->s->pool;
    sotto_model *model;
    t->model = r->config.model;
    if (pool_lease(models, t->model, true, NULL, NULL, &model, err) != SOTTO_OK) return false;
    if (sotto_stream_open(&t->stream, model, o, err) == SOTTO_OK) return true;
    pool_release(models, t->model, true);
    return false;
}

/* Makes a stream for the audio that comes now. The lock is held. */
static bool begin_take(realtime *r, api_error *e)
{
    sotto_error err;
    sotto_stream_options o;
    take *t = calloc(1, sizeof *t), **at = &r->first;
    if (!t) return api_error_set(e, 500, NULL, NULL, "out of memory");
    realtime_config_stream(&r->config, r->all->s, &o);
    if (!open_take(r, t, &o, &err)) {
        free(t);
        log_failure(r, &err);
        return api_error_set(e, 500, NULL, NULL, "The stream could not be opened");
    }
    t->turn.by_client = !r->config.vad;
    t->turn.base_s = r->said_s;
    while (*at) at = &(*at)->next;
    *at = r->current = t;
    pthread_cond_signal(&r->more);
    return true;
}

/* Nothing more goes into the current take. The lock is held. */
static void leave_take(realtime *r, bool wanted)
{
    take *t = r->current;
    r->n_part = 0;
    r->current = NULL;
    if (!t) return;
    r->said_s += t->pushed_s;
    t->cleared = !wanted;
    if (wanted)
        sotto_stream_end(t->stream);
    else
        sotto_stream_cancel(t->stream);
}

/* No more audio is taken: what was said or committed is still heard, or with `cut` that neither. */
static void end_audio(realtime *r, bool cut)
{
    pthread_mutex_lock(&r->lock);
    leave_take(r, !cut && r->config.vad);
    for (take *t = cut ? r->first : NULL; t; t = t->next) {
        t->cleared = true;
        sotto_stream_cancel(t->stream);
    }
    r->quiet = true;
    pthread_cond_signal(&r->more);
    pthread_mutex_unlock(&r->lock);
}

static void finish(realtime *r, websocket_code code, const char *reason, bool cut)
{
    if (r->ended && (!cut || r->code != WEBSOCKET_GOING_AWAY)) return;
    if (!r->ended) r->code = code;
    r->ended = true;
    r->reason = reason;
    websocket_ignore(r->ws);
    end_audio(r, cut);
}

/* ---- client events ------------------------------------------------------------------------------------------------
 */

/* Each has the lock, and fills *e when it returns false. */
static bool update(realtime *r, const json_t *event, bool beta, api_error *e)
{
    realtime_config asked;
    if (!realtime_config_copy(&asked, &r->config)) return api_error_set(e, 500, NULL, NULL, "out of memory");
    bool ok = realtime_config_update(&asked, r->all->s, json_object_get(event, "session"), beta, e);
    bool full = r->current && r->current->pushed_s > 0 && !r->config.vad;
    if (ok && full && realtime_config_differs(&asked, &r->config))
        ok = api_error_set(
            e, 400, "session", "input_audio_buffer_not_empty",
            "Format and turn detection cannot change while the buffer has audio: commit or clear it first");
    realtime_config *old = ok ? &r->config : &asked;
    realtime_config_free(old);
    if (!ok) return false;
    r->config = asked;
    /* With server VAD a turn that is going on ends here; what the client commits keeps the settings it began with. */
    if (!full) leave_take(r, true);
    r->voice.beta = beta;
    realtime_say(&r->voice, beta ? "transcription_session.updated" : "session.updated",
                 json_pack("{s:o}", "session", realtime_config_json(&r->config, r->all->s, r->id, beta)));
    return true;
}

static bool on_session_update(realtime *r, const json_t *event, api_error *e) { return update(r, event, false, e); }
static bool on_beta_update(realtime *r, const json_t *event, api_error *e) { return update(r, event, true, e); }

static bool push(realtime *r, const float *samples, size_t n, api_error *e)
{
    sotto_error err;
    if (n == 0 || sotto_stream_push(r->current->stream, samples, n, &err) == SOTTO_OK) return true;
    log_failure(r, &err);
    return api_error_set(e, 500, NULL, NULL, "The audio could not be taken");
}

static bool append_bytes(realtime *r, const uint8_t *bytes, size_t n, api_error *e)
{
    float samples[PUSH_SAMPLES];
    size_t m = 0, all = 0, sample_bytes = r->config.codec == REALTIME_PCM16 ? 2 : 1;
    if (!r->current && !begin_take(r, e)) return false;
    for (size_t i = 0; i < n; i++) {
        r->part[r->n_part++] = bytes[i];
        if (r->n_part < sample_bytes) continue;
        samples[m++] = realtime_sample(r->config.codec, r->part);
        all++;
        r->n_part = 0;
        if (m < PUSH_SAMPLES) continue;
        if (!push(r, samples, m, e)) return false;
        m = 0;
    }
    r->current->pushed_s += (double)all / r->config.rate;
    return push(r, samples, m, e);
}

static bool on_append(realtime *r, const json_t *event, api_error *e)
{
    const json_t *audio = json_object_get(event, "audio");
    size_t n_text = json_string_length(audio), n = 0;
    uint8_t *bytes;
    if (!json_is_string(audio))
        return api_error_set(e, 400, "audio", "invalid_value", "audio should be a string of base64");
    if (!(bytes = malloc(n_text / 4 * 3 + 3))) return api_error_set(e, 500, NULL, NULL, "out of memory");
    bool ok = realtime_base64(json_string_value(audio), n_text, bytes, &n) ||
              api_error_set(e, 400, "audio", "invalid_value", "audio is no base64");
    ok = ok && (n == 0 || append_bytes(r, bytes, n, e));
    free(bytes);
    return ok;
}

static bool on_commit(realtime *r, const json_t *event, api_error *e)
{
    double has_s = r->current ? r->current->pushed_s : 0;
    (void)event;
    if (has_s < LEAST_S)
        return api_error_set(
            e, 400, NULL, "input_audio_buffer_commit_empty",
            "Error committing input audio buffer: buffer too small. Expected at least %.0fms of audio, "
            "but buffer only has %.2fms of audio.",
            1000 * LEAST_S, 1000 * has_s);
    realtime_turn_commit(&r->current->turn, &r->voice);
    leave_take(r, true);
    return true;
}

static bool on_clear(realtime *r, const json_t *event, api_error *e)
{
    (void)event, (void)e;
    leave_take(r, false);
    realtime_say(&r->voice, "input_audio_buffer.cleared", json_object());
    return true;
}

static const struct {
    const char *type;
    bool (*on)(realtime *r, const json_t *event, api_error *e);
} handlers[] = {
    {"session.update", on_session_update},    {"transcription_session.update", on_beta_update},
    {"input_audio_buffer.append", on_append}, {"input_audio_buffer.commit", on_commit},
    {"input_audio_buffer.clear", on_clear},
};

static bool take_event(realtime *r, const json_t *event, api_error *e)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    if (!json_is_object(event))
        return api_error_set(e, 400, NULL, "invalid_json", "A message should be a JSON object: an event");
    if (!type) return api_error_set(e, 400, "type", "missing_required_parameter", "The event has no type");
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (strcmp(handlers[i].type, type) == 0) return handlers[i].on(r, event, e);
    return api_error_set(e, 400, "type", "unknown_event", "There is no event \"%.60s\" in a transcription session",
                         type);
}

static void on_text(void *user, const char *text, size_t n)
{
    realtime *r = user;
    api_error e;
    json_t *event = json_loadb(text, n, 0, NULL);
    if (r->ended) {
        json_decref(event);
        return;
    }
    pthread_mutex_lock(&r->lock);
    if (!take_event(r, event, &e))
        realtime_say_error(&r->voice, &e, json_string_value(json_object_get(event, "event_id")));
    pthread_mutex_unlock(&r->lock);
    json_decref(event);
    r->told_binary = false;
}

static void on_binary(void *user, const uint8_t *bytes, size_t n)
{
    realtime *r = user;
    api_error e;
    (void)bytes, (void)n;
    if (r->told_binary || r->ended) return;
    r->told_binary = true; /* once for all pieces of all such messages in a row */
    api_error_set(&e, 400, NULL, "invalid_json", "Binary messages are not taken: audio is sent as base64 in events");
    pthread_mutex_lock(&r->lock);
    realtime_say_error(&r->voice, &e, NULL);
    pthread_mutex_unlock(&r->lock);
}

static void on_too_big(void *user) { finish(user, WEBSOCKET_TOO_BIG, "a message is longer than 16 MiB", true); }

/* ---- the socket's thread ------------------------------------------------------------------------------------------
 */

/* So much audio waits to be heard that the client has to wait too. */
static bool is_ahead(realtime *r)
{
    double waits_s = 0;
    pthread_mutex_lock(&r->lock);
    for (const take *t = r->first; t; t = t->next) {
        sotto_stream_state state = {.size = sizeof state};
        sotto_stream_get_state(t->stream, &state);
        waits_s += state.pushed_s - state.heard_s;
    }
    pthread_mutex_unlock(&r->lock);
    return !r->ended && waits_s > AHEAD_S;
}

/* Unread bytes of a connection that is no WebSocket any more would make the kernel reset it. */
static void drop_bytes(realtime *r)
{
    char bytes[16 << 10];
    ssize_t n = 0;
    for (int i = 0; i < 16; i++)
        if ((n = recv(r->fd, bytes, sizeof bytes, MSG_DONTWAIT)) <= 0) break;
    if (n == 0) r->gone = true;
}

static void receive(realtime *r, double now)
{
    if (websocket_deaf(r->ws)) {
        drop_bytes(r);
        return;
    }
    if (!websocket_receive(r->ws)) {
        r->gone = true;
        return;
    }
    if (websocket_received(r->ws) != r->received) {
        r->received = websocket_received(r->ws);
        r->received_at = now;
    }
    /* The peer's close, or bytes that are no WebSocket: the answer is under way already. */
    if (websocket_deaf(r->ws) && !r->closing) {
        r->closing = true;
        r->closing_at = now;
        finish(r, WEBSOCKET_NORMAL, "", true);
    }
}

static void drain_outbox(realtime *r)
{
    for (;;) {
        if (!websocket_flush(r->ws)) r->gone = true;
        if (r->gone || r->closing || websocket_wants_write(r->ws)) return;
        char *text = outbox_take(r->voice.out);
        if (!text) return;
        if (!websocket_send_text(r->ws, text, strlen(text))) r->gone = true;
        free(text);
    }
}

static void say_goodbye(realtime *r, double now)
{
    pthread_mutex_lock(&r->lock);
    bool heard_all = r->heard_all;
    pthread_mutex_unlock(&r->lock);
    if (!heard_all || r->closing) return;
    if (r->heard_all_at == 0) r->heard_all_at = now;
    if (now - r->heard_all_at > DELIVER_S) r->gone = true;
    if (r->gone || !outbox_is_empty(r->voice.out) || websocket_wants_write(r->ws)) return;
    r->closing = true;
    r->closing_at = now;
    websocket_close(r->ws, r->code, r->reason);
    if (!websocket_flush(r->ws)) r->gone = true;
}

static void check_life(realtime *r, double now)
{
    double silent_s = now - r->received_at, most = r->all->s->config->idle_timeout;
    if (r->closing || r->ended || silent_s < most) return;
    if (silent_s >= 2 * most) {
        finish(r, WEBSOCKET_POLICY, "no sign of life, nor an answer to a ping", true);
    } else if (now - r->pinged_at >= most) {
        r->pinged_at = now;
        websocket_ping(r->ws);
    }
}

static bool is_over(const realtime *r, double now)
{
    if (r->gone || (r->closing && now - r->closing_at > GOODBYE_S)) return true;
    return r->closing && websocket_closed(r->ws) && !websocket_wants_write(r->ws);
}

static void await(realtime *r, bool reads)
{
    short wanted = (short)((reads ? POLLIN : POLLRDHUP) | (websocket_wants_write(r->ws) ? POLLOUT : 0));
    struct pollfd p[] = {{.fd = r->event, .events = POLLIN}, {.fd = r->fd, .events = wanted}};
    poll(p, 2, reads && websocket_has_more(r->ws) ? 0 : (int)(TICK_S * 1000));
    if (p[0].revents) wakeup_clear(r->event);
    if (p[1].revents & (POLLERR | POLLNVAL) || (!reads && p[1].revents & (POLLRDHUP | POLLHUP))) r->gone = true;
}

static void check_daemon(realtime *r, double now)
{
    pthread_mutex_lock(&r->lock);
    bool lost = r->voice.lost;
    pthread_mutex_unlock(&r->lock);
    if (lost) finish(r, WEBSOCKET_POLICY, "events are read more slowly than they come", true);
    if (atomic_load(&r->all->ending)) finish(r, WEBSOCKET_GOING_AWAY, "the daemon is shutting down", false);
    if (!atomic_load(&r->all->stopped)) return;
    finish(r, WEBSOCKET_GOING_AWAY, "the daemon is shutting down", true);
    if (r->stopped_at == 0) r->stopped_at = now;
    if (now - r->stopped_at > GOODBYE_S) r->gone = true;
}

static void exchange_messages(realtime *r)
{
    double now = clock_now_s();
    drain_outbox(r);
    while (!is_over(r, now)) {
        bool ahead = is_ahead(r), reads = !ahead && !websocket_clogged(r->ws);
        await(r, reads);
        now = clock_now_s();
        if (reads && !r->gone)
            receive(r, now);
        else if (ahead)
            r->received_at = now; /* who is not listened to is not silent */
        check_daemon(r, now);
        check_life(r, now);
        drain_outbox(r);
        say_goodbye(r, now);
    }
}

static void *serve(void *arg)
{
    realtime *r = arg;
    realtimes *all = r->all;
    int one = 1, bytes = SOCKET_BYTES;
    setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    r->began = r->received_at = clock_now_s();
    realtime_say(&r->voice, r->voice.beta ? "transcription_session.created" : "session.created",
                 json_pack("{s:o}", "session", realtime_config_json(&r->config, all->s, r->id, r->voice.beta)));
    bool hears = pthread_create(&r->hearing, NULL, hear, r) == 0;
    if (!hears) {
        r->heard_all = true;
        finish(r, WEBSOCKET_INTERNAL, "no thread to hear with", true);
    }
    exchange_messages(r);
    end_audio(r, true);
    if (hears) pthread_join(r->hearing, NULL);
    log_event(LOG_INFO, "realtime", "id=%s audio_s=%.2f items=%llu seconds=%.3f code=%d", r->id, r->said_s,
              (unsigned long long)r->voice.items, clock_now_s() - r->began, r->closing ? (int)r->code : 1006);
    void (*on_over)(void *user) = r->on_over;
    void *user = r->user;
    websocket_free(r->ws);
    r->ws = NULL;
    /* First the place, then the socket: who sees it closed may come back at once. */
    lives_release(all->s->lives);
    pthread_mutex_lock(&all->lock);
    r->over = true;
    pthread_mutex_unlock(&all->lock);
    on_over(user);
    return NULL;
}

/* ---- all sessions --------------------------------------------------------------------------------------------------
 */

static void realtime_free(realtime *r)
{
    websocket_free(r->ws);
    outbox_free(r->voice.out);
    realtime_config_free(&r->config);
    pthread_cond_destroy(&r->more);
    pthread_mutex_destroy(&r->lock);
    if (r->event >= 0) close(r->event);
    free(r);
}

/* Joins threads that are through, or with `all_of_them` waits until they are. */
static void reap(realtimes *all, bool all_of_them)
{
    for (;;) {
        pthread_mutex_lock(&all->lock);
        realtime **at = &all->first, *r;
        while (*at && !(*at)->over && !all_of_them) at = &(*at)->next;
        r = *at;
        if (r) *at = r->next;
        pthread_mutex_unlock(&all->lock);
        if (!r) return;
        pthread_join(r->thread, NULL);
        realtime_free(r);
    }
}

sotto_status realtimes_start(realtimes **out, server *s, sotto_error *err)
{
    realtimes *all = *out = calloc(1, sizeof *all);
    if (!all) return options_fail(err, SOTTO_ENOMEM, "out of memory: realtime sessions");
    all->s = s;
    pthread_mutex_init(&all->lock, NULL);
    atomic_init(&all->ending, false);
    atomic_init(&all->stopped, false);
    return SOTTO_OK;
}

static void set_and_wake(realtimes *all, atomic_bool *flag)
{
    pthread_mutex_lock(&all->lock);
    atomic_store(flag, true);
    for (realtime *r = all->first; r; r = r->next) wake(r);
    pthread_mutex_unlock(&all->lock);
}

void realtimes_end(realtimes *all)
{
    if (all) set_and_wake(all, &all->ending);
}

void realtimes_stop(realtimes *all)
{
    if (!all) return;
    set_and_wake(all, &all->stopped);
    reap(all, true);
}

void realtimes_free(realtimes *all)
{
    if (!all) return;
    pthread_mutex_destroy(&all->lock);
    free(all);
}

realtime *realtime_open(realtimes *all, const char *id, bool beta, api_error *e)
{
    reap(all, false);
    if (!lives_reserve(all->s->lives, e)) return NULL;
    realtime *r = calloc(1, sizeof *r);
    if (!r) {
        lives_release(all->s->lives);
        api_error_set(e, 500, NULL, NULL, "out of memory");
        return NULL;
    }
    r->all = all;
    r->code = WEBSOCKET_NORMAL;
    r->reason = "";
    r->voice = (realtime_voice){.beta = beta, .out = outbox_create(OUTBOX_BYTES)};
    r->event = wakeup_open();
    if (getrandom(&r->voice.session, sizeof r->voice.session, 0) < 0)
        r->voice.session = (uint64_t)(clock_now_s() * 1e9);
    strncpy(r->id, id, sizeof r->id - 1);
    realtime_config_default(&r->config);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->more, NULL);
    if (r->voice.out && r->event >= 0) return r;
    api_error_set(e, 500, NULL, NULL, "out of memory");
    realtime_drop(r);
    return NULL;
}

void realtime_drop(realtime *r)
{
    lives_release(r->all->s->lives);
    realtime_free(r);
}

void realtime_begin(realtime *r, int fd, const void *extra, size_t n_extra, void (*on_over)(void *user), void *user)
{
    static const websocket_handler handler = {.on_binary = on_binary, .on_text = on_text, .on_too_big = on_too_big};
    realtimes *all = r->all;
    r->fd = fd;
    r->on_over = on_over;
    r->user = user;
    r->ws = websocket_open(fd, extra, n_extra, &handler, r);
    if (r->ws) websocket_take_texts(r->ws, TEXT_BYTES);
    pthread_mutex_lock(&all->lock);
    bool begun = r->ws && !atomic_load(&all->stopped) && pthread_create(&r->thread, NULL, serve, r) == 0;
    if (begun) {
        r->next = all->first;
        all->first = r;
    }
    pthread_mutex_unlock(&all->lock);
    if (begun) return;
    realtime_drop(r);
    on_over(user);
}
