/* SPDX-License-Identifier: MIT
 * UTF-8 decoding with replacement and character classes; categories come from utf8proc. */
#include "token/unicode.h"

#include <utf8proc.h>

size_t sotto__utf8_next(const char *s, size_t n, int32_t *cp, bool *valid)
{
    const unsigned char *u = (const unsigned char *)s;
    unsigned low = 0x80, high = 0xBF; /* range of the second byte: no overlong forms, surrogates or > U+10FFFF */
    size_t more, i;
    int32_t c;

    if (valid) *valid = true;
    *cp = u[0];
    if (u[0] < 0x80) return 1;
    if (u[0] >= 0xC2 && u[0] <= 0xDF) {
        more = 1;
        c = u[0] & 0x1F;
    } else if (u[0] >= 0xE0 && u[0] <= 0xEF) {
        more = 2;
        c = u[0] & 0x0F;
        if (u[0] == 0xE0) low = 0xA0;
        if (u[0] == 0xED) high = 0x9F;
    } else if (u[0] >= 0xF0 && u[0] <= 0xF4) {
        more = 3;
        c = u[0] & 0x07;
        if (u[0] == 0xF0) low = 0x90;
        if (u[0] == 0xF4) high = 0x8F;
    } else {
        goto invalid_first;
    }
    for (i = 1; i <= more; i++) {
        if (i >= n || u[i] < low || u[i] > high) {
            /* The bytes so far could have begun a character: one replacement for all of them. */
            *cp = SOTTO__REPLACEMENT;
            if (valid) *valid = false;
            return i;
        }
        c = c << 6 | (u[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    *cp = c;
    return more + 1;

invalid_first:
    *cp = SOTTO__REPLACEMENT;
    if (valid) *valid = false;
    return 1;
}

bool sotto__utf8_replace(sotto__str *out, const char *s, size_t n)
{
    size_t at = 0, copied = 0;
    while (at < n) {
        int32_t cp;
        bool valid;
        const size_t took = sotto__utf8_next(s + at, n - at, &cp, &valid);
        if (!valid) {
            if (!sotto__str_append(out, s + copied, at - copied) || !sotto__str_append(out, "\xEF\xBF\xBD", 3))
                return false;
            copied = at + took;
        }
        at += took;
    }
    return sotto__str_append(out, s + copied, n - copied);
}

bool sotto__utf8_is_valid(const char *s, size_t n)
{
    size_t at = 0;
    while (at < n) {
        int32_t cp;
        bool valid;
        at += sotto__utf8_next(s + at, n - at, &cp, &valid);
        if (!valid) return false;
    }
    return true;
}

/* Property White_Space (PropList.txt); unchanged since Unicode 6.3. */
static bool is_white_space(int32_t cp)
{
    return (cp >= 0x09 && cp <= 0x0D) || cp == 0x20 || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F ||
           cp == 0x3000;
}

sotto__char_class sotto__char_class_of(int32_t cp)
{
    if (cp < 0x80) { /* most of all text; spares the table */
        if ((cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z')) return SOTTO__CHAR_LETTER;
        if (cp >= '0' && cp <= '9') return SOTTO__CHAR_NUMBER;
        return is_white_space(cp) ? SOTTO__CHAR_SPACE : SOTTO__CHAR_OTHER;
    }
    if (is_white_space(cp)) return SOTTO__CHAR_SPACE;
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return SOTTO__CHAR_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return SOTTO__CHAR_NUMBER;
    default:
        return SOTTO__CHAR_OTHER;
    }
}

/* str.isspace(): White_Space and the four information separators. */
static bool is_python_space(int32_t cp) { return is_white_space(cp) || (cp >= 0x1C && cp <= 0x1F); }

void sotto__utf8_strip(const char **s, size_t *n)
{
    int32_t cp;
    while (*n) {
        const size_t took = sotto__utf8_next(*s, *n, &cp, NULL);
        if (!is_python_space(cp)) break;
        *s += took;
        *n -= took;
    }
    while (*n) {
        size_t back = 1; /* bytes of the last character */
        while (back < *n && back < 4 && ((unsigned char)(*s)[*n - back] & 0xC0) == 0x80) back++;
        sotto__utf8_next(*s + *n - back, back, &cp, NULL);
        if (!is_python_space(cp)) break;
        *n -= back;
    }
}

bool sotto__is_word_sign(int32_t cp)
{
    const sotto__char_class class = sotto__char_class_of(cp);
    const utf8proc_category_t category = utf8proc_category(cp);
    return class == SOTTO__CHAR_LETTER || class == SOTTO__CHAR_NUMBER || cp == SOTTO__REPLACEMENT ||
           category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC || category == UTF8PROC_CATEGORY_ME;
}

int32_t sotto__lower(int32_t cp) { return utf8proc_tolower(cp); }
