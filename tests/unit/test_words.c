/* SPDX-License-Identifier: MIT
 * Words and silence: whole windows against whisper.transcribe with prepared tokens and alignments
 * (tests/reference/make_text_tables.py), and the single rules by hand. */
#include "text/segment.h"
#include "text/silence.h"
#include "text/words.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BEGIN = 50363, EOT = 50256, MOST = 256 };

typedef struct text_words {
    sotto__timing t[MOST];
    char text[4096];
    size_t n, len;
} text_words;

static void add_word(text_words *w, const char *text, size_t n_tokens, double start, double end, double probability)
{
    size_t len = strlen(text);
    assert_true(w->n < MOST && w->len + len < sizeof w->text);
    memcpy(w->text + w->len, text, len + 1);
    w->t[w->n++] = (sotto__timing){w->len, w->len + len, n_tokens, start, end, probability};
    w->len += len;
}

static void expect_text(const text_words *w, size_t i, const char *want)
{
    size_t n = w->t[i].end - w->t[i].begin;
    if (n != strlen(want) || memcmp(w->text + w->t[i].begin, want, n) != 0)
        fail_msg("word %zu: \"%.*s\", expected \"%s\"", i, (int)n, w->text + w->t[i].begin, want);
}

/* One window of the reference's run; the order of steps is run_window's. */
static void check_window(size_t at, json_t *one)
{
    json_t *jtokens = json_object_get(one, "tokens"), *words = json_object_get(one, "alignment"), *word;
    json_t *segments = json_object_get(one, "segments"), *threshold = json_object_get(one, "threshold");
    json_t *jnext = json_object_get(one, "next");
    size_t seek = (size_t)json_integer_value(json_object_get(one, "seek")), i, shown = 0;
    size_t content = (size_t)json_integer_value(json_object_get(one, "content"));
    size_t frames = content - seek < 3000 ? content - seek : 3000, n = json_array_size(jtokens), next, n_text[16] = {0};
    static text_words w;
    int32_t tokens[MOST];
    double median, end, offset = (double)seek / 100;
    bool keep = true;
    sotto__drafts d = {0};
    assert_true(n <= MOST);
    w.n = w.len = 0;
    for (i = 0; i < n; i++) tokens[i] = (int32_t)json_integer_value(json_array_get(jtokens, i));
    json_array_foreach(words, i, word)
        add_word(&w, json_string_value(json_array_get(word, 0)), (size_t)json_integer_value(json_array_get(word, 1)),
                 json_number_value(json_array_get(word, 2)), json_number_value(json_array_get(word, 3)),
                 json_number_value(json_array_get(word, 4)));

    assert_int_equal(sotto__segments_cut(&d, tokens, n, BEGIN, seek, frames, NULL), SOTTO_OK);
    assert_true(d.n <= 16);
    next = seek + d.advance;
    for (i = 0; i < d.n; i++)
        for (size_t k = 0; k < d.items[i].n; k++) n_text[i] += tokens[d.items[i].first + k] < EOT;
    assert_int_equal(sotto__timings_trim(w.t, w.n, w.text, &median, NULL), SOTTO_OK);
    sotto__timings_merge(w.t, w.n, w.text);
    assert_int_equal(sotto__timings_place(w.t, w.n, w.text, median, seek, n_text, 0, &d, NULL), SOTTO_OK);
    if (!d.single_timestamp_ending && sotto__drafts_end(&d, &end) && end > offset) next = (size_t)rint(end * 100);
    if (!json_is_null(threshold)) {
        sotto__silence silence = {json_number_value(threshold), 0, seek, frames, 3000, content};
        keep = sotto__silence_skip(&silence, &d, &next);
    }

    if (json_is_null(jnext) ? next < content : next != (size_t)json_integer_value(jnext))
        fail_msg("window %zu: goes on at %zu, expected %lld", at, next, (long long)json_integer_value(jnext));
    for (i = 0; keep && i < d.n; i++) {
        json_t *want = json_array_get(segments, shown), *want_words = json_array_get(want, 2), *want_word;
        const sotto__draft *s = &d.items[i];
        size_t k;
        if (s->start_s == s->end_s) continue;
        shown++;
        if (!(fabs(s->start_s - json_number_value(json_array_get(want, 0))) < 1e-9 &&
              fabs(s->end_s - json_number_value(json_array_get(want, 1))) < 1e-9 &&
              s->n_words == json_array_size(want_words)))
            fail_msg("window %zu: segment %zu is %g - %g", at, i, s->start_s, s->end_s);
        json_array_foreach(want_words, k, want_word) {
            const sotto__draft_word *got = &d.words[s->first_word + k];
            const char *text = json_string_value(json_array_get(want_word, 0));
            if (strlen(text) != got->end - got->begin || memcmp(text, d.text.data + got->begin, strlen(text)) != 0 ||
                !(fabs(got->start_s - json_number_value(json_array_get(want_word, 1))) < 1e-9) ||
                !(fabs(got->end_s - json_number_value(json_array_get(want_word, 2))) < 1e-9) ||
                !(fabs(got->probability - json_number_value(json_array_get(want_word, 3))) < 1e-9))
                fail_msg("window %zu: segment %zu, word %zu is \"%.*s\" %g - %g, expected \"%s\"", at, i, k,
                         (int)(got->end - got->begin), d.text.data + got->begin, got->start_s, got->end_s, text);
        }
    }
    if (shown != json_array_size(segments)) fail_msg("window %zu: %zu segments", at, shown);
    sotto__drafts_free(&d);
}

static void windows_match_the_reference(void **state)
{
    json_t *all = json_load_file(SOTTO_SOURCE_DIR "/tests/unit/data/text.json", 0, NULL), *one;
    size_t at;
    (void)state;
    assert_non_null(all);
    assert_true(json_array_size(json_object_get(all, "windows")) >= 260);
    json_array_foreach(json_object_get(all, "windows"), at, one) check_window(at, one);
    json_decref(all);
}

static void punctuation_joins_its_word(void **state)
{
    static text_words w;
    (void)state;
    w.n = w.len = 0;
    add_word(&w, " He", 1, 0, 1, 1);
    add_word(&w, " \"", 1, 1, 1, 1);
    add_word(&w, " (", 1, 1, 1, 1);
    add_word(&w, "said", 2, 1, 2, 1);
    add_word(&w, ",", 1, 2, 2, 1);
    add_word(&w, "\"", 1, 2, 2, 1);
    add_word(&w, " –", 1, 2, 3, 1);
    add_word(&w, "。", 3, 3, 4, 1);
    sotto__timings_merge(w.t, w.n, w.text);
    expect_text(&w, 0, " He");
    expect_text(&w, 1, "");
    expect_text(&w, 2, "");
    expect_text(&w, 3, " \" (said,\"");
    expect_text(&w, 4, "");
    expect_text(&w, 6, " –。");
    expect_text(&w, 7, "");
    assert_int_equal(w.t[3].n_tokens, 6);
    assert_int_equal(w.t[6].n_tokens, 4);
    assert_int_equal(w.t[4].n_tokens, 0);
    sotto__timings_merge(w.t, 0, w.text); /* nothing to do, nothing read */
    sotto__timings_merge(w.t, 1, w.text);
}

static void sentence_ends_are_cut_back(void **state)
{
    static text_words w;
    double median;
    (void)state;
    w.n = w.len = 0;
    add_word(&w, " a", 1, 0.0, 0.2, 1);
    add_word(&w, " b", 1, 0.2, 0.4, 1);
    add_word(&w, ".", 1, 0.4, 3.0, 1); /* the mark itself is too long */
    add_word(&w, " c", 1, 3.0, 3.2, 1);
    add_word(&w, "?", 1, 3.2, 3.2, 1);
    add_word(&w, " d", 1, 3.2, 9.0, 1); /* the word after a mark is too long */
    assert_int_equal(sotto__timings_trim(w.t, w.n, w.text, &median, NULL), SOTTO_OK);
    assert_true(fabs(median - 0.2) < 1e-9); /* of 0.2 0.2 0.2 2.6 5.8: zeros do not count */
    assert_true(fabs(w.t[2].end_s - 0.8) < 1e-9);
    assert_true(fabs(w.t[5].start_s - 8.6) < 1e-9);
    assert_int_equal(sotto__timings_trim(w.t, 0, w.text, &median, NULL), SOTTO_OK);
    assert_true(median == 0);
}

static void long_medians_are_capped(void **state)
{
    static text_words w;
    double median;
    (void)state;
    w.n = w.len = 0;
    for (int i = 0; i < 4; i++) add_word(&w, " slow", 1, i * 2.0, i * 2.0 + 1.5, 1);
    assert_int_equal(sotto__timings_trim(w.t, w.n, w.text, &median, NULL), SOTTO_OK);
    assert_true(median == 0.7);
}

static void anomalies_add_up(void **state)
{
    const struct {
        double duration, probability, score;
    } rows[] = {{0.5, 0.9, 0}, {0.5, 0.149, 1}, {0.5, 0.15, 0}, {0.033, 0.9, 1.5}, {2.5, 0.9, 0.5}, {3.0, 0.1, 2.0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sotto__draft_word w = {.start_s = 10, .end_s = 10 + rows[i].duration, .probability = rows[i].probability};
        assert_true(fabs(sotto__word_anomaly(&w) - rows[i].score) < 1e-9);
    }
    assert_false(sotto__draft_is_anomaly(NULL, NULL));
}

static void substrings_as_in_python(void **state)
{
    (void)state;
    assert_true(sotto__is_within("", 0, "abc"));
    assert_true(sotto__is_within("bc", 2, "abc"));
    assert_false(sotto__is_within("ac", 2, "abc"));
    assert_false(sotto__is_within("abcd", 4, "abc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_match_the_reference),
        cmocka_unit_test(punctuation_joins_its_word),
        cmocka_unit_test(sentence_ends_are_cut_back),
        cmocka_unit_test(long_medians_are_capped),
        cmocka_unit_test(anomalies_add_up),
        cmocka_unit_test(substrings_as_in_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
