/* SPDX-License-Identifier: MIT
 * Judging words and segments by their times and probabilities. */
#include "text/silence.h"
#include "audio/features.h"
#include "text/words.h"

#include <math.h>

static double seconds_of(size_t frames) { return (double)(frames * SOTTO__HOP) / (double)SOTTO__SAMPLE_RATE; }

/* Python's round(seconds * FRAMES_PER_SECOND) */
static size_t frames_of(double seconds) { return seconds > 0 ? (size_t)rint(seconds * SOTTO__FRAMES_PER_SECOND) : 0; }

double sotto__word_anomaly(const sotto__draft_word *w)
{
    double duration = w->end_s - w->start_s, score = 0;
    if (w->probability < 0.15) score += 1.0;
    if (duration < 0.133) score += (0.133 - duration) * 15;
    if (duration > 2.0) score += duration - 2.0;
    return score;
}

bool sotto__draft_is_anomaly(const sotto__drafts *d, const sotto__draft *s)
{
    static const char punctuation[] = "\"'“¿([{-\"'.。,，!！?？:：”)]}、";
    double score = 0;
    size_t n = 0;
    if (!s || !s->n_words) return false;
    for (size_t i = 0; i < s->n_words && n < 8; i++) {
        const sotto__draft_word *w = &d->words[s->first_word + i];
        if (sotto__is_within(d->text.data + w->begin, w->end - w->begin, punctuation)) continue;
        score += sotto__word_anomaly(w);
        n++;
    }
    return score >= 3 || score + 0.01 >= (double)n;
}

/* The first draft from `from` on that has words, or NULL. */
static const sotto__draft *next_with_words(const sotto__drafts *d, size_t from)
{
    for (size_t i = from; i < d->n; i++)
        if (d->items[i].n_words) return &d->items[i];
    return NULL;
}

/* "skip silence before any possible hallucination that is surrounded by silence or more hallucinations" */
static void drop_surrounded(const sotto__silence *in, sotto__drafts *d, size_t *next_seek)
{
    double offset = seconds_of(in->seek), window_end = seconds_of(in->seek + in->window_frames);
    double last_end = in->last_speech_s;
    for (size_t i = 0; i < d->n; i++) {
        const sotto__draft *s = &d->items[i];
        if (!s->n_words) continue;
        if (sotto__draft_is_anomaly(d, s)) {
            const sotto__draft *next = next_with_words(d, i + 1);
            double next_start = next ? d->words[next->first_word].start_s : offset + seconds_of(in->frames);
            bool silence_before =
                s->start_s - last_end > in->threshold_s || s->start_s < in->threshold_s || s->start_s - offset < 2.0;
            bool silence_after = next_start - s->end_s > in->threshold_s || sotto__draft_is_anomaly(d, next) ||
                                 window_end - s->end_s < 2.0;
            if (silence_before && silence_after) {
                *next_seek = frames_of(offset + 1 > s->start_s ? offset + 1 : s->start_s);
                if (seconds_of(in->content_frames) - s->end_s < in->threshold_s) *next_seek = in->content_frames;
                d->n = i;
                return;
            }
        }
        last_end = s->end_s;
    }
}

bool sotto__silence_skip(const sotto__silence *in, sotto__drafts *d, size_t *next_seek)
{
    double offset = seconds_of(in->seek), window_end = seconds_of(in->seek + in->window_frames), last_end;
    const sotto__draft *first;
    if (!d->single_timestamp_ending && sotto__drafts_end(d, &last_end) && last_end > offset)
        *next_seek = window_end - last_end > in->threshold_s ? frames_of(last_end) : in->seek + in->frames;
    first = next_with_words(d, 0);
    if (sotto__draft_is_anomaly(d, first)) { /* leading silence before a suspicious start */
        double gap = first->start_s - offset;
        if (gap > in->threshold_s) {
            *next_seek = in->seek + frames_of(gap);
            return false;
        }
    }
    drop_surrounded(in, d, next_seek);
    return true;
}
