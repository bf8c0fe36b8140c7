/* SPDX-License-Identifier: MIT
 * The part of cmocka that the kernel tests use, for machines whose cmocka is not installed here. Assertions are
 * functions of their values only: they print and jump back to the runner. One file per program includes this. */
#ifndef SOTTO_TEST_ISA_CMOCKA_H
#define SOTTO_TEST_ISA_CMOCKA_H

#include <math.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};
#define cmocka_unit_test(f)                                                                                            \
    {                                                                                                                  \
        #f, f                                                                                                          \
    }
#define cmocka_run_group_tests(tests, setup, teardown) run_tests(tests, sizeof(tests) / sizeof *(tests))

static jmp_buf back_to_runner;

static inline int run_tests(const struct CMUnitTest *tests, size_t n)
{
    volatile int failed = 0;
    for (volatile size_t i = 0; i < n; i++) {
        void *state = NULL;
        if (setjmp(back_to_runner)) {
            printf("[  FAILED  ] %s\n", tests[i].name);
            failed++;
        } else {
            tests[i].run(&state);
            printf("[       OK ] %s\n", tests[i].name);
        }
        fflush(stdout);
    }
    printf(failed ? "[  FAILED  ] %d test(s).\n" : "[  PASSED  ] %d test(s).\n", failed ? failed : (int)n);
    return failed;
}

#define print_message(...) ((void)printf(__VA_ARGS__))
#define fail_msg(...) (printf("%s:%d: ", __FILE__, __LINE__), printf(__VA_ARGS__), puts(""), longjmp(back_to_runner, 1))
#define assert_true(c) ((c) ? (void)0 : fail_msg("%s", #c))
#define assert_false(c) assert_true(!(c))
#define assert_null(p) assert_true((p) == NULL)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_int_equal(a, b) assert_true((a) == (b))
#define assert_ptr_equal(a, b) assert_true((const void *)(a) == (const void *)(b))
#define assert_string_equal(a, b) assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)
#define assert_float_equal(a, b, e) assert_true(fabs((double)(a) - (double)(b)) <= (double)(e))

#endif
