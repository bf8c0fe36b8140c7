/* SPDX-License-Identifier: MIT
 * Events of the Wyoming protocol (github.com/OHF-Voice/wyoming, 1.10) as bytes: a line of JSON, then data_length bytes
 * of JSON, then payload_length bytes of anything. Reads what comes in pieces of any size, in bounded memory, and writes
 * what goes out. Pure: no sockets. */
#ifndef SOTTOD_WYOMING_WIRE_H
#define SOTTOD_WYOMING_WIRE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WYOMING_LINE_BYTES = 64 << 10, WYOMING_DATA_BYTES = 64 << 10 };

typedef enum wyoming_step {
    WYOMING_MORE,    /* all bytes are taken, others have to come */
    WYOMING_EVENT,   /* `type` and `data` are an event, `payload_left` bytes of payload follow */
    WYOMING_PAYLOAD, /* `payload` is a piece of them, `payload_left` come after it */
    WYOMING_BROKEN   /* this is no Wyoming, `why` says what is wrong; nothing can be read any more */
} wyoming_step;

typedef struct wyoming_reader {
    /* for the caller, until the next step */
    const char *type; /* UTF-8 */
    json_t *data;     /* an object, that of the line and that of the data block in one */
    const char *payload;
    size_t payload_n;
    uint64_t payload_left;
    char why[160];
    /* own */
    int state;
    json_t *line;
    char *bytes; /* of the line or the data block so far */
    size_t n, capacity, data_left;
    uint64_t most_payload;
} wyoming_reader;

/* A payload of more than `most_payload` bytes is refused when it is announced. */
void wyoming_reader_init(wyoming_reader *r, uint64_t most_payload);
void wyoming_reader_free(wyoming_reader *r);

/* Takes bytes from *bytes (*n left, both are moved on) up to the next step. To be called until it returns WYOMING_MORE:
 * the last byte may bring more than one step. */
wyoming_step wyoming_read(wyoming_reader *r, const char **bytes, size_t *n);

/* The bytes of an event without payload, from malloc, *n of them; NULL when memory ran out. Takes the reference to
 * `data`, an object; NULL is taken for lack of memory. */
char *wyoming_write(const char *type, json_t *data, size_t *n);

#endif
