/* SPDX-License-Identifier: MIT
 * One growing array; released samples are moved out of it when they are most of it. */
#include "live/feed.h"
#include "audio/decode.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/wait.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = SOTTO__SAMPLE_RATE, LEVEL = RATE / 10 /* samples that the level is of */ };

struct sotto__feed {
    sotto__resampler *resampler; /* NULL at 16 kHz */
    double rate;
    uint64_t pushed; /* at that rate */
    pthread_mutex_t lock;
    pthread_cond_t change;
    float *samples;
    size_t n, cap;
    uint64_t base; /* position of samples[0] */
    size_t released;
    bool ended, cancelled;
    sotto_stream_state state;
};

sotto_status sotto__feed_create(sotto__feed **out, int32_t sample_rate, sotto_error *err)
{
    sotto__feed *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f) return sotto__fail_nomem(err, "audio of the stream");
    pthread_mutex_init(&f->lock, NULL);
    sotto__cond_open(&f->change);
    f->rate = sample_rate;
    if (sample_rate != RATE) {
        sotto_status st = sotto__resampler_open(&f->resampler, sample_rate, err);
        if (st != SOTTO_OK) {
            sotto__feed_free(f);
            return st;
        }
    }
    *out = f;
    return SOTTO_OK;
}

void sotto__feed_free(sotto__feed *f)
{
    if (!f) return;
    sotto__resampler_free(f->resampler);
    pthread_cond_destroy(&f->change);
    pthread_mutex_destroy(&f->lock);
    free(f->samples);
    free(f);
}

/* ---- the pushing side ----------------------------------------------------------------------------------------- */

/* Under the lock. */
static bool append(sotto__feed *f, const float *samples, size_t n)
{
    size_t need;
    if (f->released > f->n / 2) {
        memmove(f->samples, f->samples + f->released, (f->n - f->released) * sizeof *f->samples);
        f->n -= f->released;
        f->base += f->released;
        f->released = 0;
    }
    if (!sotto__add(f->n, n, &need) || !sotto__grow(&f->samples, &f->cap, need, sizeof *f->samples)) return false;
    if (n) memcpy(f->samples + f->n, samples, n * sizeof *samples);
    f->n += n;
    return true;
}

sotto_status sotto__feed_push(sotto__feed *f, const float *samples, size_t n, sotto_error *err)
{
    const size_t given = n;
    sotto_status st = SOTTO_OK;
    bool ended;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(samples[i]))
            return sotto__fail(err, SOTTO_EINVAL, "sample %llu of the stream is not a finite number",
                               (unsigned long long)(f->pushed + i));
    if (!n) return SOTTO_OK;
    pthread_mutex_lock(&f->lock);
    ended = f->ended;
    pthread_mutex_unlock(&f->lock);
    if (ended) return sotto__fail(err, SOTTO_EINVAL, "samples pushed after the end of the stream");
    if (f->resampler && (st = sotto__resampler_push(f->resampler, samples, n, &samples, &n, err)) != SOTTO_OK)
        return st;
    pthread_mutex_lock(&f->lock);
    if (append(f, samples, n))
        f->pushed += given;
    else
        st = sotto__fail_nomem(err, "audio of the stream");
    pthread_cond_signal(&f->change);
    pthread_mutex_unlock(&f->lock);
    return st;
}

void sotto__feed_end(sotto__feed *f)
{
    const float *rest = NULL;
    size_t n = 0;
    pthread_mutex_lock(&f->lock);
    if (!f->ended && f->resampler && sotto__resampler_push(f->resampler, NULL, 0, &rest, &n, NULL) == SOTTO_OK)
        append(f, rest, n); /* a few milliseconds: without memory for them, without them */
    f->ended = true;
    pthread_cond_signal(&f->change);
    pthread_mutex_unlock(&f->lock);
}

/* ---- any thread ----------------------------------------------------------------------------------------------- */

void sotto__feed_cancel(sotto__feed *f)
{
    pthread_mutex_lock(&f->lock);
    f->cancelled = true;
    pthread_cond_signal(&f->change);
    pthread_mutex_unlock(&f->lock);
}

static double level_db(const float *x, size_t n)
{
    double sum = 0, db;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    db = n && sum > 0 ? 10 * log10(sum / (double)n) : -120;
    return db < -120 ? -120 : db;
}

void sotto__feed_get_state(sotto__feed *f, sotto_stream_state *state)
{
    pthread_mutex_lock(&f->lock);
    *state = f->state;
    const size_t n = f->n < LEVEL ? f->n : LEVEL;
    state->size = sizeof *state;
    state->pushed_s = (double)f->pushed / f->rate;
    state->level_db = level_db(n ? f->samples + (f->n - n) : NULL, n);
    pthread_mutex_unlock(&f->lock);
    if (state->heard_s > state->pushed_s) state->heard_s = state->pushed_s; /* the last chunk was filled up */
}

/* ---- the hearing side ----------------------------------------------------------------------------------------- */

/* Under the lock. */
static void copy(const sotto__feed *f, uint64_t from, size_t n, float *dst)
{
    const uint64_t end = f->base + f->n;
    size_t there = from >= f->base && from < end ? (size_t)(end - from) : 0;
    if (there > n) there = n;
    if (there) memcpy(dst, f->samples + (from - f->base), there * sizeof *dst);
    memset(dst + there, 0, (n - there) * sizeof *dst);
}

sotto__feed_news sotto__feed_take(sotto__feed *f, uint64_t at, double deadline, float *chunk, size_t n, bool *more)
{
    sotto__feed_news news;
    bool early = true;
    pthread_mutex_lock(&f->lock);
    while (!f->cancelled && !f->ended && f->base + f->n < at + n && early)
        early = sotto__cond_wait_until(&f->change, &f->lock, deadline);
    *more = f->base + f->n >= at + 2 * n || (f->ended && f->base + f->n > at + n);
    if (f->cancelled)
        news = SOTTO__FEED_CANCELLED;
    else if (f->base + f->n >= at + n || (f->ended && f->base + f->n > at))
        news = SOTTO__FEED_CHUNK;
    else
        news = f->ended ? SOTTO__FEED_END : SOTTO__FEED_NOTHING;
    if (news == SOTTO__FEED_CHUNK) copy(f, at, n, chunk);
    pthread_mutex_unlock(&f->lock);
    return news;
}

void sotto__feed_copy(sotto__feed *f, uint64_t from, size_t n, float *dst)
{
    pthread_mutex_lock(&f->lock);
    copy(f, from, n, dst);
    pthread_mutex_unlock(&f->lock);
}

void sotto__feed_release(sotto__feed *f, uint64_t from, uint64_t at, double interval_s, bool speech)
{
    pthread_mutex_lock(&f->lock);
    if (from > f->base + f->released) f->released = from - f->base < f->n ? (size_t)(from - f->base) : f->n;
    f->state.heard_s = (double)at / RATE;
    f->state.interval_s = interval_s;
    f->state.speech = speech;
    pthread_mutex_unlock(&f->lock);
}
