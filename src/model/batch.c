/* SPDX-License-Identifier: MIT
 * The desk (batch.h). A request waits on its owner's stack in one list, oldest first; whichever thread finds the desk
 * free and something ready becomes the executor, so there is no thread of its own and a lone session never waits.
 *
 * A decoder pass is ready once every session that decodes has handed in its step, or PATIENCE after the last one did:
 * between two steps a session only picks its next tokens. One that was late is not waited for until it comes again.
 *
 * While a session is at work that someone waits for, windows and long prompts of the background are held back, so that
 * it meets at most one of them: they go on once it has left, or one of them when HOLD has passed. Short steps of the
 * background share its passes.
 *
 * Whenever nobody executes and requests wait, the thread of the first that is not held back, or else of the oldest, is
 * awake or sleeps with a time limit. */
#include "model/state.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/wait.h"
#include "nn/attention.h"

#include <stdlib.h>

static const double PATIENCE = 1e-3; /* seconds */
static const double HOLD = 1;        /* seconds since the last that was held back, or would have been */
static const double GIVE_WAY = 0.05; /* seconds for which a piece of other work waits */

enum {
    PASS_ROWS = 256, /* no request is added to a pass that would have more rows: bounds scratch memory */
    SHORT_ROWS = 16  /* what a step of the background may add to others' passes */
};

struct sotto__desk {
    sotto_model *model;
    sotto__work work;
    pthread_mutex_t lock;
    bool busy;               /* a thread executes */
    sotto__request *waiting; /* oldest first */
    size_t decodes;          /* decoder steps among them */
    size_t decoding;         /* sessions that decode, those that wait included */
    uint64_t round;          /* a session decodes while its `joined` is this */
    double patient_since;    /* last arrival, or end of a pass */
    size_t foreground;       /* sessions at work that someone waits for */
    pthread_cond_t quiet;    /* there are none any more */
    double held_until;       /* while there are such */
    sotto__desk_tally tally;
};

sotto_status sotto__desk_open(sotto__desk **out, sotto_model *model, sotto_error *err)
{
    const sotto_model_info *info = &model->info;
    const size_t threads = (size_t)sotto__pool_threads(model->nn.pool);
    const size_t keys = (size_t)(info->n_audio_ctx > info->n_text_ctx ? info->n_audio_ctx : info->n_text_ctx);
    sotto__desk *d = calloc(1, sizeof *d);
    *out = NULL;
    if (!d) return sotto__fail_nomem(err, "desk");
    d->model = model;
    d->round = 1;
    pthread_mutex_init(&d->lock, NULL);
    sotto__cond_open(&d->quiet);
    d->work.scratch_stride = sotto__attention_scratch(keys);
    d->work.scratch = sotto__aligned(threads * d->work.scratch_stride, sizeof(float));
    if (!d->work.scratch) {
        sotto__desk_free(d);
        return sotto__fail_nomem(err, "attention scratch");
    }
    *out = d;
    return SOTTO_OK;
}

void sotto__desk_free(sotto__desk *d)
{
    if (!d) return;
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->quiet);
    free(d->work.scratch);
    free(d->work.mel);
    free(d->work.conv);
    free(d->work.x);
    free(d->work.xn);
    free(d->work.wide);
    free(d->work.kv);
    free(d->work.rows);
    free(d);
}

sotto__work *sotto__desk_work(sotto__desk *desk) { return &desk->work; }

sotto__desk_tally sotto__desk_get_tally(sotto__desk *d)
{
    pthread_mutex_lock(&d->lock);
    const sotto__desk_tally tally = d->tally;
    pthread_mutex_unlock(&d->lock);
    return tally;
}

/* ---- under the lock ---- */

static void join(sotto__desk *d, sotto__runtime *rt)
{
    if (rt->joined != d->round) d->decoding++;
    rt->joined = d->round;
}

static void leave(sotto__desk *d, sotto__runtime *rt)
{
    if (rt->joined == d->round) d->decoding--;
    rt->joined = 0;
}

/* From now on only the sessions that wait with a step decode. */
static void forget_late(sotto__desk *d)
{
    d->round++;
    d->decoding = 0;
    for (sotto__request *r = d->waiting; r; r = r->next)
        if (r->steps) join(d, r->rt);
}

static bool is_long(const sotto__request *r) { return !r->steps || r->rows > SHORT_ROWS; }

static bool is_held(const sotto__desk *d, const sotto__request *r, double now)
{
    return r->background && d->foreground && is_long(r) && now < d->held_until;
}

/* Whose thread sees to what waits. */
static sotto__request *first(const sotto__desk *d, double now)
{
    sotto__request *r = d->waiting;
    while (r && is_held(d, r, now)) r = r->next;
    return r ? r : d->waiting;
}

static void arrive(sotto__desk *d, sotto__runtime *rt)
{
    if (rt->background || rt->present) return;
    rt->present = true;
    d->foreground++;
}

static void depart(sotto__desk *d, sotto__runtime *rt)
{
    if (!rt->present) return;
    rt->present = false;
    if (--d->foreground == 0) pthread_cond_broadcast(&d->quiet);
}

static void wake_first(sotto__desk *d)
{
    const sotto__request *r = first(d, sotto__now_s());
    if (r) pthread_cond_signal(&r->rt->wake);
}

static void finish(sotto__request *r)
{
    r->done = true; /* its owner may be gone once the lock is let go */
    pthread_cond_signal(&r->rt->wake);
}

static sotto__request *unlink_at(sotto__desk *d, sotto__request **at)
{
    sotto__request *r = *at;
    *at = r->next;
    r->next = NULL;
    if (r->steps) d->decodes--;
    return r;
}

static void enqueue(sotto__desk *d, sotto__request *r)
{
    sotto__request **at = &d->waiting;
    while (*at) at = &(*at)->next;
    *at = r;
    arrive(d, r->rt);
    if (r->steps) {
        d->decodes++;
        join(d, r->rt);
    } else {
        leave(d, r->rt);
    }
    d->patient_since = sotto__now_s();
}

/* Requests of cancelled sessions end; a pass that has begun ends with them in it. */
static void drop_cancelled(sotto__desk *d)
{
    bool any = false;
    for (sotto__request **at = &d->waiting; *at;) {
        sotto__request *r = *at;
        if (sotto__check_cancel(r->rt, r->err) == SOTTO_OK) {
            at = &r->next;
            continue;
        }
        unlink_at(d, at);
        leave(d, r->rt);
        r->status = SOTTO_ECANCELLED;
        finish(r);
        any = true;
    }
    if (any) wake_first(d);
}

/* The oldest window that is not held back, those of the background after all others. */
static sotto__request *take_window(sotto__desk *d, double now)
{
    sotto__request **best = NULL;
    for (sotto__request **at = &d->waiting; *at; at = &(*at)->next)
        if (!(*at)->steps && !is_held(d, *at, now) && (!best || ((*best)->background && !(*at)->background))) best = at;
    return best ? unlink_at(d, best) : NULL;
}

/* What to execute now: a window, else the steps of a pass, as a list; NULL = nothing is ready. */
static sotto__request *take(sotto__desk *d, double now)
{
    sotto__request *pass = take_window(d, now), **end = &pass;
    size_t rows = 0;
    if (pass || !d->decodes) return pass;
    if (d->decodes < d->decoding) {
        if (now < d->patient_since + PATIENCE) return NULL;
        forget_late(d);
    }
    for (sotto__request **at = &d->waiting; *at;) {
        if (!(*at)->steps || is_held(d, *at, now) || (rows && rows + (*at)->rows > PASS_ROWS)) {
            at = &(*at)->next;
            continue;
        }
        rows += (*at)->rows;
        *end = unlink_at(d, at);
        end = &(*end)->next;
    }
    return pass;
}

/* Sleeps until something changes; who sees to what waits sleeps no longer than patience, or holding back, lasts. */
static void sleep_at(sotto__desk *d, sotto__request *r)
{
    const double now = sotto__now_s();
    if (d->busy || first(d, now) != r) {
        pthread_cond_wait(&r->rt->wake, &d->lock);
        return;
    }
    sotto__cond_wait_until(&r->rt->wake, &d->lock, is_held(d, r, now) ? d->held_until : d->patient_since + PATIENCE);
}

/* `list` was executed until now. */
static void note_long(sotto__desk *d, const sotto__request *list)
{
    for (const sotto__request *r = list; r; r = r->next)
        if (r->background && is_long(r)) d->held_until = d->patient_since + HOLD;
}

/* ---- sessions ---- */

static void execute(sotto_model *m, sotto__request *list)
{
    if (list->steps)
        sotto__decoder_run(m, list);
    else
        list->status =
            sotto__encoder_run(list->rt, list->mel, list->frames, list->tail_stride, list->window, list->err);
    sotto__pool_leave(m->nn.pool);
}

/* Hands the request in, executes whatever is ready, returns when the request is done. */
static sotto_status run(sotto__desk *d, sotto__request *r)
{
    pthread_mutex_lock(&d->lock);
    enqueue(d, r);
    while (!r->done) {
        if (!d->busy) drop_cancelled(d);
        if (r->done) break;
        sotto__request *list = d->busy ? NULL : take(d, sotto__now_s());
        if (!list) {
            sleep_at(d, r);
            continue;
        }
        d->busy = true;
        pthread_mutex_unlock(&d->lock);
        execute(d->model, list);
        pthread_mutex_lock(&d->lock);
        d->busy = false;
        d->patient_since = sotto__now_s();
        note_long(d, list);
        if (list->steps) d->tally.passes++;
        while (list) {
            sotto__request *one = list;
            list = one->next;
            if (one->steps) d->tally.steps++;
            finish(one);
        }
        wake_first(d);
    }
    pthread_mutex_unlock(&d->lock);
    return r->status;
}

sotto_status sotto__encode(sotto__runtime *rt, const float *mel, size_t frames, int32_t tail_stride, sotto__window *w,
                           sotto_error *err)
{
    sotto__request r = {.rt = rt,
                        .err = err,
                        .background = rt->background,
                        .mel = mel,
                        .frames = frames,
                        .tail_stride = tail_stride,
                        .window = w};
    return run(rt->model->desk, &r);
}

sotto_status sotto__decoder_forward(sotto__runtime *rt, sotto__step *steps, size_t n_steps, sotto_stage stage,
                                    sotto_error *err)
{
    sotto__request r = {
        .rt = rt, .err = err, .background = rt->background, .steps = steps, .n_steps = n_steps, .stage = stage};
    const sotto_status st = sotto__decoder_check(&r);
    return st == SOTTO_OK ? run(rt->model->desk, &r) : st;
}

void sotto__runtime_leave(sotto__runtime *rt)
{
    sotto__desk *d = rt->model->desk;
    pthread_mutex_lock(&d->lock);
    leave(d, rt);
    depart(d, rt);
    if (!d->busy) wake_first(d);
    pthread_mutex_unlock(&d->lock);
}

void sotto__runtime_arrive(sotto__runtime *rt)
{
    sotto__desk *d = rt->model->desk;
    pthread_mutex_lock(&d->lock);
    arrive(d, rt);
    pthread_mutex_unlock(&d->lock);
}

void sotto__runtime_give_way(sotto__runtime *rt)
{
    sotto__desk *d = rt->model->desk;
    if (!rt->background) return;
    const double until = sotto__now_s() + GIVE_WAY;
    pthread_mutex_lock(&d->lock);
    while (d->foreground && sotto__cond_wait_until(&d->quiet, &d->lock, until))
        ;
    pthread_mutex_unlock(&d->lock);
}
