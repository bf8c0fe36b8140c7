/* SPDX-License-Identifier: MIT
 * Workers, each with a session of its own, take the parts in order; the calling thread collects them (parallel.h). */
#include "text/parallel.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/wait.h"
#include "text/checkpoint.h"
#include "text/transcript.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct crew crew;

typedef struct worker {
    crew *crew;
    pthread_t thread;
    sotto__runtime *rt;
    sotto__transcriber *transcriber;
} worker;

struct crew {
    sotto_model *model; /* lends the workers; NULL = not yet */
    const sotto__part *parts;
    size_t n;
    const char *language; /* of the first part */
    double probability;   /* of the language */
    sotto__str checkpoint;
    sotto__transcript **done; /* [n]; NULL = not yet */
    worker *workers;
    size_t n_workers, started;
    pthread_mutex_t lock; /* of what follows and `done` */
    pthread_cond_t change;
    size_t next;
    sotto_status status; /* of the first that failed */
    sotto_error error;
};

static void *work(void *arg)
{
    worker *w = arg;
    crew *c = w->crew;
    pthread_mutex_lock(&c->lock);
    while (c->status == SOTTO_OK && c->next < c->n) {
        const size_t i = c->next++;
        sotto__transcript *t = NULL;
        sotto_error err = {0};
        pthread_mutex_unlock(&c->lock);
        sotto_status st = sotto__transcript_create(&t, &err);
        if (st == SOTTO_OK) st = sotto__transcriber_run(w->transcriber, &c->parts[i], c->language, t, &err);
        pthread_mutex_lock(&c->lock);
        if (st == SOTTO_OK) {
            c->done[i] = t;
        } else {
            sotto__transcript_free(t);
            if (c->status == SOTTO_OK) {
                c->status = st;
                c->error = err;
            }
        }
        pthread_cond_signal(&c->change);
    }
    pthread_mutex_unlock(&c->lock);
    sotto__runtime_leave(w->rt); /* nobody waits for its next step */
    return NULL;
}

/* Sessions that work silently: the caller's thread alone reports progress. Those that found no memory or thread are
 * done without, but for the first. */
static sotto_status hire(crew *c, sotto__runtime *rt, const sotto__features *f, const sotto_options *quiet,
                         sotto_error *err)
{
    for (; c->started < c->n_workers; c->started++) {
        worker *w = &c->workers[c->started];
        sotto_status st;
        w->crew = c;
        if ((st = sotto__runtime_open(&w->rt, sotto__runtime_model(rt), err)) == SOTTO_OK &&
            (st = sotto__transcriber_create(&w->transcriber, w->rt, f, quiet, err)) == SOTTO_OK &&
            pthread_create(&w->thread, NULL, work, w) != 0)
            st = sotto__fail(err, SOTTO_ENOMEM, "a thread for parts of a recording could not be started");
        if (st != SOTTO_OK) return c->started ? SOTTO_OK : st;
    }
    return SOTTO_OK;
}

static void stop(crew *c, sotto_status status, const sotto_error *err)
{
    pthread_mutex_lock(&c->lock);
    if (c->status == SOTTO_OK) {
        c->status = status;
        c->error = *err;
    }
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < c->started; i++) sotto__runtime_cancel(c->workers[i].rt, true);
}

/* Waits until part i is there, with an eye on the caller's cancellation. NULL = something failed. */
static sotto__transcript *wait_for(crew *c, size_t i, const sotto__runtime *rt)
{
    static const double LOOK_S = 0.02;
    sotto__transcript *t;
    pthread_mutex_lock(&c->lock);
    while (c->status == SOTTO_OK) {
        if (sotto__runtime_cancelled(rt))
            c->status = sotto__fail(&c->error, SOTTO_ECANCELLED, "the transcription was cancelled");
        if (c->done[i] || c->status != SOTTO_OK) break;
        sotto__cond_wait_until(&c->change, &c->lock, sotto__now_s() + LOOK_S);
    }
    t = c->status == SOTTO_OK ? c->done[i] : NULL;
    c->done[i] = t ? NULL : c->done[i];
    pthread_mutex_unlock(&c->lock);
    return t;
}

static sotto__checkpoint where(const crew *c, const sotto__runtime *rt, const sotto__features *f)
{
    return (sotto__checkpoint){.info = sotto__runtime_info(rt),
                               .frames = sotto__features_frames(f),
                               .n_parts = c->n,
                               .language = c->language,
                               .language_probability = c->probability};
}

static sotto_status report(crew *c, size_t i, const sotto__runtime *rt, const sotto__features *f,
                           const sotto_options *o, bool fresh, sotto__transcript *t, size_t before, sotto_error *err)
{
    size_t n;
    if (!o->on_progress) return SOTTO_OK;
    const sotto_segment *segments = sotto__transcript_segments(t, &n);
    const size_t done = i + 1 < c->n ? c->parts[i].end : sotto__features_frames(f); /* nobody speaks after the last */
    sotto_progress progress = {.done_s = (double)done / SOTTO__FRAMES_PER_SECOND,
                               .total_s = (double)sotto__features_samples(f) / SOTTO__SAMPLE_RATE,
                               .segments = n > before ? segments + before : NULL,
                               .n_segments = n - before};
    sotto_status st = sotto__transcript_tell(t, sotto__runtime_tokenizer(rt), &progress.text, err);
    if (st == SOTTO_OK && fresh && o->checkpoints) {
        sotto__checkpoint so_far = where(c, rt, f);
        so_far.next = i + 1;
        c->checkpoint.len = 0;
        st = sotto__checkpoint_write(&so_far, progress.segments, progress.n_segments, &c->checkpoint, err);
        progress.checkpoint = c->checkpoint.data;
    }
    if (st != SOTTO_OK) return st;
    if (!o->on_progress(&progress, o->user))
        return sotto__fail(err, SOTTO_ECANCELLED, "transcription cancelled by on_progress");
    return SOTTO_OK;
}

static sotto_status collect(crew *c, sotto__runtime *rt, const sotto__features *f, const sotto_options *o, size_t first,
                            sotto__transcript *t, sotto_error *err)
{
    for (size_t i = first; i < c->n; i++) {
        size_t before;
        sotto__transcript *part = wait_for(c, i, rt);
        sotto_status st;
        if (!part) {
            *err = c->error;
            return c->status;
        }
        sotto__transcript_segments(t, &before);
        st = sotto__transcript_move(t, part, err);
        sotto__transcript_free(part);
        if (st == SOTTO_OK) st = report(c, i, rt, f, o, true, t, before, err);
        if (st != SOTTO_OK) return st;
    }
    return SOTTO_OK;
}

static sotto_status open_crew(crew *c, sotto_model *model, size_t width, sotto_error *err)
{
    const size_t left = c->n - c->next;
    c->model = model;
    c->n_workers = left ? sotto__helpers_take(model, width < left ? width : left) : 0;
    c->workers = calloc(c->n_workers + 1, sizeof *c->workers);
    c->done = calloc(c->n, sizeof(sotto__transcript *));
    if (!c->workers || !c->done) return sotto__fail_nomem(err, "parts of a recording");
    pthread_mutex_init(&c->lock, NULL);
    sotto__cond_open(&c->change);
    return SOTTO_OK;
}

static void close_crew(crew *c, sotto__runtime *rt)
{
    for (size_t i = 0; i < c->started; i++) pthread_join(c->workers[i].thread, NULL);
    for (size_t i = 0; c->workers && i < c->n_workers; i++) {
        worker *w = &c->workers[i];
        sotto__transcriber_free(w->transcriber);
        if (w->rt) sotto__runtime_absorb(rt, w->rt);
        sotto__runtime_free(w->rt);
    }
    for (size_t i = 0; c->done && i < c->n; i++) sotto__transcript_free(c->done[i]);
    if (c->workers && c->done) {
        pthread_mutex_destroy(&c->lock);
        pthread_cond_destroy(&c->change);
    }
    if (c->model) sotto__helpers_return(c->model, c->n_workers);
    sotto__str_free(&c->checkpoint);
    free(c->workers);
    free(c->done);
}

/* The first part on the caller's session, when it has to tell the others the language or is wanted early. */
static sotto_status run_first(sotto__runtime *rt, const sotto__features *f, const sotto_options *quiet, crew *c,
                              sotto__transcript *t, sotto_error *err)
{
    sotto__transcriber *first;
    sotto_status st = sotto__transcriber_create(&first, rt, f, quiet, err);
    if (st == SOTTO_OK) st = sotto__transcriber_run(first, &c->parts[0], NULL, t, err);
    sotto__transcriber_free(first);
    sotto__runtime_leave(rt);
    if (st == SOTTO_OK) c->language = sotto__transcript_language(t, &c->probability);
    c->next = 1;
    return st;
}

/* The parts that an earlier call finished. */
static sotto_status take_up(sotto__runtime *rt, const sotto__features *f, const sotto_options *o, crew *c,
                            sotto__transcript *t, sotto_error *err)
{
    sotto__checkpoint done = where(c, rt, f);
    const sotto_status st = sotto__checkpoint_read(&done, o->resume, t, err);
    if (st != SOTTO_OK) return st;
    c->next = done.next;
    c->language = done.language;
    c->probability = done.language_probability;
    sotto__runtime_counts(rt)->resumed_s = (double)c->parts[done.next - 1].end / SOTTO__FRAMES_PER_SECOND;
    return report(c, done.next - 1, rt, f, o, false, t, 0, err);
}

sotto_status sotto__transcribe_parts(sotto__runtime *rt, const sotto__features *f, const sotto_options *options,
                                     const sotto__part *parts, size_t n, size_t width, sotto__transcript *t,
                                     sotto_error *err)
{
    const bool unknown = sotto__runtime_info(rt)->multilingual && !options->language;
    const bool first_alone = unknown || options->early_segments;
    sotto_options quiet = *options;
    crew c = {.parts = parts,
              .n = n,
              .language = options->language ? sotto_language_code(options->language) : "en",
              .probability = 1};
    sotto_error local;
    sotto_status st = SOTTO_OK;
    if (!err) err = &local;
    quiet.on_progress = NULL;
    sotto__transcript_clear(t);
    if (options->resume)
        st = take_up(rt, f, options, &c, t, err);
    else if (first_alone && (st = run_first(rt, f, &quiet, &c, t, err)) == SOTTO_OK)
        st = report(&c, 0, rt, f, options, true, t, 0, err);
    const size_t first = c.next;
    if (st == SOTTO_OK && (st = open_crew(&c, sotto__runtime_model(rt), width, err)) == SOTTO_OK)
        st = hire(&c, rt, f, &quiet, err);
    if (st == SOTTO_OK) st = collect(&c, rt, f, options, first, t, err);
    if (st != SOTTO_OK && c.started) stop(&c, st, err);
    close_crew(&c, rt);
    if (st == SOTTO_OK) {
        sotto__transcript_set_language(t, c.language, c.probability);
        st = sotto__transcript_join(t, sotto__runtime_tokenizer(rt), err);
    }
    if (st != SOTTO_OK) sotto__transcript_clear(t);
    return st;
}
