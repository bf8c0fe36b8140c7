/* SPDX-License-Identifier: MIT
 * The engine in this process: a model, a session, and the writers of libsotto. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "models.h"

struct local {
    sotto_model *model;
    sotto_session *session;
    char *vad_path;
    bool joined; /* the model is another's */
};

sotto_status local_open(local **out, const work *w, sotto_error *err)
{
    local *l = calloc(1, sizeof *l);
    char *path = NULL;
    sotto_model_options mo;
    sotto_status st;
    *out = NULL;
    if (!l) return options_fail(err, SOTTO_ENOMEM, "out of memory: engine");
    sotto_model_options_default(&mo);
    mo.threads = (int32_t)w->options.threads;
    mo.no_cache = !w->options.cache;
    mo.precision = models_precision(w->options.precision);
    if ((st = models_resolve(w->options.model ? w->options.model : MODELS_DEFAULT, &path, err)) == SOTTO_OK &&
        (st = models_open(&l->model, path, &mo, w->options.shrink, w->options.calibration, err)) == SOTTO_OK &&
        (st = models_resolve_vad(w->options.vad, &l->vad_path, err)) == SOTTO_OK &&
        (st = sotto_session_open(&l->session, l->model, err)) == SOTTO_OK)
        *out = l;
    else
        local_free(l);
    free(path);
    return st;
}

sotto_status local_join(local **out, const local *first, sotto_error *err)
{
    local *l = calloc(1, sizeof *l);
    sotto_status st = SOTTO_OK;
    *out = NULL;
    if (!l || (first->vad_path && !(l->vad_path = strdup(first->vad_path))))
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: engine");
    if (l) l->joined = true, l->model = first->model;
    if (st == SOTTO_OK) st = sotto_session_open(&l->session, l->model, err);
    if (st == SOTTO_OK)
        *out = l;
    else
        local_free(l);
    return st;
}

void local_free(local *l)
{
    if (!l) return;
    sotto_session_free(l->session);
    if (!l->joined) sotto_model_free(l->model);
    free(l->vad_path);
    free(l);
}

/* What is seen of a run while it goes on. */
typedef struct view {
    progress bar;
    transcripts *told; /* NULL without --stream */
    sotto_status status;
    sotto_error err;
} view;

/* A line for each segment, as the txt of the whole has them. */
static sotto_status tell_segments(view *v, const sotto_progress *now)
{
    const sotto_result part = {.text = "", .segments = now->segments, .n_segments = now->n_segments};
    char *lines = NULL;
    sotto_status st = sotto_result_write(&part, NULL, SOTTO_FORMAT_TXT, NULL, &lines, &v->err);
    if (st == SOTTO_OK) st = transcripts_tell(v->told, lines, &v->err);
    sotto_string_free(lines);
    return st;
}

/* Called after every window. A first Ctrl-C is also seen here. */
static bool on_progress(const sotto_progress *now, void *user)
{
    view *v = user;
    progress_draw(&v->bar, "transcribing", now->done_s, now->total_s);
    if (v->told && now->n_segments) {
        progress_end(&v->bar);
        v->status = tell_segments(v, now);
    }
    return v->status == SOTTO_OK && !is_interrupted();
}

sotto_status local_transcribe(local *l, const work *w, const char *path, const char *name, transcripts *out,
                              sotto_error *err)
{
    sotto_options options = w->decode.options;
    const sotto_result *result;
    view v = {.told = w->options.stream ? out : NULL};
    const char *increment = w->decode.given[DECODE_temperature_increment];
    decode_options_settle(&options, increment && *increment);
    options.on_progress = on_progress;
    options.user = &v;
    options.vad_path = l->vad_path;
    options.coverage = l->vad_path != NULL; /* as the daemon does */
    options.early_segments = w->options.stream;
    progress_begin(&v.bar, name);
    progress_draw(&v.bar, "reading", 0, 0);
    interruption_target(l->session);
    sotto_status st = is_interrupted() ? options_fail(err, SOTTO_ECANCELLED, "interrupted")
                                       : sotto_transcribe_file(l->session, path, &options, &result, err);
    interruption_target(NULL);
    progress_end(&v.bar);
    if (v.status != SOTTO_OK) { /* which cancelled the run */
        *err = v.err;
        return v.status;
    }
    if (st != SOTTO_OK) return st;
    if ((st = transcripts_write(out, w, result, l->model, err)) != SOTTO_OK || !w->options.report) return st;
    return sotto_report_write(l->model, &result->counts, result->touched_part_parameters, &out->report, err);
}
