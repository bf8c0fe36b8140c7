/* SPDX-License-Identifier: MIT
 * Form fields of a transcription request -> options, and the sentence for every way they can be wrong. */
#include "cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "form_fill.h"

/* Fills `f` from name, value, …, NULL; the status a client would get, 0 = fine. */
static unsigned fill(form *f, const form_facts *facts, api_error *e, ...)
{
    va_list args;
    form_init(f);
    *e = (api_error){0};
    va_start(args, e);
    bool ok = form_fill(f, e, args);
    va_end(args);
    ok = ok && form_finish(f, facts, e);
    return ok ? 0 : e->status;
}

#define ACCEPT(facts, ...) assert_int_equal(fill(&f, facts, &e, __VA_ARGS__, NULL), 0)
#define REFUSE(facts, code, field, ...)                                                                                \
    do {                                                                                                               \
        assert_int_equal(fill(&f, facts, &e, __VA_ARGS__, NULL), code);                                                \
        assert_string_equal(e.param, field);                                                                           \
        assert_true(strlen(e.message) > 10);                                                                           \
        form_free(&f);                                                                                                 \
    } while (0)

static void test_defaults(void **state)
{
    form f;
    api_error e;
    (void)state;
    assert_int_equal(fill(&f, &english, &e, NULL), 0);
    assert_int_equal(f.format, SOTTO_FORMAT_JSON);
    assert_int_equal(f.options.size, sizeof f.options);
    assert_true(f.options.temperature == 0 && f.options.temperature_increment == 0.2);
    assert_true(f.write.segments && !f.write.words);
    form_free(&f);
}

static void test_temperature(void **state)
{
    form f;
    api_error e;
    (void)state;
    ACCEPT(&english, "temperature", "0");
    assert_true(f.options.temperature_increment == 0.2);
    form_free(&f);
    /* A temperature of one's own is kept to … */
    ACCEPT(&english, "temperature", "0.4");
    assert_true(f.options.temperature == 0.4 && f.options.temperature_increment == 0);
    form_free(&f);
    /* … unless the fallback is asked for. */
    ACCEPT(&english, "temperature_inc", "0.1", "temperature", "0.4");
    assert_true(f.options.temperature_increment == 0.1);
    form_free(&f);
    REFUSE(&english, 400, "temperature", "temperature", "1.5");
    REFUSE(&english, 400, "temperature", "temperature", "hot");
    REFUSE(&english, 400, "temperature", "temperature", "0.2x");
    REFUSE(&english, 400, "temperature", "temperature", "0", "temperature", "1");
}

static void test_granularities(void **state)
{
    static const char *const names[] = {"timestamp_granularities", "timestamp_granularities[]",
                                        "timestamp_granularities[0]"};
    form f;
    api_error e;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        ACCEPT(&english, names[i], "word", "response_format", "verbose_json");
        assert_true(f.options.word_timestamps && f.write.words && f.write.segments);
        form_free(&f);
        ACCEPT(&english, names[i], "segment", "response_format", "verbose_json");
        assert_true(!f.options.word_timestamps && !f.write.words && f.write.segments);
        form_free(&f);
        ACCEPT(&english, names[i], "segment, word", "response_format", "verbose_json");
        assert_true(f.write.words);
        form_free(&f);
        ACCEPT(&english, names[i], " [\"segment\", \"word\"]", "response_format", "vtt");
        assert_true(f.write.words);
        form_free(&f);
        REFUSE(&english, 400, "timestamp_granularities", names[i], "letter", "response_format", "verbose_json");
        REFUSE(&english, 400, "timestamp_granularities", names[i], "[\"word\"", "response_format", "verbose_json");
        REFUSE(&english, 400, "timestamp_granularities", names[i], "[1]", "response_format", "verbose_json");
        REFUSE(&english, 400, "timestamp_granularities", names[i], "word,", "response_format", "verbose_json");
        REFUSE(&english, 400, "timestamp_granularities", names[i], "word", "response_format", "json");
    }
    ACCEPT(&english, names[1], "word", names[1], "segment", "response_format", "srt");
    form_free(&f);
}

static void test_model(void **state)
{
    form f;
    api_error e;
    (void)state;
    for (const char *const *name = (const char *const[]){"tiny.en", "whisper-1", "default", NULL}; *name; name++) {
        ACCEPT(&english, "model", *name);
        form_free(&f);
    }
    for (const char *const *name = (const char *const[]){"base", "../tiny.en", "/etc/passwd", "tiny.en/", NULL}; *name;
         name++) {
        REFUSE(&english, 404, "model", "model", *name);
        assert_string_equal(e.code, "model_not_found");
    }
}

static void test_languages_and_tasks(void **state)
{
    const form_facts translate = {.model = "tiny.en", .multilingual = false, .task = SOTTO_TASK_TRANSLATE};
    const form_facts translate_many = {.model = "base", .multilingual = true, .task = SOTTO_TASK_TRANSLATE};
    form f;
    api_error e;
    (void)state;
    ACCEPT(&english, "language", "English");
    form_free(&f);
    ACCEPT(&many, "language", "de", "prompt", "Äpfel");
    assert_string_equal(f.options.language, "de");
    assert_string_equal(f.options.initial_prompt, "Äpfel");
    form_free(&f);
    ACCEPT(&many, "language", "");
    assert_null(f.options.language);
    form_free(&f);
    ACCEPT(&translate_many, "language", "fr");
    assert_int_equal(f.options.task, SOTTO_TASK_TRANSLATE);
    form_free(&f);
    REFUSE(&english, 400, "language", "language", "de");
    REFUSE(&many, 400, "language", "language", "xx");
    REFUSE(&translate, 400, "model", "prompt", "x");
}

static void test_extensions(void **state)
{
    form f;
    api_error e;
    (void)state;
    ACCEPT(&english, "beam_size", "5", "patience", "2", "logprob_threshold", "none", "condition_on_previous_text",
           "false", "seed", "7", "word_timestamps", "true", "hallucination_silence_threshold", "2", "response_format",
           "verbose_json");
    assert_int_equal(f.options.beam_size, 5);
    assert_true(f.options.patience == 2 && isnan(f.options.logprob_threshold) && f.options.seed == 7);
    assert_true(!f.options.condition_on_previous_text && f.write.words);
    form_free(&f);
    /* One cue a word is another file: only where words were asked for as such. */
    ACCEPT(&english, "word_timestamps", "true", "response_format", "srt");
    assert_true(f.options.word_timestamps && !f.write.words);
    form_free(&f);
    REFUSE(&english, 400, "beam_size", "beam_size", "0");
    REFUSE(&english, 400, "beam_size", "beam_size", "5.5");
    REFUSE(&english, 400, "hallucination_silence_threshold", "hallucination_silence_threshold", "2");
    REFUSE(&english, 400, "beam_size", "beam_size[]", "5");
}

static void test_logprobs(void **state)
{
    form f;
    api_error e;
    (void)state;
    ACCEPT(&english, "include[]", "logprobs");
    assert_true(f.write.logprobs);
    form_free(&f);
    REFUSE(&english, 400, "include", "include[]", "logits");
    REFUSE(&english, 400, "include", "include[]", "logprobs", "response_format", "verbose_json");
    REFUSE(&english, 400, "include", "include[]", "logprobs", "response_format", "text");
}

static void test_chunking_strategy(void **state)
{
    form f;
    api_error e;
    (void)state;
    ACCEPT(&english, "chunking_strategy", "auto");
    assert_true(f.options.vad_threshold == 0.5 && f.options.vad_speech_pad_ms == 30);
    form_free(&f);
    ACCEPT(&english, "chunking_strategy", "null");
    form_free(&f);
    ACCEPT(&english, "chunking_strategy[type]", "server_vad");
    assert_true(f.options.vad_threshold == 0.5 && f.options.vad_speech_pad_ms == 300 &&
                f.options.vad_min_silence_ms == 200);
    form_free(&f);
    ACCEPT(&english, "chunking_strategy[threshold]", "0.25", "chunking_strategy[type]", "server_vad",
           "chunking_strategy[silence_duration_ms]", "700");
    assert_true(f.options.vad_threshold == 0.25 && f.options.vad_min_silence_ms == 700);
    form_free(&f);
    ACCEPT(&english, "chunking_strategy",
           "{\"type\": \"server_vad\", \"prefix_padding_ms\": 100, \"threshold\": null}");
    assert_true(f.options.vad_threshold == 0.5 && f.options.vad_speech_pad_ms == 100);
    form_free(&f);
    static const char *const bad[][2] = {
        {"chunking_strategy", "server_vad"},
        {"chunking_strategy", "[]"},
        {"chunking_strategy", "{"},
        {"chunking_strategy", "{}\n{}"},
        {"chunking_strategy", "{\"threshold\": 0.5}"},
        {"chunking_strategy", "{\"type\": \"semantic_vad\"}"},
        {"chunking_strategy", "{\"type\": 1}"},
        {"chunking_strategy", "{\"type\": \"server_vad\", \"threshold\": \"0.5\"}"},
        {"chunking_strategy", "{\"type\": \"server_vad\", \"threshold\": 1.5}"},
        {"chunking_strategy", "{\"type\": \"server_vad\", \"eagerness\": 1}"},
        {"chunking_strategy[type]", "auto"},
        {"chunking_strategy[threshold]", "0.5"},
        {"chunking_strategy[threshold]", "nan"},
        {"chunking_strategy[silence_duration_ms]", "-1"},
        {"chunking_strategy[silence_duration_ms]", "1s"},
        {"chunking_strategy[]", "auto"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        REFUSE(&english, 400, "chunking_strategy", bad[i][0], bad[i][1]);
    REFUSE(&english, 400, "chunking_strategy", "chunking_strategy", "auto", "chunking_strategy[type]", "server_vad");
    /* a name without a key after one with an empty value: nothing is read past its end */
    ACCEPT(&english, "chunking_strategy[type]", "", "chunking_strategy", "auto");
    form_free(&f);
}

static void test_keywords(void **state)
{
    char long_one[FORM_KEYWORD_BYTES + 2];
    form f;
    api_error e;
    (void)state;
    ACCEPT(&english, "model", "tiny.en");
    assert_int_equal(f.options.n_keywords, 0);
    form_free(&f);
    ACCEPT(&english, "keywords[]", " Subiaco ", "keywords[]", "Smith, Jones", "keywords", "a,, b", "keywords",
           "[\"c\", \"d\"]");
    static const char *const expected[] = {"Subiaco", "Smith, Jones", "a", "b", "c", "d"};
    assert_int_equal(f.options.n_keywords, 6);
    for (size_t i = 0; i < 6; i++) assert_string_equal(f.options.keywords[i], expected[i]);
    form_free(&f);
    memset(long_one, 'x', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = '\0';
    REFUSE(&english, 400, "keywords", "keywords[]", long_one);
    REFUSE(&english, 400, "keywords", "keywords", "[1]");
    REFUSE(&english, 400, "keywords", "keywords", "[\"a\"");
    REFUSE(&english, 400, "keywords", "keywords[]", "\xff");
    char many_of_them[3 * FORM_KEYWORDS + 10] = "";
    for (size_t i = 0; i <= FORM_KEYWORDS; i++) strcat(many_of_them, "k, ");
    REFUSE(&english, 400, "keywords", "keywords", many_of_them);
}

static void test_fields_of_openai_that_are_not_here(void **state)
{
    form f;
    api_error e;
    (void)state;
    ACCEPT(&english, "stream", "false", "chunking_strategy", "auto", "user", "me", "response_format", "text");
    assert_false(f.stream || f.options.early_segments);
    form_free(&f);
    ACCEPT(&english, "stream", "true", "response_format", "text");
    assert_true(f.stream && f.options.early_segments);
    form_free(&f);
    REFUSE(&english, 400, "stream", "stream", "true", "response_format", "srt");
    REFUSE(&english, 400, "stream", "stream", "perhaps");
    REFUSE(&english, 400, "response_format", "response_format", "diarized_json");
    REFUSE(&english, 400, "tempreature", "tempreature", "0");
    REFUSE(&english, 400, "options", "options", "0");
    assert_non_null(strstr(e.message, "options"));
}

static void test_bounds(void **state)
{
    form f;
    api_error e;
    (void)state;
    char *big = malloc(FORM_VALUE_BYTES + 1);
    assert_non_null(big);
    memset(big, 'a', FORM_VALUE_BYTES + 1);
    form_init(&f);
    assert_true(form_append(&f, "prompt", 0, big, FORM_VALUE_BYTES, &e));
    assert_false(form_append(&f, "prompt", FORM_VALUE_BYTES, big, 1, &e));
    assert_int_equal(e.status, 400);
    assert_string_equal(e.param, "prompt");
    form_free(&f);
    form_init(&f);
    size_t n = 0;
    while (n < 1000 && form_append(&f, "timestamp_granularities[]", 0, "word", 4, &e)) n++;
    assert_int_equal(n, FORM_FIELDS);
    form_free(&f);
    form_init(&f);
    for (n = 0; n < 40 && form_append(&f, "timestamp_granularities[]", 0, big, FORM_VALUE_BYTES, &e);) n++;
    assert_int_equal(n, FORM_TOTAL_BYTES / FORM_VALUE_BYTES);
    form_free(&f);
    free(big);
    REFUSE(&english, 400, "prompt", "prompt", "\xff\xfe");
    form_init(&f);
    assert_true(form_append(&f, "language", 0, "e\0n", 3, &e));
    assert_false(form_finish(&f, &english, &e));
    assert_string_equal(e.param, "language");
    form_free(&f);
}

static void test_pieces(void **state)
{
    form f;
    api_error e;
    (void)state;
    form_init(&f);
    assert_true(form_append(&f, "model", 0, "", 0, &e));
    assert_true(form_append(&f, "model", 0, "tiny.en", 7, &e));
    assert_int_equal(f.n, 1);
    assert_false(form_append(&f, "model", 0, "tiny.en", 7, &e));
    assert_true(form_append(&f, "response_format", 0, "verb", 4, &e));
    assert_true(form_append(&f, "response_format", 4, "ose_json", 8, &e));
    assert_true(form_finish(&f, &english, &e));
    assert_int_equal(f.format, SOTTO_FORMAT_VERBOSE_JSON);
    form_free(&f);
}

static void test_error_is_json_whatever_the_client_sent(void **state)
{
    static const char expected[] = "{\"error\":{\"message\":\"unknown field \\\"?x\\\"\",\"type\":"
                                   "\"invalid_request_error\",\"param\":\"?x\",\"code\":\"unknown_parameter\"}}";
    form f;
    api_error e;
    reply r;
    (void)state;
    assert_int_equal(fill(&f, &english, &e, "\xffx", "1", NULL), 400);
    reply_error(&r, &e);
    assert_int_equal(r.status, 400);
    assert_string_equal(r.body, expected);
    reply_free(&r);
    form_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_temperature),
        cmocka_unit_test(test_granularities),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_languages_and_tasks),
        cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_chunking_strategy),
        cmocka_unit_test(test_keywords),
        cmocka_unit_test(test_fields_of_openai_that_are_not_here),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_error_is_json_whatever_the_client_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
