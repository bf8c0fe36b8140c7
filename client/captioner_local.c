/* SPDX-License-Identifier: MIT
 * Captions by a stream of this process (captioner.h). */
#include <stdlib.h>

#include "captioner.h"
#include "client.h"

static const double ahead_s = 20; /* bounds memory */

typedef struct captioner_local {
    captioner base;
    const live_options *options;
    char *vad_path;
    sotto_model *model;
    sotto_stream *stream;
    double hearing_s; /* as of the last caption, as are */
    uint64_t multiply_adds;
} captioner_local;

static sotto_status open_model(captioner_local *c, sotto_error *err)
{
    const live_options *o = c->options;
    char *path = NULL;
    sotto_model_options mo;
    sotto_model_options_default(&mo);
    mo.threads = (int32_t)o->threads;
    mo.precision = models_precision(o->precision);
    mo.no_cache = !o->cache;
    sotto_status st = models_resolve(o->model ? o->model : MODELS_DEFAULT, &path, err);
    if (st == SOTTO_OK) st = models_open(&c->model, path, &mo, o->shrink, o->calibration, err);
    free(path);
    return st;
}

static sotto_status begin(captioner *base, int rate, sotto_error *err)
{
    captioner_local *c = (captioner_local *)base;
    const live_options *o = c->options;
    sotto_stream_options so;
    sotto_status st = open_model(c, err);
    if (st != SOTTO_OK) return st;
    sotto_stream_options_default(&so);
    so.vad_path = c->vad_path;
    so.sample_rate = rate;
    so.task = o->task == LIVE_TASK_TRANSLATE ? SOTTO_TASK_TRANSLATE : SOTTO_TASK_TRANSCRIBE;
    so.language = *o->language ? o->language : NULL;
    so.initial_prompt = *o->prompt ? o->prompt : NULL;
    so.interval_s = o->interval;
    so.every_interval = o->pace == LIVE_PACE_FAST;
    return sotto_stream_open(&c->stream, c->model, &so, err);
}

static sotto_status push(captioner *base, const float *samples, size_t n, sotto_error *err)
{
    return sotto_stream_push(((captioner_local *)base)->stream, samples, n, err);
}

static bool is_ahead(captioner *base)
{
    sotto_stream_state s = {.size = sizeof s};
    sotto_stream_get_state(((captioner_local *)base)->stream, &s);
    return s.pushed_s - s.heard_s >= ahead_s;
}

static void end(captioner *base) { sotto_stream_end(((captioner_local *)base)->stream); }

static sotto_status next(captioner *base, double timeout_s, const sotto_caption **out, sotto_error *err)
{
    captioner_local *c = (captioner_local *)base;
    sotto_status st = sotto_stream_next(c->stream, timeout_s, out, err);
    if (st != SOTTO_OK || !*out) return st;
    c->hearing_s = (*out)->counts.wall_s;
    c->multiply_adds = sotto_counts_multiply_adds(&(*out)->counts);
    return SOTTO_OK;
}

static void get_state(captioner *base, captioner_state *to)
{
    captioner_local *c = (captioner_local *)base;
    sotto_stream_state s = {.size = sizeof s};
    sotto_stream_get_state(c->stream, &s);
    *to = (captioner_state){.pushed_s = s.pushed_s,
                            .heard_s = s.heard_s,
                            .level_db = s.level_db,
                            .speech = s.speech,
                            .hearing_s = c->hearing_s,
                            .multiply_adds = c->multiply_adds};
}

static sotto_status finish(captioner *base, sotto_error *err)
{
    (void)base, (void)err;
    return SOTTO_OK;
}

static void release(captioner *base)
{
    captioner_local *c = (captioner_local *)base;
    sotto_stream_free(c->stream);
    sotto_model_free(c->model);
    free(c->vad_path);
    free(c);
}

sotto_status captioner_open_local(captioner **out, const live_options *o, sotto_error *err)
{
    static const captioner_kind kind = {begin, push, is_ahead, end, next, get_state, finish, release};
    captioner_local *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c) return options_fail(err, SOTTO_ENOMEM, "out of memory: captions");
    c->base.kind = &kind;
    c->options = o;
    sotto_status st = models_resolve_vad(o->vad, &c->vad_path, err);
    if (st == SOTTO_OK)
        *out = &c->base;
    else
        release(&c->base);
    return st;
}
