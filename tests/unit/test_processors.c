/* SPDX-License-Identifier: MIT
 * How many threads: topology and quotas from files made here, as Linux writes them. */
#include "cmocka_all.h"

#include "base/pool.h"
#include "base/processors.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *p = full + strlen(root) + 1; *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int fresh(void **state)
{
    (void)state;
    strcpy(root, "/tmp/sotto-test-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int clear(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static void place(int processor, const char *package, const char *core)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", processor);
    put(path, package);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/core_id", processor);
    put(path, core);
}

static void test_cores(void **state)
{
    static const int all[] = {0, 1, 2, 3, 4, 5}, some[] = {0, 2, 5};
    (void)state;
    assert_int_equal(sotto__cores_of(root, all, 6), 6); /* nothing known: each is one */
    place(0, "0\n", "0\n");
    place(1, "0\n", "1\n");
    place(2, "0\n", "0\n"); /* the second thread of core 0 */
    place(3, "0\n", "1\n");
    place(4, "1\n", "0\n"); /* another package */
    assert_int_equal(sotto__cores_of(root, all, 6), 4);
    assert_int_equal(sotto__cores_of(root, some, 3), 2);
}

static void test_quota(void **state)
{
    (void)state;
    assert_int_equal(sotto__quota_of(root), 0);
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(sotto__quota_of(root), 0);
    put("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    assert_int_equal(sotto__quota_of(root), 3); /* two and a half */
    put("/sys/fs/cgroup/a/b/cpu.max", "200000 100000\n");
    assert_int_equal(sotto__quota_of(root), 2);
    put("/sys/fs/cgroup/a/b/cpu.max", "nonsense\n");
    assert_int_equal(sotto__quota_of(root), 3);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(sotto__quota_of(root), 1);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(sotto__quota_of(root), 3);
}

static void test_default_of_the_pool(void **state)
{
    sotto__pool *pool = NULL;
    (void)state;
    assert_true(sotto__processors() >= 1);
    assert_int_equal(sotto__pool_create(&pool, 0, NULL), SOTTO_OK);
    assert_int_equal(sotto__pool_threads(pool), sotto__processors());
    sotto__pool_free(pool);
}

static void see_affinity(void *arg, size_t index, int thread)
{
    cpu_set_t *seen = arg;
    (void)index;
    sched_getaffinity(0, sizeof *seen, &seen[thread]);
    usleep(2000); /* time for the other thread to take a task */
}

/* A worker keeps to a processor of its own; a caller that begins there is moved off it, and free again after. */
static void test_places(void **state)
{
    cpu_set_t before, seen[2], after, both;
    sotto__pool *pool = NULL;
    bool moved = false;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    if (CPU_COUNT(&before) < 2) skip();
    assert_int_equal(sotto__pool_create(&pool, 2, NULL), SOTTO_OK);
    CPU_ZERO(&seen[1]);
    for (int i = 0; i < 200 && CPU_COUNT(&seen[1]) == 0; i++) sotto__pool_run(pool, see_affinity, seen, 8);
    assert_int_equal(CPU_COUNT(&seen[1]), 1);
    for (int i = 0; i < 200 && !moved; i++) { /* the system may move us away before we begin */
        sched_setaffinity(0, sizeof seen[1], &seen[1]);
        sched_setaffinity(0, sizeof before, &before);
        sotto__pool_run(pool, see_affinity, seen, 2);
        CPU_AND(&both, &seen[0], &seen[1]);
        moved = CPU_COUNT(&both) == 0;
        sotto__pool_leave(pool);
        assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
        assert_true(CPU_EQUAL(&before, &after));
    }
    assert_true(moved);
    sotto__pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cores, fresh, clear),
        cmocka_unit_test_setup_teardown(test_quota, fresh, clear),
        cmocka_unit_test(test_default_of_the_pool),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
