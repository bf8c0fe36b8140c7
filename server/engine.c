/* SPDX-License-Identifier: MIT
 * Job -> transcription -> reply (engine.h). */
#include "engine.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "options.h"
#include "stream.h"
#include "whisper_cpp.h"

static const double RATE_MEMORY = 0.9; /* what a recording counts when the next one is done */
enum { RETRY_MOST_S = 600 };

/* A thread and its session. */
struct slot {
    engine *e;
    size_t number;
    pthread_t thread;
    /* Of its last job; NULL: none. Set under the engine's lock, used with a lease of its model. */
    sotto_session *session;
    size_t model; /* of the session */
};

struct engine {
    pool *models;
    const char *vad_path; /* NULL: long recordings are not cut */
    queue *q;
    struct slot *slots; /* [n_slots] */
    size_t n_slots;
    size_t n_threads;                /* started */
    pthread_mutex_t lock;            /* of what follows, and of the slots' sessions */
    engine_totals totals, *by_model; /* [pool_count(models)] */
    double recent_runs, recent_s; /* recordings done, and the time in which something ran for them; older ones fade */
    double busy_s;                /* totals.sum.wall_s when the last of them ended */
    size_t running;
    double busy_since; /* while a job runs */
    double counted_to; /* the time up to which totals.sum.wall_s is complete */
};

static bool keep_going(const sotto_progress *progress, void *user)
{
    job *j = user;
    if (j->on_progress && progress->n_segments) j->on_progress(j, progress, j->user);
    return !atomic_load(&j->cancelled) && (!j->events || stream_progress(j, progress));
}

static void release_string(void *body) { sotto_string_free(body); }

/* The library's status as HTTP's, in OpenAI's words where it is the file that is at fault. */
static void reply_failure(job *j, sotto_error *err)
{
    api_error e;
    char quoted[600];
    upload_name_in(&j->upload, err->message, sizeof err->message);
    switch (err->code) {
    case SOTTO_EAUDIO:
    case SOTTO_EUNSUPPORTED:
        api_error_set(&e, 400, "file", "invalid_file", "Invalid file: %s", err->message);
        break;
    case SOTTO_EINVAL:
    case SOTTO_ELIMIT:
        api_error_set(&e, 400, NULL, "invalid_value", "%s", err->message);
        break;
    default:
        /* Ours, not the client's: it may name files of this machine, which are for the log. */
        log_event(LOG_ERROR, "engine", "id=%s error=%s", j->id, log_quote(quoted, sizeof quoted, err->message));
        api_error_set(&e, 500, NULL, NULL, "The recording could not be processed");
    }
    if (!stream_failed(j, &e)) reply_error(&j->reply, &e);
}

void engine_touch(uint64_t most[SOTTO_PART_COUNT], const uint64_t touched[SOTTO_PART_COUNT])
{
    for (int i = 0; i < SOTTO_PART_COUNT; i++)
        if (touched[i] > most[i]) most[i] = touched[i];
}

static void add_to(engine_totals *t, const sotto_result *result)
{
    sotto_counts_add(&t->sum, &result->counts);
    t->last = result->counts;
    memcpy(t->last_touched, result->touched_part_parameters, sizeof t->last_touched);
    engine_touch(t->touched, result->touched_part_parameters);
}

static void add_counts(engine *e, size_t model, const sotto_result *result)
{
    pthread_mutex_lock(&e->lock);
    double busy_s = e->totals.sum.wall_s;
    add_to(&e->totals, result);
    e->totals.sum.wall_s = busy_s;
    add_to(&e->by_model[model], result);
    pthread_mutex_unlock(&e->lock);
}

/* Something was at work from `from` to now: adds what of it has not been counted. The lock is held. */
static void count_busy(engine *e, double from, double now)
{
    if (e->running && e->busy_since < from) from = e->busy_since;
    if (from < e->counted_to) from = e->counted_to;
    if (now > from) e->totals.sum.wall_s += now - from;
    e->counted_to = now;
    e->busy_since = now;
}

static void count_begun(engine *e)
{
    double now = clock_now_s();
    pthread_mutex_lock(&e->lock);
    count_busy(e, now, now);
    e->running++;
    pthread_mutex_unlock(&e->lock);
}

static void count_ended(engine *e)
{
    double now = clock_now_s();
    pthread_mutex_lock(&e->lock);
    count_busy(e, now, now);
    e->running--;
    e->recent_runs = RATE_MEMORY * e->recent_runs + 1;
    e->recent_s = RATE_MEMORY * e->recent_s + e->totals.sum.wall_s - e->busy_s;
    e->busy_s = e->totals.sum.wall_s;
    pthread_mutex_unlock(&e->lock);
}

void engine_add_hearing(engine *e, double seconds)
{
    double now = clock_now_s();
    pthread_mutex_lock(&e->lock);
    count_busy(e, now - seconds, now);
    pthread_mutex_unlock(&e->lock);
}

void engine_add_stream(engine *e, const sotto_counts *counts, const uint64_t touched[SOTTO_PART_COUNT],
                       engine_outcome outcome)
{
    pthread_mutex_lock(&e->lock);
    sotto_counts one = *counts;
    double busy_s = e->totals.sum.wall_s; /* has the hearings already */
    one.runs = outcome == ENGINE_DONE;
    sotto_counts_add(&e->totals.sum, &one);
    engine_touch(e->totals.touched, touched);
    e->totals.sum.wall_s = busy_s;
    if (outcome != ENGINE_DONE) *(outcome == ENGINE_FAILED ? &e->totals.failed : &e->totals.cancelled) += 1;
    pthread_mutex_unlock(&e->lock);
}

/* Takes a slot's session away if it is of that model. */
static sotto_session *take_session(struct slot *s, size_t model)
{
    pthread_mutex_lock(&s->e->lock);
    sotto_session *session = s->session && s->model == model ? s->session : NULL;
    if (session) s->session = NULL;
    pthread_mutex_unlock(&s->e->lock);
    return session;
}

/* Nobody has a lease of it: sessions of it are not at work. */
static void on_unloading(void *user, size_t model)
{
    engine *e = user;
    for (size_t i = 0; i < e->n_slots; i++) sotto_session_free(take_session(&e->slots[i], model));
}

/* With a lease of `model`. A session of another one is freed with the lock held: that model may be unloaded as soon as
 * no slot has a session of it. */
static sotto_status open_session(struct slot *s, size_t wanted, sotto_model *model, sotto_error *err)
{
    sotto_session *session;
    pthread_mutex_lock(&s->e->lock);
    const bool fits = s->session && s->model == wanted;
    if (!fits) {
        sotto_session_free(s->session);
        s->session = NULL;
    }
    pthread_mutex_unlock(&s->e->lock);
    if (fits) return SOTTO_OK;
    sotto_status st = sotto_session_open(&session, model, err);
    pthread_mutex_lock(&s->e->lock);
    s->session = session;
    s->model = wanted;
    pthread_mutex_unlock(&s->e->lock);
    return st;
}

static bool is_cancelled(void *user) { return atomic_load(&((job *)user)->cancelled); }

/* For formats that have no place for it; as many stretches as there is room for. */
static void tell_coverage(reply *r, const sotto_coverage *c)
{
    enum { SPAN_BYTES = 40 };
    if (!c->known) return;
    int at = snprintf(r->coverage, sizeof r->coverage, "speech=%.2f, covered=%.2f, uncovered=%zu", c->speech_s,
                      c->covered_s, c->n_uncovered);
    for (size_t i = 0; i < c->n_uncovered && at + SPAN_BYTES < (int)sizeof r->coverage; i++)
        at += snprintf(r->coverage + at, sizeof r->coverage - (size_t)at, ", %.2f-%.2f", c->uncovered[i].start_s,
                       c->uncovered[i].end_s);
}

/* The run was cancelled, by the client who left, by a reader too slow, or by the end of the server. */
static void end_stream(job *j)
{
    api_error e;
    api_error_set(&e, 503, NULL, "cancelled",
                  "The transcription was cancelled: the server is shutting down or short of memory, or its "
                  "events were read too slowly");
    stream_failed(j, &e);
}

/* With the model in memory: the reply, or the events. */
static sotto_status transcribe(struct slot *s, job *j, sotto_error *err)
{
    const bool json = j->form.format == SOTTO_FORMAT_JSON || j->form.format == SOTTO_FORMAT_VERBOSE_JSON;
    const sotto_result *result = NULL;
    char *body = NULL;
    sotto_status st = open_session(s, j->form.model, j->model, err);
    /* A cancellation meant for the slot's job before cannot end this one: the sweep asks for it under the queue's lock,
     * while that job is the running one, and the call forgets what came before it. */
    if (st == SOTTO_OK) st = sotto_transcribe_file(s->session, j->upload.path, &j->form.options, &result, err);
    if (st == SOTTO_EINVAL && j->form.options.resume) { /* another version's, or another model by that name */
        log_event(LOG_INFO, "anew", "id=%s", j->id);
        j->form.options.resume = NULL;
        st = sotto_transcribe_file(s->session, j->upload.path, &j->form.options, &result, err);
    }
    if (st != SOTTO_OK) return st;
    add_counts(s->e, j->form.model, result);
    j->audio_s = result->duration_s;
    j->resumed_s = result->counts.resumed_s;
    if (j->events) return stream_done(j, result) ? SOTTO_OK : SOTTO_ECANCELLED;
    st = sotto_result_write(result, j->model, j->form.format, &j->form.write, &body, err);
    if (st == SOTTO_OK && j->form.whisper_cpp) st = whisper_cpp_rewrite(result, j->form.format, &body, err);
    if (st != SOTTO_OK) return st;
    reply_own(&j->reply, 200, json ? reply_type_json : reply_type_text, body, strlen(body), release_string);
    if (!json) tell_coverage(&j->reply, &result->coverage);
    return SOTTO_OK;
}

static void count_failed(engine *e, sotto_status st)
{
    pthread_mutex_lock(&e->lock);
    *(st == SOTTO_ECANCELLED ? &e->totals.cancelled : &e->totals.failed) += 1;
    pthread_mutex_unlock(&e->lock);
}

/* False when the job was cancelled and has no reply. */
static bool run(struct slot *s, job *j)
{
    engine *e = s->e;
    sotto_error err = {0};
    j->form.options.on_progress = keep_going;
    j->form.options.user = j;
    j->form.options.vad_path = e->vad_path;
    j->form.options.coverage = true;
    j->form.options.background = j->background;
    sotto_status st = pool_lease(e->models, j->form.model, false, is_cancelled, j, &j->model, &err);
    if (st == SOTTO_ELIMIT) {
        api_error busy;
        api_error_set(&busy, 503, "model", "model_busy", "%s; try again later", err.message);
        if (!stream_failed(j, &busy)) reply_error(&j->reply, &busy);
        j->reply.retry_after = 10;
        count_failed(e, st);
        return true;
    }
    if (st == SOTTO_OK) {
        st = transcribe(s, j, &err);
        pool_release(e->models, j->form.model, false);
    }
    if (st == SOTTO_OK) return true;
    /* Not asked for: its first event found no memory. */
    if (st == SOTTO_ECANCELLED && j->events && !events_begun(j->events) && !atomic_load(&j->cancelled))
        st = options_fail(&err, SOTTO_ENOMEM, "out of memory: events");
    count_failed(e, st);
    if (st == SOTTO_ECANCELLED) return false;
    err.code = st;
    reply_failure(j, &err);
    return true;
}

static void *work(void *arg)
{
    struct slot *s = arg;
    engine *e = s->e;
    job *j;
    while ((j = queue_pop(e->q, s->number))) {
        count_begun(e);
        bool done = run(s, j);
        if (!done && j->events) end_stream(j);
        count_ended(e);
        /* The spooled file is of no use any more, and the reply may be long in going out. */
        upload_close(&j->upload);
        log_event(LOG_INFO,
                  done      ? "done"
                  : j->late ? "late"
                            : "cancelled",
                  "id=%s audio_s=%.2f resumed_s=%.2f queue_s=%.3f run_s=%.3f", j->id, j->audio_s, j->resumed_s,
                  j->started_at - j->queued_at, clock_now_s() - j->started_at);
        queue_finish(e->q, s->number, done);
    }
    return NULL;
}

sotto_status engine_start(engine **out, pool *models, queue *q, size_t slots, const char *vad_path, sotto_error *err)
{
    *out = NULL;
    engine *e = calloc(1, sizeof *e);
    if (e) e->slots = calloc(slots, sizeof *e->slots);
    if (e) e->by_model = calloc(pool_count(models), sizeof *e->by_model);
    if (!e || !e->slots || !e->by_model) {
        if (e) free(e->slots);
        if (e) free(e->by_model);
        free(e);
        return options_fail(err, SOTTO_ENOMEM, "out of memory: engine");
    }
    e->models = models;
    e->vad_path = vad_path;
    e->q = q;
    e->n_slots = slots;
    /* Measured now, while nothing else computes; reports take it from memory. */
    sotto_model *model = pool_borrow(models, 0);
    if (model) {
        sotto_model_peak_gops(model, NULL);
        pool_release(models, 0, false);
    }
    pthread_mutex_init(&e->lock, NULL);
    for (; e->n_threads < slots; e->n_threads++) {
        struct slot *s = &e->slots[e->n_threads];
        *s = (struct slot){.e = e, .number = e->n_threads};
        if (pthread_create(&s->thread, NULL, work, s) == 0) continue;
        sotto_status st = options_fail(err, SOTTO_ENOMEM, "the engine's thread %zu of %zu could not be started",
                                       e->n_threads + 1, slots);
        queue_close(q, true);
        engine_join(e);
        engine_free(e);
        return st;
    }
    pool_tell(models, on_unloading, e);
    *out = e;
    return SOTTO_OK;
}

void engine_cancel(void *arg, size_t slot)
{
    engine *e = arg;
    pthread_mutex_lock(&e->lock);
    if (e->slots[slot].session) sotto_session_cancel(e->slots[slot].session);
    pthread_mutex_unlock(&e->lock);
}

void engine_join(engine *e)
{
    for (size_t i = 0; e && i < e->n_threads; i++) pthread_join(e->slots[i].thread, NULL);
}

void engine_free(engine *e)
{
    if (!e) return;
    pool_tell(e->models, NULL, NULL);
    pthread_mutex_destroy(&e->lock);
    for (size_t i = 0; i < e->n_slots; i++) sotto_session_free(e->slots[i].session);
    free(e->slots);
    free(e->by_model);
    free(e);
}

void engine_get_totals(engine *e, engine_totals *out)
{
    pthread_mutex_lock(&e->lock);
    *out = e->totals;
    if (e->running) out->sum.wall_s += clock_now_s() - e->busy_since;
    pthread_mutex_unlock(&e->lock);
}

void engine_get_model_totals(engine *e, size_t model, engine_totals *out)
{
    pthread_mutex_lock(&e->lock);
    *out = e->by_model[model];
    pthread_mutex_unlock(&e->lock);
}

unsigned engine_retry_after(engine *e, size_t recordings)
{
    pthread_mutex_lock(&e->lock);
    double each_s = e->recent_runs > 0 ? e->recent_s / e->recent_runs : 1, s = ceil(each_s * (double)recordings);
    pthread_mutex_unlock(&e->lock);
    return s < 1 ? 1 : s > RETRY_MOST_S ? RETRY_MOST_S : (unsigned)s;
}
