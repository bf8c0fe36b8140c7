/* SPDX-License-Identifier: MIT
 * Mel filters against openai-whisper's assets/mel_filters.npz, the FFT against the definition of the transform. */
#include "sound.h"

#include "audio/fft.h"
#include "audio/mel.h"

typedef struct entry {
    int mel, bin;
    double value;
} entry;

/* Strided samples of mel_80 and mel_128, then the sums over all entries of v and of (index + 1) * v. */
static const entry mel_80[] = {
    {0, 1, 0.0248625949},
    {8, 9, 0.00893601868},
    {17, 17, 0.0198628586},
    {25, 25, 0.00404042564},
    {33, 33, 0.0181774739},
    {39, 40, 0.00141804758},
    {43, 49, 0.00846622139},
    {47, 57, 0.00797395688},
    {51, 64, 0.00323120388},
    {54, 72, 0.003467798},
    {56, 82, 0.00179610949},
    {59, 88, 0.00450446177},
    {61, 97, 0.00570082245},
    {63, 105, 0.00488665979},
    {65, 113, 0.00502863992},
    {67, 120, 0.00372355222},
    {68, 131, 9.26490538e-05},
    {70, 137, 0.00407972885},
    {72, 142, 0.000355979602},
    {73, 153, 0.00415457645},
    {74, 163, 0.00135603989},
    {76, 166, 0.000553036458},
    {77, 175, 0.00189211487},
    {78, 184, 0.00290276855},
    {79, 193, 0.00314131333},
    {79, 200, 0.0},
    {40, 0, 0.0},
    {0, 100, 0.0},
};
static const entry mel_128[] = {
    {0, 1, 0.0123739867},       {14, 9, 0.0258327741},     {28, 17, 0.0392915606},     {41, 25, 0.0102026379},
    {53, 33, 0.0228534825},     {62, 41, 0.0183554217},    {69, 49, 0.00708320038},    {76, 56, 0.00379085587},
    {81, 65, 0.00984823331},    {86, 73, 0.0113787139},    {91, 80, 2.32521015e-05},   {94, 89, 0.00682516303},
    {98, 96, 0.00598019501},    {101, 105, 0.00719209015}, {104, 113, 0.00627609482},  {107, 121, 0.00723442994},
    {110, 128, 0.00391751388},  {112, 138, 0.00297852419}, {115, 143, 0.000617958605}, {117, 152, 0.00416534441},
    {119, 161, 0.00640943693},  {121, 169, 0.00604072399}, {123, 176, 0.0040713395},   {125, 183, 0.00174744334},
    {126, 195, 0.000274636812}, {127, 200, 0.0},
};

static void check_filters(size_t n_mels, const entry *table, size_t n, double sum, double weighted)
{
    float *filters = malloc(n_mels * SOTTO__BINS * sizeof *filters);
    double got = 0.0, got_weighted = 0.0;
    size_t i;
    assert_non_null(filters);
    assert_int_equal(sotto__mel_filters(filters, n_mels, NULL), SOTTO_OK);
    for (i = 0; i < n; i++) {
        double value = (double)filters[table[i].mel * SOTTO__BINS + table[i].bin];
        if (fabs(value - table[i].value) > 1e-7)
            fail_msg("filter %d bin %d: %.9g, expected %.9g", table[i].mel, table[i].bin, value, table[i].value);
    }
    for (i = 0; i < n_mels * SOTTO__BINS; i++) {
        got += (double)filters[i];
        got_weighted += (double)filters[i] * (double)(i + 1);
    }
    if (fabs(got - sum) > 1e-7) fail_msg("sum %.12g, expected %.12g", got, sum);
    if (fabs(got_weighted - weighted) > 1e-3) fail_msg("weighted sum %.12g, expected %.12g", got_weighted, weighted);
    free(filters);
}

static void filters_match_the_reference(void **state)
{
    (void)state;
    check_filters(80, mel_80, sizeof mel_80 / sizeof *mel_80, 1.999024092387117, 15999.735372797331);
    check_filters(128, mel_128, sizeof mel_128 / sizeof *mel_128, 3.1909855409403463, 41036.510940190783);
}

static void bad_filters_are_refused(void **state)
{
    float filters[2 * SOTTO__BINS] = {0};
    sotto__mel *mel = NULL;
    sotto_error err = {0};
    (void)state;
    assert_int_equal(sotto__mel_filters(filters, 0, &err), SOTTO_EINVAL);
    assert_int_equal(sotto__mel_filters(filters, SIZE_MAX / 4, &err), SOTTO_EINVAL);
    filters[SOTTO__BINS + 7] = NAN;
    assert_int_equal(sotto__mel_open(&mel, 2, filters, &err), SOTTO_EFORMAT);
    assert_null(mel);
    assert_non_null(strstr(err.message, "filter 1: value of bin 7"));
}

/* |sum x[n] exp(-2 pi i k n / 400)|^2 as it is written. */
static void dft_power(const double *x, double *power)
{
    size_t k, n;
    for (k = 0; k < SOTTO__BINS; k++) {
        double re = 0.0, im = 0.0;
        for (n = 0; n < SOTTO__N_FFT; n++) {
            double angle = 2 * PI * (double)(k * n % SOTTO__N_FFT) / SOTTO__N_FFT;
            re += x[n] * cos(angle);
            im -= x[n] * sin(angle);
        }
        power[k] = re * re + im * im;
    }
}

static void fft_equals_the_definition(void **state)
{
    sotto__fft w;
    double x[SOTTO__N_FFT], power[SOTTO__BINS], expected[SOTTO__BINS];
    uint64_t seed = 7;
    size_t round, i;
    (void)state;
    sotto__fft_init(&w);
    for (round = 0; round < 20; round++) {
        for (i = 0; i < SOTTO__N_FFT; i++)
            x[i] = round < 10 ? signal_random(&seed) : (i == round * 37 % 400 ? 1.0 : 0.0);
        sotto__fft_power(&w, x, power);
        dft_power(x, expected);
        for (i = 0; i < SOTTO__BINS; i++) {
            if (fabs(power[i] - expected[i]) > 1e-11 * (1.0 + expected[i]))
                fail_msg("round %zu bin %zu: %.15g, expected %.15g", round, i, power[i], expected[i]);
        }
    }
}

/* A cosine on bin 40 under a periodic Hann window has power (400 / 4)^2 there, a quarter of it on both sides, else 0.
 */
static void window_is_a_periodic_hann(void **state)
{
    float filters[3 * SOTTO__BINS] = {0}, x[SOTTO__N_FFT], out[3];
    sotto__mel *mel = NULL;
    size_t i;
    (void)state;
    filters[40] = 1.0f;
    filters[SOTTO__BINS + 41] = 1.0f;
    filters[2 * SOTTO__BINS + 42] = 1.0f;
    for (i = 0; i < SOTTO__N_FFT; i++) x[i] = (float)cos(2 * PI * 40.0 * (double)i / SOTTO__N_FFT);
    assert_int_equal(sotto__mel_open(&mel, 3, filters, NULL), SOTTO_OK);
    sotto__mel_frame(mel, x, out);
    assert_true(fabs((double)out[0] - log10(10000.0)) < 1e-6);
    assert_true(fabs((double)out[1] - log10(2500.0)) < 1e-6);
    assert_true(out[2] < -9.0f);
    memset(x, 0, sizeof x);
    sotto__mel_frame(mel, x, out);
    assert_true(out[0] == SOTTO__MEL_SILENCE);
    sotto__mel_free(mel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_match_the_reference),
        cmocka_unit_test(bad_filters_are_refused),
        cmocka_unit_test(fft_equals_the_definition),
        cmocka_unit_test(window_is_a_periodic_hann),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
