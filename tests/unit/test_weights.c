/* SPDX-License-Identifier: MIT
 * Weight files before anything is made of them: what a path may be, the config beside it, names, and values that keep
 * their 32 bits in a shrunken file. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/weights.h"
#include "sotto.h"
#include "tiny_model.h"

static char dir[512], file[640];
static tiny_model model; /* the usual one, with positions as in real models */

static const char *put(const char *name, const void *bytes, size_t n)
{
    static char path[640];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path;
}

static void check_refused(const char *path, sotto_status status, const char *said)
{
    sotto__weights *w = NULL;
    sotto_error err = {0};
    assert_int_equal(sotto__weights_open(&w, path, &err), status);
    assert_null(w);
    if (!strstr(err.message, said)) fail_msg("\"%s\" was expected: %s", said, err.message);
}

static int make_directory(void **state)
{
    (void)state;
    return tiny_directory(dir, sizeof dir);
}

static int remove_directory(void **state)
{
    (void)state;
    tiny_remove(dir);
    return 0;
}

static void test_paths(void **state)
{
    char below[700];
    (void)state;
    check_refused("/nowhere/at/all", SOTTO_ENOTFOUND, "cannot open model /nowhere/at/all");
    check_refused("/dev/null", SOTTO_EFORMAT, "is not a regular file");
    check_refused(dir, SOTTO_ENOTFOUND, "holds none of model.bin, model.safetensors");
    put("model.safetensors.index.json", "{}", 2);
    check_refused(dir, SOTTO_EUNSUPPORTED, "split over several safetensors files");
    check_refused(put("model.bin", "short", 5), SOTTO_EFORMAT, "5 bytes are too few");
    check_refused(put("model.bin", "\xff\xff\xff\xff nothing that is known", 26), SOTTO_EFORMAT, "is no weight file");
    snprintf(below, sizeof below, "%s/model.bin/more", dir);
    check_refused(below, SOTTO_ENOTFOUND, "cannot open model");
}

/* Heads whose attention follows the words, from the config of either format that has them there. */
static void test_alignment_heads(void **state)
{
    static const struct {
        const char *json, *said; /* NULL: fine */
        size_t n;
    } cases[] = {
        {"{\"alignment_heads\": [[0, 0], [1, 0]]}", NULL, 2},
        {"{\"alignment_heads\": []}", NULL, 0},
        {"{}", NULL, 0},
        {"{\"alignment_heads\": [[0, 0], [1]]}", "alignment_heads[1] is not a pair [layer, head]", 0},
        {"{\"alignment_heads\": [[-1, 0]]}", "alignment_heads[0] is not a pair", 0},
        {"{\"alignment_heads\": [[0, 1001]]}", "alignment_heads[0] is not a pair", 0},
        {"{\"alignment_heads\": [[0, 0.5]]}", "alignment_heads[0] is not a pair", 0},
        {"{\"alignment_heads\": [0]}", "alignment_heads[0] is not a pair", 0},
        {"{\"alignment_heads\"", "not readable as JSON", 0},
    };
    static const struct {
        tiny_format format;
        const char *config;
    } formats[] = {{TINY_HUGGINGFACE, "generation_config.json"}, {TINY_CTRANSLATE2, "config.json"}};
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        assert_int_equal(tiny_write(&model, formats[f].format, dir, file, sizeof file), 0);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            put(formats[f].config, cases[i].json, strlen(cases[i].json));
            if (cases[i].said) {
                check_refused(file, SOTTO_EFORMAT, cases[i].said);
                continue;
            }
            sotto__weights *w;
            sotto_error err = {0};
            if (sotto__weights_open(&w, file, &err) != SOTTO_OK) fail_msg("%s: %s", cases[i].json, err.message);
            assert_int_equal(w->n_alignment_heads, cases[i].n);
            for (size_t k = 0; k < cases[i].n; k++) {
                assert_int_equal(w->alignment_heads[2 * k], k);
                assert_int_equal(w->alignment_heads[2 * k + 1], 0);
            }
            sotto__weights_close(w);
        }
    }
}

/* One tensor, whatever its name's length, of a file that no model is in. */
static void test_names(void **state)
{
    char name[300], head[600], bytes[700];
    sotto__weights *w;
    sotto_error err = {0};
    (void)state;
    for (size_t n = 1; n < sizeof name; n = n < 158 || n > 164 ? n * 2 + 30 : n + 1) {
        memset(name, 'x', n);
        name[n] = '\0';
        const int length =
            snprintf(head, sizeof head, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}}", name);
        const uint64_t size = (uint64_t)length;
        const float values[] = {0.5f, -2};
        memcpy(bytes, &size, 8);
        memcpy(bytes + 8, head, (size_t)length);
        memcpy(bytes + 8 + length, values, 8);
        const char *path = put("one.safetensors", bytes, 16 + (size_t)length);
        if (sotto__safetensors_open(&w, path, &err) != SOTTO_OK) fail_msg("%s", err.message);
        const sotto__tensor *t = sotto__weights_find(w, name);
        assert_non_null(t);
        assert_memory_equal(t->data, values, 8);
        assert_int_equal(t->dims[1], 2);
        name[n - 1] = 'y';
        assert_null(sotto__weights_find(w, name));
        sotto__weights_close(w);
    }
    assert_int_equal(sotto__safetensors_open(&w, put("no.safetensors", bytes + 8, 200), &err), SOTTO_EFORMAT);
    assert_non_null(strstr(err.message, "is no safetensors file"));
    assert_int_not_equal(sotto__safetensors_open(&w, "/nowhere/at/all", &err), SOTTO_OK);
    assert_null(w);
}

/* A value that 16 bits cannot hold, in a vector that ggml stores with 32: it survives shrinking, and sinusoids take no
 * bytes. */
static void test_shrunken_floats(void **state)
{
    static const char name[] = "encoder.conv1.bias";
    const float huge = 1e6f;
    char out[700];
    sotto__weights *w;
    sotto_error err = {0};
    (void)state;
    assert_int_equal(tiny_write(&model, TINY_GGML, dir, file, sizeof file), 0);
    FILE *f = fopen(file, "r+b");
    assert_non_null(f);
    char *head = malloc(1 << 21);
    assert_non_null(head);
    const size_t n = fread(head, 1, 1 << 21, f);
    const char *at = memmem(head, n, name, sizeof name - 1);
    assert_non_null(at);
    assert_int_equal(fseek(f, at - head + (long)sizeof name - 1, SEEK_SET), 0);
    assert_int_equal(fwrite(&huge, sizeof huge, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    free(head);
    snprintf(out, sizeof out, "%s/model.sotto", dir);
    if (sotto_shrink(file, "vocab=en:256,int8:g8@decoder", NULL, out, NULL, &err) != SOTTO_OK)
        fail_msg("%s", err.message);
    if (sotto__weights_open(&w, out, &err) != SOTTO_OK) fail_msg("%s", err.message);
    size_t found = 0, free_of_bits = 0;
    for (size_t i = 0; i < w->n_tensors; i++) {
        const sotto__tensor *t = &w->tensors[i];
        float first, second;
        memcpy(&first, t->data, sizeof first);
        if (first == huge) {
            assert_int_equal(t->bits, 32);
            assert_int_equal(t->elements, model.width);
            found++;
        }
        if (t->bits == 0) { /* sin 0 and cos 0 begin the halves of the first position */
            memcpy(&second, (const float *)(const void *)t->data + model.width / 2, sizeof second);
            assert_true(first == 0 && second == 1 && t->elements == 1500 * model.width);
            free_of_bits++;
        }
    }
    assert_int_equal(found, 1);
    assert_int_equal(free_of_bits, 1);
    sotto__weights_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_paths, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_alignment_heads, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_names, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_shrunken_floats, make_directory, remove_directory),
    };
    model = tiny_default;
    model.sinusoids = 1;
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
