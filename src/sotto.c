/* SPDX-License-Identifier: MIT
 * The public functions of a session: check arguments, call down, hand out results. No arithmetic here. */
#include "sotto.h"
#include "audio/decode.h"
#include "base/checked.h"
#include "base/error.h"
#include "model/runtime.h"
#include "nn/ops.h"
#include "text/transcribe.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sotto_session {
    sotto__runtime *runtime;
    sotto__transcript *transcript;
    sotto_result result;
};

const char *sotto_version(void) { return SOTTO_VERSION; }

static char build_info[256];

static void fill_build_info(void)
{
    const char *isa = getenv("SOTTO_ISA");
    const sotto__ops *ops = sotto__ops_pick(isa && *isa ? isa : NULL);
    snprintf(build_info, sizeof build_info, "%s, kernels %s, %s", sotto__gemm_info(), ops ? ops->name : "?",
             sotto__decode_build_info());
}

const char *sotto_build_info(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_build_info);
    return build_info;
}

void sotto_options_default(sotto_options *o)
{
    *o = (sotto_options){
        .size = sizeof *o,
        .task = SOTTO_TASK_TRANSCRIBE,
        .condition_on_previous_text = true,
        .temperature = 0.0,
        .temperature_increment = 0.2,
        .best_of = 5,
        .beam_size = 1,
        .patience = 1.0,
        .length_penalty = NAN,
        .compression_ratio_threshold = 2.4,
        .logprob_threshold = -1.0,
        .no_speech_threshold = 0.6,
        .hallucination_silence_threshold = NAN,
        .max_initial_timestamp = 1.0,
        .suppress_blank = true,
        .tail_stride = 1,
    };
}

sotto_status sotto_session_open(sotto_session **out, sotto_model *model, sotto_error *err)
{
    sotto_status st;
    sotto_session *s;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_session_open: out is NULL");
    *out = NULL;
    if (!model) return sotto__fail(err, SOTTO_EINVAL, "sotto_session_open: model is NULL");
    s = calloc(1, sizeof *s);
    if (!s) return sotto__fail_nomem(err, "session");
    if ((st = sotto__runtime_open(&s->runtime, model, err)) != SOTTO_OK ||
        (st = sotto__transcript_create(&s->transcript, err)) != SOTTO_OK) {
        sotto_session_free(s);
        return st;
    }
    *out = s;
    return SOTTO_OK;
}

void sotto_session_free(sotto_session *s)
{
    if (!s) return;
    sotto__transcript_free(s->transcript);
    sotto__runtime_free(s->runtime);
    free(s);
}

void sotto_session_cancel(sotto_session *s)
{
    if (s) sotto__runtime_cancel(s->runtime, true);
}

static bool is_cancelled(void *user) { return sotto__runtime_cancelled(user); }

/* Where the samples come from: a file or memory. */
struct input {
    const char *path;
    const float *samples;
    size_t n;
};

static sotto_status fill_features(sotto_session *s, const struct input *in, sotto__features *f, sotto_error *err)
{
    sotto_counts *counts = sotto__runtime_counts(s->runtime);
    sotto_status st;
    if (in->path) return sotto__decode_file(f, in->path, counts->stage_s, is_cancelled, s->runtime, err);
    const double start = sotto__now_s();
    if ((st = sotto__features_push(f, in->samples, in->n, err)) == SOTTO_OK) st = sotto__features_finish(f, err);
    counts->stage_s[SOTTO_STAGE_MEL] += sotto__now_s() - start;
    return st;
}

static void fill_result(sotto_session *s, const sotto__features *f, const sotto_options *o, double start)
{
    sotto_result *r = &s->result;
    sotto_counts *counts = sotto__runtime_counts(s->runtime);
    sotto__transcript_view(s->transcript, r);
    r->task = o->task;
    r->duration_s = (double)sotto__features_samples(f) / SOTTO__SAMPLE_RATE;
    counts->runs = 1;
    counts->audio_s = r->duration_s;
    counts->wall_s = sotto__now_s() - start;
    r->counts = *counts;
    sotto__runtime_touched(s->runtime, r->touched_part_parameters);
    for (int p = 0; p < SOTTO_PART_COUNT; p++) r->touched_parameters += r->touched_part_parameters[p];
}

static sotto_status transcribe(sotto_session *s, const struct input *in, const sotto_options *options,
                               const sotto_result **out, sotto_error *err)
{
    const double start = sotto__now_s();
    sotto_options o;
    sotto__features *f = NULL;
    sotto_status st;
    sotto_options_default(&o);
    if ((st = sotto__take_options(&o, sizeof o, options, "options", "sotto_options_default", err)) != SOTTO_OK)
        return st;
    sotto__runtime_cancel(s->runtime, false); /* one that came between two calls stops neither */
    s->result = (sotto_result){0};
    *sotto__runtime_counts(s->runtime) = (sotto_counts){0};
    sotto__runtime_touched_reset(s->runtime);
    st = sotto__features_open(&f, (size_t)sotto__runtime_info(s->runtime)->n_mels,
                              sotto__runtime_mel_filters(s->runtime), err);
    if (st == SOTTO_OK) st = fill_features(s, in, f, err);
    if (st == SOTTO_OK) st = sotto__transcribe(s->runtime, f, &o, s->transcript, err);
    sotto__runtime_leave(s->runtime);
    if (st == SOTTO_OK) {
        fill_result(s, f, &o, start);
        *out = &s->result;
    }
    sotto__features_free(f);
    return st;
}

sotto_status sotto_transcribe_file(sotto_session *session, const char *path, const sotto_options *options,
                                   const sotto_result **out, sotto_error *err)
{
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_transcribe_file: out is NULL");
    *out = NULL;
    if (!session || !path) return sotto__fail(err, SOTTO_EINVAL, "sotto_transcribe_file: session or path is NULL");
    const struct input in = {.path = path};
    return transcribe(session, &in, options, out, err);
}

sotto_status sotto_transcribe_pcm(sotto_session *session, const float *samples, size_t n, const sotto_options *options,
                                  const sotto_result **out, sotto_error *err)
{
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_transcribe_pcm: out is NULL");
    *out = NULL;
    if (!session || (!samples && n))
        return sotto__fail(err, SOTTO_EINVAL, "sotto_transcribe_pcm: session or samples is NULL");
    const struct input in = {.samples = samples, .n = n};
    return transcribe(session, &in, options, out, err);
}
