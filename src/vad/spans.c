/* SPDX-License-Identifier: MIT
 * See spans.h. The first half mirrors silero_vad.utils_vad.get_speech_timestamps_from_probs (6.2.3), its order of
 * checks and its arithmetic in doubles included; the second half cuts a recording for the window loop. */
#include "vad/spans.h"
#include "base/checked.h"
#include "base/error.h"
#include "vad/vad.h"

#include <math.h>
#include <stdlib.h>

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t rounded_up(uint64_t samples, uint64_t grid) { return samples / grid + (samples % grid != 0); }

void sotto__spans_free(sotto__spans *spans)
{
    free(spans->items);
    *spans = (sotto__spans){0};
}

static bool add(sotto__spans *spans, uint64_t start, uint64_t end)
{
    if (!sotto__grow(&spans->items, &spans->cap, spans->n + 1, sizeof *spans->items)) return false;
    spans->items[spans->n++] = (sotto__span){start, end};
    return true;
}

static sotto_status check_length(size_t n, uint64_t samples, sotto_error *err)
{
    if (rounded_up(samples, SOTTO__VAD_CHUNK) == n) return SOTTO_OK;
    return sotto__fail(err, SOTTO_EINVAL,
                       "voice detector: %zu probabilities for %llu samples, expected one for every %d", n,
                       (unsigned long long)samples, SOTTO__VAD_CHUNK);
}

/* ---- probabilities -> spans ----------------------------------------------------------------------------------- */

void sotto__vad_options_default(sotto__vad_options *o)
{
    *o = (sotto__vad_options){.threshold = 0.5,
                              .neg_threshold = NAN,
                              .min_speech_duration_ms = 250,
                              .max_speech_duration_s = INFINITY,
                              .min_silence_duration_ms = 100,
                              .speech_pad_ms = 30,
                              .min_silence_at_max_speech = 98,
                              .use_max_poss_sil_at_max_speech = true};
}

/* speech_pad_ms on both sides; neighbours closer than that share the silence between them. */
static void pad_spans(sotto__spans *spans, uint64_t samples, double pad)
{
    for (size_t i = 0; i < spans->n; i++) {
        sotto__span *s = &spans->items[i], *next = s + 1;
        if (i == 0) s->start = (uint64_t)fmax(0, (double)s->start - pad);
        if (i + 1 < spans->n && (double)(next->start - s->end) < 2 * pad) {
            const uint64_t half = (next->start - s->end) / 2;
            s->end += half;
            next->start -= half;
        } else {
            s->end = (uint64_t)fmin((double)samples, (double)s->end + pad);
            if (i + 1 < spans->n) next->start = (uint64_t)fmax(0, (double)next->start - pad);
        }
    }
}

/* The span being heard; a position of 0 stands for none, as in the reference: speech starts before it ends. */
typedef struct hearing {
    bool triggered;
    uint64_t start;
    uint64_t temp_end;                     /* where the silence being heard began */
    uint64_t prev_end, next_start;         /* the last silence long enough to cut at */
    uint64_t longest_end, longest_silence; /* the longest such, if any */
} hearing;

sotto_status sotto__vad_spans(const float *probabilities, size_t n, uint64_t samples, const sotto__vad_options *o,
                              sotto__spans *out, sotto_error *err)
{
    const double min_speech = SOTTO__VAD_RATE * o->min_speech_duration_ms / 1000,
                 pad = SOTTO__VAD_RATE * o->speech_pad_ms / 1000,
                 max_speech = SOTTO__VAD_RATE * o->max_speech_duration_s - SOTTO__VAD_CHUNK - 2 * pad,
                 min_silence = SOTTO__VAD_RATE * o->min_silence_duration_ms / 1000,
                 min_silence_at_max = SOTTO__VAD_RATE * o->min_silence_at_max_speech / 1000,
                 neg_threshold = isnan(o->neg_threshold) ? fmax(o->threshold - 0.15, 0.01) : o->neg_threshold;
    hearing h = {0};
    sotto_status st = check_length(n, samples, err);
    out->n = 0;
    if (st != SOTTO_OK) return st;
    if (!(o->speech_pad_ms >= 0) || !isfinite(pad))
        return sotto__fail(err, SOTTO_EINVAL, "speech_pad_ms is %g, expected 0 or more", o->speech_pad_ms);
    for (size_t i = 0; i < n; i++) {
        const uint64_t at = (uint64_t)i * SOTTO__VAD_CHUNK;
        const double p = (double)probabilities[i];
        if (p >= o->threshold && h.temp_end) { /* speech again */
            const uint64_t silence = at - h.temp_end;
            if ((double)silence > min_silence_at_max && silence > h.longest_silence) {
                h.longest_end = h.temp_end;
                h.longest_silence = silence;
            }
            h.temp_end = 0;
            if (h.next_start < h.prev_end) h.next_start = at;
        }
        if (p >= o->threshold && !h.triggered) {
            h.triggered = true;
            h.start = at;
            continue;
        }
        if (h.triggered && (double)(at - h.start) > max_speech) {
            if (o->use_max_poss_sil_at_max_speech && h.longest_silence) {
                if (!add(out, h.start, h.longest_end)) goto no_memory;
                h = (hearing){.triggered = true, .start = h.longest_end + h.longest_silence};
            } else if (h.prev_end) {
                if (!add(out, h.start, h.prev_end)) goto no_memory;
                h = (hearing){.triggered = h.next_start >= h.prev_end, .start = h.next_start};
            } else {
                if (!add(out, h.start, at)) goto no_memory;
                h = (hearing){0};
                continue;
            }
        }
        if (p < neg_threshold && h.triggered) {
            if (!h.temp_end) h.temp_end = at;
            if (!o->use_max_poss_sil_at_max_speech && (double)(at - h.temp_end) > min_silence_at_max)
                h.prev_end = h.temp_end;
            if ((double)(at - h.temp_end) < min_silence) continue;
            if ((double)h.temp_end - (double)h.start > min_speech && !add(out, h.start, h.temp_end)) goto no_memory;
            h = (hearing){0};
        }
    }
    if (h.triggered && (double)samples - (double)h.start > min_speech && !add(out, h.start, samples)) goto no_memory;
    pad_spans(out, samples, pad);
    return SOTTO_OK;
no_memory:
    out->n = 0;
    return sotto__fail_nomem(err, "spans of speech");
}

/* ---- spans -> chunks ------------------------------------------------------------------------------------------ */

void sotto__chunk_options_default(sotto__chunk_options *o)
{
    *o = (sotto__chunk_options){.max = 30 * SOTTO__VAD_RATE, .pad = SOTTO__VAD_RATE / 5, .grid = 160};
}

/* A silence inside the last chunk, where it may still be cut in two. */
typedef struct join {
    uint64_t silence, end, start; /* its length; where the chunk before would end, and the one behind begin */
} join;

enum { MAX_JOINS = 256 };

/* A recording counted in units of o->grid, and what chunks of it may be. */
typedef struct cutting {
    const float *probabilities;
    size_t n;
    uint64_t grid, max, pad;
    uint64_t end;          /* the recording's, rounded up */
    join joins[MAX_JOINS]; /* of the last chunk */
    size_t n_joins;
} cutting;

/* Where to cut [start, end), longer than max: the least probable place that leaves both sides long enough to be worth a
 * window, the later of equals. Three probabilities are averaged, for a dip of one chunk is no pause. */
static uint64_t cut_point(const cutting *c, uint64_t start, uint64_t end)
{
    const uint64_t left = end - start - c->max / 4, lowest = start + (c->max / 2 ? c->max / 2 : 1),
                   highest = start + smaller(left, c->max);
    uint64_t best = highest;
    float least = INFINITY;
    for (uint64_t i = lowest * c->grid / SOTTO__VAD_CHUNK; i < c->n; i++) {
        const uint64_t at = (i * SOTTO__VAD_CHUNK + SOTTO__VAD_CHUNK / 2) / c->grid;
        const float p = c->probabilities[i], before = i ? c->probabilities[i - 1] : p,
                    after = i + 1 < c->n ? c->probabilities[i + 1] : p;
        if (at > highest) break;
        if (at >= lowest && before + p + after <= least) {
            least = before + p + after;
            best = at;
        }
    }
    return best;
}

/* The last chunk is full, and `silence` lies behind it: where a longer silence lies in its second half, it is cut there
 * instead, and what follows that begins a chunk. A pause between two sentences is longer than one between words. */
static bool cut_at_pause(cutting *c, sotto__spans *out, uint64_t silence)
{
    const sotto__span last = out->items[out->n - 1];
    const join *best = NULL;
    for (size_t i = 0; i < c->n_joins; i++) {
        const join *one = &c->joins[i];
        if (one->end - last.start < c->max / 2 || one->silence <= silence) continue;
        if (!best || one->silence >= best->silence) best = one;
    }
    if (!best) return true;
    out->items[out->n - 1].end = best->end;
    if (!add(out, best->start, last.end)) return false;
    const uint64_t start = best->start;
    size_t kept = 0;
    for (size_t i = 0; i < c->n_joins; i++)
        if (c->joins[i].end > start) c->joins[kept++] = c->joins[i];
    c->n_joins = kept;
    return true;
}

/* Appends speech that ends at `end` after `silence`, with padding from `left` to `right`, to the last chunk where that
 * stays short enough, else as a chunk of its own. */
static bool pack(cutting *c, sotto__spans *out, uint64_t silence, uint64_t left, uint64_t end, uint64_t right)
{
    sotto__span *last = out->n ? &out->items[out->n - 1] : NULL;
    if (last && right - last->start > c->max && !cut_at_pause(c, out, silence)) return false;
    last = out->n ? &out->items[out->n - 1] : NULL;
    if (last && right - last->start <= c->max) {
        if (silence > 0 && c->n_joins < MAX_JOINS) c->joins[c->n_joins++] = (join){silence, last->end, left};
        last->end = right;
        return true;
    }
    if (right - left > c->max) { /* less padding: behind, then before */
        const uint64_t excess = right - left - c->max, behind = smaller(excess, right - end);
        right -= behind;
        left += excess - behind;
    }
    c->n_joins = 0;
    return add(out, left, right);
}

sotto_status sotto__vad_chunks(const sotto__spans *spans, const float *probabilities, size_t n, uint64_t samples,
                               const sotto__chunk_options *o, sotto__spans *out, sotto_error *err)
{
    cutting c = {.probabilities = probabilities, .n = n, .grid = o->grid};
    uint64_t heard = 0; /* end of the speech before, rounded up */
    sotto_status st = check_length(n, samples, err);
    out->n = 0;
    if (st != SOTTO_OK) return st;
    if (o->grid == 0 || o->max == 0 || o->max % o->grid != 0)
        return sotto__fail(err, SOTTO_EINVAL, "chunks of at most %llu samples, expected a multiple of %llu",
                           (unsigned long long)o->max, (unsigned long long)o->grid);
    c.max = o->max / o->grid;
    c.pad = o->pad / o->grid;
    c.end = rounded_up(samples, o->grid);
    for (size_t i = 0; i < spans->n; i++) {
        const sotto__span *s = &spans->items[i];
        const bool is_last = i + 1 == spans->n;
        const uint64_t next = is_last ? samples : s[1].start;
        uint64_t start = s->start / o->grid, end = rounded_up(s->end, o->grid), silence, before, left, right;
        if (s->start > s->end || s->end > next || next > samples) {
            out->n = 0;
            return sotto__fail(err, SOTTO_EINVAL, "span of speech %zu is out of order or outside the recording", i);
        }
        if (start < heard) start = heard; /* what lies before that is in the last chunk */
        if (start >= end || s->start == s->end) continue;
        /* a silence between two spans is shared out */
        silence = before = start - heard;
        left = start - smaller(c.pad, i ? silence - silence / 2 : silence);
        silence = is_last ? c.end - end : next / o->grid > end ? (next / o->grid - end) / 2 : 0;
        right = end + smaller(c.pad, silence);
        while (end - start > c.max) {
            start = cut_point(&c, start, end);
            if (!pack(&c, out, before, left, start, start)) goto no_memory;
            left = start;
            before = 0;
        }
        if (!pack(&c, out, before, left, end, right)) goto no_memory;
        heard = end;
    }
    for (size_t i = 0; i < out->n; i++) {
        out->items[i].start *= o->grid;
        out->items[i].end = smaller(out->items[i].end * o->grid, samples);
    }
    return SOTTO_OK;
no_memory:
    out->n = 0;
    return sotto__fail_nomem(err, "chunks of speech");
}
