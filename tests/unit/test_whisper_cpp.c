/* SPDX-License-Identifier: MIT
 * The fields of whisper.cpp's server -> options, and its verbose_json. */
#include "cmocka_all.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "form_fill.h"
#include "whisper_cpp.h"

/* The form of name, value, …, NULL. False: the error has been set. */
static bool fill(form *f, const form_facts *facts, api_error *e, ...)
{
    va_list args;
    form_init(f);
    f->dialect = whisper_cpp_field;
    *e = (api_error){0};
    va_start(args, e);
    bool ok = form_fill(f, e, args);
    va_end(args);
    return ok && whisper_cpp_finish(f, facts, e);
}

static void test_defaults(void **state)
{
    form f;
    api_error e;
    (void)state;
    assert_true(fill(&f, &english, &e, NULL));
    assert_true(f.whisper_cpp && f.format == SOTTO_FORMAT_JSON && !f.options.word_timestamps);
    form_free(&f);
}

static void test_fields(void **state)
{
    form f;
    api_error e;
    (void)state;
    if (!fill(&f, &many, &e, "response_format", "verbose_json", "language", "de", "translate", "true", "prompt",
              "Names", "temperature", "0.4", "temperature_inc", "0.1", "logprob_thold", "-2", "no_speech_thold", "0.5",
              "best_of", "3", "beam_size", "-1", "max_context", "0", "suppress_nst", "false", "offset_t", "1500",
              "duration", "2500", "vad_threshold", "0.25", "vad_min_silence_duration_ms", "300", "entropy_thold", "2.4",
              "diarize", "false", "audio_ctx", "0", "model", "anything", NULL))
        fail_msg("%s", e.message);
    assert_true(f.format == SOTTO_FORMAT_VERBOSE_JSON && f.options.word_timestamps);
    assert_string_equal(f.options.language, "de");
    assert_int_equal(f.options.task, SOTTO_TASK_TRANSLATE);
    assert_string_equal(f.options.initial_prompt, "Names");
    assert_true(f.options.temperature == 0.4 && f.options.temperature_increment == 0.1);
    assert_true(f.options.logprob_threshold == -2 && f.options.no_speech_threshold == 0.5);
    assert_int_equal(f.options.best_of, 3);
    assert_false(f.options.condition_on_previous_text);
    assert_true(f.options.offset_s == 1.5 && f.options.duration_s == 2.5);
    assert_true(f.options.vad_threshold == 0.25 && f.options.vad_min_silence_ms == 300);
    assert_non_null(f.options.suppress_tokens);
    form_free(&f);
    /* "auto" detects; no duration is all of it; whole texts are its segments, one a line */
    assert_true(fill(&f, &many, &e, "language", "auto", "duration", "0", "response_format", "text", NULL));
    assert_null(f.options.language);
    sotto_options usual;
    sotto_options_default(&usual);
    assert_true(f.options.duration_s == usual.duration_s && f.format == SOTTO_FORMAT_TXT);
    form_free(&f);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *name, *value, *code;
    } cases[] = {
        {"response_format", "tsv", "invalid_value"},
        {"translate", "perhaps", "invalid_value"},
        {"suppress_non_speech", "2.5", "invalid_value"},
        {"offset_t", "-1", "invalid_value"},
        {"offset_t", "1 s", "invalid_value"},
        {"duration", "nan", "invalid_value"},
        {"max_context", "-2", "invalid_value"},
        {"max_context", "few", "invalid_value"},
        {"best_of", "0", "invalid_value"},
        {"temperature", "hot", "invalid_value"},
        {"prompt", "\xff", "invalid_value"},
        {"max_len", "10", "unsupported_parameter"},
        {"tinydiarize", "true", "unsupported_parameter"},
        {"keywords", "a", "unknown_parameter"},
        {"model[]", "a", "invalid_value"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        form f;
        api_error e;
        if (fill(&f, &many, &e, cases[i].name, cases[i].value, NULL)) fail_msg("taken: %s", cases[i].name);
        assert_int_equal(e.status, 400);
        assert_string_equal(e.code, cases[i].code);
        assert_int_equal(strncmp(e.param, cases[i].name, strlen(e.param)), 0);
        assert_true(strlen(e.message) > 10);
        form_free(&f);
    }
    form f;
    api_error e;
    assert_false(fill(&f, &english, &e, "language", "de", NULL));
    assert_int_equal(e.status, 400);
    form_free(&f);
}

static void test_verbose_json(void **state)
{
    sotto_word words[] = {{.text = " Ask", .start_s = 0.5, .end_s = 0.75, .probability = 0.5f}};
    sotto_segment segments[] = {{.text = " Ask", .words = words, .n_words = 1}, {.text = ""}};
    const sotto_result result = {
        .language = "en", .language_probability = 0.25f, .segments = segments, .n_segments = 2};
    sotto_error err;
    char *body = strdup("{\"text\":\" Ask\",\"segments\":[{\"id\":0},{\"id\":1}]}");
    (void)state;
    assert_int_equal(whisper_cpp_rewrite(&result, SOTTO_FORMAT_JSON, &body, &err), SOTTO_OK);
    assert_null(strstr(body, "detected"));
    assert_int_equal(whisper_cpp_rewrite(&result, SOTTO_FORMAT_VERBOSE_JSON, &body, &err), SOTTO_OK);
    json_t *o = json_loads(body, 0, NULL), *first, *word;
    assert_string_equal(json_string_value(json_object_get(o, "detected_language")), "english");
    assert_true(json_real_value(json_object_get(o, "detected_language_probability")) == 0.25);
    first = json_array_get(json_object_get(o, "segments"), 0);
    word = json_array_get(json_object_get(first, "words"), 0);
    assert_string_equal(json_string_value(json_object_get(word, "word")), " Ask");
    assert_true(json_real_value(json_object_get(word, "start")) == 0.5);
    assert_true(json_real_value(json_object_get(word, "end")) == 0.75);
    assert_true(json_real_value(json_object_get(word, "t_dtw")) == 0.5);
    assert_true(json_real_value(json_object_get(word, "probability")) == 0.5);
    assert_int_equal(json_array_size(json_object_get(json_array_get(json_object_get(o, "segments"), 1), "words")), 0);
    json_decref(o);
    free(body);
    /* what is no reply is not made one */
    body = strdup("no JSON");
    assert_int_not_equal(whisper_cpp_rewrite(&result, SOTTO_FORMAT_VERBOSE_JSON, &body, &err), SOTTO_OK);
    assert_null(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_verbose_json),
    };
    return cmocka_run_group_tests_name("whisper_cpp", tests, NULL, NULL);
}
