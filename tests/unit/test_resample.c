/* SPDX-License-Identifier: MIT
 * The resampler: quality, length, and independence of how its input is cut. */
#include "sound.h"

#include "audio/decode.h"
#include "base/checked.h"

/* All of x in chunks of at most `chunk`, for free(). */
static float *resample(const float *x, size_t n, double rate, size_t chunk, size_t *n_out)
{
    sotto__resampler *r = NULL;
    float *out = NULL;
    size_t at = 0, total = 0, cap = 0;
    bool flushed = false;
    assert_int_equal(sotto__resampler_open(&r, rate, NULL), SOTTO_OK);
    while (!flushed) {
        const float *piece;
        size_t take = n - at < chunk ? n - at : chunk, n_piece;
        assert_int_equal(sotto__resampler_push(r, x + at, take, &piece, &n_piece, NULL), SOTTO_OK);
        flushed = take == 0;
        at += take;
        assert_true(sotto__grow(&out, &cap, total + n_piece + 1, sizeof *out));
        memcpy(out + total, piece, n_piece * sizeof *out);
        total += n_piece;
    }
    sotto__resampler_free(r);
    *n_out = total;
    return out;
}

static float *sine(double hz, double rate, size_t n)
{
    float *x = malloc(n * sizeof *x);
    size_t i;
    assert_non_null(x);
    for (i = 0; i < n; i++) x[i] = (float)(0.5 * sin(2 * PI * hz * (double)i / rate));
    return x;
}

/* Amplitude and phase must come out right too: the twin is the sine at 16 kHz itself. Edges of 50 ms are left out. */
static double snr_db(double hz, double rate)
{
    size_t n = (size_t)rate, n_out, i;
    float *x = sine(hz, rate, n), *y = resample(x, n, rate, 16384, &n_out);
    double signal = 0.0, noise = 0.0;
    for (i = 800; i + 800 < n_out; i++) {
        double expected = 0.5 * sin(2 * PI * hz * (double)i / 16000.0), d = (double)y[i] - expected;
        signal += expected * expected;
        noise += d * d;
    }
    free(x);
    free(y);
    return 10.0 * log10(signal / noise);
}

static void sines_keep_their_shape(void **state)
{
    static const double rates[] = {8000, 11025, 22050, 24000, 32000, 44100, 48000, 96000, 192000};
    size_t i;
    (void)state;
    for (i = 0; i < sizeof rates / sizeof *rates; i++) {
        double db = snr_db(1000.0, rates[i]);
        if (!(db > 90.0)) fail_msg("1 kHz from %g Hz: SNR %.1f dB, expected more than 90", rates[i], db);
    }
    /* the passband falls by less than 0.01 dB up to 7.2 kHz */
    assert_true(snr_db(4500.0, 44100.0) > 90.0);
    assert_true(snr_db(7000.0, 44100.0) > 60.0);
}

static void what_would_alias_is_removed(void **state)
{
    size_t n_out, i;
    float *x = sine(10000.0, 44100.0, 44100), *y = resample(x, 44100, 44100.0, 16384, &n_out), peak = 0.0f;
    (void)state;
    for (i = 800; i + 800 < n_out; i++) peak = fmaxf(peak, fabsf(y[i]));
    assert_true(peak < 0.5f * 3e-5f); /* -90 dB */
    free(x);
    free(y);
}

static void length_follows_the_ratio(void **state)
{
    static const double rates[] = {1000, 8000, 11025, 22050, 44100, 48000, 192000};
    static const size_t lengths[] = {1, 2, 100, 1023, 44100, 99991};
    float *x = signal_mixed(99991, 44100.0, 1);
    size_t i, k, n_out;
    (void)state;
    for (i = 0; i < sizeof rates / sizeof *rates; i++) {
        for (k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            double expected = (double)lengths[k] * 16000.0 / rates[i];
            free(resample(x, lengths[k], rates[i], k % 2 ? 16 : 4096, &n_out));
            if (fabs((double)n_out - expected) > 1.0)
                fail_msg("%zu samples at %g Hz became %zu, expected %.1f", lengths[k], rates[i], n_out, expected);
        }
    }
    free(x);
}

static void any_chunking_is_bit_identical(void **state)
{
    static const size_t chunks[] = {1, 7, 160, 1000, 44100, 60000};
    static const double rates[] = {8000, 44100, 48000};
    float *x = signal_mixed(60000, 44100.0, 2);
    size_t i, k;
    (void)state;
    for (k = 0; k < sizeof rates / sizeof *rates; k++) {
        size_t n_whole, n;
        float *whole = resample(x, 60000, rates[k], 16384, &n_whole);
        for (i = 0; i < sizeof chunks / sizeof *chunks; i++) {
            float *y = resample(x, 60000, rates[k], chunks[i], &n);
            assert_int_equal(n, n_whole);
            assert_memory_equal(y, whole, n * sizeof *y);
            free(y);
        }
        free(whole);
    }
    free(x);
}

static void impossible_rates_are_refused(void **state)
{
    static const double rates[] = {0, -1, 1, 999, 1e9, (double)NAN, (double)INFINITY};
    sotto__resampler *r = NULL;
    sotto_error err = {0};
    const float *out;
    size_t n, i;
    (void)state;
    for (i = 0; i < sizeof rates / sizeof *rates; i++) {
        assert_int_equal(sotto__resampler_open(&r, rates[i], &err), SOTTO_EAUDIO);
        assert_null(r);
    }
    assert_int_equal(sotto__resampler_open(&r, 44100, &err), SOTTO_OK);
    assert_int_equal(sotto__resampler_push(r, NULL, 0, &out, &n, &err), SOTTO_OK);
    assert_int_equal(n, 0);
    assert_int_equal(sotto__resampler_push(r, NULL, 0, &out, &n, &err), SOTTO_OK);
    assert_int_equal(sotto__resampler_push(r, (const float[]){0.5f}, 1, &out, &n, &err), SOTTO_EINVAL);
    sotto__resampler_free(r);
    sotto__resampler_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sines_keep_their_shape),       cmocka_unit_test(what_would_alias_is_removed),
        cmocka_unit_test(length_follows_the_ratio),     cmocka_unit_test(any_chunking_is_bit_identical),
        cmocka_unit_test(impossible_rates_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
