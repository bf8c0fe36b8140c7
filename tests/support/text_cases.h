/* SPDX-License-Identifier: MIT
 * Expected values of the text tests: the JSON files that tests/reference/make_tokenizer_cases.py writes. */
#ifndef SOTTO_TEST_TEXT_CASES_H
#define SOTTO_TEST_TEXT_CASES_H

#include "base/checked.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* Parsed tests/unit/data/NAME.json; fails the test when it cannot be read. */
static inline json_t *cases_load(const char *name)
{
    char path[1024];
    json_error_t why;
    json_t *root;
    snprintf(path, sizeof path, "%s/tests/unit/data/%s.json", SOTTO_SOURCE_DIR, name);
    root = json_load_file(path, JSON_ALLOW_NUL, &why);
    if (!root) fail_msg("%s: line %d: %s", path, why.line, why.text);
    return root;
}

/* Bytes of a JSON string, or of {"hex": …}. */
static inline void cases_bytes(const json_t *value, sotto__str *out)
{
    const json_t *hex = json_object_get(value, "hex");
    out->len = 0;
    if (!hex) {
        assert_true(sotto__str_append(out, json_string_value(value), json_string_length(value)));
        return;
    }
    for (const char *h = json_string_value(hex); *h; h += 2) {
        unsigned byte;
        char c;
        assert_int_equal(sscanf(h, "%2x", &byte), 1);
        c = (char)(unsigned char)byte;
        assert_true(sotto__str_append(out, &c, 1));
    }
}

static inline void cases_ids(const json_t *array, sotto__ids *out)
{
    out->len = 0;
    for (size_t i = 0; i < json_array_size(array); i++)
        assert_true(sotto__ids_push(out, (int32_t)json_integer_value(json_array_get(array, i))));
}

/* Directory of a fetched model under $SOTTO_MODELS or the project's models/; false when it is not there. */
static inline bool cases_model_dir(const char *name, char *path, size_t size)
{
    const char *roots[] = {getenv("SOTTO_MODELS"), SOTTO_SOURCE_DIR "/models"};
    char file[1200];
    for (size_t i = 0; i < 2; i++) {
        if (!roots[i]) continue;
        snprintf(path, size, "%s/%s", roots[i], name);
        snprintf(file, sizeof file, "%s/tokenizer.json", path);
        if (!access(file, R_OK)) return true;
    }
    return false;
}

#endif
