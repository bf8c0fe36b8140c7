/* SPDX-License-Identifier: MIT
 * JSON values that are safe to write whatever goes in: numbers stay finite, text stays UTF-8. Over jansson; each
 * returns a new reference, or NULL when memory ran out, which sotto__json_put turns into one flag. */
#ifndef SOTTO_REPORT_VALUES_H
#define SOTTO_REPORT_VALUES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A real, or null when it is not finite. */
json_t *sotto__json_real(double v);
/* Rounded to `decimals` (0 … 6) places; null when not finite. */
json_t *sotto__json_rounded(double v, int decimals);
/* a / b, or null when b is 0 or the quotient not finite. */
json_t *sotto__json_ratio(double a, double b);
/* An integer; clamped to jansson's signed range. */
json_t *sotto__json_count(uint64_t v);
/* UTF-8 text; broken sequences become U+FFFD. NULL text gives null. */
json_t *sotto__json_text(const char *text, size_t n);

/* object[key] = value or array += value, taking the reference; *ok becomes false when either is NULL or memory ran
 * out. */
void sotto__json_put(json_t *object, const char *key, json_t *value, bool *ok);
void sotto__json_push(json_t *array, json_t *value, bool *ok);

/* The document as a new string for sotto_string_free, with a newline at its end; NULL when memory ran out. */
char *sotto__json_dump(const json_t *document, bool pretty);

#endif
