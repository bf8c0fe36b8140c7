/* SPDX-License-Identifier: MIT
 * One pass over speech and segments in order of time (coverage.h). */
#include "text/coverage.h"
#include "base/checked.h"
#include "base/error.h"

#include <math.h>
#include <stdlib.h>

void sotto__gaps_free(sotto__gaps *g)
{
    free(g->items);
    *g = (sotto__gaps){0};
}

static int compare(const void *a, const void *b)
{
    const sotto__stretch *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static size_t frame_of(double s)
{
    const double frame = rint(s * SOTTO__FRAMES_PER_SECOND);
    return frame > 0 && frame < 1e15 ? (size_t)frame : 0;
}

/* A piece of speech outside segments: part of the gap before it, or one of its own. `low`: where the last segment
 * before it ends. */
static bool add_piece(sotto__gaps *g, size_t begin, size_t end, size_t low)
{
    sotto__gap *last = g->n ? &g->items[g->n - 1] : NULL;
    if (last && low <= last->end && begin - last->end < SOTTO__GAP_JOIN) {
        last->end = end;
        return true;
    }
    if (!sotto__grow(&g->items, &g->cap, g->n + 1, sizeof *g->items)) return false;
    g->items[g->n++] = (sotto__gap){.begin = begin, .end = end, .low = low};
    return true;
}

/* Pieces -> gaps: the short ones go. */
static void drop_short(sotto__gaps *g, const sotto__stretch *held, size_t n, size_t range_end)
{
    size_t kept = 0, at = 0;
    for (size_t i = 0; i < g->n; i++) {
        sotto__gap gap = g->items[i];
        if (gap.end - gap.begin < SOTTO__GAP_FRAMES) continue;
        while (at < n && held[at].begin < gap.end) at++;
        gap.high = at < n && held[at].begin < range_end ? held[at].begin : range_end;
        g->items[kept++] = gap;
    }
    g->n = kept;
}

sotto_status sotto__gaps_find(const sotto__stretch *speech, size_t n_speech, const sotto_segment *segments, size_t n,
                              sotto__stretch range, sotto__gaps *out, sotto_error *err)
{
    sotto__stretch *held = calloc(n + 1, sizeof *held);
    size_t at = 0, low = range.begin; /* held[at …] are ahead; those behind end at `low` at the latest */
    bool ok = held != NULL;
    out->n = out->speech = out->covered = 0;
    for (size_t i = 0; ok && i < n; i++)
        held[i] = (sotto__stretch){frame_of(segments[i].start_s), frame_of(segments[i].end_s)};
    if (ok) qsort(held, n, sizeof *held, compare);
    for (size_t i = 0; ok && i < n_speech; i++) {
        size_t begin = speech[i].begin > range.begin ? speech[i].begin : range.begin;
        const size_t end = speech[i].end < range.end ? speech[i].end : range.end;
        if (begin >= end) continue;
        out->speech += end - begin;
        out->covered += end - begin;
        while (ok && begin < end) {
            for (; at < n && held[at].begin <= (low > begin ? low : begin); at++)
                if (held[at].end > low) low = held[at].end;
            if (low > begin) {
                begin = low < end ? low : end;
                continue;
            }
            const size_t stop = at < n && held[at].begin < end ? held[at].begin : end;
            ok = add_piece(out, begin, stop, low);
            out->covered -= stop - begin;
            begin = stop;
        }
    }
    if (ok) drop_short(out, held, n, range.end);
    free(held);
    return ok ? SOTTO_OK : sotto__fail_nomem(err, "gaps between segments");
}
