/* SPDX-License-Identifier: MIT
 * Vocabulary files: the four forms on small made-up ones, hostile content, and, where tiny.en and base are there, that
 * all forms of a model agree. */
#include "text_cases.h"
#include "token/vocab.h"

#include <errno.h>
#include <sys/stat.h>

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/sotto-vocab-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"vocabulary.txt", "vocabulary.json", "vocab.json", "tokenizer.json"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        unlink(in_dir(names[i]));
        rmdir(in_dir(names[i]));
    }
    return rmdir(dir);
}

static void put(const char *name, const char *bytes, size_t n)
{
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void assert_token(const sotto__vocab *v, size_t id, const char *bytes, size_t n)
{
    const size_t begin = id ? v->ends[id - 1] : 0;
    assert_true(id < v->n);
    assert_int_equal(v->ends[id] - begin, n);
    if (n) assert_memory_equal(v->bytes + begin, bytes, n);
}

#define PUT(name, text) put(name, text, sizeof(text) - 1)
#define TOKEN(v, id, bytes) assert_token(v, id, bytes, sizeof(bytes) - 1)

/* "Ġa" is " a", "Ċ" newline, "Ń" 0xAD, "Ã©" é, "Ā" NUL; U+4E2D and the plain space are in no mapping. */
static void test_lines(void **state)
{
    sotto__vocab v = {0};
    (void)state;
    PUT("vocabulary.txt", "!\nĠa\n\nĊ\nŃ\nÃ©\nĀ\n<|0.00|>\nx中\na b\r\nlast");
    assert_int_equal(sotto__vocab_read_dir(&v, dir, NULL), SOTTO_OK);
    assert_int_equal(v.n, 11);
    TOKEN(&v, 0, "!");
    TOKEN(&v, 1, " a");
    TOKEN(&v, 2, "");
    TOKEN(&v, 3, "\n");
    TOKEN(&v, 4, "\xAD");
    TOKEN(&v, 5, "é");
    TOKEN(&v, 6, "\0");
    TOKEN(&v, 7, "<|0.00|>");
    TOKEN(&v, 8, "x中"); /* kept as written */
    TOKEN(&v, 9, "a b");
    TOKEN(&v, 10, "last");
    sotto__vocab_free(&v);
}

/* Every byte, under the mapping as GPT-2's bytes_to_unicode() defines it. */
static void test_mapping_is_complete(void **state)
{
    sotto__vocab v = {0};
    sotto__str text = {0};
    int next = 0x100;
    (void)state;
    for (int b = 0; b < 256; b++) {
        const bool self = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
        const int cp = self ? b : next++;
        if (cp < 0x80)
            assert_true(sotto__str_printf(&text, "%c\n", cp));
        else
            assert_true(sotto__str_printf(&text, "%c%c\n", 0xC0 | cp >> 6, 0x80 | (cp & 0x3F)));
    }
    put("vocabulary.txt", text.data, text.len);
    assert_int_equal(sotto__vocab_read_dir(&v, dir, NULL), SOTTO_OK);
    assert_int_equal(v.n, 256);
    for (size_t b = 0; b < 256; b++) {
        const char byte = (char)(unsigned char)b;
        assert_token(&v, b, &byte, 1);
    }
    sotto__str_free(&text);
    sotto__vocab_free(&v);
}

static void test_array(void **state)
{
    sotto__vocab v = {0};
    (void)state;
    PUT("vocabulary.json", "[\"!\", \"\\u0120a\", \"\", \"\\\"\"]");
    assert_int_equal(sotto__vocab_read_dir(&v, dir, NULL), SOTTO_OK);
    assert_int_equal(v.n, 4);
    TOKEN(&v, 1, " a");
    TOKEN(&v, 2, "");
    TOKEN(&v, 3, "\"");
    sotto__vocab_free(&v);
}

static void test_map_in_any_order_with_holes(void **state)
{
    sotto__vocab v = {0};
    (void)state;
    PUT("vocab.json", "{\"c\": 5, \"Ġa\": 1, \"b\": 0, \"\": 3}");
    assert_int_equal(sotto__vocab_read_dir(&v, dir, NULL), SOTTO_OK);
    assert_int_equal(v.n, 6);
    TOKEN(&v, 0, "b");
    TOKEN(&v, 1, " a");
    TOKEN(&v, 2, "");
    TOKEN(&v, 3, "");
    TOKEN(&v, 5, "c");
    sotto__vocab_free(&v);
}

static void test_tokenizer_json(void **state)
{
    sotto__vocab v = {0};
    (void)state;
    PUT("tokenizer.json",
        "{\"added_tokens\": [{\"id\": 3, \"content\": \"<|x|>\"}, {\"id\": 0, \"content\": \"other\"}],"
        "\"model\": {\"vocab\": {\"a\": 0, \"Ġb\": 1}, \"merges\": []}}");
    assert_int_equal(sotto__vocab_read_dir(&v, dir, NULL), SOTTO_OK);
    assert_int_equal(v.n, 4);
    TOKEN(&v, 0, "a");
    TOKEN(&v, 1, " b");
    TOKEN(&v, 2, "");
    TOKEN(&v, 3, "<|x|>");
    sotto__vocab_free(&v);
}

static void test_first_that_exists(void **state)
{
    sotto__vocab v = {0};
    (void)state;
    PUT("tokenizer.json", "{\"model\": {\"vocab\": {\"t\": 0}}}");
    PUT("vocab.json", "{\"m\": 0}");
    assert_int_equal(sotto__vocab_read_dir(&v, dir, NULL), SOTTO_OK);
    TOKEN(&v, 0, "m");
    sotto__vocab_free(&v);
    PUT("vocabulary.txt", "l\n");
    assert_int_equal(sotto__vocab_read_dir(&v, dir, NULL), SOTTO_OK);
    TOKEN(&v, 0, "l");
    sotto__vocab_free(&v);
}

/* Fails with `status`, names the file and a word of the reason, and leaves an empty vocabulary. */
static void refused(const char *name, const char *text, size_t n, sotto_status status, const char *word)
{
    sotto__vocab v = {0};
    sotto_error err = {0};
    put(name, text, n);
    assert_int_equal(sotto__vocab_read_dir(&v, dir, &err), status);
    assert_int_equal(err.code, status);
    if (!strstr(err.message, name) || !strstr(err.message, word)) fail_msg("%s lacks \"%s\"", err.message, word);
    assert_null(v.bytes);
    assert_null(v.ends);
    assert_int_equal(v.n, 0);
    unlink(in_dir(name));
}

#define REFUSED(name, text, word) refused(name, text, sizeof(text) - 1, SOTTO_EFORMAT, word)

static void test_hostile_content_is_refused(void **state)
{
    (void)state;
    REFUSED("vocabulary.txt", "", "no tokens");
    REFUSED("vocabulary.json", "", "JSON");
    REFUSED("vocabulary.json", "[\"a\", ", "JSON");
    REFUSED("vocabulary.json", "[\"a\"] trailing", "JSON");
    REFUSED("vocabulary.json", "[\"\xFF\"]", "JSON");
    REFUSED("vocabulary.json", "[]", "no tokens");
    REFUSED("vocabulary.json", "{}", "array");
    REFUSED("vocabulary.json", "[\"a\", 1]", "token 1");
    REFUSED("vocab.json", "[1]", "map");
    REFUSED("vocab.json", "{}", "no tokens");
    REFUSED("vocab.json", "{\"a\": -1}", "\"a\"");
    REFUSED("vocab.json", "{\"a\": 1048576}", "\"a\"");
    REFUSED("vocab.json", "{\"a\": 9223372036854775807}", "\"a\"");
    REFUSED("vocab.json", "{\"a\": 1e3}", "\"a\"");
    REFUSED("vocab.json", "{\"a\": \"0\"}", "\"a\"");
    REFUSED("vocab.json", "{\"a\": 0, \"b\": 0}", "share");
    REFUSED("tokenizer.json", "{}", "map");
    REFUSED("tokenizer.json", "{\"model\": {\"vocab\": [[\"a\", 0]]}}", "map");
    REFUSED("tokenizer.json", "{\"model\": {\"vocab\": {\"a\": 0}}, \"added_tokens\": [{}]}", "content");
    REFUSED("tokenizer.json", "{\"model\": {\"vocab\": {\"a\": 0}}, \"added_tokens\": [{\"content\": \"b\"}]}",
            "\"b\"");
}

static void test_sizes_are_bounded(void **state)
{
    const size_t lines = (1u << 20) + 1;
    char *text = malloc(lines);
    sotto__vocab v = {0};
    sotto_error err;
    (void)state;
    assert_non_null(text);
    memset(text, '\n', lines);
    refused("vocabulary.txt", text, lines, SOTTO_ELIMIT, "1048576");
    memset(text, '[', lines);
    refused("vocabulary.json", text, lines, SOTTO_EFORMAT, "JSON"); /* depth */
    free(text);
    PUT("vocabulary.txt", "a\n");
    assert_int_equal(truncate(in_dir("vocabulary.txt"), (off_t)1 << 40), 0); /* sparse */
    assert_int_equal(sotto__vocab_read_dir(&v, dir, &err), SOTTO_ELIMIT);
    unlink(in_dir("vocabulary.txt"));
}

static void test_what_is_no_file(void **state)
{
    sotto__vocab v = {0};
    sotto_error err;
    (void)state;
    assert_int_equal(sotto__vocab_read_dir(&v, dir, &err), SOTTO_ENOTFOUND);
    assert_non_null(strstr(err.message, dir));
    assert_non_null(strstr(err.message, "tokenizer.json"));
    assert_int_equal(mkdir(in_dir("vocabulary.txt"), 0700), 0);
    assert_int_equal(sotto__vocab_read_dir(&v, dir, &err), SOTTO_EFORMAT);
    rmdir(in_dir("vocabulary.txt"));
    assert_int_equal(mkfifo(in_dir("vocabulary.txt"), 0600), 0); /* must not wait for a writer */
    assert_int_equal(sotto__vocab_read_dir(&v, dir, &err), SOTTO_EFORMAT);
    unlink(in_dir("vocabulary.txt"));
}

/* The quick file and tokenizer.json of one model tell the same ordinary tokens. */
static void test_real_forms_agree(void **state)
{
    const char *model = *state;
    const size_t n = !strcmp(model, "base") ? 50257 : 50256;
    char model_dir[1024], path[1200];
    sotto__vocab quick = {0}, full = {0};
    const double begin = sotto__now_s();
    assert_true(cases_model_dir(model, model_dir, sizeof model_dir));
    assert_int_equal(sotto__vocab_read_dir(&quick, model_dir, NULL), SOTTO_OK);
    print_message("%s: vocabulary read in %.1f ms\n", model, 1e3 * (sotto__now_s() - begin));
    snprintf(path, sizeof path, "%s/tokenizer.json", model_dir);
    assert_int_equal(symlink(path, in_dir("tokenizer.json")), 0);
    assert_int_equal(sotto__vocab_read_dir(&full, dir, NULL), SOTTO_OK);
    assert_true(quick.n >= n && full.n >= n);
    assert_memory_equal(quick.ends, full.ends, n * sizeof *full.ends);
    assert_memory_equal(quick.bytes, full.bytes, full.ends[n - 1]);
    sotto__vocab_free(&quick);
    sotto__vocab_free(&full);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest always[] = {
        IN_DIR(test_lines),
        IN_DIR(test_mapping_is_complete),
        IN_DIR(test_array),
        IN_DIR(test_map_in_any_order_with_holes),
        IN_DIR(test_tokenizer_json),
        IN_DIR(test_first_that_exists),
        IN_DIR(test_hostile_content_is_refused),
        IN_DIR(test_sizes_are_bounded),
        IN_DIR(test_what_is_no_file),
    };
    static char *const models[] = {"tiny.en", "base"};
    int failed = cmocka_run_group_tests(always, NULL, NULL);
    bool missing = false;
    for (size_t i = 0; i < 2; i++) {
        char model_dir[1024];
        const struct CMUnitTest with_model[] = {
            cmocka_unit_test_prestate_setup_teardown(test_real_forms_agree, make_dir, remove_dir, models[i])};
        if (!cases_model_dir(models[i], model_dir, sizeof model_dir)) {
            fprintf(stderr, "skipped: the vocabulary of %s is not there (models/fetch %s)\n", models[i], models[i]);
            missing = true;
            continue;
        }
        failed += cmocka_run_group_tests_name(models[i], with_model, NULL, NULL);
    }
    return failed ? 1 : missing ? 77 : 0;
}
