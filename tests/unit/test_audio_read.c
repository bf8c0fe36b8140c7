/* SPDX-License-Identifier: MIT
 * sotto_audio_read: a file in blocks of 16 kHz mono samples. */
#include "sound.h"

#include <sndfile.h>

typedef struct heard {
    float *samples;
    size_t n, room, blocks, stop_after;
} heard;

static bool hear(const float *samples, size_t n, void *user)
{
    heard *h = user;
    assert_true(n > 0 && h->n + n <= h->room);
    memcpy(h->samples + h->n, samples, n * sizeof *samples);
    h->n += n;
    return ++h->blocks != h->stop_after;
}

static const char *write_sound(const char *name, int rate, int channels, const float *x, size_t frames)
{
    const char *path = temp_file(name);
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    assert_non_null(file);
    assert_int_equal(sf_writef_float(file, x, (sf_count_t)frames), frames);
    assert_int_equal(sf_close(file), 0);
    return path;
}

enum { N = 100000 };

static void same_samples(void **state)
{
    float *x = signal_mixed(N, 16000.0, 3), *out = calloc(N + 4096, sizeof *out);
    heard h = {.samples = out, .room = N + 4096};
    sotto_error err = {0};
    (void)state;
    assert_int_equal(sotto_audio_read(write_sound("a.wav", 16000, 1, x, N), hear, &h, &err), SOTTO_OK);
    assert_int_equal(h.n, N);
    assert_true(h.blocks > 1);
    assert_memory_equal(out, x, N * sizeof *x);
    /* two channels at 48 kHz are a third of the samples */
    h = (heard){.samples = out, .room = N + 4096};
    assert_int_equal(sotto_audio_read(write_sound("b.wav", 48000, 2, x, N / 2), hear, &h, &err), SOTTO_OK);
    assert_in_range(h.n, N / 6 - 2, N / 6 + 2);
    free(x);
    free(out);
}

static void stops_and_fails(void **state)
{
    float *x = signal_mixed(N, 16000.0, 5), *out = calloc(N, sizeof *out);
    heard h = {.samples = out, .room = N, .stop_after = 2};
    sotto_error err = {0};
    (void)state;
    assert_int_equal(sotto_audio_read(write_sound("a.wav", 16000, 1, x, N), hear, &h, &err), SOTTO_ECANCELLED);
    assert_int_equal(h.blocks, 2);
    h = (heard){.samples = out, .room = N};
    x[33333] = NAN;
    assert_int_equal(sotto_audio_read(write_sound("n.wav", 16000, 1, x, N), hear, &h, &err), SOTTO_EAUDIO);
    assert_non_null(strstr(err.message, "sample 33333 (2.083 s)"));
    assert_int_equal(sotto_audio_read(write_sound("0.wav", 16000, 1, x, 0), hear, &h, &err), SOTTO_EAUDIO);
    assert_int_equal(sotto_audio_read(temp_file("absent"), hear, &h, &err), SOTTO_ENOTFOUND);
    assert_non_null(strstr(err.message, "absent"));
    assert_int_equal(sotto_audio_read(NULL, hear, &h, &err), SOTTO_EINVAL);
    assert_int_equal(sotto_audio_read("a", NULL, NULL, NULL), SOTTO_EINVAL);
    free(x);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_samples), cmocka_unit_test(stops_and_fails)};
    return cmocka_run_group_tests_name("audio-read", tests, temp_create, temp_remove);
}
