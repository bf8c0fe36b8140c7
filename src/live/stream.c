/* SPDX-License-Identifier: MIT
 * The public stream: samples pushed by one thread wait in a buffer, another thread takes them chunk by chunk through
 * the voice detector and hears the window when it is due.
 *
 * What is heard and when follows from positions in the audio (multiples of 512 samples) alone, but for one thing: with
 * every_interval off, chunks that have arrived meanwhile are taken before the window is heard. */
#include "live/captions.h"
#include "live/feed.h"
#include "live/gate.h"
#include "live/hear.h"
#include "audio/features.h"
#include "base/error.h"
#include "text/prompt.h"
#include "vad/vad.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    RATE = SOTTO__SAMPLE_RATE,
    CHUNK = SOTTO__VAD_CHUNK,
    BEFORE = RATE * 3 / 10, /* samples before an utterance's first chunk that are heard with it */
    LONGEST = RATE * 24,    /* a window is heard when it has become so long, and loses its confirmed part */
    PAUSE = 7,              /* silent chunks (0.22 s) after which the window is heard, and then not before its end */
    VOICED = 5,             /* an utterance with fewer voiced chunks is a click */
    HISTORY = 224           /* tokens kept */
};

static const double UNSETTLED_S = 1.5; /* end of a window whose words a single hearing does not confirm */

struct sotto_stream {
    sotto_stream_options o;
    char *language;
    sotto__runtime *rt;
    sotto__vad *vad;
    sotto__vad_stream *detector;
    sotto__hearer *hearer;
    sotto__feed *feed;
    float *window; /* [30 s] */

    /* of the thread that calls sotto_stream_next */
    sotto__gate gate;
    uint64_t at;        /* samples that the gate has seen */
    uint64_t start;     /* of the window */
    uint64_t heard;     /* where the last hearing ended */
    uint64_t spoken;    /* end of the utterance before: no window begins earlier */
    size_t heard_pause; /* silent chunks at the end of the last hearing */
    bool hopeful;       /* the last hearing of this window made sense */
    double interval_s;
    size_t interval; /* samples */
    double sure_s;   /* heard behind a word that the decoder has no doubt of before it is confirmed */
    sotto__frontier frontier;
    sotto__hypothesis next;
    sotto__ids history;
    const char *utterance_language; /* code, once words of the utterance are confirmed */
    sotto__captions captions;
    double hearing_s; /* wall time in all */
    bool done, failed;
};

/* ---- opening -------------------------------------------------------------------------------------------------- */

void sotto_stream_options_default(sotto_stream_options *o)
{
    *o = (sotto_stream_options){.size = sizeof *o, .sample_rate = RATE, .silence_s = 0.5, .window_s = 12};
}

static sotto_status check(const sotto_stream_options *o, sotto_error *err)
{
    if (!o->vad_path || !*o->vad_path)
        return sotto__fail(err, SOTTO_EINVAL, "vad_path: live captions need the voice detector's weights");
    if (o->sample_rate < 8000 || o->sample_rate > 192000)
        return sotto__fail(err, SOTTO_EINVAL, "sample_rate %d: expected 8000 to 192000", (int)o->sample_rate);
    if (!(o->interval_s == 0 || (o->interval_s >= 0.1 && o->interval_s <= 10)))
        return sotto__fail(err, SOTTO_EINVAL, "interval_s %g: expected 0 (chosen for the model), or 0.1 to 10",
                           o->interval_s);
    if (!(o->silence_s >= 0.1 && o->silence_s <= 10))
        return sotto__fail(err, SOTTO_EINVAL, "silence_s %g: expected 0.1 to 10", o->silence_s);
    if (!(o->window_s >= 2 && o->window_s <= 12))
        return sotto__fail(err, SOTTO_EINVAL, "window_s %g: expected 2 to 12", o->window_s);
    return SOTTO_OK;
}

static size_t chunks_of(double seconds)
{
    const double n = rint(seconds * RATE / CHUNK);
    return n < 1 ? 1 : (size_t)n;
}

sotto_status sotto_stream_open(sotto_stream **out, sotto_model *model, const sotto_stream_options *options,
                               sotto_error *err)
{
    sotto_stream_options o;
    sotto_stream *s;
    sotto_status st;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_stream_open: out is NULL");
    *out = NULL;
    if (!model) return sotto__fail(err, SOTTO_EINVAL, "sotto_stream_open: model is NULL");
    if (2 * sotto_model_get_info(model)->n_audio_ctx < SOTTO__WINDOW_FRAMES)
        return sotto__fail(err, SOTTO_EUNSUPPORTED,
                           "live captions need a model that hears 30 s at a time, this one was shortened to %.1f s",
                           0.02 * sotto_model_get_info(model)->n_audio_ctx);
    sotto_stream_options_default(&o);
    if ((st = sotto__take_options(&o, sizeof o, options, "options", "sotto_stream_options_default", err)) != SOTTO_OK ||
        (st = check(&o, err)) != SOTTO_OK)
        return st;
    s = calloc(1, sizeof *s);
    if (!s) return sotto__fail_nomem(err, "stream");
    s->o = o;
    s->gate.silence = chunks_of(o.silence_s);
    if (s->o.interval_s == 0) s->o.interval_s = sotto_model_get_info(model)->n_audio_state <= 384 ? 0.2 : 0.4;
    s->interval = chunks_of(s->o.interval_s) * CHUNK;
    s->interval_s = (double)s->interval / RATE;
    s->sure_s = fmin(0.3 + s->interval_s, 1.2);
    if (o.language) o.language = s->language = strdup(o.language);
    s->window = sotto__aligned(SOTTO__WINDOW_FRAMES * SOTTO__HOP, sizeof *s->window);
    if (!s->window || (options && options->language && !s->language)) {
        st = sotto__fail_nomem(err, "stream");
        goto fail;
    }
    if ((st = sotto__runtime_open(&s->rt, model, err)) != SOTTO_OK ||
        (st = sotto__hearer_create(&s->hearer, s->rt, &o, err)) != SOTTO_OK ||
        (st = sotto__prompt_encode(sotto__runtime_tokenizer(s->rt), o.initial_prompt, &s->history, err)) != SOTTO_OK ||
        (st = sotto__vad_open(&s->vad, o.vad_path, err)) != SOTTO_OK ||
        (st = sotto__vad_stream_create(&s->detector, s->vad, err)) != SOTTO_OK ||
        (st = sotto__feed_create(&s->feed, o.sample_rate, err)) != SOTTO_OK)
        goto fail;
    s->o.vad_path = s->o.initial_prompt = NULL; /* the caller's, read */
    *out = s;
    return SOTTO_OK;
fail:
    sotto_stream_free(s);
    return st;
}

void sotto_stream_free(sotto_stream *s)
{
    if (!s) return;
    sotto__feed_free(s->feed);
    sotto__hearer_free(s->hearer);
    sotto__runtime_free(s->rt);
    sotto__vad_stream_free(s->detector);
    sotto__vad_free(s->vad);
    sotto__frontier_free(&s->frontier);
    sotto__hypothesis_free(&s->next);
    sotto__captions_free(&s->captions);
    sotto__ids_free(&s->history);
    free(s->window);
    free(s->language);
    free(s);
}

/* ---- the pushing side, and any thread ------------------------------------------------------------------------- */

sotto_status sotto_stream_push(sotto_stream *s, const float *samples, size_t n, sotto_error *err)
{
    if (!s || (!samples && n)) return sotto__fail(err, SOTTO_EINVAL, "sotto_stream_push: stream or samples is NULL");
    return sotto__feed_push(s->feed, samples, n, err);
}

void sotto_stream_end(sotto_stream *s)
{
    if (s) sotto__feed_end(s->feed);
}

void sotto_stream_cancel(sotto_stream *s)
{
    if (!s) return;
    sotto__runtime_cancel(s->rt, true);
    sotto__feed_cancel(s->feed);
}

void sotto_stream_get_state(sotto_stream *s, sotto_stream_state *state)
{
    sotto_stream_state now = {.size = sizeof now};
    size_t size;
    if (!s || !state) return;
    sotto__feed_get_state(s->feed, &now);
    size = state->size < sizeof now ? state->size : sizeof now;
    if (size < sizeof now.size) return;
    now.size = size;
    memcpy(state, &now, size);
}

/* ---- hearing -------------------------------------------------------------------------------------------------- */

static double seconds(uint64_t samples) { return (double)samples / RATE; }

/* The confirmed words that are to leave the window become what the next words are conditioned on. */
static sotto_status remember(sotto_stream *s, size_t words, sotto_error *err)
{
    const sotto__hypothesis *h = &s->frontier.now;
    sotto__ids *past = &s->history;
    if (words && !sotto__ids_append(past, h->tokens.data, h->words[words - 1].token_end))
        return sotto__fail_nomem(err, "captions");
    if (past->len > 2 * HISTORY) {
        memmove(past->data, past->data + past->len - HISTORY, HISTORY * sizeof *past->data);
        past->len = HISTORY;
    }
    return SOTTO_OK;
}

/* Adds what is newly confirmed to the caption. */
static sotto_status confirm(sotto_stream *s, sotto_error *err)
{
    return sotto__captions_confirm(&s->captions, &s->frontier, seconds(s->start), err);
}

static bool is_full(const sotto_stream *s, uint64_t end) { return end - s->start >= LONGEST; }

/* Takes all words away: nothing in the window is heard again. */
static sotto_status empty_window(sotto_stream *s, sotto_error *err)
{
    sotto_status st;
    sotto__frontier_finish(&s->frontier);
    if ((st = confirm(s, err)) != SOTTO_OK || (st = remember(s, s->frontier.confirmed, err)) != SOTTO_OK) return st;
    sotto__frontier_reset(&s->frontier);
    s->captions.published = 0;
    s->start = s->heard - BEFORE;
    return SOTTO_OK;
}

/* Confirmed words leave a window that has become long. */
static sotto_status cut(sotto_stream *s, sotto_error *err)
{
    const double length = seconds(s->heard - s->start);
    const bool full = is_full(s, s->heard);
    sotto__cut where;
    sotto_status st;
    if (length <= s->o.window_s) return SOTTO_OK;
    where = sotto__frontier_cut(&s->frontier, full || length > 2 * s->o.window_s);
    if (!where.words && full) { /* one hearing has to do, but for its end */
        sotto__frontier_settle(&s->frontier, length - UNSETTLED_S);
        if ((st = confirm(s, err)) != SOTTO_OK) return st;
        where = sotto__frontier_cut(&s->frontier, true);
    }
    if (!where.words || where.at_s <= 0) return full ? empty_window(s, err) : SOTTO_OK;
    if ((st = remember(s, where.words, err)) != SOTTO_OK) return st;
    sotto__frontier_drop(&s->frontier, &where);
    s->captions.published -= where.words;
    s->start += (uint64_t)(where.at_s * RATE);
    return SOTTO_OK;
}

static sotto_status hear_window(sotto_stream *s, uint64_t end, bool final, bool *trusted, sotto_error *err)
{
    const size_t wanted = (size_t)(end - s->start), most = SOTTO__WINDOW_FRAMES * SOTTO__HOP;
    const size_t n = wanted < most ? wanted : most;
    sotto__hearing ask = {.samples = s->window,
                          .n = n,
                          .start = s->start,
                          .history = s->history.data,
                          .n_history = s->history.len,
                          .before = &s->frontier,
                          .language = s->language ? sotto_language_code(s->language) : s->utterance_language,
                          .final = final};
    sotto__verdict verdict;
    sotto_status st;
    sotto__feed_copy(s->feed, s->start, n, s->window);
    st = sotto__hear(s->hearer, &ask, &s->next, &verdict, err);
    if (st != SOTTO_OK) return st;
    s->captions.language = verdict.language;
    *trusted = verdict.trusted;
    return SOTTO_OK;
}

static sotto_status hear_interim(sotto_stream *s, sotto_error *err)
{
    const double length = seconds(s->at - s->start);
    bool trusted;
    sotto_status st = hear_window(s, s->at, is_full(s, s->at), &trusted, err); /* a full one is not heard again */
    if (st != SOTTO_OK) return st;
    s->heard = s->at;
    s->heard_pause = s->gate.silent;
    s->hopeful = trusted;
    if (trusted) {
        sotto__frontier_advance(&s->frontier, &s->next, length, s->sure_s);
        if (s->frontier.confirmed) s->utterance_language = s->captions.language;
    }
    if ((st = confirm(s, err)) != SOTTO_OK) return st;
    return cut(s, err);
}

/* The utterance is over. Where the window was heard with the pause in it already, that stands. */
static sotto_status hear_last(sotto_stream *s, sotto_error *err)
{
    bool trusted = s->hopeful;
    sotto_status st;
    if (s->at > s->start && !(s->hopeful && s->heard_pause >= PAUSE)) {
        if ((st = hear_window(s, s->at, true, &trusted, err)) != SOTTO_OK) return st;
        if (trusted) sotto__frontier_advance(&s->frontier, &s->next, 0, s->sure_s);
    }
    sotto__frontier_finish(&s->frontier); /* where this hearing makes no sense, the words shown stand */
    s->heard = s->at;
    if ((st = confirm(s, err)) != SOTTO_OK) return st;
    if (trusted)
        st = remember(s, s->frontier.confirmed, err);
    else
        s->history.len = 0; /* what led here is better forgotten */
    return st;
}

static void close_utterance(sotto_stream *s)
{
    const uint64_t quiet = (uint64_t)s->gate.silent * CHUNK;
    s->spoken = s->at - (quiet < s->at ? quiet : s->at);
    sotto__frontier_reset(&s->frontier);
    s->captions.published = 0;
    s->utterance_language = NULL;
    s->hopeful = false;
    s->heard_pause = 0;
}

/* ---- the hearing side ----------------------------------------------------------------------------------------- */

typedef enum due { NOTHING_DUE, INTERIM_DUE, LAST_DUE, CLICK_DUE } due;

static void begin_utterance(sotto_stream *s, uint64_t chunk_start)
{
    s->start = chunk_start > BEFORE ? chunk_start - BEFORE : 0;
    if (s->start < s->spoken) s->start = s->spoken;
    s->heard = s->start;
}

/* Takes the next chunk and says what follows from it. `more`: others wait behind it. */
static due take_chunk(sotto_stream *s, const float chunk[CHUNK], bool more)
{
    const sotto__gate_event event = sotto__gate_push(&s->gate, sotto__vad_stream_push(s->detector, chunk));
    const uint64_t chunk_start = s->at;
    s->at += CHUNK;
    if (event == SOTTO__GATE_BEGIN) begin_utterance(s, chunk_start);
    if (event == SOTTO__GATE_END) return s->gate.voiced < VOICED && !s->frontier.now.n ? CLICK_DUE : LAST_DUE;
    if (!s->gate.open) return NOTHING_DUE;
    if (!s->gate.silent) s->heard_pause = 0; /* speech again: the pause that was heard is over */
    if (is_full(s, s->at)) return INTERIM_DUE;
    if (more && !s->o.every_interval) return NOTHING_DUE; /* late: hear all that is there at once */
    if (s->gate.voiced < VOICED) return NOTHING_DUE;
    if (s->gate.silent >= PAUSE) return s->heard_pause >= PAUSE ? NOTHING_DUE : INTERIM_DUE;
    return s->at - s->heard >= s->interval ? INTERIM_DUE : NOTHING_DUE;
}

static void fill_caption(sotto_stream *s, const sotto_caption **out, double started)
{
    sotto_caption *c = &s->captions.caption;
    sotto_stream_state state = {.size = sizeof state};
    c->heard_s = seconds(s->at);
    c->wall_s = started > 0 ? sotto__now_s() - started : 0;
    s->hearing_s += c->wall_s;
    sotto__feed_get_state(s->feed, &state);
    c->pushed_s = state.pushed_s;
    c->counts = *sotto__runtime_counts(s->rt);
    c->counts.runs = 1;
    c->counts.audio_s = state.pushed_s;
    c->counts.wall_s = s->hearing_s;
    sotto__runtime_touched(s->rt, c->touched_part_parameters);
    c->last = s->done;
    *out = c;
}

/* Where audio may still be needed from. */
static void report(sotto_stream *s)
{
    const uint64_t before = s->at > BEFORE + CHUNK ? s->at - BEFORE - CHUNK : 0;
    const bool open = s->gate.open;
    sotto__feed_release(s->feed, open && s->start < before ? s->start : before, s->at, s->interval_s, open);
}

static sotto_status hear(sotto_stream *s, due what, sotto_error *err)
{
    const uint64_t before = s->heard;
    sotto_status st = what == LAST_DUE ? hear_last(s, err) : hear_interim(s, err);
    if (st != SOTTO_OK) return st;
    if (what == INTERIM_DUE && before > s->start) s->interval_s = seconds(s->heard - before);
    if (what == LAST_DUE) {
        s->captions.caption.utterance_end = true;
        close_utterance(s);
    }
    return sotto__captions_finish(&s->captions, &s->frontier, seconds(s->start), err);
}

static sotto_status next(sotto_stream *s, double timeout_s, const sotto_caption **out, sotto_error *err)
{
    const double deadline = sotto__now_s() + timeout_s;
    sotto__captions_begin(&s->captions);
    for (;;) {
        float chunk[CHUNK];
        bool more;
        double started;
        due what;
        const sotto__feed_news news = sotto__feed_take(s->feed, s->at, deadline, chunk, CHUNK, &more);
        sotto_status st;
        if (news == SOTTO__FEED_CANCELLED) return sotto__fail(err, SOTTO_ECANCELLED, "the captions were cancelled");
        if (news == SOTTO__FEED_NOTHING) return SOTTO_OK;
        if (news == SOTTO__FEED_END) {
            what = s->gate.open && (s->gate.voiced >= VOICED || s->frontier.now.n) ? LAST_DUE : CLICK_DUE;
            s->gate.open = false;
            s->done = true;
        } else {
            what = take_chunk(s, chunk, more);
        }
        if (what == CLICK_DUE) close_utterance(s);
        if (what == NOTHING_DUE || (what == CLICK_DUE && !s->done)) {
            report(s);
            continue;
        }
        started = sotto__now_s();
        if (what != CLICK_DUE && (st = hear(s, what, err)) != SOTTO_OK) return st;
        report(s);
        fill_caption(s, out, what == CLICK_DUE ? 0 : started);
        return SOTTO_OK;
    }
}

sotto_status sotto_stream_next(sotto_stream *s, double timeout_s, const sotto_caption **out, sotto_error *err)
{
    sotto_status st;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_stream_next: out is NULL");
    *out = NULL;
    if (!s) return sotto__fail(err, SOTTO_EINVAL, "sotto_stream_next: stream is NULL");
    if (!(timeout_s >= 0)) return sotto__fail(err, SOTTO_EINVAL, "timeout_s %g: expected 0 or more", timeout_s);
    if (s->failed) return sotto__fail(err, SOTTO_EINVAL, "sotto_stream_next: the stream failed before");
    if (s->done) return SOTTO_OK;
    st = next(s, timeout_s, out, err);
    s->failed = st != SOTTO_OK;
    return st;
}
