/* SPDX-License-Identifier: MIT
 * The thread between Redis and the queue (worker.h). It alone speaks to Redis; the engine's threads leave what is done
 * in the list and wake it. */
#include "worker.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "redis.h"
#include "route.h"

static const double COMMAND_S = 5, POLL_S = 0.2, RECONNECT_LEAST_S = 0.2, RECONNECT_MOST_S = 10;
enum { DELIVERIES_MOST = 5, ID_BYTES = 200 }; /* a recording that ends its workers is not given to all of them */

/* A job that is this worker's. */
typedef struct parcel {
    struct parcel *next;
    worker *w;
    job *work;
    char entry[REDIS_ENTRY_BYTES], id[ID_BYTES + 1];
    bool done, has_reply; /* done: the engine is through with it; guarded by the lock */
    reply reply;          /* to be stored, once done */
    double audio_s;
} parcel;

struct worker {
    server *s;
    redis_address address;
    char consumer[128];
    redis *redis;
    size_t most; /* in the queue or the engine */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    bool draining, stopping;
    parcel *parcels;
    worker_counts counts;
};

/* ---- parcels ---------------------------------------------------------------------------------------------------- */

/* On the engine's or the watching thread. Cancelled, by the end of the server, it has no reply: it is given back. */
static void on_done(job *work, void *user)
{
    parcel *p = user;
    worker *w = p->w;
    pthread_mutex_lock(&w->lock);
    p->has_reply = work->reply.status != 0;
    p->reply = work->reply;
    p->audio_s = work->audio_s;
    work->reply = (reply){0};
    p->done = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

static void refuse(parcel *p, const api_error *e)
{
    reply_error(&p->reply, e);
    p->done = p->has_reply = true;
}

/* Fields of the entry -> a form and a recording in the spool. */
static bool fill(parcel *p, const redis_job *from, api_error *e)
{
    job *work = p->work;
    const server *s = p->w->s;
    const char *name = NULL, *audio = NULL;
    size_t n = 0;
    sotto_error err;
    for (size_t i = 0; i < from->n; i++) {
        const char *field = from->names[i], *value = from->values[i];
        if (strcmp(field, "audio") == 0) {
            audio = value;
            n = from->lengths[i];
        } else if (strcmp(field, "name") == 0) {
            name = value;
        } else if (strcmp(field, "id") != 0 && !form_append(&work->form, field, 0, value, from->lengths[i], e)) {
            return false;
        }
    }
    if (!route_transcriptions.check(p->w->s, &work->form, e)) return false;
    if (work->form.stream)
        return api_error_set(e, 400, "stream", "invalid_value", "stream=true is not for jobs of a queue");
    if (!n) return api_error_set(e, 400, "audio", "missing_required_parameter", "field \"audio\" is missing or empty");
    if (n > s->config->max_upload)
        return api_error_set(e, 413, "audio", NULL, "Maximum content size limit (%llu) exceeded (%zu bytes)",
                             (unsigned long long)s->config->max_upload, n);
    if (upload_open(&work->upload, s->spool, name ? name : p->id, &err) == SOTTO_OK &&
        upload_append(&work->upload, audio, n, &err) == SOTTO_OK)
        return true;
    log_event(LOG_ERROR, "spool", "id=%s", p->work->id);
    return api_error_set(e, 500, NULL, NULL, "The recording could not be stored");
}

/* The producer's name for the job, where it is a word of a bounded length, else that of the entry. */
static void choose_id(parcel *p, const redis_job *from)
{
    snprintf(p->id, sizeof p->id, "%s", p->entry);
    for (size_t i = 0; i < from->n; i++) {
        const char *value = from->values[i];
        const size_t n = from->lengths[i];
        bool sound = strcmp(from->names[i], "id") == 0 && n > 0 && n <= ID_BYTES;
        for (size_t k = 0; sound && k < n; k++) sound = value[k] > 32 && value[k] < 127;
        if (sound) snprintf(p->id, sizeof p->id, "%.*s", (int)n, value);
    }
}

static bool has_entry(const worker *w, const char *entry)
{
    const parcel *p = w->parcels;
    while (p && strcmp(p->entry, entry) != 0) p = p->next;
    return p;
}

/* Into the list, and into the queue or, with what is wrong (NULL: nothing yet), to be answered. */
static void accept(worker *w, const redis_job *from, const api_error *wrong)
{
    api_error e;
    char label[72];
    if (strlen(from->entry) >= REDIS_ENTRY_BYTES || has_entry(w, from->entry)) return; /* is being worked on */
    snprintf(label, sizeof label, "queue_%.60s", from->entry);
    parcel *p = calloc(1, sizeof *p);
    if (p) p->work = job_create(label, "queue");
    if (!p || !p->work) {
        free(p); /* it is taken over later, by whoever has memory */
        return;
    }
    p->w = w;
    snprintf(p->entry, sizeof p->entry, "%s", from->entry);
    choose_id(p, from);
    p->work->background = true;
    p->work->on_done = on_done;
    p->work->user = p;
    pthread_mutex_lock(&w->lock);
    p->next = w->parcels;
    w->parcels = p;
    w->counts.taken++;
    pthread_mutex_unlock(&w->lock);
    if (wrong)
        refuse(p, wrong);
    else if (!fill(p, from, &e))
        refuse(p, &e);
    else if (queue_push(w->s->queue, p->work) == QUEUE_OK)
        watch_wake(w->s->watch);
    else
        p->done = true; /* without a reply: given back */
}

static void take(void *user, const redis_job *from) { accept(user, from, NULL); }

/* The job of a worker that died. One that has ended several workers is not tried again: that is its answer. */
static void take_over(void *user, const redis_job *from)
{
    worker *w = user;
    int64_t deliveries = 0;
    api_error e;
    sotto_error err;
    if (has_entry(w, from->entry)) return;
    pthread_mutex_lock(&w->lock);
    w->counts.taken_over++;
    pthread_mutex_unlock(&w->lock);
    log_event(LOG_INFO, "taken_over", "entry=%.40s", from->entry);
    if (redis_deliveries(w->redis, from->entry, &deliveries, &err) != SOTTO_OK || deliveries <= DELIVERIES_MOST) {
        accept(w, from, NULL);
        return;
    }
    api_error_set(&e, 500, "audio", "workers_ended", "%lld workers took this recording and none answered",
                  (long long)deliveries - 1);
    accept(w, from, &e);
}

static void free_parcel(parcel *p)
{
    reply_free(&p->reply);
    job_release(p->work);
    free(p);
}

/* Out of the list. */
static void drop(worker *w, parcel *p)
{
    pthread_mutex_lock(&w->lock);
    for (parcel **at = &w->parcels; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    pthread_mutex_unlock(&w->lock);
    free_parcel(p);
}

/* ---- towards Redis ---------------------------------------------------------------------------------------------- */

static parcel *first_done(worker *w)
{
    pthread_mutex_lock(&w->lock);
    parcel *p = w->parcels;
    while (p && !p->done) p = p->next;
    pthread_mutex_unlock(&w->lock);
    return p;
}

/* Stores all that is done; false when Redis is gone. */
static bool deliver(worker *w, sotto_error *err)
{
    for (parcel *p; (p = first_done(w));) {
        bool stored = false;
        sotto_status st;
        char *body = p->has_reply && p->reply.body ? strndup(p->reply.body, p->reply.len) : NULL;
        if (body) {
            const redis_result result = {.entry = p->entry,
                                         .id = p->id,
                                         .status = p->reply.status,
                                         .type = p->reply.content_type ? p->reply.content_type : "",
                                         .body = body,
                                         .audio_s = p->audio_s,
                                         .ttl_s = w->s->config->job_ttl};
            st = redis_answer(w->redis, &result, &stored, err);
        } else {
            const char *entry = p->entry;
            st = redis_give_back(w->redis, &entry, 1, err);
        }
        if (st != SOTTO_OK && !redis_is_open(w->redis)) {
            free(body);
            return false;
        }
        if (st != SOTTO_OK) { /* out of memory there, or read-only: the job stays in the queue, and is given back */
            char quoted[600];
            log_event(LOG_ERROR, "queue", "id=%s error=%s", p->work->id,
                      log_quote(quoted, sizeof quoted, err->message));
        } else if (body) {
            pthread_mutex_lock(&w->lock);
            stored ? w->counts.stored++ : w->counts.repeated++;
            pthread_mutex_unlock(&w->lock);
        }
        const bool again = st != SOTTO_OK && body;
        free(body);
        if (again) return true; /* kept: tried again at the next turn */
        drop(w, p);
    }
    return true;
}

/* Entries of the list; from malloc. */
static const char **entries_of(worker *w, size_t *n)
{
    size_t count = 0;
    pthread_mutex_lock(&w->lock);
    for (const parcel *p = w->parcels; p; p = p->next) count++;
    const char **entries = calloc(count + 1, sizeof *entries);
    *n = 0;
    for (const parcel *p = w->parcels; entries && p; p = p->next)
        entries[(*n)++] = p->entry; /* only this thread frees them */
    pthread_mutex_unlock(&w->lock);
    return entries;
}

static bool keep(worker *w, sotto_error *err)
{
    size_t n;
    const char **entries = entries_of(w, &n);
    const sotto_status st = entries && n ? redis_keep(w->redis, entries, n, err) : SOTTO_OK;
    free(entries);
    return st == SOTTO_OK || redis_is_open(w->redis);
}

static size_t room(worker *w)
{
    size_t n = 0;
    pthread_mutex_lock(&w->lock);
    for (const parcel *p = w->parcels; p; p = p->next) n++;
    const bool closed = w->draining || w->stopping;
    pthread_mutex_unlock(&w->lock);
    return closed || n >= w->most ? 0 : w->most - n;
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static void disconnect(worker *w)
{
    redis_free(w->redis);
    w->redis = NULL;
    pthread_mutex_lock(&w->lock);
    w->counts.connected = false;
    pthread_mutex_unlock(&w->lock);
}

static bool connect_to(worker *w, sotto_error *err)
{
    const redis_names names = {.name = w->s->config->queue_name, .consumer = w->consumer};
    if (redis_open(&w->redis, &w->address, &names, COMMAND_S, err) != SOTTO_OK) return false;
    pthread_mutex_lock(&w->lock);
    w->counts.connected = true;
    w->counts.connections++;
    pthread_mutex_unlock(&w->lock);
    log_event(LOG_INFO, "queue", "connected=1 host=%.100s port=%d name=%.100s consumer=%s", w->address.host,
              w->address.port, w->s->config->queue_name, w->consumer);
    return true;
}

/* Until something is done, the worker shall stop, or the time is over. */
static void sleep_for(worker *w, double seconds)
{
    const struct timespec until = clock_after_s(seconds);
    pthread_mutex_lock(&w->lock);
    bool ready = w->stopping;
    for (const parcel *p = w->parcels; w->redis && p && !ready; p = p->next) ready = p->done;
    if (!ready) pthread_cond_clockwait(&w->wake, &w->lock, CLOCK_MONOTONIC, &until);
    pthread_mutex_unlock(&w->lock);
}

/* One turn with a connection; false when that is gone. `kept`, `looked`: when this was last done. */
static bool turn(worker *w, double *kept, double *looked, sotto_error *err)
{
    const double idle = w->s->config->queue_idle, now = clock_now_s();
    sotto_status st = SOTTO_OK;
    if (!deliver(w, err)) return false;
    if (now - *kept >= idle / 4) {
        if (!keep(w, err)) return false;
        *kept = now;
    }
    size_t space = room(w);
    if (space && now - *looked >= idle / 4) {
        st = redis_take_over(w->redis, space, idle, take_over, w, err);
        *looked = now;
        space = room(w);
    }
    if (st == SOTTO_OK && space)
        st = redis_take(w->redis, space, POLL_S, take, w, err);
    else
        sleep_for(w, POLL_S);
    if (st == SOTTO_OK) return true;
    if (redis_is_open(w->redis) && strstr(err->message, "NOGROUP")) return false; /* Redis lost its data: begins anew */
    if (redis_is_open(w->redis)) sleep_for(w, 1);                                 /* loading, read-only, … */
    return redis_is_open(w->redis);
}

static bool is_over(worker *w)
{
    pthread_mutex_lock(&w->lock);
    const bool over = w->stopping;
    pthread_mutex_unlock(&w->lock);
    return over;
}

/* What is done is stored once more, the rest is given back, as far as Redis is there. */
static void finish(worker *w)
{
    size_t n;
    sotto_error err;
    if (w->redis && deliver(w, &err)) {
        const char **entries = entries_of(w, &n);
        if (entries && n) redis_give_back(w->redis, entries, n, &err);
        free(entries);
    }
    disconnect(w);
}

static void *run(void *user)
{
    worker *w = user;
    double patience = RECONNECT_LEAST_S, kept = 0, looked = 0;
    bool told = false;
    sotto_error err;
    while (!is_over(w)) {
        if (w->redis || connect_to(w, &err)) {
            if (turn(w, &kept, &looked, &err)) {
                patience = RECONNECT_LEAST_S;
                told = false;
                continue;
            }
            disconnect(w);
        }
        char quoted[600];
        if (!told) log_event(LOG_ERROR, "queue", "connected=0 error=%s", log_quote(quoted, sizeof quoted, err.message));
        told = true;
        sleep_for(w, patience);
        patience = fmin(2 * patience, RECONNECT_MOST_S);
    }
    finish(w);
    return NULL;
}

/* ---- start and end ---------------------------------------------------------------------------------------------- */

/* Host and process, and a number that no earlier process of that number had. */
static void name_consumer(worker *w)
{
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    snprintf(w->consumer, sizeof w->consumer, "%.60s-%ld-%lx", host, (long)getpid(), (unsigned long)time(NULL));
}

sotto_status worker_start(worker **out, server *s, sotto_error *err)
{
    redis_address address;
    *out = NULL;
    if (!s->config->queue) return SOTTO_OK;
    sotto_status st = redis_address_parse(&address, s->config->queue, err);
    if (st != SOTTO_OK) return st;
    const char *name = s->config->queue_name;
    if (!*name || strlen(name) > 100 || strpbrk(name, " \t\r\n"))
        return options_fail(err, SOTTO_EINVAL, "--queue-name: a word of at most 100 bytes was expected");
    worker *w = calloc(1, sizeof *w);
    if (!w) return options_fail(err, SOTTO_ENOMEM, "out of memory: worker");
    w->s = s;
    w->address = address;
    w->most = s->config->slots > 1 ? (size_t)s->config->slots - 1 : 1;
    name_consumer(w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->started = pthread_create(&w->thread, NULL, run, w) == 0;
    if (w->started) {
        *out = w;
        return SOTTO_OK;
    }
    worker_stop(w);
    return options_fail(err, SOTTO_ENOMEM, "the thread of --queue could not be started");
}

void worker_drain(worker *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->draining = true;
    pthread_mutex_unlock(&w->lock);
}

void worker_stop(worker *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    if (w->started) pthread_join(w->thread, NULL);
    while (w->parcels) drop(w, w->parcels);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

bool worker_get_counts(worker *w, worker_counts *out)
{
    if (!w) return false;
    pthread_mutex_lock(&w->lock);
    *out = w->counts;
    out->running = 0;
    for (const parcel *p = w->parcels; p; p = p->next) out->running += !p->done;
    pthread_mutex_unlock(&w->lock);
    return true;
}
