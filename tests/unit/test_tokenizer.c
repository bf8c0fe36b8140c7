/* SPDX-License-Identifier: MIT
 * Tokenizer: on a small made-up vocabulary always; against tiktoken and whisper.tokenizer where the vocabularies of
 * tiny.en and base are there (`models/fetch tiny.en base`), else that part is skipped. */
#include "text_cases.h"
#include "token/tokenizer.h"

/* ---- a made-up vocabulary --------------------------------------------------------------------------------------- */

enum { FIRST_MERGE = 256, EOT = 50256, N_VOCAB = 51864 };

/* Ids from FIRST_MERGE on. "xyz" is reached by no merge; "bc" outranks "ab". */
static const char *const merges[] = {"bc",  "ab", "aa",       "aaaa", " t", "th",   "the", " the",
                                     "xyz", "'s", "\xC3\xA9", " ",    "  ", "\n\n", "ll",  " a"};
enum { BC = 256, AB, AA, AAAA, SP_T, TH, THE, SP_THE, XYZ, APOS_S, E_ACUTE, SPACE_AGAIN, SPACES, NEWLINES, LL, SP_A };

static void made_up_vocab(sotto__vocab *v, size_t n, int without_byte)
{
    for (size_t i = 0; i < n; i++) {
        char text[32];
        size_t len = 1;
        if (i < FIRST_MERGE) {
            text[0] = (char)(unsigned char)i;
            if ((int)i == without_byte) len = 0;
        } else if (i - FIRST_MERGE < sizeof merges / sizeof merges[0]) {
            len = (size_t)snprintf(text, sizeof text, "%s", merges[i - FIRST_MERGE]);
        } else {
            len = (size_t)snprintf(text, sizeof text, "\xFF#%zu", i); /* "\xFF#" is no token: never reached */
        }
        assert_int_equal(sotto__vocab_add(v, text, len, NULL), SOTTO_OK);
    }
}

static sotto__tokenizer *made_up(void)
{
    sotto__vocab v = {0};
    sotto__tokenizer *t;
    made_up_vocab(&v, EOT, -1);
    assert_int_equal(sotto__tokenizer_create(&t, &v, N_VOCAB, NULL), SOTTO_OK);
    assert_null(v.bytes); /* taken over */
    return t;
}

#define ENCODES(t, text, ...)                                                                                          \
    do {                                                                                                               \
        const int32_t expected_[] = {__VA_ARGS__};                                                                     \
        sotto__ids got_ = {0};                                                                                         \
        assert_int_equal(sotto__tokenizer_encode(t, text, sizeof(text) - 1, &got_, NULL), SOTTO_OK);                   \
        assert_int_equal(got_.len, sizeof expected_ / sizeof expected_[0]);                                            \
        assert_memory_equal(got_.data, expected_, sizeof expected_);                                                   \
        sotto__ids_free(&got_);                                                                                        \
    } while (0)

static void test_merges_by_rank_then_from_the_left(void **state)
{
    sotto__tokenizer *t = made_up();
    (void)state;
    ENCODES(t, "abc", 'a', BC); /* not from the left */
    ENCODES(t, "abd", AB, 'd');
    ENCODES(t, "aaa", AA, 'a');
    ENCODES(t, "aaaaa", AAAA, 'a');
    ENCODES(t, "aaaaaaab", AAAA, AA, AB);
    ENCODES(t, "xyz", XYZ); /* a whole piece that is a token is taken as it is */
    ENCODES(t, "xyzq", 'x', 'y', 'z', 'q');
    ENCODES(t, "the", THE);
    ENCODES(t, " thex", SP_T, 'h', 'e', 'x');
    ENCODES(t, " ", ' '); /* of two equal tokens the lower id */
    sotto__tokenizer_free(t);
}

static void test_splits_as_gpt2(void **state)
{
    sotto__tokenizer *t = made_up();
    (void)state;
    ENCODES(t, "a's", 'a', APOS_S);
    ENCODES(t, "a'se", 'a', APOS_S, 'e');
    ENCODES(t, "a'll", 'a', '\'', LL); /* "'ll" is one piece: its "ll" merges */
    ENCODES(t, "a'Sl", 'a', '\'', 'S', 'l');
    ENCODES(t, "the the", THE, SP_THE);
    ENCODES(t, "the  the", THE, ' ', SP_THE); /* of two spaces the last goes with the word */
    ENCODES(t, "a  ", 'a', SPACES);           /* … and stays at the end of the text */
    ENCODES(t, "a   b", 'a', SPACES, ' ', 'b');
    ENCODES(t, "a\n\nb", 'a', '\n', '\n', 'b'); /* white space other than ' ' stands alone before a word */
    ENCODES(t, "\n\n", NEWLINES);
    ENCODES(t, "a1a", 'a', '1', 'a');
    ENCODES(t, "'", '\'');
    ENCODES(t, " '", ' ', '\'');
    ENCODES(t, "\xC2\xA0 the", 0xC2, 0xA0, SP_THE);
    sotto__tokenizer_free(t);
}

static void test_invalid_utf8_is_replaced(void **state)
{
    sotto__tokenizer *t = made_up();
    (void)state;
    ENCODES(t, "\xC3\xA9", E_ACUTE);
    ENCODES(t, "\xC3", 0xEF, 0xBF, 0xBD);
    ENCODES(t,
            "a\xE4\xBD"
            "a",
            'a', 0xEF, 0xBF, 0xBD, 'a');
    ENCODES(t, "\0\xFF", 0, 0xEF, 0xBF, 0xBD);
    sotto__tokenizer_free(t);
}

static void test_empty_text(void **state)
{
    sotto__tokenizer *t = made_up();
    sotto__ids ids = {0};
    sotto__str text = {0};
    (void)state;
    assert_int_equal(sotto__tokenizer_encode(t, "", 0, &ids, NULL), SOTTO_OK);
    assert_int_equal(ids.len, 0);
    assert_int_equal(sotto__tokenizer_decode(t, NULL, 0, &text, NULL), SOTTO_OK);
    assert_string_equal(text.data, "");
    sotto__str_free(&text);
    sotto__tokenizer_free(t);
}

static void test_long_words_take_little_time(void **state)
{
    sotto__tokenizer *t = made_up();
    const size_t n = 1u << 20;
    char *text = malloc(n);
    sotto__ids ids = {0};
    const double begin = sotto__now_s();
    (void)state;
    assert_non_null(text);
    memset(text, 'a', n);
    assert_int_equal(sotto__tokenizer_encode(t, text, n, &ids, NULL), SOTTO_OK);
    assert_int_equal(ids.len, n / 4);
    for (size_t i = 0; i < ids.len; i++) assert_int_equal(ids.data[i], AAAA);
    ids.len = 0;
    memset(text, ' ', n);
    assert_int_equal(sotto__tokenizer_encode(t, text, n, &ids, NULL), SOTTO_OK);
    assert_int_equal(ids.len, n / 2);
    /* A quadratic merge would take minutes. */
    assert_true(sotto__now_s() - begin < 20);
    free(text);
    sotto__ids_free(&ids);
    sotto__tokenizer_free(t);
}

static void test_decode_leaves_special_tokens_out(void **state)
{
    sotto__tokenizer *t = made_up();
    const int32_t ids[] = {EOT + 1, SP_THE, 50363 + 1, 0xC3, EOT, 0xA9, 0xE4, 0xBD, -1, N_VOCAB, INT32_MAX, 'x'};
    sotto__str text = {0};
    size_t len;
    (void)state;
    assert_int_equal(sotto__tokenizer_decode(t, ids, sizeof ids / sizeof ids[0], &text, NULL), SOTTO_OK);
    assert_string_equal(text.data, " the\xC3\xA9\xEF\xBF\xBDx");
    assert_memory_equal(sotto__tokenizer_bytes(t, THE, &len), "the", 3);
    assert_int_equal(len, 3);
    assert_string_equal(sotto__tokenizer_bytes(t, EOT, &len), "");
    assert_int_equal(len, 0);
    assert_string_equal(sotto__tokenizer_bytes(t, -5, &len), "");
    sotto__str_free(&text);
    sotto__tokenizer_free(t);
}

static void test_languages(void **state)
{
    sotto__tokenizer *t = made_up();
    const sotto__specials *s = sotto__tokenizer_specials(t);
    (void)state;
    assert_int_equal(s->eot, EOT);
    assert_null(sotto__tokenizer_language(t, s->sot));
    assert_string_equal(sotto__tokenizer_language(t, s->language_begin), "en");
    assert_string_equal(sotto__tokenizer_language(t, s->translate - 1), "su");
    assert_null(sotto__tokenizer_language(t, s->translate));
    assert_int_equal(sotto__tokenizer_language_id(t, "zh"), s->language_begin + 1);
    assert_int_equal(sotto__tokenizer_language_id(t, "yue"), -1); /* only with 100 languages */
    assert_int_equal(sotto__tokenizer_language_id(t, NULL), -1);
    sotto__tokenizer_free(t);
}

static void test_words_at_spaces_and_whole_characters(void **state)
{
    sotto__tokenizer *t = made_up();
    /* " the" "the" "é" in two tokens, "," " " "x" and half a character, then the end */
    const int32_t ids[] = {SP_THE, THE, 0xC3, 0xA9, ',', ' ', 'x', 0xE4, EOT};
    static const char *const texts[] = {" thethe\xC3\xA9", ",", " x\xEF\xBF\xBD", ""};
    static const size_t token_ends[] = {4, 5, 8, 9};
    sotto__words w = {0};
    size_t begin = 0;
    (void)state;
    assert_int_equal(sotto__tokenizer_words(t, "ja", ids, 9, &w, NULL), SOTTO_OK); /* English-only: language ignored */
    assert_int_equal(w.n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(w.text_ends[i] - begin, strlen(texts[i]));
        assert_memory_equal(w.texts.data + begin, texts[i], strlen(texts[i]));
        assert_int_equal(w.token_ends[i], token_ends[i]);
        begin = w.text_ends[i];
    }
    assert_int_equal(sotto__tokenizer_words(t, "en", NULL, 0, &w, NULL), SOTTO_OK); /* and again into the same */
    assert_int_equal(w.n, 0);
    sotto__words_free(&w);
    sotto__tokenizer_free(t);
}

static void test_unusable_vocabularies_are_refused(void **state)
{
    sotto__vocab v = {0};
    sotto__tokenizer *t = (sotto__tokenizer *)(uintptr_t)1;
    sotto_error err;
    (void)state;
    made_up_vocab(&v, EOT - 1, -1);
    assert_int_equal(sotto__tokenizer_create(&t, &v, N_VOCAB, &err), SOTTO_EFORMAT);
    assert_null(t);
    assert_non_null(strstr(err.message, "50255"));
    assert_non_null(strstr(err.message, "50256"));
    assert_int_equal(v.n, EOT - 1); /* still the caller's */
    assert_int_equal(sotto__tokenizer_create(&t, &v, 50000, &err), SOTTO_EFORMAT);
    sotto__vocab_free(&v);
    made_up_vocab(&v, EOT, 0x41);
    assert_int_equal(sotto__tokenizer_create(&t, &v, N_VOCAB, &err), SOTTO_EFORMAT);
    assert_non_null(strstr(err.message, "0x41"));
    sotto__vocab_free(&v);
    sotto__tokenizer_free(NULL);
}

/* ---- the real vocabularies -------------------------------------------------------------------------------------- */

typedef struct real {
    json_t *cases;
    sotto__tokenizer *t;
} real;

static real open_real(const char *model)
{
    char dir[1024], name[64];
    sotto__vocab v = {0};
    sotto_error err;
    real r = {0};
    assert_true(cases_model_dir(model, dir, sizeof dir));
    snprintf(name, sizeof name, "tokenizer_%s", model);
    r.cases = cases_load(name);
    if (sotto__vocab_read_dir(&v, dir, &err) != SOTTO_OK) fail_msg("%s", err.message);
    if (sotto__tokenizer_create(&r.t, &v, (size_t)json_integer_value(json_object_get(r.cases, "n_vocab")), &err))
        fail_msg("%s", err.message);
    return r;
}

static void close_real(real *r)
{
    sotto__tokenizer_free(r->t);
    json_decref(r->cases);
}

static void assert_ids_equal(const char *what, size_t at, const sotto__ids *got, const sotto__ids *expected)
{
    if (got->len != expected->len || memcmp(got->data, expected->data, got->len * sizeof *got->data))
        fail_msg("%s %zu: other ids than the reference", what, at);
}

static void check_encode(const char *model)
{
    real r = open_real(model);
    const json_t *cases = json_object_get(r.cases, "encode");
    sotto__ids expected = {0}, got = {0};
    sotto__str text = {0};
    assert_true(json_array_size(cases) > 400);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        cases_bytes(json_array_get(json_array_get(cases, i), 0), &text);
        cases_ids(json_array_get(json_array_get(cases, i), 1), &expected);
        got.len = 0;
        assert_int_equal(sotto__tokenizer_encode(r.t, text.data, text.len, &got, NULL), SOTTO_OK);
        assert_ids_equal("text", i, &got, &expected);
        /* Back to the same bytes, where they were UTF-8. */
        if (json_is_string(json_array_get(json_array_get(cases, i), 0))) {
            sotto__str back = {0};
            assert_int_equal(sotto__tokenizer_decode(r.t, got.data, got.len, &back, NULL), SOTTO_OK);
            assert_int_equal(back.len, text.len);
            assert_memory_equal(back.data, text.data, text.len);
            sotto__str_free(&back);
        }
    }
    print_message("%s: %zu texts encode as in tiktoken\n", model, json_array_size(cases));
    sotto__ids_free(&expected);
    sotto__ids_free(&got);
    sotto__str_free(&text);
    close_real(&r);
}

static void check_decode(const char *model)
{
    real r = open_real(model);
    const json_t *cases = json_object_get(r.cases, "decode");
    sotto__ids ids = {0};
    sotto__str expected = {0}, got = {0};
    assert_true(json_array_size(cases) > 150);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        cases_ids(json_array_get(json_array_get(cases, i), 0), &ids);
        cases_bytes(json_array_get(json_array_get(cases, i), 1), &expected);
        got.len = 0;
        assert_int_equal(sotto__tokenizer_decode(r.t, ids.data, ids.len, &got, NULL), SOTTO_OK);
        if (got.len != expected.len || memcmp(got.data, expected.data, got.len))
            fail_msg("ids %zu: \"%s\", expected \"%s\"", i, got.data, expected.data);
    }
    sotto__ids_free(&ids);
    sotto__str_free(&expected);
    sotto__str_free(&got);
    close_real(&r);
}

static void check_words(const char *model)
{
    real r = open_real(model);
    const json_t *cases = json_object_get(r.cases, "words");
    sotto__ids ids = {0};
    sotto__words w = {0};
    assert_true(json_array_size(cases) > 300);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i), *texts = json_array_get(one, 2), *counts = json_array_get(one, 3);
        size_t text = 0, token = 0;
        cases_ids(json_array_get(one, 1), &ids);
        assert_int_equal(
            sotto__tokenizer_words(r.t, json_string_value(json_array_get(one, 0)), ids.data, ids.len, &w, NULL),
            SOTTO_OK);
        if (w.n != json_array_size(texts)) fail_msg("words %zu: %zu, expected %zu", i, w.n, json_array_size(texts));
        for (size_t k = 0; k < w.n; k++) {
            const json_t *expected = json_array_get(texts, k);
            if (w.text_ends[k] - text != json_string_length(expected) ||
                memcmp(w.texts.data + text, json_string_value(expected), w.text_ends[k] - text) ||
                w.token_ends[k] - token != (size_t)json_integer_value(json_array_get(counts, k)))
                fail_msg("words %zu: word %zu is not \"%s\"", i, k, json_string_value(expected));
            text = w.text_ends[k];
            token = w.token_ends[k];
        }
    }
    sotto__ids_free(&ids);
    sotto__words_free(&w);
    close_real(&r);
}

static void check_non_speech(const char *model)
{
    real r = open_real(model);
    sotto__ids expected = {0}, got = {0};
    cases_ids(json_object_get(r.cases, "non_speech"), &expected);
    assert_int_equal(sotto__tokenizer_non_speech(r.t, &got, NULL), SOTTO_OK);
    assert_ids_equal("non-speech tokens", 0, &got, &expected);
    sotto__ids_free(&expected);
    sotto__ids_free(&got);
    close_real(&r);
}

static void test_real_encode(void **state) { check_encode(*state); }
static void test_real_decode(void **state) { check_decode(*state); }
static void test_real_words(void **state) { check_words(*state); }
static void test_real_non_speech(void **state) { check_non_speech(*state); }

int main(void)
{
    const struct CMUnitTest always[] = {
        cmocka_unit_test(test_merges_by_rank_then_from_the_left),
        cmocka_unit_test(test_splits_as_gpt2),
        cmocka_unit_test(test_invalid_utf8_is_replaced),
        cmocka_unit_test(test_empty_text),
        cmocka_unit_test(test_long_words_take_little_time),
        cmocka_unit_test(test_decode_leaves_special_tokens_out),
        cmocka_unit_test(test_languages),
        cmocka_unit_test(test_words_at_spaces_and_whole_characters),
        cmocka_unit_test(test_unusable_vocabularies_are_refused),
    };
    static char *const models[] = {"tiny.en", "base"};
    int failed = cmocka_run_group_tests(always, NULL, NULL);
    bool missing = false;
    for (size_t i = 0; i < 2; i++) {
        char dir[1024];
        const struct CMUnitTest with_model[] = {
            cmocka_unit_test_prestate(test_real_encode, models[i]),
            cmocka_unit_test_prestate(test_real_decode, models[i]),
            cmocka_unit_test_prestate(test_real_words, models[i]),
            cmocka_unit_test_prestate(test_real_non_speech, models[i]),
        };
        if (!cases_model_dir(models[i], dir, sizeof dir)) {
            fprintf(stderr, "skipped: the vocabulary of %s is not there (models/fetch %s)\n", models[i], models[i]);
            missing = true;
            continue;
        }
        failed += cmocka_run_group_tests_name(models[i], with_model, NULL, NULL);
    }
    return failed ? 1 : missing ? 77 : 0;
}
