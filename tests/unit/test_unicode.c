/* SPDX-License-Identifier: MIT
 * UTF-8 with replacement against CPython's decoder, character classes, str.strip(). */
#include "text_cases.h"
#include "token/unicode.h"

static void test_replacement_as_cpython(void **state)
{
    json_t *root = cases_load("utf8");
    const json_t *cases = json_object_get(root, "replace");
    sotto__str raw = {0}, got = {0};
    (void)state;
    assert_true(json_array_size(cases) > 300);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i), *text = json_array_get(one, 1);
        json_t *hex = json_pack("{s:O}", "hex", json_array_get(one, 0));
        bool same;
        cases_bytes(hex, &raw);
        json_decref(hex);
        got.len = 0;
        assert_true(sotto__utf8_replace(&got, raw.data, raw.len));
        same = got.len == json_string_length(text) && !memcmp(got.data, json_string_value(text), got.len);
        if (!same) fail_msg("case %zu: %s", i, json_string_value(json_array_get(one, 0)));
        assert_int_equal(sotto__utf8_is_valid(raw.data, raw.len),
                         raw.len == got.len && !memcmp(raw.data, got.data, got.len));
    }
    sotto__str_free(&raw);
    sotto__str_free(&got);
    json_decref(root);
}

/* Every character through a plain encoder and back; a cut-off one is replaced once. */
static void test_every_character_round_trips(void **state)
{
    (void)state;
    for (int32_t cp = 0; cp < 0x110000; cp++) {
        char u[4];
        size_t n;
        int32_t back;
        bool valid;
        if (cp >= 0xD800 && cp < 0xE000) continue;
        if (cp < 0x80) {
            u[0] = (char)cp;
            n = 1;
        } else if (cp < 0x800) {
            u[0] = (char)(0xC0 | cp >> 6);
            u[1] = (char)(0x80 | (cp & 0x3F));
            n = 2;
        } else if (cp < 0x10000) {
            u[0] = (char)(0xE0 | cp >> 12);
            u[1] = (char)(0x80 | (cp >> 6 & 0x3F));
            u[2] = (char)(0x80 | (cp & 0x3F));
            n = 3;
        } else {
            u[0] = (char)(0xF0 | cp >> 18);
            u[1] = (char)(0x80 | (cp >> 12 & 0x3F));
            u[2] = (char)(0x80 | (cp >> 6 & 0x3F));
            u[3] = (char)(0x80 | (cp & 0x3F));
            n = 4;
        }
        assert_int_equal(sotto__utf8_next(u, n, &back, &valid), n);
        assert_true(valid);
        assert_int_equal(back, cp);
        if (n > 1) {
            assert_int_equal(sotto__utf8_next(u, n - 1, &back, &valid), n - 1);
            assert_false(valid);
            assert_int_equal(back, SOTTO__REPLACEMENT);
        }
    }
}

static void test_classes(void **state)
{
    static const struct {
        int32_t cp;
        sotto__char_class c;
    } table[] = {{'a', SOTTO__CHAR_LETTER},    {'Z', SOTTO__CHAR_LETTER},    {'[', SOTTO__CHAR_OTHER},
                 {'0', SOTTO__CHAR_NUMBER},    {'\'', SOTTO__CHAR_OTHER},    {' ', SOTTO__CHAR_SPACE},
                 {'\n', SOTTO__CHAR_SPACE},    {0x0B, SOTTO__CHAR_SPACE},    {0x1C, SOTTO__CHAR_OTHER},
                 {0x85, SOTTO__CHAR_SPACE},    {0xA0, SOTTO__CHAR_SPACE},    {0xAA, SOTTO__CHAR_LETTER},
                 {0xB2, SOTTO__CHAR_NUMBER},   {0xBD, SOTTO__CHAR_NUMBER},   {0x301, SOTTO__CHAR_OTHER},
                 {0x93F, SOTTO__CHAR_OTHER},   {0x915, SOTTO__CHAR_LETTER},  {0x663, SOTTO__CHAR_NUMBER},
                 {0x2167, SOTTO__CHAR_NUMBER}, {0x200B, SOTTO__CHAR_OTHER},  {0x180E, SOTTO__CHAR_OTHER},
                 {0x3000, SOTTO__CHAR_SPACE},  {0x4E00, SOTTO__CHAR_LETTER}, {0x1F600, SOTTO__CHAR_OTHER},
                 {0xFFFD, SOTTO__CHAR_OTHER},  {0x10FFFF, SOTTO__CHAR_OTHER}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (sotto__char_class_of(table[i].cp) != table[i].c) fail_msg("U+%04X", (unsigned)table[i].cp);
}

/* The characters that strip() takes off, and that it stops at others, multi-byte ones too. */
static void test_strip_as_python(void **state)
{
    json_t *root = cases_load("utf8");
    const json_t *spaces = json_object_get(root, "strip");
    size_t found = 0;
    (void)state;
    for (int32_t cp = 0x1; cp < 0x4000; cp++) {
        char text[16], u[4];
        const char *s = text;
        size_t n, len;
        bool expected = false;
        for (size_t i = 0; i < json_array_size(spaces); i++)
            if (json_integer_value(json_array_get(spaces, i)) == cp) expected = true;
        if (cp < 0x80) {
            n = (size_t)sprintf(u, "%c", cp);
        } else if (cp < 0x800) {
            n = (size_t)sprintf(u, "%c%c", 0xC0 | cp >> 6, 0x80 | (cp & 0x3F));
        } else {
            n = (size_t)sprintf(u, "%c%c%c", 0xE0 | cp >> 12, 0x80 | (cp >> 6 & 0x3F), 0x80 | (cp & 0x3F));
        }
        len = (size_t)sprintf(text, "%.*s\xC3\xA9%.*s", (int)n, u, (int)n, u);
        sotto__utf8_strip(&s, &len);
        if ((len == 2) != expected) fail_msg("U+%04X", (unsigned)cp);
        found += expected;
        s = u;
        len = n;
        sotto__utf8_strip(&s, &len);
        assert_int_equal(len, expected ? 0 : n);
    }
    assert_int_equal(found, json_array_size(spaces));
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replacement_as_cpython),
        cmocka_unit_test(test_every_character_round_trips),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_strip_as_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
