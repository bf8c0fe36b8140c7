/* SPDX-License-Identifier: MIT
 * Test signals, features of them, and a temporary directory. */
#ifndef SOTTO_TEST_SOUND_H
#define SOTTO_TEST_SOUND_H

#include "cmocka_all.h"

#include "audio/features.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PI 3.14159265358979323846

/* Uniform in -1 … 1, the same on every run. */
static inline double signal_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)*state / 9223372036854775808.0;
}

/* Noise with a tone and a slow swell, n samples at `rate`, for free(). */
static inline float *signal_mixed(size_t n, double rate, uint64_t seed)
{
    float *x = malloc((n + 1) * sizeof *x);
    size_t i;
    assert_non_null(x);
    for (i = 0; i < n; i++) {
        double t = (double)i / rate;
        x[i] =
            (float)(0.3 * sin(2 * PI * 440.0 * t) + 0.2 * signal_random(&seed) * (0.5 + 0.5 * sin(2 * PI * 1.5 * t)));
    }
    return x;
}

static inline sotto__features *features_new(size_t n_mels)
{
    sotto_error err = {0};
    sotto__features *f = NULL;
    float *filters = malloc(n_mels * (SOTTO__N_FFT / 2 + 1) * sizeof *filters);
    assert_non_null(filters);
    assert_int_equal(sotto__mel_filters(filters, n_mels, &err), SOTTO_OK);
    assert_int_equal(sotto__features_open(&f, n_mels, filters, &err), SOTTO_OK);
    free(filters);
    return f;
}

static inline sotto__features *features_of(const float *x, size_t n, size_t n_mels)
{
    sotto_error err = {0};
    sotto__features *f = features_new(n_mels);
    assert_int_equal(sotto__features_push(f, x, n, &err), SOTTO_OK);
    assert_int_equal(sotto__features_finish(f, &err), SOTTO_OK);
    return f;
}

/* A whole window from `seek` on, for free(). */
static inline float *window_of(const sotto__features *f, size_t seek, size_t n, sotto__pad pad)
{
    sotto_error err = {0};
    float *w = malloc(SOTTO__WINDOW_FRAMES * sotto__features_mels(f) * sizeof *w);
    assert_non_null(w);
    assert_int_equal(sotto__features_window(f, seek, n, pad, w, &err), SOTTO_OK);
    return w;
}

/* Every frame, and those that follow the end, bit for bit. */
static inline void assert_features_equal(const sotto__features *a, const sotto__features *b)
{
    size_t seek, bytes = SOTTO__WINDOW_FRAMES * sotto__features_mels(a) * sizeof(float);
    assert_int_equal(sotto__features_samples(a), sotto__features_samples(b));
    assert_int_equal(sotto__features_mels(a), sotto__features_mels(b));
    for (seek = 0; seek < sotto__features_frames(a) + 10; seek += SOTTO__WINDOW_FRAMES) {
        float *wa = window_of(a, seek, 0, SOTTO__PAD_SILENCE), *wb = window_of(b, seek, 0, SOTTO__PAD_SILENCE);
        assert_memory_equal(wa, wb, bytes);
        free(wa);
        free(wb);
    }
}

static char temp_path[4096];

/* A group's set-up: a fresh directory in temp_path. */
static inline int temp_create(void **state)
{
    const char *dir = getenv("TMPDIR");
    (void)state;
    snprintf(temp_path, sizeof temp_path, "%s/sotto-test-XXXXXX", dir && *dir ? dir : "/tmp");
    return mkdtemp(temp_path) ? 0 : -1;
}

static inline int temp_unlink(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info, (void)kind, (void)at;
    return remove(path);
}

static inline int temp_remove(void **state)
{
    (void)state;
    return nftw(temp_path, temp_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

/* temp_path/name; valid until 16 more are asked for. */
static inline const char *temp_file(const char *name)
{
    static char paths[16][4352];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", temp_path, name);
    return path;
}

#endif
