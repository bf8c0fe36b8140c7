/* SPDX-License-Identifier: MIT
 * Gaps between segments: which stretches of speech no segment holds, and what is around them. */
#include "cmocka_all.h"

#include "text/coverage.h"

static const sotto__stretch WHOLE = {0, 3000};

static sotto_segment segment(double start_s, double end_s)
{
    return (sotto_segment){.start_s = start_s, .end_s = end_s};
}

static void find(sotto__gaps *g, const sotto__stretch *speech, size_t n_speech, const sotto_segment *s, size_t n)
{
    assert_int_equal(sotto__gaps_find(speech, n_speech, s, n, WHOLE, g, NULL), SOTTO_OK);
}

static void test_all_covered(void **state)
{
    const sotto__stretch speech[] = {{10, 500}, {600, 1200}};
    const sotto_segment s[] = {segment(0, 3), segment(3, 7), segment(7, 12)};
    sotto__gaps g = {0};
    (void)state;
    find(&g, speech, 2, s, 3);
    assert_true(g.n == 0 && g.speech == 1090 && g.covered == 1090);
    find(&g, speech, 0, s, 3);
    assert_true(g.n == 0 && g.speech == 0);
    sotto__gaps_free(&g);
}

static void test_gaps(void **state)
{
    const sotto__stretch speech[] = {{0, 1000}, {1500, 1599}, {2000, 2080}, {2120, 2200}, {2700, 2800}};
    /* out of order, overlapping, beyond the end */
    const sotto_segment s[] = {segment(8, 9), segment(0, 2), segment(1, 3), segment(27.5, 31)};
    sotto__gaps g = {0};
    (void)state;
    find(&g, speech, 5, s, 4);
    assert_int_equal(g.speech, 1000 + 99 + 80 + 80 + 100);
    assert_int_equal(g.covered, 300 + 100 + 50);
    /* 3 … 8 s; 9 … 10 s; two pieces 0.4 s apart. Not: 0.99 s at 15 s; the half second before 27.5 s. */
    assert_int_equal(g.n, 3);
    assert_true(g.items[0].begin == 300 && g.items[0].end == 800 && g.items[0].low == 300 && g.items[0].high == 800);
    assert_true(g.items[1].begin == 900 && g.items[1].end == 1000 && g.items[1].low == 900);
    assert_int_equal(g.items[1].high, 2750);
    assert_true(g.items[2].begin == 2000 && g.items[2].end == 2200 && g.items[2].high == 2750);
    sotto__gaps_free(&g);
}

static void test_pieces_with_a_segment_between_stay_apart(void **state)
{
    const sotto__stretch speech[] = {{0, 90}, {100, 190}};
    const sotto_segment s[] = {segment(0.92, 0.98)};
    sotto__gaps g = {0};
    (void)state;
    find(&g, speech, 2, s, 1);
    assert_int_equal(g.n, 0);
    find(&g, speech, 2, s, 0);
    assert_true(g.n == 1 && g.items[0].begin == 0 && g.items[0].end == 190 && g.items[0].high == 3000);
    sotto__gaps_free(&g);
}

static void test_range(void **state)
{
    const sotto__stretch speech[] = {{0, 1000}, {1200, 3000}};
    sotto__gaps g = {0};
    (void)state;
    assert_int_equal(sotto__gaps_find(speech, 2, NULL, 0, (sotto__stretch){700, 1500}, &g, NULL), SOTTO_OK);
    assert_true(g.n == 2 && g.speech == 600 && g.covered == 0);
    assert_true(g.items[0].begin == 700 && g.items[0].low == 700 && g.items[0].end == 1000);
    assert_true(g.items[1].begin == 1200 && g.items[1].end == 1500 && g.items[1].high == 1500);
    sotto__gaps_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_covered),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_pieces_with_a_segment_between_stay_apart),
        cmocka_unit_test(test_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
