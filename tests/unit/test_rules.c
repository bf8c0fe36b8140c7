/* SPDX-License-Identifier: MIT
 * Logit masks against whisper.decoding's filters, special token ids against whisper.tokenizer, log-softmax against
 * double. */
#include "text_cases.h"
#include "text/rules.h"

#include <math.h>

/* logit_row() of make_tokenizer_cases.py: exact multiples of 1/64. */
static void logit_row(uint32_t seed, double boost, const sotto__specials *s, float *row)
{
    uint32_t x = seed;
    for (int32_t i = 0; i < s->n_vocab; i++) {
        x = x * 1664525u + 1013904223u;
        row[i] = (float)((double)((x >> 16) % 2048) / 64 - 16 + (i >= s->timestamp_begin ? boost : 0));
    }
}

static json_int_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static void test_masks_as_whisper(void **state)
{
    json_t *root = cases_load("rules");
    const json_t *cases = json_object_get(root, "cases");
    float *row = malloc(51866 * sizeof *row), *got = malloc(51866 * sizeof *got);
    bool *masked = malloc(51866 * sizeof *masked);
    sotto__ids sampled = {0}, suppressed = {0};
    size_t texts = 0;
    (void)state;
    assert_non_null(row);
    assert_non_null(got);
    assert_non_null(masked);
    assert_true(json_array_size(cases) > 100);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i), *ranges = json_object_get(one, "masked");
        sotto__rules rules = {.suppress_blank = json_is_true(json_object_get(one, "blank")),
                              .space = 220,
                              .timestamps = json_is_true(json_object_get(one, "timestamps")),
                              .max_initial_timestamp = (int32_t)number(one, "limit")};
        const size_t n_vocab = (size_t)number(one, "n_vocab");
        assert_int_equal(sotto__specials_of(&rules.specials, n_vocab, NULL), SOTTO_OK);
        cases_ids(json_object_get(one, "sampled"), &sampled);
        cases_ids(json_object_get(one, "suppressed"), &suppressed);
        rules.suppressed = suppressed.data;
        rules.n_suppressed = suppressed.len;
        logit_row((uint32_t)number(one, "seed"), json_number_value(json_object_get(one, "boost")), &rules.specials,
                  row);
        memcpy(got, row, n_vocab * sizeof *row);
        memset(masked, 0, n_vocab * sizeof *masked);
        for (size_t k = 0; k < json_array_size(ranges); k++) {
            const json_int_t from = json_integer_value(json_array_get(json_array_get(ranges, k), 0));
            const json_int_t to = json_integer_value(json_array_get(json_array_get(ranges, k), 1));
            for (json_int_t id = from; id < to; id++) masked[id] = true;
        }
        texts += !masked[1000];
        sotto__rules_apply(&rules, sampled.data, sampled.len, got);
        for (size_t id = 0; id < n_vocab; id++)
            if (masked[id] ? got[id] != -INFINITY : got[id] != row[id])
                fail_msg("case %zu: logit %zu is %g, expected %g", i, id, (double)got[id],
                         masked[id] ? -INFINITY : (double)row[id]);
    }
    assert_in_range(texts, 20, json_array_size(cases) - 20); /* both outcomes are among the cases */
    free(row);
    free(got);
    free(masked);
    sotto__ids_free(&sampled);
    sotto__ids_free(&suppressed);
    json_decref(root);
}

static void test_specials_as_whisper(void **state)
{
    json_t *root = cases_load("rules");
    const json_t *all = json_object_get(root, "specials");
    (void)state;
    assert_int_equal(json_array_size(all), 3);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        sotto__specials s;
        assert_int_equal(sotto__specials_of(&s, (size_t)number(one, "n_vocab"), NULL), SOTTO_OK);
        assert_int_equal(s.n_vocab, number(one, "n_vocab"));
        assert_int_equal(s.multilingual, i > 0);
        assert_int_equal(s.n_languages, i == 2 ? 100 : 99);
        assert_int_equal(s.eot, number(one, "eot"));
        assert_int_equal(s.sot, number(one, "sot"));
        assert_int_equal(s.language_begin, number(one, "language_begin"));
        assert_int_equal(s.translate, number(one, "translate"));
        assert_int_equal(s.transcribe, number(one, "transcribe"));
        assert_int_equal(s.sot_lm, number(one, "sot_lm"));
        assert_int_equal(s.sot_prev, number(one, "sot_prev"));
        assert_int_equal(s.no_speech, number(one, "no_speech"));
        assert_int_equal(s.no_timestamps, number(one, "no_timestamps"));
        assert_int_equal(s.timestamp_begin, number(one, "timestamp_begin"));
    }
    json_decref(root);
}

static void test_other_vocabulary_sizes_are_refused(void **state)
{
    static const size_t sizes[] = {0, 1, 50257, 51863, 51867, 1u << 20, SIZE_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        sotto__specials s;
        sotto_error err = {0};
        assert_int_equal(sotto__specials_of(&s, sizes[i], &err), SOTTO_EFORMAT);
        assert_non_null(strstr(err.message, "51864"));
        assert_int_equal(s.n_vocab, 0);
    }
}

/* Ids outside the vocabulary, a limit beyond the last timestamp, and rows with nothing left do no harm. */
static void test_limits(void **state)
{
    static const int32_t wild[] = {INT32_MIN, -1, 3, 51865, INT32_MAX};
    sotto__rules rules = {.suppressed = wild, .n_suppressed = 5, .timestamps = true, .space = 220};
    float *row = malloc(51865 * sizeof *row);
    int32_t last[3];
    (void)state;
    assert_non_null(row);
    assert_int_equal(sotto__specials_of(&rules.specials, 51865, NULL), SOTTO_OK);
    last[0] = 500;
    last[1] = last[2] = rules.specials.n_vocab - 1;
    for (int32_t limit = 1490; limit < 1510; limit++) {
        rules.max_initial_timestamp = limit;
        for (int i = 0; i < 51865; i++) row[i] = 1.0f;
        sotto__rules_apply(&rules, NULL, 0, row);
        assert_true(row[3] == -INFINITY);
        assert_true(row[50364] == 1.0f);
        assert_true((row[51864] == -INFINITY) == (limit < 1500));
    }
    for (int i = 0; i < 51865; i++) row[i] = 1.0f;
    sotto__rules_apply(&rules, last, 3, row);
    assert_true(row[51864] == -INFINITY);
    for (int i = 0; i < 51865; i++) row[i] = -INFINITY;
    sotto__rules_apply(&rules, last, 1, row);
    for (int i = 0; i < 51865; i++) assert_true(row[i] == -INFINITY);
    free(row);
}

static float noise(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return (float)(*x >> 8) / (float)(1 << 24);
}

static void test_log_softmax_against_double(void **state)
{
    static const size_t lengths[] = {1, 2, 31, 32, 33, 63, 64, 100, 2047, 2048, 2049, 4133, 51864, 51865, 51866};
    static const float spreads[] = {0.0f, 1e-3f, 1.0f, 20.0f, 200.0f};
    float *x = malloc(51866 * sizeof *x), *lsm = malloc(51866 * sizeof *lsm);
    uint32_t seed = 1;
    double worst_sum = 0, worst_value = 0;
    (void)state;
    assert_non_null(x);
    assert_non_null(lsm);
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++)
        for (size_t j = 0; j < sizeof spreads / sizeof spreads[0]; j++) {
            const size_t n = lengths[k];
            double top = -INFINITY, sum = 0, lse;
            float got;
            for (size_t i = 0; i < n; i++) {
                x[i] = (noise(&seed) - 0.5f) * spreads[j];
                if (i % 17 == 5) x[i] = -INFINITY;
                top = fmax(top, (double)x[i]);
            }
            for (size_t i = 0; i < n; i++) sum += exp((double)x[i] - top);
            lse = top + log(sum);
            got = sotto__log_softmax(x, n, lsm);
            /* relative to the numbers that take part: the sum's own error is far smaller than f32's last place */
            worst_sum = fmax(worst_sum, fabs((double)got - lse) / fmax(1.0, fabs(lse)));
            for (size_t i = 0; i < n; i++) {
                if (x[i] == -INFINITY)
                    assert_true(lsm[i] == -INFINITY);
                else
                    worst_value = fmax(worst_value, fabs((double)lsm[i] - ((double)x[i] - lse)) /
                                                        fmax(1.0, fabs((double)x[i] - lse)));
            }
            assert_true(got == sotto__log_softmax(x, n, x)); /* in place */
            assert_memory_equal(x, lsm, n * sizeof *x);
        }
    print_message("worst relative error: log-sum-exp %.2e, log-softmax %.2e\n", worst_sum, worst_value);
    assert_true(worst_sum < 2e-7);
    assert_true(worst_value < 3e-7);
    free(x);
    free(lsm);
}

/* The exponential alone, seen through two logits: log-sum-exp of {0, v} is log1p(exp(v)). */
static void test_exponential(void **state)
{
    double worst = 0;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        float x[33], lsm[33];
        const float v = -(float)i * 5e-4f;
        double expected = 32 * exp((double)v), sum;
        for (int l = 0; l < 32; l++) x[l] = v; /* the vector lanes; the maximum is in the scalar tail */
        x[32] = 0.0f;
        sotto__log_softmax(x, 33, lsm);
        sum = expm1(-(double)lsm[32]);
        if (v > -6.0f) worst = fmax(worst, fabs(sum - expected) / (expected + 1));
        if (v < -88.0f) assert_true(sum == 0.0);
    }
    print_message("worst relative error of 1 + 32 exp(v): %.2e\n", worst);
    assert_true(worst < 4e-7);
}

static void test_nothing_left(void **state)
{
    float x[70], lsm[70];
    (void)state;
    for (int i = 0; i < 70; i++) x[i] = -INFINITY;
    assert_true(sotto__log_softmax(x, 70, lsm) == -INFINITY);
    for (int i = 0; i < 70; i++) assert_true(lsm[i] == -INFINITY);
}

static void test_languages_as_whisper(void **state)
{
    json_t *root = cases_load("rules");
    const json_t *list = json_object_get(root, "languages"), *aliases = json_object_get(root, "aliases");
    (void)state;
    assert_int_equal(sotto__languages_count, 100);
    assert_int_equal(json_array_size(list), 100);
    assert_int_equal(json_array_size(aliases), 112);
    for (size_t i = 0; i < 100; i++) {
        const char *code = json_string_value(json_array_get(json_array_get(list, i), 0));
        const char *name = json_string_value(json_array_get(json_array_get(list, i), 1));
        assert_string_equal(sotto__languages[i].code, code);
        assert_string_equal(sotto__languages[i].name, name);
        assert_string_equal(sotto_language_code(code), code);
        assert_string_equal(sotto_language_name(code), name);
    }
    for (size_t i = 0; i < json_array_size(aliases); i++) {
        const char *name = json_string_value(json_array_get(json_array_get(aliases, i), 0));
        const char *code = json_string_value(json_array_get(json_array_get(aliases, i), 1));
        assert_string_equal(sotto_language_code(name), code);
        assert_string_equal(sotto_language_name(name), sotto_language_name(code));
    }
    assert_string_equal(sotto_language_code("YUE"), "yue");
    assert_string_equal(sotto_language_code("Haitian Creole"), "ht");
    assert_string_equal(sotto_language_name("Burmese"), "myanmar");
    assert_null(sotto_language_code(""));
    assert_null(sotto_language_code("e"));
    assert_null(sotto_language_code("klingon"));
    assert_null(sotto_language_name(NULL));
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks_as_whisper),
        cmocka_unit_test(test_specials_as_whisper),
        cmocka_unit_test(test_other_vocabulary_sizes_are_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_log_softmax_against_double),
        cmocka_unit_test(test_exponential),
        cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_languages_as_whisper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
