/* SPDX-License-Identifier: MIT
 * Wyoming's bytes: events cut anywhere, everything that is none, bounds, what is written, and heads of WAV files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wyoming_request.h"
#include "wyoming_wire.h"

enum { MOST_PAYLOAD = 1000 };

/* What a reader made of some bytes, as one line of text: "describe{} ping{"text":"a"} audio-chunk{…}[abc]". */
static wyoming_step read_all(const char *bytes, size_t n, size_t piece, char *out, size_t size)
{
    wyoming_reader r;
    wyoming_step step = WYOMING_MORE;
    size_t used = 0;
    out[0] = '\0';
    wyoming_reader_init(&r, MOST_PAYLOAD);
    for (size_t i = 0; i < n && step != WYOMING_BROKEN; i += piece) {
        const char *at = bytes + i;
        size_t left = n - i < piece ? n - i : piece;
        while ((step = wyoming_read(&r, &at, &left)) != WYOMING_MORE && step != WYOMING_BROKEN) {
            if (step == WYOMING_EVENT) {
                char *data = json_dumps(r.data, JSON_COMPACT | JSON_SORT_KEYS);
                used += (size_t)snprintf(out + used, size - used, "%s%s%s%s", used ? " " : "", r.type, data,
                                         r.payload_left ? ":" : "");
                free(data);
            } else {
                assert_true(r.payload_n > 0);
                used += (size_t)snprintf(out + used, size - used, "%.*s", (int)r.payload_n, r.payload);
            }
        }
        if (step == WYOMING_MORE) assert_int_equal(left, 0);
    }
    if (step == WYOMING_BROKEN) snprintf(out, size, "%s", r.why);
    wyoming_reader_free(&r);
    return step;
}

static void test_cut_anywhere(void **state)
{
    static const char bytes[] = "{\"type\": \"describe\"}\n"
                                "{\"type\": \"ping\", \"data\": {\"text\": \"a\"}, \"version\": \"1.10.2\"}\r\n"
                                "{\"type\": \"transcribe\", \"data\": {\"name\": \"x\", \"language\": \"de\"}, "
                                "\"data_length\": 20}\n{\"language\":   \"en\"}"
                                "{\"type\": \"audio-chunk\", \"data_length\": 12, \"payload_length\": 6}\n"
                                "{\"rate\": 16}\n{\n}\n{"
                                "{\"type\": \"audio-stop\", \"data\": null, \"data_length\": null, "
                                "\"payload_length\": 0}\n"
                                "{\"type\": \"x\", \"payload_length\": 2}\nok";
    static const char expected[] = "describe{} ping{\"text\":\"a\"} transcribe{\"language\":\"en\",\"name\":\"x\"} "
                                   "audio-chunk{\"rate\":16}:\n{\n}\n{ audio-stop{} x{}:ok";
    char out[1000];
    (void)state;
    for (size_t piece = 1; piece <= sizeof bytes; piece++) {
        assert_int_equal(read_all(bytes, sizeof bytes - 1, piece, out, sizeof out), WYOMING_MORE);
        assert_string_equal(out, expected);
    }
}

static void test_what_is_none(void **state)
{
    static const struct {
        const char *bytes, *why;
    } wrong[] = {
        {"\n", "the line is no JSON object"},
        {"GET / HTTP/1.1\r\n", "the line is no JSON object"},
        {"[1]\n", "the line is no JSON object"},
        {"\"describe\"\n", "the line is no JSON object"},
        {"{\"type\": \"describe\"\n", "the line is no JSON object"},
        {"{\"type\": \"describe\"} {}\n", "the line is no JSON object"},
        {"{\"type\": \"\xff\"}\n", "the line is no JSON object"},
        {"{}\n", "no \"type\" that is a string"},
        {"{\"type\": 1}\n", "no \"type\" that is a string"},
        {"{\"type\": null}\n", "no \"type\" that is a string"},
        {"{\"type\": \"x\", \"data\": 1}\n", "\"data\" of the line is no JSON object"},
        {"{\"type\": \"x\", \"data\": []}\n", "\"data\" of the line is no JSON object"},
        {"{\"type\": \"x\", \"data_length\": -1}\n", "data_length should be a whole number from 0 to 65536"},
        {"{\"type\": \"x\", \"data_length\": 65537}\n", "data_length should be a whole number"},
        {"{\"type\": \"x\", \"data_length\": 1.5}\n", "data_length should be a whole number"},
        {"{\"type\": \"x\", \"data_length\": \"3\"}\n", "data_length should be a whole number"},
        {"{\"type\": \"x\", \"data_length\": 18446744073709551617}\n", "the line is no JSON object"},
        {"{\"type\": \"x\", \"payload_length\": -1}\n", "payload_length should be a whole number from 0 to 1000"},
        {"{\"type\": \"x\", \"payload_length\": 1001}\n", "payload_length should be a whole number"},
        {"{\"type\": \"x\", \"payload_length\": 9223372036854775807}\n", "payload_length should be a whole number"},
        {"{\"type\": \"x\", \"payload_length\": true}\n", "payload_length should be a whole number"},
        {"{\"type\": \"x\", \"data_length\": 3}\nabc", "the data is no JSON object"},
        {"{\"type\": \"x\", \"data_length\": 2}\n[]", "the data is no JSON object"},
        {"{\"type\": \"x\", \"data_length\": 4}\n{} }", "the data is no JSON object"},
    };
    char out[1000];
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (size_t piece = 1; piece < 40; piece++) {
            assert_int_equal(read_all(wrong[i].bytes, strlen(wrong[i].bytes), piece, out, sizeof out), WYOMING_BROKEN);
            if (!strstr(out, wrong[i].why)) fail_msg("%s: %s", wrong[i].bytes, out);
        }
}

/* Refused by the byte that is too many, whether or not the line ever ends; nothing is kept beyond the bound. */
static void test_long_lines(void **state)
{
    static char bytes[WYOMING_LINE_BYTES + 2];
    static char out[WYOMING_LINE_BYTES + 100];
    (void)state;
    memset(bytes, 'x', sizeof bytes);
    for (size_t piece = 1000; piece <= sizeof bytes; piece += 21000) {
        assert_int_equal(read_all(bytes, WYOMING_LINE_BYTES, piece, out, sizeof out), WYOMING_MORE);
        assert_int_equal(read_all(bytes, WYOMING_LINE_BYTES + 1, piece, out, sizeof out), WYOMING_BROKEN);
        assert_non_null(strstr(out, "longer than 65536"));
    }
    int n = snprintf(bytes, sizeof bytes, "{\"type\":\"");
    bytes[n] = 'x';
    memcpy(bytes + WYOMING_LINE_BYTES - 2, "\"}\n", 3);
    assert_int_equal(read_all(bytes, WYOMING_LINE_BYTES + 1, 999, out, sizeof out), WYOMING_MORE);
    assert_int_equal(strlen(out), WYOMING_LINE_BYTES - n - 2 + 2); /* the type and "{}" */
}

/* Random bytes, and sound events with random bytes in them, in random pieces: an answer every time, no more than that.
 */
static void test_garbage(void **state)
{
    static const char sound[] =
        "{\"type\":\"audio-chunk\",\"data_length\":12,\"payload_length\":4}\n{\"rate\": 16}\nabc";
    uint32_t seed = 1;
    char bytes[300], out[2000];
    int broken = 0, fine = 0;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t n = 0;
        while (n + sizeof sound < sizeof bytes) {
            memcpy(bytes + n, sound, sizeof sound - 1);
            n += sizeof sound - 1;
        }
        for (int k = 0; k < round % 4; k++) {
            seed = seed * 1664525 + 1013904223;
            bytes[(seed >> 8) % n] = (char)(seed >> 24);
        }
        wyoming_step step = read_all(bytes, n, 1 + (seed >> 12) % 97, out, sizeof out);
        assert_true(step == WYOMING_MORE || step == WYOMING_BROKEN);
        *(step == WYOMING_BROKEN ? &broken : &fine) += 1;
    }
    assert_true(broken > 5000 && fine > 5000);
}

static void test_write(void **state)
{
    size_t n;
    char out[200];
    char *bytes = wyoming_write("transcript", json_pack("{s:s}", "text", "a\n\"é\""), &n);
    (void)state;
    assert_int_equal(n, strlen(bytes));
    assert_int_equal(read_all(bytes, n, 7, out, sizeof out), WYOMING_MORE);
    assert_string_equal(out, "transcript{\"text\":\"a\\n\\\"é\\\"\"}");
    assert_non_null(strstr(bytes, "\"data_length\":20}\n{"));
    free(bytes);
    assert_null(wyoming_write("info", NULL, &n));
    assert_int_equal(n, 0);
}

static void test_wav_head(void **state)
{
    static const uint8_t expected[WYOMING_WAV_HEAD_BYTES] = {
        'R', 'I', 'F',  'F',  0x24, 0x10, 0,    0,    'W', 'A', 'V', 'E', 'f', 'm', 't', ' ', 16,  0,   0, 0,    1, 0,
        2,   0,   0x44, 0xac, 0,    0,    0x10, 0xb1, 2,   0,   4,   0,   16,  0,   'd', 'a', 't', 'a', 0, 0x10, 0, 0};
    const wyoming_format f = {.rate = 44100, .width = 2, .channels = 2};
    uint8_t head[WYOMING_WAV_HEAD_BYTES];
    (void)state;
    wyoming_wav_head(&f, 0x1000, head);
    assert_memory_equal(head, expected, sizeof head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_what_is_none), cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_garbage),      cmocka_unit_test(test_write),        cmocka_unit_test(test_wav_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
