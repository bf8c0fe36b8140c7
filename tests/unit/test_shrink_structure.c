/* SPDX-License-Identifier: MIT
 * Pruning, compensation and low rank: cases worked out by hand, and input that is not fit. */
#include "cmocka_all.h"
#include "shrink/low_rank.h"
#include "shrink/prune.h"

#include <math.h>
#include <string.h>

static void test_magnitude(void **state)
{
    float w[] = {3, -1, 0.5f, -0.25f, 1, NAN, 2, 0};
    sotto_error err = {0};
    (void)state;
    assert_int_equal(sotto__prune_magnitude(w, 8, 0, &err), SOTTO_OK);
    assert_true(w[3] == -0.25f);
    assert_int_equal(sotto__prune_magnitude(w, 8, 0.5, &err), SOTTO_OK); /* 0, 0.25, 0.5 and the first of the ones */
    static const float half[] = {3, 0, 0, 0, 1, 0, 2, 0};
    for (size_t i = 0; i < 8; i++) assert_true(i == 5 ? isnan(w[i]) : w[i] == half[i]);
    assert_int_equal(sotto__prune_magnitude(w, 8, 1, &err), SOTTO_OK);
    for (size_t i = 0; i < 8; i++) assert_true(w[i] == 0);
    assert_int_equal(sotto__prune_magnitude(w, 8, 1.5, &err), SOTTO_EINVAL);
    assert_string_equal(err.message, "a share of 1.5 of the weights is to go; 0 to 1 is expected");
    assert_int_equal(sotto__prune_magnitude(w, 8, NAN, &err), SOTTO_EINVAL);
}

/* Input 1 carries ten times what the others do, input 3 nothing: half of every row goes. */
static void test_wanda(void **state)
{
    float w[] = {1, 0.2f, 1.5f, 9, /**/ 1, 0.05f, -0.6f, 9};
    static const float want[] = {0, 0.2f, 1.5f, 0, /**/ 1, 0, -0.6f, 0};
    float gram[16] = {0};
    sotto_error err = {0};
    (void)state;
    gram[0] = gram[10] = 1;
    gram[5] = 100;
    assert_int_equal(sotto__prune_wanda(w, 2, 4, 0.5, gram, &err), SOTTO_OK);
    for (size_t i = 0; i < 8; i++) assert_true(w[i] == want[i]);
    assert_int_equal(sotto__prune_wanda(w, 2, 4, 0.5, NULL, &err), SOTTO_EINVAL);
    assert_string_equal(err.message, "wanda needs calibration: what the layer's inputs look like is not known");
}

/* Two heads of two inputs; within a head inputs are related, which is worth 2 * 1 * 2 * 0.5 in head 0. */
static void test_scores(void **state)
{
    static const float w[] = {1, 2, 3, 0}, gram[] = {1, 0.5f, 7, 7, 0.5f, 1, 7, 7, 7, 7, 2, 0, 7, 7, 0, 2};
    double head[2], input[4];
    (void)state;
    assert_int_equal(sotto__score_heads(head, w, 1, 2, 2, gram, NULL), SOTTO_OK);
    assert_true(fabs(head[0] - 7) < 1e-12);
    assert_true(fabs(head[1] - 18) < 1e-12);
    sotto__score_inputs(input, w, 1, 4, gram);
    assert_true(input[0] == 1 && input[1] == 4 && input[2] == 18 && input[3] == 0);
}

/* Input 2 is always input 0 times 2: without it, input 0 does its work but for the damping. */
static void test_compensate(void **state)
{
    static const float w[] = {1, 1, 0.5f, /**/ 0, 3, -1}, gram[] = {1, 0, 2, 0, 1, 0, 2, 0, 4};
    static const size_t keep[] = {0, 1}, unsorted[] = {1, 0}, outside[] = {0, 3};
    float to[6];
    sotto_error err = {0};
    (void)state;
    assert_int_equal(sotto__compensate(to, w, 2, 3, keep, 2, gram, &err), SOTTO_OK);
    assert_true(fabsf(to[0] - (1 + 2 * 0.5f / 1.05f)) < 1e-6f && fabsf(to[2] + 2 / 1.05f) < 1e-6f);
    assert_true(to[1] == 1 && to[3] == 3);
    assert_int_equal(sotto__compensate(to, w, 2, 3, keep, 2, NULL, &err), SOTTO_OK);
    assert_true(to[0] == 1 && to[1] == 1 && to[2] == 0 && to[3] == 3);
    assert_int_equal(sotto__compensate(to, w, 2, 3, keep, 0, gram, &err), SOTTO_OK);
    static const float broken[] = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    assert_int_equal(sotto__compensate(to, w, 2, 3, keep, 2, broken, &err), SOTTO_OK);
    assert_true(to[0] == 1 && to[1] == 1); /* nothing known, nothing changed */
    assert_int_equal(sotto__compensate(to, w, 2, 3, unsorted, 2, gram, &err), SOTTO_EINVAL);
    assert_int_equal(sotto__compensate(to, w, 2, 3, outside, 2, gram, &err), SOTTO_EINVAL);
    assert_string_equal(err.message, "input 3 is to be kept of 3, out of order");
}

/* Inputs 0 and 1 share one direction of outputs, input 2 has another, smaller one. Rank one keeps the larger; where
 * only input 2 ever comes, it keeps that. */
static void test_low_rank(void **state)
{
    static const float w[] = {3, 6, 1, 1, 2, -3}, tall[] = {3, 1, 6, 2, 1, -3};
    static const float large[] = {3, 6, 0, 1, 2, 0}, third[] = {0, 0, 1, 0, 0, -3};
    static const float gram[] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
    float a[6], b[6];
    sotto_error err = {0};
    (void)state;
    assert_int_equal(sotto__low_rank(a, b, w, 2, 3, 2, NULL, &err), SOTTO_OK); /* the full rank: exact */
    for (size_t i = 0; i < 6; i++)
        assert_true(fabsf(b[i / 3 * 2] * a[i % 3] + b[i / 3 * 2 + 1] * a[3 + i % 3] - w[i]) < 1e-5f);
    assert_int_equal(sotto__low_rank(a, b, w, 2, 3, 1, NULL, &err), SOTTO_OK);
    for (size_t i = 0; i < 6; i++) assert_true(fabsf(b[i / 3] * a[i % 3] - large[i]) < 1e-5f);
    assert_int_equal(sotto__low_rank(a, b, tall, 3, 2, 1, NULL, &err), SOTTO_OK);
    for (size_t i = 0; i < 6; i++) assert_true(fabsf(b[i / 2] * a[i % 2] - large[i % 2 * 3 + i / 2]) < 1e-5f);
    float scarce[9];
    memcpy(scarce, gram, sizeof scarce);
    scarce[0] = scarce[4] = 1e-6f;
    assert_int_equal(sotto__low_rank(a, b, w, 2, 3, 1, scarce, &err), SOTTO_OK);
    for (size_t i = 0; i < 6; i++) assert_true(fabsf(b[i / 3] * a[i % 3] - third[i]) < 1e-5f);
    assert_int_equal(sotto__low_rank(a, b, w, 2, 3, 3, NULL, &err), SOTTO_EINVAL);
    assert_string_equal(err.message, "rank 3 of a matrix of 2 x 3; 1 to 2 is expected");
    assert_int_equal(sotto__low_rank(a, b, w, 2, 3, 0, NULL, &err), SOTTO_EINVAL);
    static const float broken[] = {1, 2, 3, NAN, 5, 6};
    assert_int_equal(sotto__low_rank(a, b, broken, 2, 3, 1, NULL, &err), SOTTO_EINVAL);
    assert_string_equal(err.message, "the weight of output 1, input 0 is not finite");
    static const float zeros[6] = {0};
    assert_int_equal(sotto__low_rank(a, b, zeros, 2, 3, 2, gram, &err), SOTTO_OK);
    for (size_t i = 0; i < 6; i++) assert_true(a[i] == 0 && isfinite(b[i % 4]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_magnitude),  cmocka_unit_test(test_wanda),    cmocka_unit_test(test_scores),
        cmocka_unit_test(test_compensate), cmocka_unit_test(test_low_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
