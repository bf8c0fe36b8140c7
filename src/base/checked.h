/* SPDX-License-Identifier: MIT
 * Checked arithmetic for sizes that come from outside, and growing arrays built on it. */
#ifndef SOTTO_BASE_CHECKED_H
#define SOTTO_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a * b, a + b, a * b + c; false (and *out untouched) where size_t would overflow. */
static inline bool sotto__mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool sotto__add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool sotto__mul_add(size_t a, size_t b, size_t c, size_t *out)
{
    size_t r;
    return sotto__mul(a, b, &r) && sotto__add(r, c, out);
}

/* The next multiple of 64, the alignment of sotto__aligned. */
static inline size_t sotto__round_64(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Makes room for `need` elements of `elem_bytes` in the array *items (capacity *cap elements), growing by doubling.
 * `items` is the address of the array pointer. False when memory ran out; the array is then unchanged. */
bool sotto__grow(void *items, size_t *cap, size_t need, size_t elem_bytes);

/* A growing byte string, always NUL-terminated once anything was appended. Zero-initialise; free with sotto__str_free.
 */
typedef struct sotto__str {
    char *data;
    size_t len, cap;
} sotto__str;

bool sotto__str_append(sotto__str *s, const char *bytes, size_t n);
bool sotto__str_puts(sotto__str *s, const char *text);
bool sotto__str_printf(sotto__str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sotto__str_free(sotto__str *s);

/* A growing array of token ids. Zero-initialise; free with sotto__ids_free. */
typedef struct sotto__ids {
    int32_t *data;
    size_t len, cap;
} sotto__ids;

bool sotto__ids_append(sotto__ids *ids, const int32_t *more, size_t n);
bool sotto__ids_push(sotto__ids *ids, int32_t id);
void sotto__ids_free(sotto__ids *ids);

/* 64-byte aligned memory, for free(). NULL when n overflows or memory runs out; zero bytes give a valid pointer. */
void *sotto__aligned(size_t n, size_t elem_bytes);

/* Monotonic seconds. */
double sotto__now_s(void);

#endif
