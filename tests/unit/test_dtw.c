/* SPDX-License-Identifier: MIT
 * Alignment arithmetic: time warping, median filter and attention matrix against openai-whisper
 * (tests/reference/make_text_tables.py) and against naive twins. */
#include "text/align.h"
#include "text/search.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static json_t *tables;

static size_t number(json_t *object, const char *key)
{
    return (size_t)json_integer_value(json_object_get(object, key));
}

static void read_floats(json_t *array, float *out, size_t n)
{
    assert_int_equal(json_array_size(array), n);
    for (size_t i = 0; i < n; i++) out[i] = (float)json_number_value(json_array_get(array, i));
}

static void dtw_matches_the_reference(void **state)
{
    json_t *one;
    size_t at;
    (void)state;
    assert_true(json_array_size(json_object_get(tables, "alignments")) >= 7);
    json_array_foreach(json_object_get(tables, "alignments"), at, one) {
        size_t n = number(one, "n"), m = number(one, "m");
        float matrix[400];
        int32_t first[64];
        read_floats(json_object_get(one, "matrix"), matrix, n * m);
        assert_int_equal(sotto__dtw(matrix, n, m, first, NULL), SOTTO_OK);
        for (size_t i = 0; i < n; i++)
            if (first[i] != json_integer_value(json_array_get(json_object_get(one, "first"), i)))
                fail_msg("alignment %zu (%zu x %zu): row %zu begins at %d", at, n, m, i, first[i]);
    }
}

/* Three tokens, spoken at positions 0-1, 2 and 3-5. */
static void dtw_worked_example(void **state)
{
    const float matrix[3 * 6] = {9, 9, -1, -1, -1, -1, -1, -1, 9, -1, -1, -1, -1, -1, -1, 9, 9, 9};
    int32_t first[3];
    (void)state;
    assert_int_equal(sotto__dtw(matrix, 3, 6, first, NULL), SOTTO_OK);
    assert_int_equal(first[0], 0);
    assert_int_equal(first[1], 2);
    assert_int_equal(first[2], 3);
}

typedef struct path {
    const float *matrix;
    size_t n, m;
    double best;
    int32_t first[8], best_first[8];
} path;

/* Tries all monotonic paths from (i, j) to the far corner. */
static void walk(path *p, size_t i, size_t j, double sum)
{
    sum += (double)p->matrix[i * p->m + j];
    if (i == p->n - 1 && j == p->m - 1) {
        if (sum > p->best) {
            p->best = sum;
            memcpy(p->best_first, p->first, sizeof p->first);
        }
        return;
    }
    if (j + 1 < p->m) walk(p, i, j + 1, sum);
    if (i + 1 == p->n) return;
    p->first[i + 1] = (int32_t)j;
    walk(p, i + 1, j, sum);
    if (j + 1 == p->m) return;
    p->first[i + 1] = (int32_t)j + 1;
    walk(p, i + 1, j + 1, sum);
}

static void dtw_finds_the_best_path(void **state)
{
    uint64_t stream = 5;
    (void)state;
    for (size_t round = 0; round < 300; round++) {
        size_t n = 1 + round % 5, m = 1 + round % 6;
        float matrix[30];
        int32_t first[8];
        path p = {.matrix = matrix, .n = n, .m = m, .best = -INFINITY};
        for (size_t i = 0; i < n * m; i++) matrix[i] = (float)sotto__random(&stream) - 0.5F;
        walk(&p, 0, 0, 0);
        assert_int_equal(sotto__dtw(matrix, n, m, first, NULL), SOTTO_OK);
        assert_memory_equal(first, p.best_first, n * sizeof *first);
    }
}

static void dtw_without_frames(void **state)
{
    int32_t first[3] = {7, 7, 7};
    float none = 0;
    (void)state;
    assert_int_equal(sotto__dtw(&none, 3, 0, first, NULL), SOTTO_OK);
    for (size_t i = 0; i < 3; i++) assert_int_equal(first[i], -1);
}

/* A column of NAN (attention the same for all tokens) must not lead outside the matrix. */
static void dtw_survives_nan(void **state)
{
    float matrix[4 * 6];
    int32_t first[4];
    (void)state;
    for (size_t i = 0; i < 24; i++) matrix[i] = i % 6 == 2 ? NAN : (float)i;
    assert_int_equal(sotto__dtw(matrix, 4, 6, first, NULL), SOTTO_OK);
    for (size_t i = 0; i < 4; i++) assert_true(first[i] >= -1 && first[i] < 6);
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    if (isnan(x) || isnan(y)) return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

static void median_matches_sorting(void **state)
{
    uint64_t stream = 9;
    (void)state;
    for (size_t round = 0; round < 400; round++) {
        size_t n = 1 + round % 40;
        float x[40], scratch[46], out[40];
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)(int)(sotto__random(&stream) * 20) - 10; /* with repeats */
            if (round % 5 == 0 && sotto__random(&stream) < 0.2) x[i] = NAN;
        }
        sotto__median_filter(x, n, scratch, out);
        for (size_t i = 0; i < n; i++) {
            float want = x[i], w[7];
            for (size_t k = 0; n > 3 && k < 7; k++) { /* mirrored without the edge */
                ptrdiff_t at = (ptrdiff_t)i + (ptrdiff_t)k - 3, last = (ptrdiff_t)n - 1;
                if (at < 0) at = -at;
                if (at > last) at = 2 * last - at;
                w[k] = x[at];
            }
            if (n > 3) {
                qsort(w, 7, sizeof *w, compare);
                want = w[3];
            }
            if (!(out[i] == want || (isnan(out[i]) && isnan(want))))
                fail_msg("n %zu, value %zu: %g, expected %g", n, i, (double)out[i], (double)want);
        }
    }
}

static void attention_matches_the_reference(void **state)
{
    json_t *one;
    size_t at;
    (void)state;
    assert_int_equal(json_array_size(json_object_get(tables, "attention")), 3);
    json_array_foreach(json_object_get(tables, "attention"), at, one) {
        size_t heads = number(one, "heads"), tokens = number(one, "tokens"), frames = number(one, "frames");
        float scores[200], matrix[80], want[80];
        read_floats(json_object_get(one, "scores"), scores, heads * tokens * frames);
        read_floats(json_object_get(one, "matrix"), want, tokens * frames);
        assert_int_equal(sotto__attention_matrix(scores, heads, tokens, frames, matrix, NULL), SOTTO_OK);
        for (size_t i = 0; i < tokens * frames; i++)
            if (!(fabsf(matrix[i] - want[i]) < 1e-4F))
                fail_msg("matrix %zu, value %zu: %g, expected %g", at, i, (double)matrix[i], (double)want[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtw_matches_the_reference),
        cmocka_unit_test(dtw_worked_example),
        cmocka_unit_test(dtw_finds_the_best_path),
        cmocka_unit_test(dtw_without_frames),
        cmocka_unit_test(dtw_survives_nan),
        cmocka_unit_test(median_matches_sorting),
        cmocka_unit_test(attention_matches_the_reference),
    };
    int failed;
    tables = json_load_file(SOTTO_SOURCE_DIR "/tests/unit/data/text.json", 0, NULL);
    if (!tables) return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(tables);
    return failed;
}
