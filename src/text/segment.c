/* SPDX-License-Identifier: MIT
 * Cutting tokens at consecutive timestamps. */
#include "text/segment.h"
#include "audio/features.h"
#include "base/error.h"

#include <stdlib.h>

#define SECONDS_PER_STEP ((double)(SOTTO__INPUT_STRIDE * SOTTO__HOP) / (double)SOTTO__SAMPLE_RATE)

void sotto__drafts_free(sotto__drafts *d)
{
    free(d->items);
    free(d->words);
    sotto__str_free(&d->text);
    *d = (sotto__drafts){0};
}

static double seconds_of(size_t frames) { return (double)(frames * SOTTO__HOP) / (double)SOTTO__SAMPLE_RATE; }

static bool add(sotto__drafts *d, double start_s, double end_s, size_t first, size_t n)
{
    if (!sotto__grow(&d->items, &d->cap, d->n + 1, sizeof *d->items)) return false;
    d->items[d->n++] = (sotto__draft){.start_s = start_s, .end_s = end_s, .first = first, .n = n};
    return true;
}

/* Steps of a timestamp; other tokens (possible only where the timestamp rules are off) count as the window's start. */
static double steps_of(int32_t token, int32_t timestamp_begin)
{
    return token > timestamp_begin ? (double)(token - timestamp_begin) : 0;
}

sotto_status sotto__segments_cut(sotto__drafts *d, const int32_t *tokens, size_t n, int32_t timestamp_begin,
                                 size_t seek, size_t frames, sotto_error *err)
{
    double offset = seconds_of(seek);
    size_t from = 0;
    bool single = n >= 2 && tokens[n - 2] < timestamp_begin && tokens[n - 1] >= timestamp_begin;
    d->n = d->n_words = 0;
    d->text.len = 0;
    d->single_timestamp_ending = single;
    d->advance = frames;

    for (size_t i = 1; i <= n; i++) {
        bool pair = i < n && tokens[i - 1] >= timestamp_begin && tokens[i] >= timestamp_begin;
        if (!pair && !(i == n && single && from > 0)) continue;
        if (!add(d, offset + steps_of(tokens[from], timestamp_begin) * SECONDS_PER_STEP,
                 offset + steps_of(tokens[i - 1], timestamp_begin) * SECONDS_PER_STEP, from, i - from))
            return sotto__fail_nomem(err, "segments");
        from = i;
    }
    if (from > 0) {
        /* "text, one timestamp" at the end: no speech after it. Otherwise the rest is unfinished and heard again. */
        if (!single) d->advance = (size_t)steps_of(tokens[from - 1], timestamp_begin) * SOTTO__INPUT_STRIDE;
    } else {
        double duration = seconds_of(frames);
        for (size_t i = n; i-- > 0;) {
            if (tokens[i] < timestamp_begin) continue;
            if (tokens[i] != timestamp_begin) duration = steps_of(tokens[i], timestamp_begin) * SECONDS_PER_STEP;
            break;
        }
        if (!add(d, offset, offset + duration, 0, n)) return sotto__fail_nomem(err, "segments");
    }
    return SOTTO_OK;
}

sotto_status sotto__segments_close(sotto__drafts *d, const int32_t *tokens, size_t n, int32_t timestamp_begin,
                                   size_t seek, size_t frames, sotto_error *err)
{
    const sotto__draft *last = d->n ? &d->items[d->n - 1] : NULL;
    const size_t from = last ? last->first + last->n : 0;
    bool text = false;
    if (d->advance >= frames || from == 0) return SOTTO_OK;
    for (size_t i = from; i < n; i++) text |= tokens[i] < timestamp_begin;
    if (!text && frames - d->advance > SOTTO__FRAMES_PER_SECOND) return SOTTO_OK; /* something may be left: go on */
    if (text && !add(d, seconds_of(seek) + steps_of(tokens[from], timestamp_begin) * SECONDS_PER_STEP,
                     seconds_of(seek + frames), from, n - from))
        return sotto__fail_nomem(err, "segments");
    d->advance = frames;
    return SOTTO_OK;
}

bool sotto__drafts_end(const sotto__drafts *d, double *end_s)
{
    if (!d->n) return false;
    *end_s = d->items[d->n - 1].end_s;
    for (size_t i = d->n; i-- > 0;) {
        const sotto__draft *s = &d->items[i];
        if (!s->n_words) continue;
        *end_s = d->words[s->first_word + s->n_words - 1].end_s;
        break;
    }
    return true;
}
