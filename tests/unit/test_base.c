/* SPDX-License-Identifier: MIT
 * Checked sizes, growing arrays, errors, and the thread pool. */
#include "cmocka_all.h"

#include "base/checked.h"
#include "base/error.h"
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void test_checked(void **state)
{
    size_t r = 5;
    (void)state;
    assert_true(sotto__mul(3, 4, &r) && r == 12);
    assert_false(sotto__mul(SIZE_MAX / 2, 3, &r));
    assert_int_equal(r, 12);
    assert_true(sotto__add(SIZE_MAX - 1, 1, &r) && r == SIZE_MAX);
    assert_false(sotto__add(SIZE_MAX, 1, &r));
    assert_false(sotto__mul_add(SIZE_MAX / 2, 2, 2, &r));
    assert_true(sotto__mul_add(7, 8, 9, &r) && r == 65);
}

static void test_grow(void **state)
{
    int *items = NULL;
    size_t cap = 0;
    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        assert_true(sotto__grow(&items, &cap, i + 1, sizeof *items));
        items[i] = (int)i;
    }
    for (size_t i = 0; i < 1000; i++) assert_int_equal(items[i], i);
    assert_false(sotto__grow(&items, &cap, SIZE_MAX / 2, sizeof *items));
    assert_int_equal(items[999], 999);
    free(items);
    assert_null(sotto__aligned(SIZE_MAX / 2, 8));
}

static void test_strings(void **state)
{
    sotto__str s = {0};
    sotto__ids ids = {0};
    (void)state;
    assert_true(sotto__str_puts(&s, "a") && sotto__str_printf(&s, "%d-%s", 12, "xyz") &&
                sotto__str_append(&s, "q\0r", 3));
    assert_int_equal(s.len, 10);
    assert_memory_equal(s.data, "a12-xyzq\0r", 11);
    sotto__str_free(&s);
    assert_true(sotto__ids_push(&ids, 4) && sotto__ids_append(&ids, (int32_t[]){5, 6}, 2));
    assert_int_equal(ids.len, 3);
    assert_int_equal(ids.data[2], 6);
    sotto__ids_free(&ids);
}

static void test_errors(void **state)
{
    sotto_error err;
    char longer[800];
    (void)state;
    assert_int_equal(sotto__fail(&err, SOTTO_EIO, "file %s at %d", "x", 3), SOTTO_EIO);
    assert_int_equal(err.code, SOTTO_EIO);
    assert_string_equal(err.message, "file x at 3");
    assert_int_equal(sotto__fail(NULL, SOTTO_EIO, "nobody listens"), SOTTO_EIO);
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    sotto__fail(&err, SOTTO_EIO, "%s", longer);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_string_equal(sotto_status_name(SOTTO_EAUDIO), "SOTTO_EAUDIO");
    assert_string_equal(sotto_status_text(SOTTO_OK), "ok");
    assert_string_equal(sotto_status_name((sotto_status)999), "SOTTO_UNKNOWN");
    assert_string_equal(sotto_status_text((sotto_status)-1), "unknown status");
}

struct marks {
    atomic_int seen[5000];
    atomic_int by_thread[64];
};

static void mark(void *arg, size_t index, int thread)
{
    struct marks *m = arg;
    atomic_fetch_add(&m->seen[index], 1);
    atomic_fetch_add(&m->by_thread[thread], 1);
}

/* Every index exactly once, whatever the size of the job and the number of threads. */
static void test_pool(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        sotto__pool *pool = NULL;
        assert_int_equal(sotto__pool_create(&pool, threads, NULL), SOTTO_OK);
        assert_int_equal(sotto__pool_threads(pool), threads);
        for (size_t n = 0; n < 400; n++) {
            struct marks *m = calloc(1, sizeof *m);
            int sum = 0;
            sotto__pool_run(pool, mark, m, n);
            for (size_t i = 0; i < 5000; i++) assert_int_equal(m->seen[i], i < n ? 1 : 0);
            for (int i = 0; i < 64; i++) sum += m->by_thread[i];
            assert_int_equal(sum, n);
            for (int i = threads; i < 64; i++) assert_int_equal(m->by_thread[i], 0);
            free(m);
        }
        sotto__pool_free(pool);
    }
    sotto__pool_free(NULL);
}

static void add_up(void *arg, size_t index, int thread)
{
    (void)thread;
    atomic_fetch_add((atomic_long *)arg, (long)index);
}

static void *caller(void *arg)
{
    for (int i = 0; i < 300; i++) {
        atomic_long sum = 0;
        sotto__pool_run(arg, add_up, &sum, 100);
        if (sum != 4950) return arg;
    }
    return NULL;
}

/* Callers on several threads share one pool; workers also have to wake from sleep. */
static void test_pool_callers(void **state)
{
    sotto__pool *pool = NULL;
    pthread_t threads[4];
    (void)state;
    assert_int_equal(sotto__pool_create(&pool, 3, NULL), SOTTO_OK);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, caller, pool), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    for (int i = 0; i < 5; i++) {
        struct timespec nap = {0, 20000000};
        nanosleep(&nap, NULL);
        assert_null(caller(pool));
    }
    sotto__pool_free(pool);
}

static void test_pool_bounds(void **state)
{
    sotto__pool *pool = (sotto__pool *)state;
    sotto_error err;
    assert_int_equal(sotto__pool_create(&pool, -1, &err), SOTTO_EINVAL);
    assert_null(pool);
    assert_int_equal(sotto__pool_create(&pool, 100000, &err), SOTTO_EINVAL);
    assert_string_equal(err.message, "threads is 100000, expected 0 to 256");
    assert_int_equal(sotto__pool_create(&pool, 0, &err), SOTTO_OK);
    assert_true(sotto__pool_threads(pool) >= 1);
    sotto__pool_free(pool);
}

static size_t pretended_processors; /* 0: the machine's own */

/* Stands before libc's, so that this process can seem to run on a larger machine. */
int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    if (pretended_processors) {
        for (size_t i = 0; i < pretended_processors; i++) CPU_SET_S(i, size, set);
        return 0;
    }
    return syscall(SYS_sched_getaffinity, pid, size, set) < 0 ? -1 : 0;
}

/* A thread a processor, up to the limit that a number asked for has too. */
static void test_pool_large_machine(void **state)
{
    sotto__pool *pool = NULL;
    sotto_error err = {.message = ""};
    (void)state;
    for (pretended_processors = 3; pretended_processors; pretended_processors = pretended_processors == 3 ? 600 : 0) {
        if (sotto__pool_create(&pool, 0, &err) != SOTTO_OK) fail_msg("%s", err.message);
        assert_int_equal(sotto__pool_threads(pool), pretended_processors == 3 ? 3 : 256);
        sotto__pool_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checked),     cmocka_unit_test(test_grow),
        cmocka_unit_test(test_strings),     cmocka_unit_test(test_errors),
        cmocka_unit_test(test_pool),        cmocka_unit_test(test_pool_callers),
        cmocka_unit_test(test_pool_bounds), cmocka_unit_test(test_pool_large_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
