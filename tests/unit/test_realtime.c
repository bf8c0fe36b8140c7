/* SPDX-License-Identifier: MIT
 * Realtime sessions without sockets: base64, G.711, and captions that become events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "realtime_audio.h"
#include "realtime_turn.h"

static void test_base64(void **state)
{
    static const struct {
        const char *text, *bytes; /* NULL: none */
    } table[] = {
        {"", ""},
        {"Zg==", "f"},
        {"Zm8=", "fo"},
        {"Zm9v", "foo"},
        {"Zm9vYg==", "foob"},
        {"Zm9vYmE=", "fooba"},
        {"Zm9vYmFy", "foobar"},
        {"Zg", "f"},
        {"Zm8", "fo"},
        {"+/+/", "\xfb\xff\xbf"},
        {"Z", NULL},
        {"Zm9vY", NULL},
        {"Zg=", NULL},
        {"Zg===", NULL},
        {"=", NULL},
        {"====", NULL},
        {"Z===", NULL},
        {"Zm 9v", NULL},
        {"Zm9v\n", NULL},
        {"Zm-_", NULL},
        {"Z=9v", NULL},
        {"Zm\xff\x80", NULL},
    };
    uint8_t out[16];
    size_t n;
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bool ok = realtime_base64(table[i].text, strlen(table[i].text), out, &n);
        if (ok != (table[i].bytes != NULL)) fail_msg("%s", table[i].text);
        if (!ok) continue;
        assert_int_equal(n, strlen(table[i].bytes));
        assert_memory_equal(out, table[i].bytes, n);
    }
}

/* Values of ITU-T G.711's tables 1 and 2. */
static void test_samples(void **state)
{
    static const struct {
        realtime_codec codec;
        uint8_t bytes[2];
        int value;
    } table[] = {
        {REALTIME_PCMU, {0xff}, 0},          {REALTIME_PCMU, {0x7f}, 0},
        {REALTIME_PCMU, {0x00}, -32124},     {REALTIME_PCMU, {0x80}, 32124},
        {REALTIME_PCMU, {0xf0}, 120},        {REALTIME_PCMU, {0xef}, 132},
        {REALTIME_PCMA, {0xd5}, 8},          {REALTIME_PCMA, {0x55}, -8},
        {REALTIME_PCMA, {0x2a}, -32256},     {REALTIME_PCMA, {0xaa}, 32256},
        {REALTIME_PCMA, {0xc5}, 264},        {REALTIME_PCMA, {0xf5}, 528},
        {REALTIME_PCM16, {0, 0x80}, -32768}, {REALTIME_PCM16, {0xff, 0x7f}, 32767},
        {REALTIME_PCM16, {1, 0}, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal((int)(realtime_sample(table[i].codec, table[i].bytes) * 32768), table[i].value);
}

/* ---- turns --------------------------------------------------------------------------------------------------------
 */

/* "type[text]" of every event that waits, with the fields that matter; ids are checked against each other. */
static void heard(realtime_voice *v, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    assert_false(v->lost);
    for (char *text; (text = outbox_take(v->out));) {
        json_t *e = json_loads(text, 0, NULL);
        const char *type = json_string_value(json_object_get(e, "type")), *dot = strrchr(type, '.');
        const char *delta = json_string_value(json_object_get(e, "delta")),
                   *transcript = json_string_value(json_object_get(e, "transcript"));
        const json_t *start = json_object_get(e, "audio_start_ms"), *end = json_object_get(e, "audio_end_ms");
        assert_true(strncmp(json_string_value(json_object_get(e, "event_id")), "event_", 6) == 0);
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "", dot ? dot + 1 : type);
        if (start || end)
            used += (size_t)snprintf(out + used, size - used, "@%lld", json_integer_value(start ? start : end));
        if (delta || transcript) used += (size_t)snprintf(out + used, size - used, "[%s]", delta ? delta : transcript);
        json_decref(e);
        free(text);
    }
}

static sotto_caption caption(const sotto_word *confirmed, size_t n, double heard_s)
{
    return (sotto_caption){
        .confirmed = confirmed, .n_confirmed = n, .heard_s = heard_s, .pushed_s = heard_s, .language = "en"};
}

static void test_turns_by_pause(void **state)
{
    static const sotto_word words[] = {{" One", 1.0, 1.2, 0.9}, {" two.", 1.3, 1.6, 0.9}, {" Three", 3.0, 3.4, 0.9}};
    realtime_voice v = {.out = outbox_create(1 << 16)};
    realtime_turn t = {.base_s = 10};
    sotto_caption c = caption(NULL, 0, 1.5);
    char out[2000];
    (void)state;
    realtime_turn_hear(&t, &v, &c); /* nothing heard: nothing said */
    heard(&v, out, sizeof out);
    assert_string_equal(out, "");
    c.tentative = words;
    c.n_tentative = 1;
    realtime_turn_hear(&t, &v, &c); /* somebody speaks, no word is sure */
    heard(&v, out, sizeof out);
    assert_string_equal(out, "speech_started@10700 added");
    c = caption(words, 1, 1.9);
    realtime_turn_hear(&t, &v, &c);
    c = caption(words + 1, 1, 2.5);
    c.utterance_end = true;
    realtime_turn_hear(&t, &v, &c);
    heard(&v, out, sizeof out);
    assert_string_equal(out, "delta[One] delta[ two.] speech_stopped@12500 committed completed[One two.] done");
    c = caption(words + 2, 1, 3.6);
    c.last = true;
    realtime_turn_hear(&t, &v, &c);
    heard(&v, out, sizeof out);
    assert_string_equal(out,
                        "speech_started@12700 added delta[Three] speech_stopped@13600 committed completed[Three] done");
    realtime_turn_free(&t);
    outbox_free(v.out);
}

static void test_turns_by_commit(void **state)
{
    static const sotto_word words[] = {{" One", 1.0, 1.2, 0.9}, {" two", 1.3, 1.6, 0.9}, {" three", 3.0, 3.4, 0.9}};
    realtime_voice v = {.out = outbox_create(1 << 16), .beta = true};
    realtime_turn t = {.by_client = true};
    sotto_caption c = caption(words, 2, 2);
    char out[2000];
    (void)state;
    c.utterance_end = true;
    realtime_turn_hear(&t, &v, &c); /* not before the commit */
    heard(&v, out, sizeof out);
    assert_string_equal(out, "");
    realtime_turn_commit(&t, &v);
    heard(&v, out, sizeof out);
    assert_string_equal(out, "committed created delta[One two]");
    c = caption(words + 2, 1, 3.6);
    c.last = true;
    realtime_turn_hear(&t, &v, &c);
    heard(&v, out, sizeof out);
    assert_string_equal(out, "delta[ three] completed[One two three]");
    realtime_turn_commit(&t, &v);
    realtime_turn_fail(&t, &v, "no");
    heard(&v, out, sizeof out);
    assert_string_equal(out, "committed created failed");
    realtime_turn_free(&t);
    outbox_free(v.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_turns_by_pause),
        cmocka_unit_test(test_turns_by_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
