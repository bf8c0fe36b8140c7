/* SPDX-License-Identifier: MIT
 * Job -> transcription -> reply (engine.h). */
#include "engine.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "options.h"

struct engine {
    pthread_t thread;
    sotto_model *model;
    sotto_session *session;
    queue *q;
    pthread_mutex_t lock; /* of totals */
    engine_totals totals;
};

static bool keep_going(const sotto_progress *progress, void *user)
{
    const job *j = user;
    (void)progress;
    return !atomic_load(&j->cancelled);
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
    reply_error(&j->reply, &e);
}

static void add_counts(engine *e, const sotto_result *result)
{
    pthread_mutex_lock(&e->lock);
    sotto_counts_add(&e->totals.sum, &result->counts);
    e->totals.last = result->counts;
    memcpy(e->totals.last_touched, result->touched_part_parameters, sizeof e->totals.last_touched);
    for (size_t i = 0; i < SOTTO_PART_COUNT; i++)
        if (result->touched_part_parameters[i] > e->totals.touched[i])
            e->totals.touched[i] = result->touched_part_parameters[i];
    pthread_mutex_unlock(&e->lock);
}

/* False when the job was cancelled and has no reply. */
static bool run(engine *e, job *j)
{
    const sotto_result *result = NULL;
    sotto_error err = {0};
    char *body = NULL;
    j->form.options.on_progress = keep_going;
    j->form.options.user = j;
    /* A cancellation meant for the job before cannot end this one: the sweep asks for it under the queue's lock, while
     * that job is the running one, and the call forgets what came before it. */
    sotto_status st = sotto_transcribe_file(e->session, j->upload.path, &j->form.options, &result, &err);
    if (st == SOTTO_OK) {
        add_counts(e, result);
        j->audio_s = result->duration_s;
        st = sotto_result_write(result, e->model, j->form.format, &j->form.write, &body, &err);
    }
    if (st == SOTTO_OK) {
        bool json = j->form.format == SOTTO_FORMAT_JSON || j->form.format == SOTTO_FORMAT_VERBOSE_JSON;
        reply_own(&j->reply, 200, json ? reply_type_json : reply_type_text, body, strlen(body), release_string);
        return true;
    }
    pthread_mutex_lock(&e->lock);
    *(st == SOTTO_ECANCELLED ? &e->totals.cancelled : &e->totals.failed) += 1;
    pthread_mutex_unlock(&e->lock);
    if (st == SOTTO_ECANCELLED) return false;
    err.code = st;
    reply_failure(j, &err);
    return true;
}

static void *work(void *arg)
{
    engine *e = arg;
    job *j;
    while ((j = queue_pop(e->q))) {
        bool done = run(e, j);
        /* The spooled file is of no use any more, and the reply may be long in going out. */
        upload_close(&j->upload);
        log_event(LOG_INFO, done ? "done" : "cancelled", "id=%s audio_s=%.2f queue_s=%.3f run_s=%.3f", j->id,
                  j->audio_s, j->started_at - j->queued_at, clock_now_s() - j->started_at);
        queue_finish(e->q, j, done);
    }
    return NULL;
}

sotto_status engine_start(engine **out, sotto_model *model, queue *q, sotto_error *err)
{
    *out = NULL;
    engine *e = calloc(1, sizeof *e);
    if (!e) return options_fail(err, SOTTO_ENOMEM, "out of memory: engine");
    e->model = model;
    e->q = q;
    sotto_status st = sotto_session_open(&e->session, model, err);
    if (st != SOTTO_OK) {
        free(e);
        return st;
    }
    /* Measured now, while nothing else computes; reports take it from memory. */
    sotto_model_peak_gflops(model);
    pthread_mutex_init(&e->lock, NULL);
    if (pthread_create(&e->thread, NULL, work, e) != 0) {
        pthread_mutex_destroy(&e->lock);
        sotto_session_free(e->session);
        free(e);
        return options_fail(err, SOTTO_ENOMEM, "the engine's thread could not be started");
    }
    *out = e;
    return SOTTO_OK;
}

void engine_cancel(void *arg)
{
    engine *e = arg;
    sotto_session_cancel(e->session);
}

void engine_join(engine *e)
{
    if (e) pthread_join(e->thread, NULL);
}

void engine_free(engine *e)
{
    if (!e) return;
    pthread_mutex_destroy(&e->lock);
    sotto_session_free(e->session);
    free(e);
}

void engine_get_totals(engine *e, engine_totals *out)
{
    pthread_mutex_lock(&e->lock);
    *out = e->totals;
    pthread_mutex_unlock(&e->lock);
}

unsigned engine_retry_after(engine *e)
{
    engine_totals t;
    engine_get_totals(e, &t);
    double s = t.sum.runs ? t.sum.wall_s / (double)t.sum.runs : 1;
    return s < 1 ? 1 : s > 60 ? 60 : (unsigned)ceil(s);
}
