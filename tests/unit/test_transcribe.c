/* SPDX-License-Identifier: MIT
 * The window loop's parts: cutting segments (against whisper.transcribe, tests/reference/make_text_tables.py), prompts,
 * fallback decisions, compression ratios, checks of options, storage of the transcript. */
#include "text/fallback.h"
#include "text/options.h"
#include "text/prompt.h"
#include "text/segment.h"
#include "text/transcript.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BEGIN = 50363 };

static json_t *tables;

static void segments_are_cut_as_in_the_reference(void **state)
{
    sotto__drafts d = {0};
    json_t *one;
    size_t at;
    (void)state;
    assert_true(json_array_size(json_object_get(tables, "cuts")) >= 40);
    json_array_foreach(json_object_get(tables, "cuts"), at, one) {
        json_t *jtokens = json_object_get(one, "tokens"), *segments = json_object_get(one, "segments");
        json_t *jnext = json_object_get(one, "next");
        size_t n = json_array_size(jtokens), seek = (size_t)json_integer_value(json_object_get(one, "seek"));
        size_t content = (size_t)json_integer_value(json_object_get(one, "content")), next, shown = 0;
        int32_t tokens[32];
        assert_true(n <= 32);
        for (size_t i = 0; i < n; i++) tokens[i] = (int32_t)json_integer_value(json_array_get(jtokens, i));
        assert_int_equal(
            sotto__segments_cut(&d, tokens, n, BEGIN, seek, content - seek < 3000 ? content - seek : 3000, NULL),
            SOTTO_OK);
        next = seek + d.advance;
        if (json_is_null(jnext) ? next < content : next != (size_t)json_integer_value(jnext))
            fail_msg("cut %zu: goes on at %zu", at, next);
        for (size_t i = 0; i < d.n; i++) {
            const sotto__draft *s = &d.items[i];
            json_t *want, *want_tokens;
            bool text = false;
            for (size_t k = 0; k < s->n; k++) text |= tokens[s->first + k] < 50256;
            want = json_array_get(segments, shown++);
            want_tokens = json_array_get(want, 2);
            if (!(fabs(s->start_s - json_number_value(json_array_get(want, 0))) < 1e-9 &&
                  fabs(s->end_s - json_number_value(json_array_get(want, 1))) < 1e-9))
                fail_msg("cut %zu: segment %zu is %g - %g", at, i, s->start_s, s->end_s);
            if (s->start_s == s->end_s || !text) continue; /* blanked in the reference: no tokens */
            assert_int_equal(json_array_size(want_tokens), s->n);
            for (size_t k = 0; k < s->n; k++)
                assert_int_equal(json_integer_value(json_array_get(want_tokens, k)), tokens[s->first + k]);
        }
        assert_int_equal(shown, json_array_size(segments));
    }
    sotto__drafts_free(&d);
}

/* The end of a part's last window: unfinished text becomes a segment up to its end, a short rest without text is left,
 * a long one is heard again; what was finished already stays as it is. */
static void unfinished_ends_of_parts(void **state)
{
    static const struct {
        int32_t tokens[5];
        size_t n, segments, advance;
        double end_s; /* of the last segment */
    } cases[] = {
        {{BEGIN, 300, BEGIN + 950, BEGIN + 950, 301}, 5, 2, 2000, 25},
        {{BEGIN, 300, BEGIN + 950, BEGIN + 950}, 4, 1, 2000, 24},
        {{BEGIN, 300, BEGIN + 949, BEGIN + 949}, 4, 1, 1898, 23.98},
        {{BEGIN, 300, BEGIN + 900}, 3, 1, 2000, 23},
    };
    sotto__drafts d = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sotto__segments_cut(&d, cases[i].tokens, cases[i].n, BEGIN, 500, 2000, NULL), SOTTO_OK);
        assert_int_equal(sotto__segments_close(&d, cases[i].tokens, cases[i].n, BEGIN, 500, 2000, NULL), SOTTO_OK);
        assert_int_equal(d.n, cases[i].segments);
        assert_int_equal(d.advance, cases[i].advance);
        assert_true(fabs(d.items[d.n - 1].end_s - cases[i].end_s) < 1e-9);
        assert_int_equal(d.items[d.n - 1].first + d.items[d.n - 1].n <= cases[i].n, 1);
    }
    assert_true(fabs(d.items[0].start_s - 5) < 1e-9);
    sotto__drafts_free(&d);
}

/* Without timestamp rules a segment may begin with text; the reference then computes a negative time. */
static void text_before_timestamps_starts_the_window(void **state)
{
    const int32_t tokens[] = {300, BEGIN + 100, BEGIN + 100, 301};
    sotto__drafts d = {0};
    (void)state;
    assert_int_equal(sotto__segments_cut(&d, tokens, 4, BEGIN, 500, 3000, NULL), SOTTO_OK);
    assert_int_equal(d.n, 1);
    assert_true(d.items[0].start_s == 5 && d.items[0].end_s == 7);
    assert_int_equal(d.advance, 200);
    sotto__drafts_free(&d);
}

/* Prompts as "initial|history" of counted tokens: 0 … n_initial-1 and on. Limit: 448 / 2 - 1 = 223. */
static void prompts_are_composed(void **state)
{
    const struct {
        size_t n_initial, n_all, reset_since;
        bool carry;
        size_t n;                   /* tokens between sot_prev and sot; 0 = no sot_prev */
        int32_t first, middle_from; /* first token; where the history begins after a carried prompt, -1 = no gap */
    } rows[] = {
        {0, 0, 0, false, 0, 0, -1},        {0, 5, 0, false, 5, 0, -1},         {0, 5, 5, false, 0, 0, -1},
        {0, 300, 0, false, 223, 77, -1},   {0, 300, 200, false, 100, 200, -1}, {3, 3, 0, false, 3, 0, -1},
        {3, 10, 3, false, 7, 3, -1},       {3, 10, 0, true, 10, 0, -1},        {3, 10, 8, true, 5, 0, 8},
        {3, 300, 0, true, 223, 0, 80},     {3, 300, 300, true, 3, 0, -1},      {300, 300, 0, true, 223, 77, -1},
        {223, 230, 0, true, 223, 7, -1},   /* list[-0:] is the whole list */
        {225, 240, 0, true, 223, 15, 227}, /* list[2:] drops two of the history */
    };
    const sotto__specials specials = {.sot_prev = 1000};
    const int32_t sot[] = {2000, 2001, 2002};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sotto__history h = {.n_initial = rows[i].n_initial, .reset_since = rows[i].reset_since, .carry = rows[i].carry};
        sotto__ids out = {0};
        size_t sot_index, lead = rows[i].n ? rows[i].n + 1 : 0;
        int32_t want = rows[i].first;
        for (int32_t k = 0; k < (int32_t)rows[i].n_all; k++) assert_true(sotto__ids_push(&h.tokens, k));
        assert_int_equal(sotto__prompt_build(&h, &specials, sot, 3, 448, &out, &sot_index, NULL), SOTTO_OK);
        if (out.len != lead + 3 || sot_index != lead) fail_msg("prompt %zu: %zu tokens", i, out.len);
        if (lead) assert_int_equal(out.data[0], 1000);
        for (size_t k = 1; k < lead; k++, want++) {
            if (rows[i].middle_from >= 0 && want == (int32_t)rows[i].n_initial) want = rows[i].middle_from;
            if (out.data[k] != want) fail_msg("prompt %zu: token %zu is %d, expected %d", i, k, out.data[k], want);
        }
        assert_memory_equal(out.data + lead, sot, sizeof sot);
        sotto__ids_free(&out);
        sotto__ids_free(&h.tokens);
    }
}

static void ratios_match_python(void **state)
{
    json_t *one;
    size_t at;
    (void)state;
    assert_true(json_array_size(json_object_get(tables, "ratios")) >= 6);
    json_array_foreach(json_object_get(tables, "ratios"), at, one) {
        const char *text = json_string_value(json_array_get(one, 0));
        double ratio;
        assert_int_equal(sotto__compression_ratio(text, strlen(text), &ratio, NULL), SOTTO_OK);
        if (!(fabs(ratio - json_number_value(json_array_get(one, 1))) < 1e-12))
            fail_msg("ratio of text %zu: %g", at, ratio);
    }
}

static sotto_options defaults(void)
{
    return (sotto_options){.size = sizeof(sotto_options),
                           .tail_stride = 1,
                           .condition_on_previous_text = true,
                           .temperature_increment = 0.2,
                           .best_of = 5,
                           .beam_size = 1,
                           .patience = 1,
                           .length_penalty = NAN,
                           .compression_ratio_threshold = 2.4,
                           .logprob_threshold = -1,
                           .no_speech_threshold = 0.6,
                           .hallucination_silence_threshold = NAN,
                           .max_initial_timestamp = 1,
                           .suppress_blank = true};
}

static void temperatures_step_up_to_one(void **state)
{
    const struct {
        double first, increment;
        size_t n;
        double last;
    } rows[] = {{0, 0.2, 6, 1.0}, {0, 0, 1, 0},     {1, 0.2, 1, 1},  {0.3, 0.2, 4, 0.9},
                {0, 1, 2, 1},     {0.5, 0, 1, 0.5}, {0, 0.3, 4, 0.9}};
    sotto_options o = defaults();
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        o.temperature = rows[i].first;
        o.temperature_increment = rows[i].increment;
        assert_int_equal(sotto__temperatures(&o), rows[i].n);
        assert_true(sotto__temperature(&o, rows[i].n - 1) == rows[i].last);
    }
    o.temperature = 0;
    o.temperature_increment = 0.2;
    assert_true(sotto__temperature(&o, 3) == 0.6);
}

static void fallback_follows_the_thresholds(void **state)
{
    const struct {
        double ratio, logprob, no_speech;
        double ratio_limit, logprob_limit, no_speech_limit;
        bool again, silence;
    } rows[] = {
        {1.5, -0.3, 0.1, 2.4, -1, 0.6, false, false},  {2.5, -0.3, 0.1, 2.4, -1, 0.6, true, false},
        {2.4, -1.0, 0.6, 2.4, -1, 0.6, false, false},  {1.5, -1.1, 0.1, 2.4, -1, 0.6, true, false},
        {1.5, -1.1, 0.7, 2.4, -1, 0.6, false, true},   {2.5, -1.1, 0.7, 2.4, -1, 0.6, false, true},
        {2.5, -0.3, 0.7, 2.4, -1, 0.6, true, false},   {1.5, -1.0, 0.7, 2.4, -1, 0.6, false, true},
        {1.5, -9.0, 0.7, 2.4, NAN, 0.6, false, true},  {9.0, -9.0, 0.7, NAN, NAN, 0.6, false, true},
        {9.0, -9.0, 0.7, NAN, NAN, NAN, false, false}, {9.0, -9.0, 0.9, NAN, -1, NAN, true, false},
        {1.5, -9.0, NAN, 2.4, -1, 0.6, true, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sotto_options o = defaults();
        sotto__window_tokens w = {
            .compression_ratio = rows[i].ratio, .avg_logprob = rows[i].logprob, .no_speech_prob = rows[i].no_speech};
        o.compression_ratio_threshold = rows[i].ratio_limit;
        o.logprob_threshold = rows[i].logprob_limit;
        o.no_speech_threshold = rows[i].no_speech_limit;
        if (sotto__needs_fallback(&o, &w) != rows[i].again) fail_msg("row %zu: fallback", i);
        if (sotto__is_silence(&o, &w) != rows[i].silence) fail_msg("row %zu: silence", i);
    }
}

/* A vocabulary of the right size: bytes first, then made-up words. */
static sotto__tokenizer *open_tokenizer(size_t n_vocab, size_t n_words)
{
    sotto__vocab v = {0};
    sotto__tokenizer *t;
    for (size_t i = 0; i < n_words; i++) {
        char word[16] = {(char)i};
        size_t n = 1;
        if (i > 255) n = (size_t)snprintf(word, sizeof word, "w%zu", i);
        assert_int_equal(sotto__vocab_add(&v, word, n, NULL), SOTTO_OK);
    }
    assert_int_equal(sotto__tokenizer_create(&t, &v, n_vocab, NULL), SOTTO_OK);
    sotto__vocab_free(&v);
    return t;
}

static void expect_bad(const sotto_options *o, const sotto__tokenizer *t, const char *names)
{
    sotto_error err = {0};
    if (sotto__options_check(o, t, &err) != SOTTO_EINVAL) fail_msg("%s: accepted", names);
    assert_int_equal(err.code, SOTTO_EINVAL);
    if (!strstr(err.message, names)) fail_msg("%s: \"%s\"", names, err.message);
}

static void options_are_checked(void **state)
{
    sotto__tokenizer *english = open_tokenizer(51864, 50256), *many = open_tokenizer(51865, 50257);
    const int32_t bad_token[] = {5, 51865}, good_tokens[] = {-1, 0, 51864};
    const sotto_options good = defaults();
    sotto_options o = good;
    (void)state;
    assert_int_equal(sotto__options_check(&o, english, NULL), SOTTO_OK);
    assert_int_equal(sotto__options_check(&o, many, NULL), SOTTO_OK);
#define BAD(set, names)                                                                                                \
    do {                                                                                                               \
        o = good;                                                                                                      \
        set;                                                                                                           \
        expect_bad(&o, many, names);                                                                                   \
    } while (0)
    BAD(o.temperature = -0.1, "temperature");
    BAD(o.tail_stride = -1, "tail_stride");
    BAD(o.tail_stride = 65, "tail_stride");
    BAD(o.temperature = 1.1, "temperature");
    BAD(o.temperature = NAN, "temperature");
    BAD(o.temperature_increment = -0.2, "temperature_increment");
    BAD(o.temperature_increment = 1e-9, "temperature_increment");
    BAD(o.temperature_increment = NAN, "temperature_increment");
    BAD(o.best_of = 0, "best_of");
    BAD(o.best_of = 1000, "best_of");
    BAD(o.beam_size = 0, "beam_size");
    BAD(o.beam_size = INT32_MAX, "beam_size");
    BAD(o.patience = 0, "patience");
    BAD(o.patience = INFINITY, "patience");
    BAD((o.patience = 0.1, o.beam_size = 3), "patience");
    BAD(o.length_penalty = 1.5, "length_penalty");
    BAD(o.hallucination_silence_threshold = 2, "word_timestamps");
    BAD((o.hallucination_silence_threshold = -1, o.word_timestamps = true), "hallucination_silence_threshold");
    BAD(o.max_initial_timestamp = -1, "max_initial_timestamp");
    BAD((o.suppress_tokens = bad_token, o.n_suppress_tokens = 2), "suppress_tokens: 51865");
    BAD((o.draft_tokens = bad_token, o.n_draft_tokens = 2), "draft_tokens: 51865");
    BAD((o.draft_tokens = good_tokens, o.n_draft_tokens = 1), "draft_tokens: -1");
    BAD(o.initial_prompt = "caf\xe9", "initial_prompt");
    BAD(o.language = "klingon", "language \"klingon\"");
    BAD(o.language = "yue", "language \"yue\""); /* only large-v3 has it */
    BAD(o.task = (sotto_task)7, "task");
#undef BAD
    o = good;
    o.suppress_tokens = good_tokens;
    o.n_suppress_tokens = 3;
    o.language = "German";
    o.task = SOTTO_TASK_TRANSLATE;
    o.initial_prompt = "café";
    o.max_initial_timestamp = NAN;
    assert_int_equal(sotto__options_check(&o, many, NULL), SOTTO_OK);
    o = good;
    o.language = "de";
    expect_bad(&o, english, "language \"de\"");
    o.language = "English";
    assert_int_equal(sotto__options_check(&o, english, NULL), SOTTO_OK);
    o.task = SOTTO_TASK_TRANSLATE;
    expect_bad(&o, english, "translate");
    sotto__tokenizer_free(english);
    sotto__tokenizer_free(many);
}

static void transcripts_own_their_segments(void **state)
{
    sotto__transcript *t;
    sotto__draft_word words[] = {{0, 3, 1, 2, 0.5, 1}, {3, 6, 2, 3, 0.25, 1}};
    char text[] = " ab cd", tokens_text[] = " ab cd";
    int32_t tokens[] = {BEGIN, 7, 8, BEGIN + 100};
    float logprobs[] = {-1, -2, -3, -4};
    sotto__draft draft = {.start_s = 1, .end_s = 3, .first = 0, .n = 4, .first_word = 0, .n_words = 2};
    sotto__drafts drafts = {.items = &draft, .n = 1, .words = words, .n_words = 2, .text = {.data = text, .len = 6}};
    sotto__finished one = {.seek = 100,
                           .temperature = 0.2,
                           .avg_logprob = -0.5,
                           .drafts = &drafts,
                           .draft = &draft,
                           .tokens = tokens,
                           .logprobs = logprobs,
                           .text = tokens_text,
                           .text_len = 6};
    sotto_result r = {0};
    (void)state;
    assert_int_equal(sotto__transcript_create(&t, NULL), SOTTO_OK);
    sotto__transcript_view(t, &r);
    assert_string_equal(r.text, "");
    assert_int_equal(r.n_segments, 0);
    for (size_t i = 0; i < 40; i++) assert_int_equal(sotto__transcript_add(t, &one, NULL), SOTTO_OK);
    memset(text, 'x', sizeof text - 1);
    memset(tokens_text, 'x', sizeof tokens_text - 1);
    tokens[1] = 0;
    logprobs[1] = 0;
    sotto__transcript_set_language(t, "de", 0.75);
    assert_int_equal(sotto__transcript_set_text(t, "ab cd…", 6, NULL), SOTTO_OK);
    sotto__transcript_view(t, &r);
    assert_int_equal(r.n_segments, 40);
    assert_string_equal(r.language, "de");
    assert_true(r.language_probability == 0.75);
    assert_int_equal(strlen(r.text), 6);
    for (int32_t i = 0; i < 40; i++) {
        const sotto_segment *s = &r.segments[i];
        assert_int_equal(s->id, i);
        assert_int_equal(s->seek_frames, 100);
        assert_string_equal(s->text, " ab cd");
        assert_int_equal(s->n_tokens, 4);
        assert_int_equal(s->tokens[1], 7);
        assert_true(s->token_logprobs[1] == -2);
        assert_int_equal(s->n_words, 2);
        assert_string_equal(s->words[0].text, " ab");
        assert_string_equal(s->words[1].text, " cd");
        assert_true(s->words[1].probability == 0.25 && s->words[1].start_s == 2);
    }
    sotto__transcript_clear(t);
    sotto__transcript_view(t, &r);
    assert_int_equal(r.n_segments, 0);
    assert_string_equal(r.text, "");
    sotto__transcript_free(t);
    sotto__transcript_free(NULL);
}

static void segments_are_put_where_they_belong_in_time(void **state)
{
    static const double starts[] = {1, 4, 9}, late[] = {12, 5};
    sotto__transcript *t, *more;
    sotto__drafts drafts = {0};
    int32_t token = 7;
    float logprob = -1;
    sotto_result r = {0};
    (void)state;
    assert_int_equal(sotto__transcript_create(&t, NULL), SOTTO_OK);
    assert_int_equal(sotto__transcript_create(&more, NULL), SOTTO_OK);
    for (size_t i = 0; i < 5; i++) {
        const double start = i < 3 ? starts[i] : late[i - 3];
        const sotto__draft draft = {.start_s = start, .end_s = start + 1, .n = 1};
        const sotto__finished one = {
            .drafts = &drafts, .draft = &draft, .tokens = &token, .logprobs = &logprob, .text = " x", .text_len = 2};
        assert_int_equal(sotto__transcript_add(i < 3 ? t : more, &one, NULL), SOTTO_OK);
    }
    for (size_t i = 0; i < 2; i++) assert_int_equal(sotto__transcript_insert(t, more, i, NULL), SOTTO_OK);
    sotto__transcript_free(more); /* what was moved is no longer its */
    sotto__transcript_view(t, &r);
    assert_int_equal(r.n_segments, 5);
    for (int32_t i = 0; i < 5; i++) {
        static const double expected[] = {1, 4, 5, 9, 12};
        assert_int_equal(r.segments[i].id, i);
        assert_true(r.segments[i].start_s == expected[i]);
        assert_string_equal(r.segments[i].text, " x");
    }
    sotto__transcript_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_cut_as_in_the_reference),
        cmocka_unit_test(prompts_are_composed),
        cmocka_unit_test(unfinished_ends_of_parts),
        cmocka_unit_test(text_before_timestamps_starts_the_window),
        cmocka_unit_test(ratios_match_python),
        cmocka_unit_test(temperatures_step_up_to_one),
        cmocka_unit_test(fallback_follows_the_thresholds),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(transcripts_own_their_segments),
        cmocka_unit_test(segments_are_put_where_they_belong_in_time),
    };
    int failed;
    tables = json_load_file(SOTTO_SOURCE_DIR "/tests/unit/data/text.json", 0, NULL);
    if (!tables) return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(tables);
    return failed;
}
