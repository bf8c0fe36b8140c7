/* SPDX-License-Identifier: MIT
 * Framing, padding, normalisation and storage of features, against a double-precision twin written from the definition.
 */
#include "sound.h"

#include "audio/rolling.h"

#include <signal.h>
#include <sys/resource.h>

enum { MELS = 80, BINS = SOTTO__N_FFT / 2 + 1 };

/* log_mel_spectrogram(x, 80, padding=480000) as it is defined: frames 0 … n_frames-1, for free(). */
static double *twin(const float *x, size_t n, size_t n_frames)
{
    static float filters[MELS * BINS];
    static double cosine[SOTTO__N_FFT], sine[SOTTO__N_FFT];
    const size_t padded = n + 480000;
    double *out = malloc(n_frames * MELS * sizeof *out), max = -10.0;
    size_t t, i, k, m;
    assert_non_null(out);
    assert_int_equal(sotto__mel_filters(filters, MELS, NULL), SOTTO_OK);
    for (i = 0; i < SOTTO__N_FFT; i++) {
        cosine[i] = cos(2 * PI * (double)i / SOTTO__N_FFT);
        sine[i] = sin(2 * PI * (double)i / SOTTO__N_FFT);
    }
    for (t = 0; t < n_frames; t++) {
        double frame[SOTTO__N_FFT], power[BINS];
        for (i = 0; i < SOTTO__N_FFT; i++) {
            int64_t at = (int64_t)(t * SOTTO__HOP + i) - SOTTO__N_FFT / 2;
            if (at < 0) at = -at;
            if (at >= (int64_t)padded) at = 2 * ((int64_t)padded - 1) - at;
            frame[i] = at < (int64_t)n ? (double)x[at] * (0.5 - 0.5 * cosine[i]) : 0.0;
        }
        for (k = 0; k < BINS; k++) {
            double re = 0.0, im = 0.0;
            for (i = 0; i < SOTTO__N_FFT; i++) {
                re += frame[i] * cosine[k * i % SOTTO__N_FFT];
                im -= frame[i] * sine[k * i % SOTTO__N_FFT];
            }
            power[k] = re * re + im * im;
        }
        for (m = 0; m < MELS; m++) {
            double sum = 0.0;
            for (k = 0; k < BINS; k++) sum += (double)filters[m * BINS + k] * power[k];
            out[t * MELS + m] = log10(fmax(sum, 1e-10));
            max = fmax(max, out[t * MELS + m]);
        }
    }
    for (i = 0; i < n_frames * MELS; i++) out[i] = (fmax(out[i], max - 8.0) + 4.0) / 4.0;
    return out;
}

static void check_against_twin(const float *x, size_t n)
{
    size_t frames = n / SOTTO__HOP + 6, i;
    sotto__features *f = features_of(x, n, MELS);
    double *expected = twin(x, n, frames);
    float *got = window_of(f, 0, 0, SOTTO__PAD_SILENCE);
    assert_int_equal(sotto__features_frames(f), n / SOTTO__HOP);
    assert_int_equal(sotto__features_samples(f), n);
    for (i = 0; i < frames * MELS; i++) {
        if (!(fabs((double)got[i] - expected[i]) < 1e-5))
            fail_msg("%zu samples, frame %zu mel %zu: %.7f, expected %.7f", n, i / MELS, i % MELS, (double)got[i],
                     expected[i]);
    }
    free(got);
    free(expected);
    sotto__features_free(f);
}

static void features_equal_the_definition(void **state)
{
    float *x = signal_mixed(16000, 16000.0, 3);
    (void)state;
    check_against_twin(x, 16000);
    free(x);
}

static void short_recordings_equal_the_definition(void **state)
{
    static const size_t lengths[] = {0,   1,   2,   159, 160, 161, 199, 200, 201, 202, 319, 320, 359, 360,
                                     361, 399, 400, 401, 402, 479, 480, 481, 519, 520, 521, 640, 800};
    float *x = signal_mixed(1000, 16000.0, 5);
    size_t i;
    (void)state;
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) check_against_twin(x, lengths[i]);
    free(x);
}

/* The loudest thing may lie in a frame behind the content frames. */
static void maximum_includes_frames_beyond_the_content(void **state)
{
    float *x = calloc(3199, sizeof *x);
    size_t i;
    (void)state;
    assert_non_null(x);
    for (i = 3140; i < 3199; i++) x[i] = i % 2 ? 0.9f : -0.9f;
    for (i = 0; i < 400; i++) x[i] = 1e-4f * (float)sin(0.3 * (double)i);
    check_against_twin(x, 3199);
    free(x);
}

static void any_chunking_is_bit_identical(void **state)
{
    enum { N = 123457 };
    float *x = signal_mixed(N, 16000.0, 11);
    sotto__features *whole = features_of(x, N, MELS);
    uint64_t seed = 99;
    size_t round;
    (void)state;
    for (round = 0; round < 12; round++) {
        /* from single samples to more than the internal buffer */
        size_t largest = (size_t)3 << round, at = 0;
        sotto__features *f = features_new(MELS);
        while (at < N) {
            size_t n = (size_t)((signal_random(&seed) + 1.0) * 0.5 * (double)largest);
            if (n > N - at) n = N - at;
            assert_int_equal(sotto__features_push(f, x + at, n, NULL), SOTTO_OK);
            at += n;
        }
        assert_int_equal(sotto__features_finish(f, NULL), SOTTO_OK);
        assert_features_equal(whole, f);
        sotto__features_free(f);
    }
    sotto__features_free(whole);
    free(x);
}

static sotto__features *with_memory(const float *x, size_t n, size_t bytes)
{
    sotto__features *f = features_new(MELS);
    sotto_error err = {0};
    sotto__features_set_memory(f, bytes);
    if (sotto__features_push(f, x, n, &err) != SOTTO_OK || sotto__features_finish(f, &err) != SOTTO_OK)
        fail_msg("%s", err.message);
    return f;
}

static void frames_in_a_file_are_the_same(void **state)
{
    enum { N = 160 * 7003 + 17 }; /* more than two writes */
    static const size_t frames_in_memory[] = {0, 1, 2999, 3000, 3001, 7002, 7003, 7004, 7005, 7006};
    float *x = signal_mixed(N, 16000.0, 13);
    sotto__features *whole = features_of(x, N, MELS);
    size_t i;
    (void)state;
    for (i = 0; i < sizeof frames_in_memory / sizeof *frames_in_memory; i++) {
        sotto__features *f = with_memory(x, N, frames_in_memory[i] * MELS * sizeof(float));
        float *a = window_of(whole, 2500, 3000, SOTTO__PAD_ZERO), *b = window_of(f, 2500, 3000, SOTTO__PAD_ZERO);
        assert_features_equal(whole, f);
        assert_memory_equal(a, b, 3000 * MELS * sizeof *a);
        free(a);
        free(b);
        sotto__features_free(f);
    }
    sotto__features_free(whole);
    free(x);
}

static void no_place_for_the_file_is_an_error(void **state)
{
    float *x = signal_mixed(480000, 16000.0, 17);
    sotto__features *f = features_new(MELS);
    sotto_error err = {0};
    char *old = getenv("TMPDIR");
    (void)state;
    if (old) old = strdup(old);
    setenv("TMPDIR", "/nonexistent/directory", 1);
    sotto__features_set_memory(f, 0);
    assert_int_equal(sotto__features_push(f, x, 480000, &err), SOTTO_EIO);
    assert_non_null(strstr(err.message, "/nonexistent/directory"));
    if (old)
        setenv("TMPDIR", old, 1);
    else
        unsetenv("TMPDIR");
    free(old);
    sotto__features_free(f);
    free(x);
}

/* As a full disk does: the write is refused, and the sentence says where and why. */
static void a_refused_write_is_an_error(void **state)
{
    float *x = signal_mixed(480000, 16000.0, 17);
    sotto__features *f = features_new(MELS);
    struct rlimit old, small;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    sotto_error err = {0};
    sotto_status st;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){100000, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    sotto__features_set_memory(f, 0);
    st = sotto__features_push(f, x, 480000, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(st, SOTTO_EIO);
    assert_non_null(strstr(err.message, "cannot write features to a temporary file in "));
    assert_non_null(strstr(err.message, "after 100000 bytes: File too large"));
    sotto__features_free(f);
    free(x);
}

static void windows_are_padded_as_asked(void **state)
{
    enum { N = 160 * 500 };
    float *x = signal_mixed(N, 16000.0, 19), quiet;
    sotto__features *f = features_of(x, N, MELS);
    float *all = window_of(f, 0, 500, SOTTO__PAD_ZERO), *part = window_of(f, 100, 50, SOTTO__PAD_ZERO);
    float *silence = window_of(f, 100, 50, SOTTO__PAD_SILENCE), *none = window_of(f, 500, 0, SOTTO__PAD_ZERO);
    float max = -INFINITY;
    size_t i;
    (void)state;
    for (i = 0; i < 500 * MELS; i++) max = fmaxf(max, all[i]);
    quiet = max - 2.0f; /* (max - 8 + 4) / 4 */
    for (i = 0; i < 3000 * MELS; i++) {
        if (i >= 500 * MELS) assert_true(all[i] == 0.0f);
        assert_true(part[i] == (i < 50 * MELS ? all[i + 100 * MELS] : 0.0f));
        assert_true(none[i] == 0.0f);
        if (i < 400 * MELS)
            assert_true(silence[i] == all[i + 100 * MELS]);
        else if (i >= 402 * MELS)
            assert_true(fabsf(silence[i] - quiet) < 1e-6f);
    }
    /* frame 500 still sees the last 200 samples */
    assert_true(silence[400 * MELS + 5] > quiet + 0.1f);
    free(all);
    free(part);
    free(silence);
    free(none);
    sotto__features_free(f);
    free(x);
}

static void silence_is_flat(void **state)
{
    float *x = calloc(32000, sizeof *x), *w;
    sotto__features *f;
    size_t i;
    (void)state;
    assert_non_null(x);
    f = features_of(x, 32000, MELS);
    w = window_of(f, 0, 200, SOTTO__PAD_SILENCE);
    for (i = 0; i < 3000 * MELS; i++) assert_true(w[i] == -1.5f);
    free(w);
    free(x);
    sotto__features_free(f);
}

static void misuse_and_bad_samples_are_refused(void **state)
{
    float x[300] = {0}, *w = malloc(3000 * MELS * sizeof *w);
    sotto__features *f = features_new(MELS);
    sotto_error err = {0};
    (void)state;
    assert_non_null(w);
    assert_int_equal(sotto__features_window(f, 0, 1, SOTTO__PAD_ZERO, w, &err), SOTTO_EINVAL);
    assert_int_equal(sotto__features_push(f, x, 300, &err), SOTTO_OK);
    x[20] = NAN;
    assert_int_equal(sotto__features_push(f, x, 300, &err), SOTTO_EAUDIO);
    assert_non_null(strstr(err.message, "sample 320 "));
    x[20] = -INFINITY;
    assert_int_equal(sotto__features_push(f, x, 300, &err), SOTTO_EAUDIO);
    x[20] = 0.0f;
    assert_int_equal(sotto__features_push(f, x, 300, &err), SOTTO_OK);
    assert_int_equal(sotto__features_finish(f, &err), SOTTO_OK);
    assert_int_equal(sotto__features_samples(f), 600);
    assert_int_equal(sotto__features_push(f, x, 1, &err), SOTTO_EINVAL);
    assert_int_equal(sotto__features_finish(f, &err), SOTTO_EINVAL);
    assert_int_equal(sotto__features_window(f, 0, 3001, SOTTO__PAD_ZERO, w, &err), SOTTO_EINVAL);
    sotto__features_free(f);
    sotto__features_free(NULL);
    free(w);
}

/* ---- windows of a stream -------------------------------------------------------------------------------------- */

/* The rolling window at start … start+n-1 of `x` against the features of those samples alone, bit for bit. */
static void check_rolling(sotto__rolling *r, const float *x, size_t start, size_t n, sotto_counts *counts)
{
    const size_t bytes = SOTTO__WINDOW_FRAMES * MELS * sizeof(float);
    sotto__features *f = features_of(x + start, n, MELS);
    float *expected = window_of(f, 0, n / SOTTO__HOP, SOTTO__PAD_ZERO), *got = malloc(bytes);
    const uint64_t before = counts->mel_frames_computed + counts->mel_frames_reused;
    sotto_error err = {0};
    size_t frames = 1;
    assert_non_null(got);
    memset(got, 0xff, bytes);
    if (sotto__rolling_window(r, x + start, n, start, got, &frames, counts, &err) != SOTTO_OK)
        fail_msg("%s", err.message);
    assert_int_equal(frames, n / SOTTO__HOP);
    assert_int_equal(counts->mel_frames_computed + counts->mel_frames_reused - before, sotto__features_computed(f));
    if (memcmp(got, expected, bytes) != 0) fail_msg("window of %zu samples from %zu on differs", n, start);
    free(expected);
    free(got);
    sotto__features_free(f);
}

static sotto__rolling *rolling_new(void)
{
    static float filters[MELS * BINS];
    sotto__rolling *r = NULL;
    assert_int_equal(sotto__mel_filters(filters, MELS, NULL), SOTTO_OK);
    assert_int_equal(sotto__rolling_open(&r, MELS, filters, NULL), SOTTO_OK);
    return r;
}

/* Loud and quiet stretches, so that the maximum comes, stays and leaves with a cut. */
static float *uneven(size_t n)
{
    float *x = signal_mixed(n, 16000.0, 23);
    for (size_t i = 0; i < n; i++) x[i] *= i / 9000 % 3 == 1 ? 1e-5f : i / 27000 % 2 ? 3.0f : 0.01f;
    return x;
}

static void rolling_windows_equal_their_features(void **state)
{
    enum { N = 300000 };
    static const size_t steps[] = {0,   1,   39,  40,  41,  119, 120, 121, 159, 160,  161,  199,
                                   200, 201, 359, 360, 361, 400, 512, 513, 777, 6400, 6553, 16000};
    float *x = uneven(N);
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        uint64_t random = seed;
        sotto_counts counts = {0};
        sotto__rolling *r = rolling_new();
        size_t start = 0, end = 0;
        while (end < N) {
            const double choice = signal_random(&random);
            const size_t i = (size_t)((signal_random(&random) + 1) / 2 * (double)(sizeof steps / sizeof *steps));
            const size_t step = steps[i < sizeof steps / sizeof *steps ? i : 0], length = end - start;
            end = end + step < N ? end + step : N;
            if (choice > 0.6) start += length / 2 / SOTTO__HOP * SOTTO__HOP; /* a cut by whole hops */
            if (choice < -0.9) start += length / 3;                          /* by anything */
            if (choice > 0.97) start = end;                                  /* nothing is left */
            if (end - start > 40000) start = end - 3 * SOTTO__HOP;
            check_rolling(r, x, start, end - start, &counts);
        }
        assert_true(counts.mel_frames_reused > counts.mel_frames_computed); /* it was not all made anew */
        sotto__rolling_free(r);
    }
    free(x);
}

/* Frames 0 and 1 and those that reach behind the window are its own; of the others only new ones are computed. */
static void known_frames_are_not_computed_again(void **state)
{
    static const struct {
        size_t start, n;
        uint64_t reused;
    } calls[] = {
        {0, 16000, 0},         /* frames 0 … 101; 0 … 98 end within it */
        {0, 16000, 97},        /* 2 … 98 */
        {0, 22400, 97},        /* grown; 2 … 138 are whole now */
        {0, 22279, 136},       /* less, 2 … 137 */
        {1600, 22400, 126},    /* cut by 10 hops: 12 … 137 */
        {1600 + 80, 22400, 0}, /* not by hops */
        {1680 + 22400, 16000, 0},
        {0, 16000, 0}, /* backwards */
        {0, 300, 0},   /* nothing beyond the edges */
        {0, 16000, 0},
    };
    float *x = uneven(60000);
    sotto__rolling *r = rolling_new();
    sotto_counts counts = {0};
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const uint64_t before = counts.mel_frames_reused;
        check_rolling(r, x, calls[i].start, calls[i].n, &counts);
        if (counts.mel_frames_reused - before != calls[i].reused)
            fail_msg("call %zu: %d frames reused, expected %d", i, (int)(counts.mel_frames_reused - before),
                     (int)calls[i].reused);
    }
    sotto__rolling_free(r);
    free(x);
}

static void rolling_windows_refuse_what_is_no_window(void **state)
{
    float *x = uneven(480001), *w = malloc(3000 * MELS * sizeof *w), kept;
    sotto__rolling *r = rolling_new();
    sotto_counts counts = {0};
    sotto_error err = {0};
    size_t frames;
    (void)state;
    assert_non_null(w);
    assert_int_equal(sotto__rolling_window(r, x, 480001, 0, w, &frames, &counts, &err), SOTTO_EINVAL);
    assert_non_null(strstr(err.message, "480001 samples"));
    check_rolling(r, x, 0, 480000, &counts);
    kept = x[900];
    x[900] = NAN;
    assert_int_equal(sotto__rolling_window(r, x + 800, 480000, 1000000, w, &frames, &counts, &err), SOTTO_EAUDIO);
    assert_non_null(strstr(err.message, "sample 1000100 "));
    x[900] = kept;
    check_rolling(r, x, 160, 479840, &counts);
    assert_true(counts.mel_frames_reused > 2900); /* the refused window took nothing away */
    sotto__rolling_free(r);
    sotto__rolling_free(NULL);
    free(w);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_equal_the_definition),
        cmocka_unit_test(short_recordings_equal_the_definition),
        cmocka_unit_test(maximum_includes_frames_beyond_the_content),
        cmocka_unit_test(any_chunking_is_bit_identical),
        cmocka_unit_test(frames_in_a_file_are_the_same),
        cmocka_unit_test(no_place_for_the_file_is_an_error),
        cmocka_unit_test(a_refused_write_is_an_error),
        cmocka_unit_test(windows_are_padded_as_asked),
        cmocka_unit_test(silence_is_flat),
        cmocka_unit_test(misuse_and_bad_samples_are_refused),
        cmocka_unit_test(rolling_windows_equal_their_features),
        cmocka_unit_test(known_frames_are_not_computed_again),
        cmocka_unit_test(rolling_windows_refuse_what_is_no_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
