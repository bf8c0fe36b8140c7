/* SPDX-License-Identifier: MIT
 * Bytes <-> Wyoming events (wyoming_wire.h). */
#include "wyoming_wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_LINE, IN_DATA, EVENT_READY, IN_PAYLOAD, IS_BROKEN };
enum { FIRST_BYTES = 512, KEPT_BYTES = 4 << 10 };

void wyoming_reader_init(wyoming_reader *r, uint64_t most_payload)
{
    *r = (wyoming_reader){.state = IN_LINE, .most_payload = most_payload};
}

void wyoming_reader_free(wyoming_reader *r)
{
    json_decref(r->line);
    free(r->bytes);
    wyoming_reader_init(r, 0);
}

static wyoming_step broken(wyoming_reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static wyoming_step broken(wyoming_reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->why, sizeof r->why, format, args);
    va_end(args);
    r->state = IS_BROKEN;
    return WYOMING_BROKEN;
}

/* Appends to the line or block; `most` bounds it. */
static bool keep(wyoming_reader *r, const char *bytes, size_t n, size_t most)
{
    size_t capacity = r->capacity ? r->capacity : FIRST_BYTES;
    while (capacity < r->n + n) capacity *= 2;
    if (capacity > most) capacity = most;
    if (capacity > r->capacity) {
        char *grown = realloc(r->bytes, capacity);
        if (!grown) return false;
        r->bytes = grown;
        r->capacity = capacity;
    }
    if (n) memcpy(r->bytes + r->n, bytes, n);
    r->n += n;
    return true;
}

/* The bytes kept are of no use any more; a large block is given back, so that quiet connections hold little. */
static void forget(wyoming_reader *r)
{
    r->n = 0;
    if (r->capacity <= KEPT_BYTES) return;
    free(r->bytes);
    r->bytes = NULL;
    r->capacity = 0;
}

/* A length that the line announces; absent and null are 0. */
static bool length_of(wyoming_reader *r, const char *name, uint64_t most, uint64_t *out)
{
    const json_t *value = json_object_get(r->line, name);
    *out = 0;
    if (!value || json_is_null(value)) return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > most) {
        broken(r, "%s should be a whole number from 0 to %llu", name, (unsigned long long)most);
        return false;
    }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static json_t *parse(wyoming_reader *r, const char *what)
{
    json_error_t err;
    json_t *root = json_loadb(r->bytes ? r->bytes : "", r->n, 0, &err);
    if (json_is_object(root)) {
        forget(r);
        return root;
    }
    if (root)
        broken(r, "%s is no JSON object", what);
    else
        broken(r, "%s is no JSON object: %.90s", what, err.text);
    json_decref(root);
    return NULL;
}

/* The line is complete. */
static wyoming_step end_line(wyoming_reader *r)
{
    uint64_t data_left;
    if (!(r->line = parse(r, "the line"))) return WYOMING_BROKEN;
    r->type = json_string_value(json_object_get(r->line, "type"));
    r->data = json_object_get(r->line, "data");
    if (!r->type) return broken(r, "the line has no \"type\" that is a string");
    if (json_is_null(r->data)) r->data = NULL;
    if (r->data && !json_is_object(r->data)) return broken(r, "\"data\" of the line is no JSON object");
    if (!length_of(r, "data_length", WYOMING_DATA_BYTES, &data_left) ||
        !length_of(r, "payload_length", r->most_payload, &r->payload_left))
        return WYOMING_BROKEN;
    if (!r->data) {
        if (json_object_set_new(r->line, "data", json_object()) != 0) return broken(r, "out of memory");
        r->data = json_object_get(r->line, "data");
    }
    r->data_left = (size_t)data_left;
    r->state = data_left ? IN_DATA : EVENT_READY;
    return WYOMING_MORE;
}

/* The data block is complete: what it says goes before what the line said. */
static wyoming_step end_data(wyoming_reader *r)
{
    json_t *more = parse(r, "the data");
    if (!more) return WYOMING_BROKEN;
    int failed = json_object_update(r->data, more);
    json_decref(more);
    if (failed) return broken(r, "out of memory");
    r->state = EVENT_READY;
    return WYOMING_MORE;
}

static wyoming_step read_line(wyoming_reader *r, const char **bytes, size_t *n)
{
    const char *end = memchr(*bytes, '\n', *n);
    size_t part = end ? (size_t)(end - *bytes) : *n;
    if (part > WYOMING_LINE_BYTES - r->n) return broken(r, "a line is longer than %d bytes", WYOMING_LINE_BYTES);
    if (!keep(r, *bytes, part, WYOMING_LINE_BYTES)) return broken(r, "out of memory");
    *bytes += part + (end != NULL);
    *n -= part + (end != NULL);
    return end ? end_line(r) : WYOMING_MORE;
}

static wyoming_step read_data(wyoming_reader *r, const char **bytes, size_t *n)
{
    size_t part = *n < r->data_left ? *n : r->data_left;
    if (!keep(r, *bytes, part, WYOMING_DATA_BYTES)) return broken(r, "out of memory");
    *bytes += part;
    *n -= part;
    r->data_left -= part;
    return r->data_left ? WYOMING_MORE : end_data(r);
}

static wyoming_step read_payload(wyoming_reader *r, const char **bytes, size_t *n)
{
    r->payload = *bytes;
    r->payload_n = *n < r->payload_left ? *n : (size_t)r->payload_left;
    *bytes += r->payload_n;
    *n -= r->payload_n;
    r->payload_left -= r->payload_n;
    return WYOMING_PAYLOAD;
}

wyoming_step wyoming_read(wyoming_reader *r, const char **bytes, size_t *n)
{
    for (;;) {
        wyoming_step step = WYOMING_MORE;
        if (r->state == IS_BROKEN) return WYOMING_BROKEN;
        if (r->state == EVENT_READY) {
            r->state = IN_PAYLOAD;
            return WYOMING_EVENT;
        }
        if (r->state == IN_PAYLOAD && r->payload_left == 0) {
            json_decref(r->line);
            r->line = r->data = NULL;
            r->type = NULL;
            r->state = IN_LINE;
        }
        if (*n == 0) return WYOMING_MORE;
        if (r->state == IN_PAYLOAD) return read_payload(r, bytes, n);
        step = r->state == IN_LINE ? read_line(r, bytes, n) : read_data(r, bytes, n);
        if (step == WYOMING_BROKEN) return step;
    }
}

char *wyoming_write(const char *type, json_t *data, size_t *n)
{
    char *block = data ? json_dumps(data, JSON_COMPACT) : NULL, *bytes = NULL;
    size_t block_n = block ? strlen(block) : 0;
    json_decref(data);
    /* As the reference writes: data in a block of its own, so that lines stay short. */
    int length = block ? asprintf(&bytes, "{\"type\":\"%s\",\"version\":\"1.10.0\",\"data_length\":%zu}\n%s", type,
                                  block_n, block)
                       : -1;
    free(block);
    *n = length < 0 ? 0 : (size_t)length;
    return length < 0 ? NULL : bytes;
}
