/* SPDX-License-Identifier: MIT
 * Growing arrays, aligned memory and the clock. */
#include "base/checked.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool sotto__grow(void *items, size_t *cap, size_t need, size_t elem_bytes)
{
    size_t want = *cap ? *cap : 16, bytes;
    void *old, *grown;
    if (need <= *cap) return true;
    while (want < need) {
        if (!sotto__mul(want, 2, &want)) return false;
    }
    if (!sotto__mul(want, elem_bytes, &bytes)) return false;
    memcpy(&old, items, sizeof old);
    grown = realloc(old, bytes);
    if (!grown) return false;
    memcpy(items, &grown, sizeof grown);
    *cap = want;
    return true;
}

bool sotto__str_append(sotto__str *s, const char *bytes, size_t n)
{
    size_t need;
    if (!sotto__add(s->len, n, &need) || !sotto__add(need, 1, &need)) return false;
    if (!sotto__grow(&s->data, &s->cap, need, 1)) return false;
    if (n) memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = '\0';
    return true;
}

bool sotto__str_puts(sotto__str *s, const char *text) { return sotto__str_append(s, text, strlen(text)); }

bool sotto__str_printf(sotto__str *s, const char *format, ...)
{
    va_list args;
    int n;
    size_t need;
    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !sotto__add(s->len, (size_t)n + 1, &need)) return false;
    if (!sotto__grow(&s->data, &s->cap, need, 1)) return false;
    va_start(args, format);
    vsnprintf(s->data + s->len, (size_t)n + 1, format, args);
    va_end(args);
    s->len += (size_t)n;
    return true;
}

void sotto__str_free(sotto__str *s)
{
    free(s->data);
    *s = (sotto__str){0};
}

bool sotto__ids_append(sotto__ids *ids, const int32_t *more, size_t n)
{
    size_t need;
    if (!sotto__add(ids->len, n, &need) || !sotto__grow(&ids->data, &ids->cap, need, sizeof *ids->data)) return false;
    if (n) memcpy(ids->data + ids->len, more, n * sizeof *more);
    ids->len = need;
    return true;
}

bool sotto__ids_push(sotto__ids *ids, int32_t id) { return sotto__ids_append(ids, &id, 1); }

void sotto__ids_free(sotto__ids *ids)
{
    free(ids->data);
    *ids = (sotto__ids){0};
}

void *sotto__aligned(size_t n, size_t elem_bytes)
{
    size_t bytes;
    if (!sotto__mul(n, elem_bytes, &bytes) || !sotto__add(bytes, 64, &bytes)) return NULL;
    return aligned_alloc(64, bytes / 64 * 64);
}

double sotto__now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
