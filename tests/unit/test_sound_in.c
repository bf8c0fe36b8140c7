/* SPDX-License-Identifier: MIT
 * Sound that comes into `sotto live`: WAV and bare samples from a pipe; which microphone a name means. */
#include "cmocka_all.h"

#include <string.h>

#include "mic.h"
#include "pcm.h"

/* ---- standard input ------------------------------------------------------------------------------------------- */

#define LE16(v) (v) & 0xFF, (v) >> 8 & 0xFF
#define LE32(v) LE16(v), (v) >> 16 & 0xFF, (v) >> 24 & 0xFF
#define WAV(tag, channels, rate, bits, data)                                                                           \
    'R', 'I', 'F', 'F', LE32(0u), 'W', 'A', 'V', 'E', 'L', 'I', 'S', 'T', LE32(3u), 'a', 'b', 'c', 0, 'f', 'm', 't',   \
        ' ', LE32(16u), LE16(tag), LE16(channels), LE32(rate), LE32(0u), LE16(0u), LE16(bits), 'd', 'a', 't', 'a',     \
        LE32(data)
enum { HEAD = 56 };

static void wav_header_in_pieces(void **state)
{
    const unsigned char b[] = {WAV(1u, 2u, 44100u, 16u, 8u), 0, 0};
    pcm p;
    size_t used;
    sotto_status st;
    sotto_error err;
    (void)state;
    for (size_t n = 0; n < HEAD; n++) assert_false(pcm_begin(&p, b, n, false, &used, &st, &err));
    assert_true(pcm_begin(&p, b, sizeof b, false, &used, &st, &err));
    assert_int_equal(st, SOTTO_OK);
    assert_int_equal(used, HEAD);
    assert_int_equal(p.rate, 44100);
    assert_int_equal(p.left, 8);
    assert_int_equal(pcm_frame(&p), 4);
    /* cut off in the middle of the header */
    for (size_t n = 12; n < HEAD; n++) {
        assert_true(pcm_begin(&p, b, n, true, &used, &st, &err));
        assert_int_equal(st, SOTTO_EFORMAT);
    }
    const unsigned char endless[] = {WAV(1u, 1u, 16000u, 16u, 0xFFFFFFFFu)};
    assert_true(pcm_begin(&p, endless, sizeof endless, false, &used, &st, &err));
    assert_true(p.left == UINT64_MAX);
}

static void bare_samples(void **state)
{
    const unsigned char b[] = {0, 0, 0, 0x80, 0xFF, 0x7F, 1, 0, 1, 0, 1, 0};
    float out[3];
    pcm p;
    size_t used;
    sotto_status st;
    (void)state;
    assert_false(pcm_begin(&p, b, 6, false, &used, &st, NULL));
    assert_true(pcm_begin(&p, b, sizeof b, false, &used, &st, NULL));
    assert_int_equal(used, 0);
    assert_int_equal(p.rate, 16000);
    assert_true(pcm_begin(&p, b, 6, true, &used, &st, NULL));
    pcm_decode(&p, b, 3, out);
    assert_true(out[0] == 0 && out[1] == -1 && out[2] > 0.9999f && out[2] < 1);
}

static void unknown_formats(void **state)
{
    const unsigned char cases[][HEAD] = {{WAV(2u, 1u, 16000u, 4u, 8u)},   {WAV(1u, 1u, 16000u, 12u, 8u)},
                                         {WAV(3u, 1u, 16000u, 64u, 8u)},  {WAV(1u, 0u, 16000u, 16u, 8u)},
                                         {WAV(1u, 65u, 16000u, 16u, 8u)}, {WAV(1u, 1u, 4000u, 16u, 8u)}};
    pcm p;
    size_t used;
    sotto_status st;
    sotto_error err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(pcm_begin(&p, cases[i], HEAD, false, &used, &st, &err));
        assert_int_equal(st, SOTTO_EUNSUPPORTED);
    }
}

static void sample_formats(void **state)
{
    static const struct {
        unsigned bits;
        bool is_float;
        unsigned char bytes[8]; /* two channels: 0.5 and -0.25 */
    } cases[] = {{8, false, {192, 96}},
                 {16, false, {0, 0x40, 0, 0xE0}},
                 {24, false, {0, 0, 0x40, 0, 0, 0xE0}},
                 {32, false, {0, 0, 0, 0x40, 0, 0, 0, 0xE0}},
                 {32, true, {0, 0, 0, 0x3F, 0, 0, 0x80, 0xBE}}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pcm p = {.rate = 16000, .channels = 2, .bits = cases[i].bits, .is_float = cases[i].is_float};
        float out;
        pcm_decode(&p, cases[i].bytes, 1, &out);
        if (out != 0.125f) fail_msg("%u bits: %f", cases[i].bits, (double)out);
    }
    const unsigned char nan[] = {0, 0, 0xC0, 0x7F};
    float out = 1;
    pcm_decode(&(pcm){.channels = 1, .bits = 32, .is_float = true}, nan, 1, &out);
    assert_true(out == 0);
}

/* ---- microphones ---------------------------------------------------------------------------------------------- */

static const mic_device devices[] = {
    {.index = 0, .name = "HDA Intel PCH: ALC257 (hw:0,0)"},
    {.index = 3, .name = "sysdefault"},
    {.index = 4, .name = "USB Audio: #1"},
    {.index = 6, .name = "default", .is_default = true},
};
enum { DEVICES = sizeof devices / sizeof *devices };

static void picks(void **state)
{
    static const struct {
        const char *wanted;
        size_t at;
    } cases[] = {{NULL, 3}, {"", 3}, {"4", 2}, {"usb", 2}, {"Default", 3}, {"sysdef", 1}, {"alc257", 0}, {"#1", 2}};
    size_t at;
    sotto_error err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        at = 99;
        assert_int_equal(mic_pick(devices, DEVICES, cases[i].wanted, &at, &err), SOTTO_OK);
        assert_int_equal(at, cases[i].at);
    }
}

static void picks_nothing(void **state)
{
    size_t at;
    sotto_error err;
    (void)state;
    assert_int_equal(mic_pick(devices, DEVICES, "webcam", &at, &err), SOTTO_ENOTFOUND);
    assert_string_equal(err.message,
                        "there is no microphone \"webcam\"; there are: 0 \"HDA Intel PCH: ALC257 (hw:0,0)\", "
                        "3 \"sysdefault\", 4 \"USB Audio: #1\", 6 \"default\"");
    assert_int_equal(mic_pick(devices, DEVICES, "1", &at, &err), SOTTO_ENOTFOUND);
    assert_non_null(strstr(err.message, "there is no microphone 1; there are: 0 "));
    assert_int_equal(mic_pick(devices, DEVICES, "a", &at, &err), SOTTO_EINVAL);
    assert_non_null(strstr(err.message, "\"a\" is in the names of several microphones: 0 "));
    assert_int_equal(mic_pick(devices, 0, NULL, &at, &err), SOTTO_ENOTFOUND);
    assert_string_equal(err.message, "there is no microphone");
    assert_int_equal(mic_pick(devices, 2, NULL, &at, &err), SOTTO_ENOTFOUND);
    assert_non_null(strstr(err.message, "choose with --device"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wav_header_in_pieces), cmocka_unit_test(bare_samples), cmocka_unit_test(unknown_formats),
        cmocka_unit_test(sample_formats),       cmocka_unit_test(picks),        cmocka_unit_test(picks_nothing),
    };
    return cmocka_run_group_tests_name("sound-in", tests, NULL, NULL);
}
