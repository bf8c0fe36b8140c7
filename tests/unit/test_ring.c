/* SPDX-License-Identifier: MIT
 * The client's ring of samples: order, wrapping, gaps in their place, two threads. */
#include "cmocka_all.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "ring.h"

static void empty_and_full(void **state)
{
    ring r;
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[16];
    (void)state;
    assert_true(ring_init(&r, 5)); /* 8 */
    assert_int_equal(ring_read(&r, out, 16), 0);
    ring_write(&r, x, 8);
    assert_int_equal(ring_used(&r), 8);
    ring_write(&r, x, 1);
    assert_int_equal(atomic_load(&r.lost), 1);
    assert_int_equal(ring_read(&r, out, 16), 8);
    assert_memory_equal(out, x, sizeof x);
    assert_int_equal(ring_used(&r), 0);
    ring_free(&r);
    assert_false(ring_init(&r, SIZE_MAX));
}

static void wraps(void **state)
{
    ring r;
    float next = 0, expected = 0;
    (void)state;
    assert_true(ring_init(&r, 8));
    for (int round = 0; round < 1000; round++) {
        float x[5], out[5];
        size_t n = (size_t)round % 5 + 1;
        for (size_t i = 0; i < n; i++) x[i] = next++;
        ring_write(&r, x, n);
        assert_int_equal(ring_read(&r, out, 5), n);
        for (size_t i = 0; i < n; i++) assert_true(out[i] == expected++);
    }
    assert_int_equal(atomic_load(&r.lost), 0);
    ring_free(&r);
}

/* What was lost comes out as zeros between what was written before and after. */
static void gaps_keep_their_place(void **state)
{
    ring r;
    float x[4] = {1, 2, 3, 4}, y[2] = {5, 6}, out[32];
    const float expected[] = {1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 5, 6, 0, 0, 0, 0, 1, 2, 3, 4};
    size_t n = 0;
    (void)state;
    assert_true(ring_init(&r, 4));
    ring_write(&r, x, 4);
    ring_write(&r, x, 4);
    ring_write(&r, y, 2); /* lost too */
    assert_int_equal(ring_read(&r, out, 3), 3);
    n = 3;
    ring_write(&r, y, 2); /* room again: after a gap of 6 */
    ring_write(&r, x, 4); /* lost, and the first gap has not been read yet */
    n += ring_read(&r, out + n, 29);
    assert_int_equal(n, 4);
    n += ring_read(&r, out + n, 1);
    n += ring_read(&r, out + n, 32 - n);
    n += ring_read(&r, out + n, 32 - n);
    assert_int_equal(n, 12);
    assert_int_equal(ring_read(&r, out + n, 32 - n), 0);
    ring_write(&r, x, 4);
    n += ring_read(&r, out + n, 32 - n);
    n += ring_read(&r, out + n, 32 - n);
    assert_int_equal(n, 20);
    assert_memory_equal(out, expected, sizeof expected);
    assert_int_equal(atomic_load(&r.lost), 10);
    assert_int_equal(atomic_load(&r.overruns), 2);
    ring_free(&r);
}

enum { TOTAL = 1 << 19, BLOCK = 64 };

static void *write_all(void *user)
{
    ring *r = user;
    float x[BLOCK];
    for (size_t at = 0; at < TOTAL; at += BLOCK) {
        for (size_t i = 0; i < BLOCK; i++) x[i] = (float)(at + i + 1);
        ring_write(r, x, BLOCK);
        if (at % (16 * BLOCK) == 0) sched_yield();
    }
    return NULL;
}

/* Sample i is i + 1 or, where it was lost, 0: positions are right whatever was lost. */
static void two_threads(void **state)
{
    ring r;
    pthread_t writer;
    float out[100];
    size_t at = 0, zeros = 0, idle = 0;
    (void)state;
    assert_true(ring_init(&r, 4096));
    assert_int_equal(pthread_create(&writer, NULL, write_all, &r), 0);
    while (at + r.mask < TOTAL && idle < 100000) { /* what is lost at the very end is not announced */
        size_t n = ring_read(&r, out, 1 + at % 100);
        idle = n ? 0 : idle + 1;
        if (!n) sched_yield();
        for (size_t i = 0; i < n; i++, at++) {
            if (out[i] == 0)
                zeros++;
            else if (out[i] != (float)(at + 1))
                fail_msg("sample %zu is %f", at, (double)out[i]);
        }
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_true(zeros <= atomic_load(&r.lost));
    assert_int_equal(at + ring_used(&r) + (atomic_load(&r.lost) - zeros), TOTAL);
    ring_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_and_full),
        cmocka_unit_test(wraps),
        cmocka_unit_test(gaps_keep_their_place),
        cmocka_unit_test(two_threads),
    };
    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
