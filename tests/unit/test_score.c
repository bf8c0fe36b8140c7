/* SPDX-License-Identifier: MIT
 * Normalised text against openai-whisper's (tests/reference/make_score_cases.py), edits counted by hand, intervals of
 * cases whose answer is known. */
#include "score/score.h"
#include "text_cases.h"
#include "token/unicode.h"

#include <math.h>

static void check_close(double have, double want, double tolerance)
{
    if (!(fabs(have - want) <= tolerance)) fail_msg("%.17g, not %.17g within %g", have, want, tolerance);
}

static void normalise(size_t kind, const char *text, size_t n, sotto__str *out)
{
    out->len = 0;
    if (kind == 0)
        assert_int_equal(sotto__normalise_english(out, text, n, NULL), SOTTO_OK);
    else
        assert_int_equal(sotto__normalise_basic(out, text, n, kind == 2 || kind == 4, kind >= 3, NULL), SOTTO_OK);
}

static void test_as_openai_whisper(void **state)
{
    json_t *root = cases_load("score");
    sotto__str got = {0};
    (void)state;
    assert_true(json_array_size(root) > 900);
    for (size_t i = 0; i < json_array_size(root); i++) {
        const json_t *row = json_array_get(root, i), *line = json_array_get(row, 0);
        for (size_t kind = 0; kind < 5; kind++) {
            const json_t *want = json_array_get(row, kind + 1);
            normalise(kind, json_string_value(line), json_string_length(line), &got);
            if (got.len != json_string_length(want) || memcmp(got.data, json_string_value(want), got.len))
                fail_msg("kind %zu of \"%s\": \"%s\", not \"%s\"", kind, json_string_value(line), got.data,
                         json_string_value(want));
        }
    }
    sotto__str_free(&got);
    json_decref(root);
}

static void test_language_picks_the_normaliser(void **state)
{
    static const struct {
        const char *language, *text, *want;
    } cases[] = {{"en", "Twenty colours", "20 colors"},
                 {"de",
                  "Zwei Stra\xC3\x9F"
                  "en!",
                  "zwei stra\xC3\x9F"
                  "en "},
                 {"zh", "\xE4\xBD\xA0\xE5\xA5\xBD", "\xE4\xBD\xA0 \xE5\xA5\xBD"},
                 {"", "A-b", "a b"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto__str out = {0};
        assert_int_equal(sotto__normalise(&out, cases[i].text, strlen(cases[i].text), cases[i].language, NULL),
                         SOTTO_OK);
        assert_string_equal(out.data, cases[i].want);
        sotto__str_free(&out);
    }
}

/* Bytes at random, and long lines of what rules look ahead for: UTF-8 comes out, in time that grows with the line. */
static void test_any_bytes(void **state)
{
    static const char signs[] = "[<(' .,$%\xC2\xA2"
                                "15oneandahalf\xCC\x81\xE3\x82\x99\xF0\x9F\xFF";
    enum { LONG = 200000 };
    char *text = malloc(LONG);
    sotto__str out = {0};
    uint32_t h = 1;
    (void)state;
    assert_non_null(text);
    for (size_t round = 0; round < 3000; round++) {
        const size_t n = round % 80;
        for (size_t i = 0; i < n; i++) {
            h = h * 1664525u + 1013904223u;
            text[i] = round % 2 ? (char)(h >> 24) : signs[(h >> 16) % (sizeof signs - 1)];
        }
        for (size_t kind = 0; kind < 5; kind++) {
            normalise(kind, text, n, &out);
            assert_true(sotto__utf8_is_valid(out.data, out.len));
        }
    }
    for (const char *c = "[( '1\xCC"
                         "5";
         *c; c++) {
        memset(text, *c, LONG);
        for (size_t kind = 0; kind < 5; kind++) normalise(kind, text, LONG, &out);
    }
    for (size_t i = 0; i < LONG; i += 2)
        memcpy(text + i, i % 4 ? "\xCC\x81" : "\xCC\xA3", 2); /* two classes of marks */
    for (size_t kind = 0; kind < 5; kind++) normalise(kind, text, LONG, &out);
    free(text);
    sotto__str_free(&out);
}

/* Python's integers have no end; this is what openai-whisper makes of the line. */
static void test_numbers_beyond_integers(void **state)
{
    static const char text[] =
        "999999999999999999999999999999999999999 thousand nine hundred decillion one point five decillions";
    sotto__str out = {0};
    (void)state;
    normalise(0, text, sizeof text - 1, &out);
    assert_string_equal(out.data, "1000900000000000000000000000000000998001500000000000000000000000000000000s");
    sotto__str_free(&out);
}

static void check_edits(const char *a, const char *b, size_t subs, size_t dels, size_t ins, size_t words)
{
    sotto__edits e;
    assert_int_equal(sotto__word_edits(&e, a, strlen(a), b, strlen(b), NULL), SOTTO_OK);
    if (e.substitutions != subs || e.deletions != dels || e.insertions != ins || e.reference != words)
        fail_msg("\"%s\" \"%s\": %zu %zu %zu %zu", a, b, e.substitutions, e.deletions, e.insertions, e.reference);
}

static void test_word_edits(void **state)
{
    (void)state;
    check_edits("", "", 0, 0, 0, 0);
    check_edits("", "a b", 0, 0, 2, 0);
    check_edits("a b c", "", 0, 3, 0, 3);
    check_edits(" a\tb  c ", "a b c", 0, 0, 0, 3);
    check_edits("a b c", "a x c", 1, 0, 0, 3);
    check_edits("a b c d", "b c d e", 0, 1, 1, 4);
    check_edits("a b", "b a", 0, 1, 1, 2); /* and not two substitutions: a word is right */
    check_edits("the cat sat on the mat", "cat sat in the the mat", 1, 1, 1, 6);
    check_edits("a\xFF", "a\xFE", 0, 0, 0, 1); /* both are U+FFFD */
}

static void test_character_edits_and_rates(void **state)
{
    static const char a[] = "caf\xC3\xA9  au", b[] = "cafe au lait";
    sotto__edits e, sum = {0};
    (void)state;
    assert_int_equal(sotto__character_edits(&e, a, sizeof a - 1, b, sizeof b - 1, NULL), SOTTO_OK);
    assert_int_equal(e.substitutions, 1);
    assert_int_equal(e.deletions, 0);
    assert_int_equal(e.insertions, 5);
    assert_int_equal(e.reference, 7);
    assert_true(isnan(sotto__error_rate(&sum)));
    sotto__edits_add(&sum, &e);
    sotto__edits_add(&sum, &(sotto__edits){1, 1, 1, 11});
    assert_int_equal(sotto__edits_total(&sum), 9);
    check_close(sotto__error_rate(&sum), 0.5, 1e-12);
}

/* One word an utterance, k of n wrong: resampled rates are binomial, so the interval is p ± 1.96 √(p (1 - p) / n). */
static void test_interval_of_a_binomial(void **state)
{
    enum { N = 2000, WRONG = 400 };
    const sotto__resampling how = sotto__resampling_default();
    const double half = 1.96 * sqrt(0.2 * 0.8 / N);
    sotto__edits *all = calloc(N, sizeof *all);
    sotto__interval i, again;
    (void)state;
    assert_non_null(all);
    for (size_t k = 0; k < N; k++) all[k] = (sotto__edits){k < WRONG, 0, 0, 1};
    assert_int_equal(sotto__rate_interval(&i, all, N, &how, NULL), SOTTO_OK);
    check_close(i.low, 0.2 - half, 0.05 * half);
    check_close(i.high, 0.2 + half, 0.05 * half);
    assert_int_equal(sotto__rate_interval(&again, all, N, &how, NULL), SOTTO_OK);
    assert_true(again.low == i.low && again.high == i.high);
    free(all);
}

/* The same numbers everywhere: these are of the PCG32 in Python that tests/reference/test_score.py has. */
static void test_same_on_every_machine(void **state)
{
    const sotto__resampling how = {.resamples = 99, .level = 0.9, .seed = 1};
    sotto__edits all[10];
    sotto__interval i;
    (void)state;
    for (size_t k = 0; k < 10; k++) all[k] = (sotto__edits){k % 3, k % 2, 0, 8};
    assert_int_equal(sotto__rate_interval(&i, all, 10, &how, NULL), SOTTO_OK);
    check_close(i.low, 0.12375, 1e-12);
    check_close(i.high, 0.25, 1e-12);
}

/* Ten utterances, all one edit better: only 2 of the 2^10 tosses differ as much, so p is 2 / 1024. */
static void test_comparison_of_known_cases(void **state)
{
    const sotto__resampling how = {.resamples = 100000, .level = 0.95, .seed = 9};
    sotto__edits a[10], b[10];
    sotto__comparison c;
    (void)state;
    for (size_t k = 0; k < 10; k++) {
        a[k] = (sotto__edits){2, 0, 0, 10};
        b[k] = (sotto__edits){0, 1, 0, 10};
    }
    assert_int_equal(sotto__compare_systems(&c, a, b, 10, &how, NULL), SOTTO_OK);
    check_close(c.difference, -0.1, 1e-12);
    check_close(c.interval.low, -0.1, 1e-12);
    check_close(c.interval.high, -0.1, 1e-12);
    check_close(c.improvement, 1, 0);
    check_close(c.p, 2.0 / 1024, 4 * sqrt(2.0 / 1024 / 100000));
    assert_int_equal(sotto__compare_systems(&c, a, a, 10, &how, NULL), SOTTO_OK);
    check_close(c.difference, 0, 0);
    check_close(c.improvement, 0, 0);
    check_close(c.p, 1, 0);
}

static void test_what_cannot_be_resampled(void **state)
{
    sotto__resampling how = sotto__resampling_default();
    const sotto__edits one = {1, 0, 0, 4}, other = {1, 0, 0, 5}, empty = {0, 0, 2, 0};
    sotto__interval i;
    sotto__comparison c;
    sotto_error err;
    (void)state;
    assert_int_equal(sotto__rate_interval(&i, &one, 0, &how, &err), SOTTO_EINVAL);
    assert_non_null(strstr(err.message, "0 utterances"));
    assert_int_equal(sotto__rate_interval(&i, &empty, 1, &how, &err), SOTTO_EINVAL);
    assert_int_equal(sotto__compare_systems(&c, &one, &other, 1, &how, &err), SOTTO_EINVAL);
    assert_non_null(strstr(err.message, "utterance 1 has 4 words"));
    how.level = 1;
    assert_int_equal(sotto__rate_interval(&i, &one, 1, &how, &err), SOTTO_EINVAL);
    assert_non_null(strstr(err.message, "level"));
    how = (sotto__resampling){.resamples = 0, .level = 0.5};
    assert_int_equal(sotto__rate_interval(&i, &one, 1, &how, &err), SOTTO_EINVAL);
    assert_non_null(strstr(err.message, "resamples"));
}

/* -- sotto_score_* of sotto.h -- */

static void test_public_texts(void **state)
{
    sotto_error err = {0};
    sotto_edits e = {0};
    char *out = (char *)"untouched";
    (void)state;
    assert_int_equal(sotto_score_normalise("Mr. Smith's twenty COLOURS", "en", &out, &err), SOTTO_OK);
    assert_string_equal(out, "mister smith is 20 colors");
    sotto_string_free(out);
    assert_int_equal(sotto_score_normalise("", "de", &out, &err), SOTTO_OK);
    assert_string_equal(out, "");
    sotto_string_free(out);
    /* "2 colors are here", "2 collars here": a word changed and one left out. Of the characters "ors are", 5 are edited
     * to make "lars": o to l, "rs " left out, e to s. */
    assert_int_equal(sotto_score_edits("Two colours are here!", "two collars here", "en", &e, &err), SOTTO_OK);
    assert_true(e.words == 4 && e.substitutions == 1 && e.deletions == 1 && e.insertions == 0);
    assert_true(e.characters == 17 && e.character_edits == 5);
    assert_int_equal(sotto_score_edits("\xE4\xBD\xA0\xE5\xA5\xBD", "\xE4\xBD\xA0", "zh", &e, &err), SOTTO_OK);
    assert_true(e.words == 2 && e.deletions == 1 && e.substitutions == 0 && e.insertions == 0);
}

/* They are score.h's, with its 10000 resamples. */
static void test_public_resampling(void **state)
{
    enum { N = 40 };
    uint64_t edits[N], base[N], words[N];
    sotto__edits a[N], b[N];
    sotto__resampling how = sotto__resampling_default();
    sotto__interval want;
    sotto__comparison c;
    sotto_interval i;
    sotto_paired p;
    (void)state;
    how.seed = 7;
    for (size_t k = 0; k < N; k++) {
        edits[k] = k % 4, base[k] = k % 3 + (k % 7 == 0), words[k] = 5 + k % 9;
        b[k] = (sotto__edits){0, edits[k], 0, words[k]};
        a[k] = (sotto__edits){0, 0, base[k], words[k]};
    }
    assert_int_equal(sotto_score_interval(edits, words, N, 7, &i, NULL), SOTTO_OK);
    assert_int_equal(sotto__rate_interval(&want, b, N, &how, NULL), SOTTO_OK);
    check_close(i.value, 60.0 / 350, 1e-12);
    assert_true(i.low == want.low && i.high == want.high && i.low < i.value && i.value < i.high);
    assert_int_equal(sotto_score_paired(edits, base, words, N, 7, &p, NULL), SOTTO_OK);
    assert_int_equal(sotto__compare_systems(&c, a, b, N, &how, NULL), SOTTO_OK);
    check_close(p.difference, (60.0 - 45) / 350, 1e-12); /* the first less the base: more edits, above 0 */
    assert_true(p.low == c.interval.low && p.high == c.interval.high && p.p == c.p && p.p < 0.9);
}

static void check_refused(sotto_status st, const sotto_error *err, const char *says)
{
    assert_int_equal(st, SOTTO_EINVAL);
    if (!strstr(err->message, says)) fail_msg("\"%s\" does not say \"%s\"", err->message, says);
}

static void test_public_refusals(void **state)
{
    const uint64_t edits[] = {1, 2}, words[] = {3, 4}, none[] = {0, 0}, huge[] = {1, UINT64_MAX};
    sotto_error err = {0};
    sotto_edits e = {.words = 9};
    sotto_interval i = {9, 9, 9};
    sotto_paired p = {9, 9, 9, 9};
    char *out = (char *)"untouched";
    (void)state;
    check_refused(sotto_score_normalise(NULL, "en", &out, &err), &err, "text or language is NULL");
    assert_null(out);
    check_refused(sotto_score_normalise("a", "en", NULL, &err), &err, "out is NULL");
    check_refused(sotto_score_edits("a", NULL, "en", &e, &err), &err, "hypothesis or language is NULL");
    assert_true(e.words == 0);
    check_refused(sotto_score_interval(NULL, words, 2, 1, &i, &err), &err, "edits or words is NULL");
    check_refused(sotto_score_interval(edits, none, 2, 1, &i, &err), &err, "without a word of reference");
    check_refused(sotto_score_interval(edits, words, 0, 1, &i, &err), &err, "0 utterances");
    check_refused(sotto_score_interval(huge, words, 2, 1, &i, &err), &err, "utterance 2 has more than 2^31 - 1");
    check_refused(sotto_score_interval(edits, huge, 2, 1, &i, &err), &err, "utterance 2 has more than 2^31 - 1");
    assert_true(i.value == 0 && i.low == 0 && i.high == 0);
    check_refused(sotto_score_paired(edits, NULL, words, 2, 1, &p, &err), &err, "base_edits or words is NULL");
    check_refused(sotto_score_paired(edits, huge, words, 2, 1, &p, &err), &err, "utterance 2 has more than 2^31 - 1");
    check_refused(sotto_score_paired(huge, edits, words, 2, 1, &p, &err), &err, "utterance 2 has more than 2^31 - 1");
    assert_true(p.difference == 0 && p.p == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_openai_whisper),
        cmocka_unit_test(test_language_picks_the_normaliser),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_numbers_beyond_integers),
        cmocka_unit_test(test_word_edits),
        cmocka_unit_test(test_character_edits_and_rates),
        cmocka_unit_test(test_interval_of_a_binomial),
        cmocka_unit_test(test_same_on_every_machine),
        cmocka_unit_test(test_comparison_of_known_cases),
        cmocka_unit_test(test_what_cannot_be_resampled),
        cmocka_unit_test(test_public_texts),
        cmocka_unit_test(test_public_resampling),
        cmocka_unit_test(test_public_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
