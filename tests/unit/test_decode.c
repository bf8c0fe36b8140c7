/* SPDX-License-Identifier: MIT
 * Files of many formats, whole and broken, through the decoders into features. */
#include "sound.h"

#include "audio/decode.h"

#include <fcntl.h>
#include <sndfile.h>
#include <sys/stat.h>
#ifdef SOTTO_FFMPEG
#include "encode.h"
#endif

enum { MELS = 80 };

/* x[n] interleaved over `channels` */
static const char *write_sound(const char *name, int format, int rate, int channels, const float *x, size_t n)
{
    const char *path = temp_file(name);
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    if (!file) fail_msg("%s: %s", path, sf_strerror(NULL));
    sf_command(file, SFC_SET_CLIPPING, NULL, SF_TRUE);
    assert_int_equal(sf_writef_float(file, x, (sf_count_t)n), n);
    assert_int_equal(sf_close(file), 0);
    return path;
}

static sotto_status decode(const char *path, sotto__features **f, sotto_error *err)
{
    double stage_s[SOTTO_STAGE_COUNT] = {0};
    sotto_status st;
    *f = features_new(MELS);
    st = sotto__decode_file(*f, path, stage_s, NULL, NULL, err);
    if (st == SOTTO_OK) assert_true(stage_s[SOTTO_STAGE_READ] > 0.0 && stage_s[SOTTO_STAGE_MEL] > 0.0);
    return st;
}

static sotto__features *decode_ok(const char *path)
{
    sotto_error err = {0};
    sotto__features *f;
    if (decode(path, &f, &err) != SOTTO_OK) fail_msg("%s", err.message);
    return f;
}

/* The call fails with `code`, and its sentence holds `words` and the file's path. */
static void check_fails(const char *path, sotto_status code, const char *words)
{
    sotto_error err = {0};
    sotto__features *f;
    sotto_status st = decode(path, &f, &err);
    if (st != code || err.code != code || !strstr(err.message, words) || !strstr(err.message, path))
        fail_msg("%s: got %s (%s), expected %s with \"%s\"", path, sotto_status_name(st), err.message,
                 sotto_status_name(code), words);
    sotto__features_free(f);
}

static size_t file_bytes(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (size_t)info.st_size;
}

static const char *write_bytes(const char *name, const void *bytes, size_t n)
{
    const char *path = temp_file(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
    return path;
}

static void patch(const char *path, long at, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

/* Rounds to `bits`, as a file of that depth holds it. */
static float *quantised(const float *x, size_t n, int bits)
{
    float *q = malloc(n * sizeof *q);
    double full = ldexp(1.0, bits - 1);
    size_t i;
    assert_non_null(q);
    for (i = 0; i < n; i++) q[i] = (float)(nearbyint((double)x[i] * full) / full);
    return q;
}

static void pcm_at_16_khz_is_exact(void **state)
{
    static const struct {
        const char *name;
        int format, bits;
    } cases[] = {
        {"u8.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 8},     {"s16.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16},
        {"s24.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_24, 24},   {"f32.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 0},
        {"s16.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16}, {"s24.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 24},
        {"s16.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 16}, {"s16.w64", SF_FORMAT_W64 | SF_FORMAT_PCM_16, 16},
        {"s16.caf", SF_FORMAT_CAF | SF_FORMAT_PCM_16, 16},   {"s16.au", SF_FORMAT_AU | SF_FORMAT_PCM_16, 16},
    };
    enum { N = 50001 };
    float *x = signal_mixed(N, 16000.0, 21);
    size_t i;
    (void)state;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        float *q = cases[i].bits ? quantised(x, N, cases[i].bits) : NULL;
        sotto__features *expected = features_of(q ? q : x, N, MELS);
        sotto__features *f = decode_ok(write_sound(cases[i].name, cases[i].format, 16000, 1, q ? q : x, N));
        assert_features_equal(expected, f);
        sotto__features_free(expected);
        sotto__features_free(f);
        free(q);
    }
    free(x);
}

static void channels_are_averaged(void **state)
{
    enum { N = 40000 };
    float *x = signal_mixed(3 * N, 16000.0, 23), *mono = malloc(N * sizeof *mono);
    int channels;
    size_t i;
    (void)state;
    assert_non_null(mono);
    for (channels = 2; channels <= 3; channels++) {
        sotto__features *expected, *f;
        for (i = 0; i < N; i++) {
            double sum = 0.0;
            int c;
            for (c = 0; c < channels; c++) sum += (double)x[i * (size_t)channels + (size_t)c];
            mono[i] = (float)(sum / channels);
        }
        expected = features_of(mono, N, MELS);
        f = decode_ok(write_sound("channels.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, channels, x, N));
        assert_features_equal(expected, f);
        sotto__features_free(expected);
        sotto__features_free(f);
    }
    free(mono);
    free(x);
}

/* 8 channels at 192 kHz equal their mean, resampled in one piece. */
static void eight_channels_at_192_khz(void **state)
{
    enum { N = 192000, CHANNELS = 8 };
    float *x = malloc((size_t)N * CHANNELS * sizeof *x), *mono = malloc(N * sizeof *mono);
    sotto__resampler *r = NULL;
    sotto__features *expected = features_new(MELS), *f;
    const float *out;
    size_t i, c, n;
    uint64_t seed = 5;
    (void)state;
    assert_true(x && mono);
    for (i = 0; i < N; i++) {
        double sum = 0.0;
        for (c = 0; c < CHANNELS; c++) {
            x[i * CHANNELS + c] =
                (float)(0.4 * sin(2 * PI * 200.0 * (double)(c + 1) * (double)i / N) + 0.1 * signal_random(&seed));
            sum += (double)x[i * CHANNELS + c];
        }
        mono[i] = (float)(sum / CHANNELS);
    }
    assert_int_equal(sotto__resampler_open(&r, N, NULL), SOTTO_OK);
    assert_int_equal(sotto__resampler_push(r, mono, N, &out, &n, NULL), SOTTO_OK);
    assert_int_equal(sotto__features_push(expected, out, n, NULL), SOTTO_OK);
    assert_int_equal(sotto__resampler_push(r, NULL, 0, &out, &n, NULL), SOTTO_OK);
    assert_int_equal(sotto__features_push(expected, out, n, NULL), SOTTO_OK);
    assert_int_equal(sotto__features_finish(expected, NULL), SOTTO_OK);
    f = decode_ok(write_sound("eight.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, N, CHANNELS, x, N));
    assert_int_equal(sotto__features_samples(f), 16000);
    assert_features_equal(expected, f);
    sotto__resampler_free(r);
    sotto__features_free(expected);
    sotto__features_free(f);
    free(x);
    free(mono);
}

/* 1.5 s with a 1 kHz tone from 0.5 to 1.0 s */
static float *burst(int rate, size_t *n)
{
    float *x;
    size_t i;
    *n = (size_t)rate * 3 / 2;
    x = calloc(*n, sizeof *x);
    assert_non_null(x);
    for (i = (size_t)rate / 2; i < (size_t)rate; i++) x[i] = (float)(0.5 * sin(2 * PI * 1000.0 * (double)i / rate));
    return x;
}

/* The burst is where it was put, to a frame: no encoder delay is left. And the length is right to 1 ms, but for `head`
 * samples that the decoder may leave out and `tail` samples that the encoder may fill its last frame with. */
static void check_burst(const char *path, double head, double tail)
{
    sotto__features *f = decode_ok(path);
    double samples = (double)sotto__features_samples(f);
    float *w = window_of(f, 0, sotto__features_frames(f), SOTTO__PAD_ZERO), top = -9.0f;
    size_t t, m, first = 0, last = 0;
    float loud[3000];
    for (t = 0; t < 3000; t++) {
        loud[t] = -9.0f;
        for (m = 0; m < MELS; m++) loud[t] = fmaxf(loud[t], w[t * MELS + m]);
        top = fmaxf(top, loud[t]);
    }
    for (t = 0; t < sotto__features_frames(f); t++) {
        if (loud[t] < top - 0.25f) continue; /* 10 dB */
        if (!first) first = t;
        last = t;
    }
    if (first < 49 || first > 51 || last < 99 || last > 101 || samples < 24000.0 - 16.0 - head ||
        samples > 24000.0 + 16.0 + tail)
        fail_msg("%s: tone in frames %zu to %zu of %.0f samples, expected 50 to 100 of 24000", path, first, last,
                 samples);
    free(w);
    sotto__features_free(f);
}

static void compressed_files_keep_their_timing(void **state)
{
    size_t n;
    float *x = burst(48000, &n), *y = burst(16000, &n);
    (void)state;
    check_burst(write_sound("burst.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, y, 24000), 0, 0);
    /* FFmpeg's Vorbis decoder drops half of the first short block, 2.7 ms */
    check_burst(write_sound("burst.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 48000, 1, x, 72000), 128.0 / 3.0, 0);
    check_burst(write_sound("burst.opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 48000, 1, x, 72000), 0, 0);
    check_burst(write_sound("burst.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 48000, 1, x, 72000), 0, 0);
    free(x);
    free(y);
}

static void a_flac_that_ends_early_is_an_error(void **state)
{
    enum { N = 100000 };
    float *x = signal_mixed(N, 16000.0, 25);
    const char *path = write_sound("cut.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, x, N);
    (void)state;
    assert_int_equal(truncate(path, (off_t)(file_bytes(path) / 2)), 0);
    check_fails(path, SOTTO_EAUDIO, "of 100000 samples");
    assert_int_equal(truncate(path, 60), 0);
    check_fails(path, SOTTO_EAUDIO, "expected wav");
    free(x);
}

/* Recorders that are killed, and writers to pipes, leave such headers. */
static void a_wav_is_read_to_its_end(void **state)
{
    enum { N = 50000, CUT = 30000 };
    static const unsigned char unknown[4] = {0xff, 0xff, 0xff, 0xff}, none[4] = {0};
    float *x = signal_mixed(N, 16000.0, 27), *q = quantised(x, N, 16);
    sotto__features *whole = features_of(q, N, MELS), *part = features_of(q, CUT, MELS), *f;
    const char *path = write_sound("open.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, q, N);
    (void)state;
    patch(path, 4, unknown, 4);
    patch(path, 40, unknown, 4);
    f = decode_ok(path);
    assert_features_equal(whole, f);
    sotto__features_free(f);
    patch(path, 4, none, 4);
    patch(path, 40, none, 4);
#ifdef SOTTO_FFMPEG
    f = decode_ok(path);
    assert_features_equal(whole, f);
    sotto__features_free(f);
#else
    check_fails(path, SOTTO_EAUDIO, "holds no audio"); /* what libsndfile makes of a size of 0 */
#endif
    path = write_sound("killed.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, q, N);
    assert_int_equal(truncate(path, 44 + 2 * CUT), 0);
    f = decode_ok(path);
    assert_features_equal(part, f);
    sotto__features_free(f);
    sotto__features_free(whole);
    sotto__features_free(part);
    free(x);
    free(q);
}

static void what_is_not_audio_is_refused(void **state)
{
    static const char text[] = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n";
    static const char captions[] =
        "1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n2\n00:00:03,000 --> 00:00:04,000\nYou.\n";
    unsigned char junk[20000];
    uint64_t seed = 3;
    size_t i;
    float one = 0.5f;
    (void)state;
    for (i = 0; i < sizeof junk; i++) junk[i] = (unsigned char)(128.0 + 127.0 * signal_random(&seed));
    junk[0] = 0; /* no MPEG sync at the start */
    check_fails(temp_file("missing.wav"), SOTTO_ENOTFOUND, "No such file");
    check_fails(temp_path, SOTTO_EIO, "directory");
    check_fails("/dev/zero", SOTTO_EIO, "device");
    check_fails(write_bytes("empty.wav", "", 0), SOTTO_EAUDIO, "is empty, expected audio as wav");
    check_fails(write_bytes("text.wav", text, sizeof text - 1), SOTTO_EAUDIO, "expected wav, flac");
    check_fails(write_bytes("text.txt", text, sizeof text - 1), SOTTO_EAUDIO, "expected wav, flac");
    check_fails(write_bytes("captions.srt", captions, sizeof captions - 1), SOTTO_EAUDIO, "expected wav, flac");
    check_fails(write_bytes("junk.bin", junk, sizeof junk), SOTTO_EAUDIO, "expected wav, flac");
    check_fails(write_bytes("byte.mp3", "x", 1), SOTTO_EAUDIO, "expected wav, flac");
    check_fails(write_sound("zero.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, &one, 0), SOTTO_EAUDIO,
                "holds no audio");
}

/* Playlists name other files; none of them may be opened, whatever the list itself is called. */
static void playlists_are_not_followed(void **state)
{
    static const char *const lists[] = {"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n%s\n#EXT-X-ENDLIST\n",
                                        "ffconcat version 1.0\nfile '%s'\n"};
    float *x = signal_mixed(16000, 16000.0, 29);
    char path[4352], list[4600];
    size_t i;
    (void)state;
    snprintf(path, sizeof path, "%s", write_sound("target.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, x, 16000));
    for (i = 0; i < 2; i++) {
        int n = snprintf(list, sizeof list, lists[i], path);
        check_fails(write_bytes(i ? "list.ffconcat" : "list.m3u8", list, (size_t)n), SOTTO_EAUDIO, "expected wav");
        check_fails(write_bytes("list.mp4", list, (size_t)n), SOTTO_EAUDIO, "expected wav");
    }
    free(x);
}

static void bad_samples_name_their_place(void **state)
{
    float *x = signal_mixed(40000, 16000.0, 31);
    sotto_error err = {0};
    sotto__features *f;
    (void)state;
    x[33333] = NAN;
    assert_int_equal(decode(write_sound("nan.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 1, x, 40000), &f, &err),
                     SOTTO_EAUDIO);
    assert_non_null(strstr(err.message, "sample 33333 (2.083 s)"));
    sotto__features_free(f);
    free(x);
}

static bool cancel_third(void *user) { return ++*(int *)user >= 3; }

static void cancelling_stops_it(void **state)
{
    enum { N = 200000 };
    float *x = signal_mixed(N, 16000.0, 33);
    const char *path = write_sound("long.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, x, N);
    double stage_s[SOTTO_STAGE_COUNT] = {0};
    sotto__features *f = features_new(MELS);
    sotto_error err = {0};
    int polls = 0;
    (void)state;
    assert_int_equal(sotto__decode_file(f, path, stage_s, cancel_third, &polls, &err), SOTTO_ECANCELLED);
    assert_int_equal(polls, 3);
    sotto__features_free(f);
    path = write_sound("long.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 16000, 1, x, N); /* the other reader */
    f = features_new(MELS);
    polls = 0;
    assert_int_equal(sotto__decode_file(f, path, stage_s, cancel_third, &polls, &err), SOTTO_ECANCELLED);
    assert_int_equal(polls, 3);
    sotto__features_free(f);
    free(x);
}

static void build_info_names_the_decoders(void **state)
{
    const char *info = sotto__decode_build_info();
    (void)state;
    assert_ptr_equal(strstr(info, "libsndfile 1."), info);
#ifdef SOTTO_FFMPEG
    assert_non_null(strstr(info, ", ffmpeg "));
#endif
}

#ifdef SOTTO_FFMPEG
static void containers_of_ffmpeg_keep_their_timing(void **state)
{
    static const struct {
        const char *name, *muxer, *encoder;
    } cases[] = {
        {"burst.m4a", "ipod", "aac"},      {"burst.mp4", "mp4", "aac"},
        {"burst.webm", "webm", "libopus"}, {"burst.mkv", "matroska", "flac"},
        {"burst.mov", "mov", "pcm_s16le"}, {"burst.alac.m4a", "ipod", "alac"},
        {"lame.mp3", "mp3", "libmp3lame"}, {"burst.opus.mkv", "matroska", "libopus"},
        {"u8.mkv", "matroska", "pcm_u8"},  {"f64.mkv", "matroska", "pcm_f64le"},
    };
    size_t n, i, tested = 0;
    float *x = burst(48000, &n);
    (void)state;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!encode_file(temp_file(cases[i].name), cases[i].muxer, cases[i].encoder, x, n, 48000)) continue;
        check_burst(temp_file(cases[i].name), 0, 1024.0 / 3.0); /* one AAC frame */
        tested++;
    }
    if (tested < 4) fail_msg("only %zu encoders", tested);
    free(x);
}

/* Formats that carry no word on the encoder's delay: found and decoded, a tenth of a second late at most. */
static void streams_without_an_index_are_read(void **state)
{
    static const struct {
        const char *name, *muxer, *encoder;
    } cases[] = {
        {"burst.aac", "adts", "aac"}, {"burst.wma", "asf", "wmav2"}, {"burst.ts", "mpegts", "aac"},
        {"burst.ac3", "ac3", "ac3"},  {"burst.avi", "avi", "mp2"},   {"burst.flv", "flv", "aac"},
        {"burst.tta", "tta", "tta"},  {"burst.wv", "wv", "wavpack"}, {"adpcm.wav", "wav", "adpcm_ms"},
    };
    size_t n, i, tested = 0;
    float *x = burst(44100, &n);
    (void)state;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto__features *f;
        double seconds;
        if (!encode_file(temp_file(cases[i].name), cases[i].muxer, cases[i].encoder, x, n, 44100)) continue;
        f = decode_ok(temp_file(cases[i].name));
        seconds = (double)sotto__features_samples(f) / 16000.0;
        if (seconds < 1.45 || seconds > 1.65) fail_msg("%s: %.3f s, expected 1.5", cases[i].name, seconds);
        sotto__features_free(f);
        tested++;
    }
    if (tested < 4) fail_msg("only %zu encoders", tested);
    free(x);
}

static void an_mp4_that_ends_early_is_an_error(void **state)
{
    enum { N = 48000 * 8 };
    const char *path = temp_file("cut.mp4");
    float *x = signal_mixed(N, 48000.0, 35);
    (void)state;
    if (!encode_file(path, "mp4", "aac", x, N, 48000)) {
        free(x);
        skip();
    }
    sotto__features_free(decode_ok(path));
    assert_int_equal(truncate(path, (off_t)(file_bytes(path) / 2)), 0);
    check_fails(path, SOTTO_EAUDIO, "breaks off");
    assert_int_equal(truncate(path, 40), 0);
    check_fails(path, SOTTO_EAUDIO, "");
    free(x);
}

static void nothing_is_printed(void **state)
{
    enum { N = 48000 * 4 };
    static const char *const names[] = {"noisy.mp3", "noisy.m4a", "noisy.ogg"};
    float *x = signal_mixed(N, 48000.0, 37);
    const char *printed = temp_file("printed");
    int saved[2], to = open(printed, O_CREAT | O_RDWR | O_CLOEXEC, 0600), fd;
    size_t i, k;
    (void)state;
    assert_true(to >= 0);
    write_sound(names[0], SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 48000, 1, x, N);
    if (!encode_file(temp_file(names[1]), "ipod", "aac", x, N, 48000)) write_bytes(names[1], "moov", 4);
    write_sound(names[2], SF_FORMAT_OGG | SF_FORMAT_VORBIS, 48000, 1, x, N);
    fflush(NULL);
    for (fd = 1; fd <= 2; fd++) {
        saved[fd - 1] = dup(fd);
        assert_int_equal(dup2(to, fd), fd);
    }
    for (i = 0; i < 3; i++) {
        const char *path = temp_file(names[i]);
        size_t bytes = file_bytes(path);
        for (k = 1; k < 20; k++) { /* junk spread over the file */
            sotto__features *f;
            patch(path, (long)(bytes * k / 20), "\xff\xfbjunk\0\0\xaa\xaa\xaa\xaa", 12);
            (void)decode(path, &f, NULL);
            sotto__features_free(f);
        }
    }
    fflush(NULL);
    for (fd = 1; fd <= 2; fd++) {
        dup2(saved[fd - 1], fd);
        close(saved[fd - 1]);
    }
    close(to);
    assert_int_equal(file_bytes(printed), 0);
    free(x);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pcm_at_16_khz_is_exact),
        cmocka_unit_test(channels_are_averaged),
        cmocka_unit_test(eight_channels_at_192_khz),
        cmocka_unit_test(compressed_files_keep_their_timing),
        cmocka_unit_test(a_flac_that_ends_early_is_an_error),
        cmocka_unit_test(a_wav_is_read_to_its_end),
        cmocka_unit_test(what_is_not_audio_is_refused),
        cmocka_unit_test(playlists_are_not_followed),
        cmocka_unit_test(bad_samples_name_their_place),
        cmocka_unit_test(cancelling_stops_it),
        cmocka_unit_test(build_info_names_the_decoders),
#ifdef SOTTO_FFMPEG
        cmocka_unit_test(containers_of_ffmpeg_keep_their_timing),
        cmocka_unit_test(streams_without_an_index_are_read),
        cmocka_unit_test(an_mp4_that_ends_early_is_an_error),
        cmocka_unit_test(nothing_is_printed),
#endif
    };
    return cmocka_run_group_tests(tests, temp_create, temp_remove);
}
