/* SPDX-License-Identifier: MIT
 * Events between two threads: what is read is what was added, the reader sleeps and is woken once, and what it has not
 * read is bounded. */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "events.h"

static int suspended, resumed;

static void suspend(void *user) { (void)user, suspended++; }

static void resume(void *user) { (void)user, resumed++; }

static events *fresh(void)
{
    const events_reader reader = {suspend, resume, NULL};
    suspended = resumed = 0;
    events *e = events_create(&reader);
    assert_non_null(e);
    return e;
}

static void test_bytes(void **state)
{
    static const char expected[] = "data: {\"n\":1}\n\ndata: {\"n\":2}\n\ndata: [DONE]\n\n";
    char got[100];
    size_t n = 0;
    bool over = false;
    events *e = fresh();
    (void)state;
    events_wait(e);
    assert_true(suspended == 1 && resumed == 0 && !events_begun(e));
    assert_true(events_add(e, json_pack("{s:i}", "n", 1)));
    assert_true(events_begun(e) && resumed == 1);
    assert_true(events_add(e, json_pack("{s:i}", "n", 2)));
    assert_int_equal(resumed, 1);                          /* nobody slept */
    while (n < 30) n += events_take(e, got + n, 7, &over); /* in pieces; the last is short */
    assert_int_equal(n, 30);
    assert_true(events_take(e, got + n, 7, &over) == 0 && !over && suspended == 2);
    events_end(e, "[DONE]");
    assert_int_equal(resumed, 2);
    events_end(e, "again");
    assert_false(events_add(e, json_pack("{s:i}", "n", 3)));
    while (!over) n += events_take(e, got + n, sizeof got - n, &over);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(got, expected, n);
    events_free(e);
}

static void test_nothing_said(void **state)
{
    char got[10];
    bool over;
    events *e = fresh();
    (void)state;
    events_wait(e);
    events_end(e, NULL);
    assert_true(resumed == 1 && !events_begun(e));
    assert_true(events_take(e, got, sizeof got, &over) == 0 && over);
    events_free(e);
}

static void test_a_reader_far_behind(void **state)
{
    static char text[1 << 16], got[1 << 16];
    size_t added = 0, read = 0;
    bool over = false;
    events *e = fresh();
    (void)state;
    memset(text, 'x', sizeof text - 1);
    while (events_add(e, json_pack("[s]", text))) added++;
    assert_in_range(added, EVENTS_UNREAD_BYTES / sizeof text - 2, EVENTS_UNREAD_BYTES / sizeof text);
    for (size_t n; (n = events_take(e, got, sizeof got, &over)) > 0;) read += n;
    assert_int_equal(read % added, 0);
    assert_true(events_add(e, json_pack("[s]", text))); /* there is room again */
    events_end(e, NULL);
    events_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_nothing_said),
        cmocka_unit_test(test_a_reader_far_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
