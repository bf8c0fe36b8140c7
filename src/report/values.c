/* SPDX-License-Identifier: MIT
 * Safe JSON values (values.h). */
#include "report/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/checked.h"

json_t *sotto__json_real(double v) { return isfinite(v) ? json_real(v) : json_null(); }

json_t *sotto__json_rounded(double v, int decimals)
{
    static const double scale[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    double r = rint(v * scale[decimals]) / scale[decimals];
    return sotto__json_real(r == 0 ? 0 : r); /* no "-0.0" */
}

json_t *sotto__json_ratio(double a, double b) { return b == 0 ? json_null() : sotto__json_real(a / b); }

json_t *sotto__json_count(uint64_t v) { return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v); }

json_t *sotto__json_text(const char *text, size_t n)
{
    if (!text) return json_null();
    json_t *value = json_stringn(text, n);
    if (value) return value;

    /* Not UTF-8 (or no memory, which then shows below). */
    sotto__str clean = {0};
    bool ok = true;
    for (size_t i = 0; i < n && ok;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t len = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &c);
        ok = len > 0 ? sotto__str_append(&clean, text + i, (size_t)len) : sotto__str_puts(&clean, "\xEF\xBF\xBD");
        i += len > 0 ? (size_t)len : 1;
    }
    if (ok) value = json_stringn(clean.data ? clean.data : "", clean.len);
    sotto__str_free(&clean);
    return value;
}

void sotto__json_put(json_t *object, const char *key, json_t *value, bool *ok)
{
    if (json_object_set_new(object, key, value) != 0) *ok = false;
}

void sotto__json_push(json_t *array, json_t *value, bool *ok)
{
    if (json_array_append_new(array, value) != 0) *ok = false;
}

static int append(const char *bytes, size_t n, void *str) { return sotto__str_append(str, bytes, n) ? 0 : -1; }

char *sotto__json_dump(const json_t *document, bool pretty)
{
    sotto__str s = {0};
    /* 15 digits: a value rounded to hundredths prints as such. */
    size_t flags = JSON_REAL_PRECISION(15) | (pretty ? JSON_INDENT(2) : 0);
    if (json_dump_callback(document, append, &s, flags) == 0 && sotto__str_puts(&s, "\n")) return s.data;
    sotto__str_free(&s);
    return NULL;
}
