/* SPDX-License-Identifier: MIT
 * The public functions of a session: check arguments, call down, hand out results. No arithmetic here. */
#include "sotto.h"
#include "audio/decode.h"
#include "base/checked.h"
#include "base/error.h"
#include "model/runtime.h"
#include "nn/ops.h"
#include "text/coverage.h"
#include "text/parallel.h"
#include "text/transcript.h"
#include "vad/spans.h"
#include "vad/vad.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sotto_session {
    sotto__runtime *runtime;
    sotto__transcript *transcript;
    sotto_result result;
    sotto__vad *vad; /* opened when a call first needs it */
    char *vad_path;
    sotto_span *uncovered; /* of the result */
};

const char *sotto_version(void) { return SOTTO_VERSION; }

static char build_info[256];

static void fill_build_info(void)
{
    const sotto__ops *ops = sotto__ops_allowed(NULL);
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
        .tail_stride = 0,
        .vad_threshold = 0.5,
        .vad_min_silence_ms = 100,
        .vad_speech_pad_ms = 30,
        .duration_s = INFINITY,
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
    sotto__vad_free(s->vad);
    free(s->vad_path);
    free(s->uncovered);
    free(s);
}

void sotto_session_cancel(sotto_session *s)
{
    if (s) sotto__runtime_cancel(s->runtime, true);
}

/* Between two pieces of a recording that is being read. */
static bool is_cancelled(void *user)
{
    sotto__runtime_give_way(user);
    return sotto__runtime_cancelled(user);
}

/* Where the samples come from: a file or memory. */
struct input {
    const char *path;
    const float *samples;
    size_t n;
};

/* ---- long recordings in parts ---- */

enum { WINDOW_SAMPLES = 30 * SOTTO__SAMPLE_RATE, PARTS_AT_A_TIME = 6 };

/* Listens for speech while the samples stream past, from the moment that there is more than one window of them. */
typedef struct listener {
    sotto__vad_track *track;
    float *first; /* [WINDOW_SAMPLES]: kept back until then */
    size_t n_first;
    bool started;
} listener;

static sotto_status listen_to(const float *samples, size_t n, void *user, sotto_error *err)
{
    listener *l = user;
    sotto_status st;
    if (!l->started && n <= WINDOW_SAMPLES - l->n_first) {
        memcpy(l->first + l->n_first, samples, n * sizeof *samples);
        l->n_first += n;
        return SOTTO_OK;
    }
    if (!l->started && (st = sotto__vad_track_push(l->track, l->first, l->n_first, err)) != SOTTO_OK) return st;
    l->started = true;
    return sotto__vad_track_push(l->track, samples, n, err);
}

static void close_listener(listener *l)
{
    sotto__vad_track_free(l->track);
    free(l->first);
}

static bool has_vad(const sotto_options *o) { return o->vad_path && *o->vad_path; }

/* Options that need the text of one window before the next is begun keep a recording in one piece. */
static bool may_part(const sotto_options *o)
{
    return has_vad(o) && !o->sequential && isnan(o->hallucination_silence_threshold);
}

static bool may_listen(const sotto_options *o) { return may_part(o) || (has_vad(o) && o->coverage); }

static sotto_status open_listener(sotto_session *s, listener *l, const sotto_options *o, sotto_error *err)
{
    sotto_status st;
    if (!s->vad_path || strcmp(s->vad_path, o->vad_path) != 0) {
        char *path = strdup(o->vad_path);
        sotto__vad_free(s->vad);
        free(s->vad_path);
        s->vad = NULL;
        s->vad_path = path;
        if (!path) return sotto__fail_nomem(err, "path of the voice detector");
    }
    if (!s->vad && (st = sotto__vad_open(&s->vad, s->vad_path, err)) != SOTTO_OK) return st;
    l->first = sotto__aligned(WINDOW_SAMPLES, sizeof *l->first);
    if (!l->first) return sotto__fail_nomem(err, "memory to listen with");
    return sotto__vad_track_create(&l->track, s->vad, err);
}

/* What the voice detector heard of the frames asked for. */
typedef struct heard {
    sotto__stretch *speech; /* [n_speech] */
    size_t n_speech;
    sotto__part *parts; /* [n_parts]: what to transcribe side by side; none: the recording as a whole */
    size_t n_parts;
} heard;

static void free_heard(heard *h)
{
    free(h->speech);
    free(h->parts);
    *h = (heard){0};
}

/* Samples -> frames, less what was not asked for; empty where nothing is left. */
static sotto__stretch frames_of(const sotto__span *span, sotto__stretch wanted)
{
    const size_t begin = (size_t)span->start / SOTTO__HOP, end = (size_t)(span->end + SOTTO__HOP - 1) / SOTTO__HOP;
    return (sotto__stretch){begin > wanted.begin ? begin : wanted.begin, end < wanted.end ? end : wanted.end};
}

static sotto_status fill_heard(heard *h, const sotto__spans *spans, const sotto__spans *chunks, sotto__stretch wanted,
                               bool coverage, sotto_error *err)
{
    h->speech = calloc(spans->n + 1, sizeof *h->speech);
    h->parts = calloc(chunks->n + 1, sizeof *h->parts);
    if (!h->speech || !h->parts) return sotto__fail_nomem(err, "parts of a recording");
    for (size_t i = 0; coverage && i < spans->n; i++) {
        const sotto__stretch s = frames_of(&spans->items[i], wanted);
        if (s.begin < s.end) h->speech[h->n_speech++] = s;
    }
    for (size_t i = 0; i < chunks->n; i++) {
        const sotto__stretch s = frames_of(&chunks->items[i], wanted);
        if (s.begin < s.end) h->parts[h->n_parts++] = (sotto__part){s.begin, s.end, h->speech, h->n_speech};
    }
    return SOTTO_OK;
}

/* The end of listening: where speech is, and the parts of a recording that may have some. */
static sotto_status hear(listener *l, const sotto__features *f, const sotto_options *o, heard *h, sotto_error *err)
{
    const bool cut = l->started && may_part(o);
    sotto__vad_options vad;
    sotto__chunk_options how;
    sotto__spans spans = {0}, chunks = {0};
    sotto_status st = SOTTO_OK;
    size_t chunk_count;
    if (!l->started) st = sotto__vad_track_push(l->track, l->first, l->n_first, err);
    if (st != SOTTO_OK || (st = sotto__vad_track_finish(l->track, err)) != SOTTO_OK) return st;
    const float *p = sotto__vad_track_probabilities(l->track, &chunk_count);
    const uint64_t samples = sotto__vad_track_samples(l->track);
    sotto__vad_options_default(&vad);
    vad.threshold = o->vad_threshold;
    vad.min_silence_duration_ms = o->vad_min_silence_ms;
    vad.speech_pad_ms = o->vad_speech_pad_ms;
    sotto__chunk_options_default(&how);
    st = sotto__vad_spans(p, chunk_count, samples, &vad, &spans, err);
    if (st == SOTTO_OK && cut) st = sotto__vad_chunks(&spans, p, chunk_count, samples, &how, &chunks, err);
    if (st == SOTTO_OK)
        st = fill_heard(h, &spans, &chunks, sotto__wanted_frames(o, sotto__features_frames(f)), o->coverage, err);
    sotto__spans_free(&spans);
    sotto__spans_free(&chunks);
    return st;
}

/* What of the speech the segments hold, and what they do not. */
static sotto_status measure(sotto_session *s, const sotto__features *f, const sotto_options *o, const heard *h,
                            sotto_error *err)
{
    sotto_counts *counts = sotto__runtime_counts(s->runtime);
    sotto__gaps gaps = {0};
    size_t n;
    const sotto_segment *segments = sotto__transcript_segments(s->transcript, &n);
    const sotto_status st = sotto__gaps_find(h->speech, h->n_speech, segments, n,
                                             sotto__wanted_frames(o, sotto__features_frames(f)), &gaps, err);
    if (st != SOTTO_OK) return st;
    free(s->uncovered);
    s->uncovered = calloc(gaps.n + 1, sizeof *s->uncovered);
    for (size_t i = 0; s->uncovered && i < gaps.n; i++)
        s->uncovered[i] = (sotto_span){(double)gaps.items[i].begin / SOTTO__FRAMES_PER_SECOND,
                                       (double)gaps.items[i].end / SOTTO__FRAMES_PER_SECOND};
    counts->speech_s = (double)gaps.speech / SOTTO__FRAMES_PER_SECOND;
    counts->covered_s = (double)gaps.covered / SOTTO__FRAMES_PER_SECOND;
    counts->gaps_left = gaps.n;
    s->result.coverage = (sotto_coverage){.known = true,
                                          .speech_s = counts->speech_s,
                                          .covered_s = counts->covered_s,
                                          .gaps_decoded = counts->gaps_decoded,
                                          .uncovered = s->uncovered,
                                          .n_uncovered = gaps.n};
    sotto__gaps_free(&gaps);
    return s->uncovered ? SOTTO_OK : sotto__fail_nomem(err, "coverage");
}

static sotto_status transcribe_features(sotto_session *s, const sotto__features *f, listener *l, const sotto_options *o,
                                        sotto_error *err)
{
    heard h = {0};
    sotto_status st = SOTTO_OK;
    if (l->track && (l->started || o->coverage)) st = hear(l, f, o, &h, err);
    /* A recording that seems to hold no speech is still heard as a whole: the model decides. */
    if (st == SOTTO_OK && h.n_parts == 0)
        st = sotto__transcribe_covering(s->runtime, f, o, h.speech, h.n_speech, s->transcript, err);
    else if (st == SOTTO_OK)
        st = sotto__transcribe_parts(s->runtime, f, o, h.parts, h.n_parts, PARTS_AT_A_TIME, s->transcript, err);
    if (st == SOTTO_OK) sotto__runtime_counts(s->runtime)->parts += h.n_parts;
    if (st == SOTTO_OK && l->track && o->coverage) st = measure(s, f, o, &h, err);
    free_heard(&h);
    return st;
}

/* In pieces, with a look at the cancellation between them. */
static sotto_status push_samples(sotto_session *s, const struct input *in, sotto__features *f, sotto_error *err)
{
    enum { PIECE = 10 * SOTTO__SAMPLE_RATE };
    for (size_t at = 0; at < in->n; at += PIECE) {
        const size_t n = in->n - at < PIECE ? in->n - at : PIECE;
        const sotto_status st = sotto__features_push(f, in->samples + at, n, err);
        if (st != SOTTO_OK) return st;
        if (is_cancelled(s->runtime)) return sotto__fail(err, SOTTO_ECANCELLED, "the transcription was cancelled");
    }
    return sotto__features_finish(f, err);
}

static sotto_status fill_features(sotto_session *s, const struct input *in, sotto__features *f, sotto_error *err)
{
    sotto_counts *counts = sotto__runtime_counts(s->runtime);
    sotto_status st;
    if (in->path) return sotto__decode_file(f, in->path, counts->stage_s, is_cancelled, s->runtime, err);
    const double start = sotto__now_s();
    st = push_samples(s, in, f, err);
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
    counts->audio_s = r->duration_s - counts->resumed_s;
    counts->mel_frames_computed = sotto__features_computed(f);
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
    listener l = {0};
    sotto_status st;
    sotto_options_default(&o);
    if ((st = sotto__take_options(&o, sizeof o, options, "options", "sotto_options_default", err)) != SOTTO_OK)
        return st;
    sotto__runtime_cancel(s->runtime, false); /* one that came between two calls stops neither */
    s->result = (sotto_result){0};
    *sotto__runtime_counts(s->runtime) = (sotto_counts){0};
    sotto__runtime_touched_reset(s->runtime);
    sotto__runtime_set_background(s->runtime, o.background);
    sotto__runtime_arrive(s->runtime);
    st = sotto__features_open(&f, (size_t)sotto__runtime_info(s->runtime)->n_mels,
                              sotto__runtime_mel_filters(s->runtime), err);
    if (st == SOTTO_OK && may_listen(&o) && (st = open_listener(s, &l, &o, err)) == SOTTO_OK)
        sotto__features_set_tap(f, listen_to, &l);
    if (st == SOTTO_OK) st = fill_features(s, in, f, err);
    if (st == SOTTO_OK) st = transcribe_features(s, f, &l, &o, err);
    sotto__runtime_leave(s->runtime);
    if (st == SOTTO_OK) {
        fill_result(s, f, &o, start);
        *out = &s->result;
    }
    sotto__features_free(f);
    close_listener(&l);
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
