/* SPDX-License-Identifier: MIT
 * The file of prepacked weights: written, mapped, and never believed when it is not what this model would write. */
#include "cmocka_all.h"

#include "model/model.h"
#include "model/runtime.h"
#include "tiny_model.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char dir[256], file[512], packed[600];
enum { VOCAB = 51864 };

/* Opens the model and gives the logits of one token; tells whether the weights were mapped from the file. */
static bool logits_of(float *logits, bool no_cache)
{
    static const int32_t token = 50257;
    sotto_model_options options;
    sotto_model *model;
    sotto__runtime *rt;
    sotto__window *window;
    sotto__seq *seq;
    sotto_error err = {0};
    sotto_model_options_default(&options);
    options.precision = SOTTO_PRECISION_INT8;
    options.no_cache = no_cache;
    options.threads = 2;
    if (sotto_model_open(&model, dir, &options, &err) != SOTTO_OK) fail_msg("%s", err.message);
    const bool prepacked = sotto_model_get_info(model)->prepacked;
    assert_int_equal(sotto__runtime_open(&rt, model, &err), SOTTO_OK);
    assert_int_equal(sotto__window_create(&window, rt, &err), SOTTO_OK);
    assert_int_equal(sotto__seq_create(&seq, rt, &err), SOTTO_OK);
    float *mel = calloc(3000 * 80, sizeof *mel);
    for (size_t i = 0; i < 3000 * 80; i++) mel[i] = (float)(i % 17) / 17.0f;
    assert_int_equal(sotto__encode(rt, mel, 3000, 1, window, &err), SOTTO_OK);
    sotto__step step = {.seq = seq, .window = window, .tokens = &token, .n_tokens = 1, .logits = logits, .n_logits = 1};
    assert_int_equal(sotto__decoder_forward(rt, &step, 1, SOTTO_STAGE_DECODE, &err), SOTTO_OK);
    free(mel);
    sotto__seq_free(seq);
    sotto__window_free(window);
    sotto__runtime_free(rt);
    sotto_model_free(model);
    return prepacked;
}

static void same(const float *want, bool no_cache, bool prepacked)
{
    static float logits[VOCAB];
    assert_int_equal(logits_of(logits, no_cache), prepacked);
    assert_memory_equal(logits, want, sizeof logits);
}

static void change_byte(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    const int c = fgetc(f);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    fputc(c ^ 0x10, f);
    assert_int_equal(fclose(f), 0);
}

static off_t size_of(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0 ? sb.st_size : -1;
}

static ino_t inode_of(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0 ? sb.st_ino : 0;
}

static void test_written_and_mapped(void **state)
{
    static float plain[VOCAB];
    (void)state;
    unlink(packed);
    assert_false(logits_of(plain, true));
    assert_int_equal(size_of(packed), -1); /* not asked for, not written */
    same(plain, false, true);
    assert_true(size_of(packed) > 0);
    const ino_t inode = inode_of(packed);
    same(plain, false, true);
    assert_true(inode_of(packed) == inode); /* not written again */
    same(plain, true, false);
}

/* A damaged file, wherever it is damaged, is written anew. */
static void test_damaged(void **state)
{
    static float plain[VOCAB];
    static const long places[] = {0, 9, 30, 60, 4096, 4096 + 100000, -1};
    (void)state;
    logits_of(plain, true);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        same(plain, false, true);
        const ino_t inode = inode_of(packed);
        change_byte(packed, places[i]);
        same(plain, false, true);
        if (inode_of(packed) == inode) fail_msg("byte %ld changed and nobody noticed", places[i]);
    }
    same(plain, false, true);
    assert_int_equal(truncate(packed, 5000), 0);
    same(plain, false, true);
    assert_true(size_of(packed) > 5000);
}

/* Other weights in a file of the same size: by time or by content, the old packing is not taken. A file that was only
 * touched is the same model. */
static void test_source_changes(void **state)
{
    static float before[VOCAB], after[VOCAB];
    struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    (void)state;
    assert_true(logits_of(before, false));
    const ino_t inode = inode_of(packed);
    assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
    same(before, false, true);
    assert_true(inode_of(packed) == inode);
    const long middle = (long)size_of(file) / 2; /* the token embedding */
    for (long at = middle; at < middle + 4000; at += 2) change_byte(file, at);
    assert_true(logits_of(after, false));
    assert_true(inode_of(packed) != inode);
    assert_true(memcmp(before, after, sizeof before) != 0);
    same(after, true, false);
}

/* Where nothing can be written, opening works all the same. */
static void test_unwritable(void **state)
{
    static float plain[VOCAB];
    (void)state;
    unlink(packed);
    logits_of(plain, true);
    assert_int_equal(mkdir(packed, 0700), 0);
    same(plain, false, false);
    assert_int_equal(rmdir(packed), 0);
}

static int setup(void **state)
{
    (void)state;
    if (tiny_directory(dir, sizeof dir) != 0 || tiny_write(&tiny_default, TINY_GGML, dir, file, sizeof file) != 0)
        return -1;
    snprintf(packed, sizeof packed, "%s.int8.packed", file);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(packed);
    tiny_remove(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_and_mapped),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_source_changes),
        cmocka_unit_test(test_unwritable),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
