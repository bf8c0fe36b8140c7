/* SPDX-License-Identifier: MIT
 * Frame t of a window covers its samples 160 t - 200 … 160 t + 199. Frames 0 and 1 reach before the window, where it is
 * reflected, and the last three at most reach behind it, where zeros are: those belong to this window alone. All others
 * depend on the samples under them only, so they stay the same while the window grows, and when its beginning is cut
 * off by whole hops they only change their number.
 *
 * Kept are raw log10 energies. They are clamped against the maximum of the window's frames, which may change with every
 * window, so clamping and scaling are done anew for each. */
#include "audio/rolling.h"

#include "audio/mel.h"
#include "base/checked.h"
#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CENTRE = SOTTO__N_FFT / 2,
    EDGE = (CENTRE + SOTTO__HOP - 1) / SOTTO__HOP, /* frames that reach before the window */
    LONGEST = SOTTO__WINDOW_FRAMES * SOTTO__HOP    /* samples */
};

struct sotto__rolling {
    size_t n_mels;
    sotto__mel *mel;
    /* the window of the last call */
    uint64_t start;
    size_t n;
    float *rows; /* [frames, n_mels], raw */
    size_t rows_cap;
    float *peaks; /* largest value of each row */
    size_t peaks_cap;
};

sotto_status sotto__rolling_open(sotto__rolling **out, size_t n_mels, const float *filters, sotto_error *err)
{
    sotto__rolling *r = calloc(1, sizeof *r);
    sotto_status st;
    *out = NULL;
    if (!r) return sotto__fail_nomem(err, "frames of the stream");
    r->n_mels = n_mels;
    st = sotto__mel_open(&r->mel, n_mels, filters, err);
    if (st != SOTTO_OK) {
        sotto__rolling_free(r);
        return st;
    }
    *out = r;
    return SOTTO_OK;
}

void sotto__rolling_free(sotto__rolling *r)
{
    if (!r) return;
    sotto__mel_free(r->mel);
    free(r->rows);
    free(r->peaks);
    free(r);
}

/* Frames that see a sample of the window, and those of them that end within it. */
static size_t frames_of(size_t n) { return n ? (n + CENTRE + SOTTO__HOP - 1) / SOTTO__HOP : 0; }
static size_t whole_frames_of(size_t n) { return n < CENTRE ? 0 : (n - CENTRE) / SOTTO__HOP + 1; }

/* Samples that were not in the window before. */
static sotto_status check_new(const sotto__rolling *r, const float *samples, size_t n, uint64_t start, sotto_error *err)
{
    const uint64_t known = r->start + r->n;
    size_t i = start >= r->start && start < known ? (size_t)(known - start) : 0;
    for (; i < n; i++)
        if (!isfinite(samples[i]))
            return sotto__fail(err, SOTTO_EAUDIO, "sample %llu of the stream (%.3f s) is not a finite number",
                               (unsigned long long)(start + i), (double)(start + i) / (double)SOTTO__SAMPLE_RATE);
    return SOTTO_OK;
}

/* Moves the frames that the new window shares with the last one to their places in it, EDGE … the result - 1. */
static size_t keep(sotto__rolling *r, size_t n, uint64_t start)
{
    const uint64_t moved = start - r->start;
    size_t shift, end = whole_frames_of(r->n);
    if (start < r->start || moved % SOTTO__HOP || moved / SOTTO__HOP >= end) return EDGE;
    shift = (size_t)(moved / SOTTO__HOP);
    end -= shift;
    if (end > whole_frames_of(n)) end = whole_frames_of(n);
    if (end <= EDGE) return EDGE;
    if (shift) {
        memmove(r->rows + EDGE * r->n_mels, r->rows + (EDGE + shift) * r->n_mels,
                (end - EDGE) * r->n_mels * sizeof *r->rows);
        memmove(r->peaks + EDGE, r->peaks + EDGE + shift, (end - EDGE) * sizeof *r->peaks);
    }
    return end;
}

static void compute(sotto__rolling *r, const float *samples, size_t n, size_t t)
{
    float padded[SOTTO__N_FFT], *row = r->rows + t * r->n_mels, peak = SOTTO__MEL_SILENCE;
    const float *x = padded;
    if (t >= EDGE && t * SOTTO__HOP + CENTRE <= n) {
        x = samples + t * SOTTO__HOP - CENTRE;
    } else {
        for (size_t i = 0; i < SOTTO__N_FFT; i++) {
            const size_t at = t * SOTTO__HOP + i, from = at < CENTRE ? CENTRE - at : at - CENTRE;
            padded[i] = from < n ? samples[from] : 0.0f;
        }
    }
    sotto__mel_frame(r->mel, x, row);
    for (size_t i = 0; i < r->n_mels; i++)
        if (row[i] > peak) peak = row[i];
    r->peaks[t] = peak;
}

static void normalise(const sotto__rolling *r, size_t total, size_t frames, float *dst)
{
    const size_t values = frames * r->n_mels;
    float max = SOTTO__MEL_SILENCE, floor_raw;
    for (size_t t = 0; t < total; t++)
        if (r->peaks[t] > max) max = r->peaks[t];
    floor_raw = max - SOTTO__MEL_RANGE;
    for (size_t i = 0; i < values; i++) dst[i] = sotto__mel_normalised(r->rows[i], floor_raw);
    memset(dst + values, 0, (SOTTO__WINDOW_FRAMES * r->n_mels - values) * sizeof *dst);
}

sotto_status sotto__rolling_window(sotto__rolling *r, const float *samples, size_t n, uint64_t start, float *dst,
                                   size_t *frames, sotto_counts *counts, sotto_error *err)
{
    const size_t total = frames_of(n);
    size_t values, end;
    sotto_status st;
    *frames = 0;
    if (n > LONGEST)
        return sotto__fail(err, SOTTO_EINVAL, "window of the stream: %zu samples, expected at most %d", n, LONGEST);
    if ((st = check_new(r, samples, n, start, err)) != SOTTO_OK) return st;
    if (!sotto__mul(total, r->n_mels, &values) || !sotto__grow(&r->rows, &r->rows_cap, values, sizeof *r->rows) ||
        !sotto__grow(&r->peaks, &r->peaks_cap, total, sizeof *r->peaks))
        return sotto__fail_nomem(err, "frames of the stream");
    end = keep(r, n, start);
    for (size_t t = 0; t < EDGE && t < total; t++) compute(r, samples, n, t);
    for (size_t t = end; t < total; t++) compute(r, samples, n, t);
    r->start = start;
    r->n = n;
    counts->mel_frames_reused += end - EDGE;
    counts->mel_frames_computed += total - (end - EDGE);
    *frames = n / SOTTO__HOP;
    normalise(r, total, *frames, dst);
    return SOTTO_OK;
}
