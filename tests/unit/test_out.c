/* SPDX-License-Identifier: MIT
 * Writers of results, byte by byte, against what whisper.utils' writers and OpenAI's schema give. */
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"

#include "sotto.h"

static const int32_t tokens[] = {50363, 1400, 50413};
static const sotto_word words[] = {
    {" Ask", 0.0, 0.32, 0.5}, {" not", 0.32, 1.0051, 0.25}, {" what -->", 3599.9996, 3600.5, NAN}};
static const sotto_segment segments[] = {
    {.id = 0,
     .seek_frames = 0,
     .start_s = 0,
     .end_s = 1.0051,
     .text = " Ask not",
     .tokens = tokens,
     .n_tokens = 3,
     .temperature = 0,
     .avg_logprob = -0.25,
     .compression_ratio = 1.5,
     .no_speech_prob = 0.125,
     .words = words,
     .n_words = 2},
    {.id = 1,
     .seek_frames = 3000,
     .start_s = 3599.9996,
     .end_s = 3661.042,
     .text = " what -->\tyour\n\"country\" ",
     .temperature = 0.2,
     .avg_logprob = -INFINITY,
     .compression_ratio = NAN,
     .no_speech_prob = NAN,
     .words = words + 2,
     .n_words = 1},
};
static const sotto_result two = {.text = "Ask not what --> your \"country\"",
                                 .language = "en",
                                 .language_probability = 1,
                                 .duration_s = 8.47,
                                 .segments = segments,
                                 .n_segments = 2};
static const sotto_result none = {.text = "", .language = "en", .duration_s = 0};

static char *write_as(const sotto_result *result, sotto_format format, bool with_segments, bool with_words)
{
    sotto_write_options options;
    sotto_error err = {.message = ""};
    char *out = NULL;
    sotto_write_options_default(&options);
    options.segments = with_segments;
    options.words = with_words;
    if (sotto_result_write(result, NULL, format, &options, &out, &err) != SOTTO_OK) fail_msg("%s", err.message);
    return out;
}

static void check(const sotto_result *result, sotto_format format, bool with_words, const char *expected)
{
    char *out = write_as(result, format, true, with_words);
    assert_string_equal(out, expected);
    sotto_string_free(out);
}

static void plain_texts(void **state)
{
    (void)state;
    check(&two, SOTTO_FORMAT_TXT, false, "Ask not\nwhat --> your \"country\"\n");
    check(&two, SOTTO_FORMAT_TEXT, false, "Ask not what --> your \"country\"\n");
    check(&two, SOTTO_FORMAT_TSV, false,
          "start\tend\ttext\n0\t1005\tAsk not\n3600000\t3661042\twhat --> your \"country\"\n");
}

/* Hours appear in vtt only when needed; 3599.9996 s rounds up into the hour; an arrow in a text cannot be a cue's. */
static void subtitles(void **state)
{
    (void)state;
    check(&two, SOTTO_FORMAT_SRT, false,
          "1\n00:00:00,000 --> 00:00:01,005\nAsk not\n\n"
          "2\n01:00:00,000 --> 01:01:01,042\nwhat -> your \"country\"\n\n");
    check(&two, SOTTO_FORMAT_VTT, false,
          "WEBVTT\n\n00:00.000 --> 00:01.005\nAsk not\n\n01:00:00.000 --> 01:01:01.042\nwhat -> your \"country\"\n\n");
}

static void a_cue_a_word(void **state)
{
    (void)state;
    sotto_result without = two;
    sotto_segment bare = segments[0];
    check(&two, SOTTO_FORMAT_SRT, true,
          "1\n00:00:00,000 --> 00:00:00,320\nAsk\n\n2\n00:00:00,320 --> 00:00:01,005\nnot\n\n"
          "3\n01:00:00,000 --> 01:00:00,500\nwhat ->\n\n");
    bare.words = NULL;
    bare.n_words = 0;
    without.segments = &bare;
    without.n_segments = 1;
    check(&without, SOTTO_FORMAT_VTT, true, "WEBVTT\n\n00:00.000 --> 00:01.005\nAsk not\n\n");
}

static void empty_results(void **state)
{
    (void)state;
    check(&none, SOTTO_FORMAT_TXT, false, "");
    check(&none, SOTTO_FORMAT_TEXT, false, "\n");
    check(&none, SOTTO_FORMAT_SRT, true, "");
    check(&none, SOTTO_FORMAT_VTT, true, "WEBVTT\n\n");
    check(&none, SOTTO_FORMAT_TSV, false, "start\tend\ttext\n");
    check(&none, SOTTO_FORMAT_JSON, false, "{\"text\": \"\", \"usage\": {\"type\": \"duration\", \"seconds\": 0}}\n");
    check(&none, SOTTO_FORMAT_VERBOSE_JSON, true,
          "{\"task\": \"transcribe\", \"language\": \"english\", \"duration\": 0.0, \"text\": \"\", \"segments\": [], "
          "\"words\": [], \"usage\": {\"type\": \"duration\", \"seconds\": 0}}\n");
}

static void json_short(void **state)
{
    (void)state;
    check(&two, SOTTO_FORMAT_JSON, false,
          "{\"text\": \"Ask not what --> your \\\"country\\\"\", "
          "\"usage\": {\"type\": \"duration\", \"seconds\": 9}}\n");
}

static void json_verbose(void **state)
{
    (void)state;
    check(&two, SOTTO_FORMAT_VERBOSE_JSON, true,
          "{\"task\": \"transcribe\", \"language\": \"english\", \"duration\": 8.47, "
          "\"text\": \"Ask not what --> your \\\"country\\\"\", \"segments\": ["
          "{\"id\": 0, \"seek\": 0, \"start\": 0.0, \"end\": 1.005, \"text\": \" Ask not\", "
          "\"tokens\": [50363, 1400, 50413], \"temperature\": 0.0, \"avg_logprob\": -0.25, "
          "\"compression_ratio\": 1.5, \"no_speech_prob\": 0.125}, "
          "{\"id\": 1, \"seek\": 3000, \"start\": 3600.0, \"end\": 3661.042, "
          "\"text\": \" what -->\\tyour\\n\\\"country\\\" \", \"tokens\": [], \"temperature\": 0.2, "
          "\"avg_logprob\": null, \"compression_ratio\": null, \"no_speech_prob\": null}], "
          "\"words\": [{\"word\": \"Ask\", \"start\": 0.0, \"end\": 0.32, \"probability\": 0.5}, "
          "{\"word\": \"not\", \"start\": 0.32, \"end\": 1.005, \"probability\": 0.25}, "
          "{\"word\": \"what -->\", \"start\": 3600.0, \"end\": 3600.5, \"probability\": null}], "
          "\"usage\": {\"type\": \"duration\", \"seconds\": 9}}\n");
}

/* OpenAI leaves segments out when only words are asked for, and words out unless asked for. */
static void json_granularities(void **state)
{
    (void)state;
    for (int mask = 0; mask < 4; mask++) {
        char *out = write_as(&two, SOTTO_FORMAT_VERBOSE_JSON, mask & 1, mask & 2);
        json_t *o = json_loads(out, 0, NULL);
        assert_non_null(o);
        assert_int_equal(json_object_get(o, "segments") != NULL, (mask & 1) != 0);
        assert_int_equal(json_object_get(o, "words") != NULL, (mask & 2) != 0);
        json_decref(o);
        sotto_string_free(out);
    }
}

static void broken_utf8_stays_valid_json(void **state)
{
    (void)state;
    sotto_result broken = none;
    broken.text = "a\xC3(\xFF"
                  "b";
    check(&broken, SOTTO_FORMAT_JSON, false,
          "{\"text\": \"a\xEF\xBF\xBD(\xEF\xBF\xBD"
          "b\", \"usage\": {\"type\": \"duration\", \"seconds\": 0}}\n");
}

/* Times that no run should give must still give a file that parses. */
static void odd_times(void **state)
{
    (void)state;
    sotto_segment odd = {.text = "x", .start_s = -0.01, .end_s = NAN};
    sotto_result result = {.text = "x", .language = "xx", .duration_s = INFINITY, .segments = &odd, .n_segments = 1};
    check(&result, SOTTO_FORMAT_SRT, false, "1\n00:00:00,000 --> 00:00:00,000\nx\n\n");
    char *out = write_as(&result, SOTTO_FORMAT_VERBOSE_JSON, true, false);
    json_t *o = json_loads(out, 0, NULL);
    assert_non_null(o);
    assert_true(json_is_null(json_object_get(o, "duration")));
    assert_string_equal(json_string_value(json_object_get(o, "language")), "xx");
    json_decref(o);
    sotto_string_free(out);
}

static void format_names(void **state)
{
    (void)state;
    static const char *const names[] = {"txt", "text", "json", "verbose_json", "srt", "vtt", "tsv"};
    sotto_format format;
    for (unsigned i = 0; i < 7; i++) {
        assert_true(sotto_format_parse(names[i], &format));
        assert_int_equal(format, i);
        assert_string_equal(sotto_format_name(format), names[i]);
    }
    assert_true(sotto_format_parse("SRT", &format));
    assert_false(sotto_format_parse("sr", &format));
    assert_false(sotto_format_parse("", &format));
    assert_false(sotto_format_parse(NULL, &format));
    assert_null(sotto_format_name((sotto_format)7));
}

static void bad_arguments(void **state)
{
    (void)state;
    sotto_error err;
    char *out = (char *)1;
    assert_int_equal(sotto_result_write(NULL, NULL, SOTTO_FORMAT_TXT, NULL, &out, &err), SOTTO_EINVAL);
    assert_null(out);
    assert_int_equal(sotto_result_write(&two, NULL, (sotto_format)99, NULL, &out, &err), SOTTO_EINVAL);
    assert_string_equal(err.message, "sotto_result_write: there is no format 99");
    assert_int_equal(sotto_result_write(&two, NULL, SOTTO_FORMAT_TXT, NULL, NULL, NULL), SOTTO_EINVAL);
}

/* Options shorter than today's are those of an older header; none, or longer ones, were never filled in. */
static void options_by_size(void **state)
{
    (void)state;
    sotto_write_options options;
    sotto_error err = {.message = ""};
    char *out = NULL;
    sotto_write_options_default(&options);
    options.segments = false;
    options.words = true;
    options.size = offsetof(sotto_write_options, words);
    assert_int_equal(sotto_result_write(&two, NULL, SOTTO_FORMAT_VERBOSE_JSON, &options, &out, &err), SOTTO_OK);
    assert_null(strstr(out, "\"segments\""));
    assert_null(strstr(out, "\"words\""));
    sotto_string_free(out);
    const size_t wrong[] = {0, sizeof options + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        options.size = wrong[i];
        out = (char *)1;
        assert_int_equal(sotto_result_write(&two, NULL, SOTTO_FORMAT_TXT, &options, &out, &err), SOTTO_EINVAL);
        assert_null(out);
        assert_string_equal(err.message, "write options are not from sotto_write_options_default");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_texts),        cmocka_unit_test(subtitles),
        cmocka_unit_test(a_cue_a_word),       cmocka_unit_test(empty_results),
        cmocka_unit_test(json_short),         cmocka_unit_test(json_verbose),
        cmocka_unit_test(json_granularities), cmocka_unit_test(broken_utf8_stays_valid_json),
        cmocka_unit_test(odd_times),          cmocka_unit_test(format_names),
        cmocka_unit_test(bad_arguments),      cmocka_unit_test(options_by_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
