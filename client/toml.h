/* SPDX-License-Identifier: MIT
 * A part of TOML 1.0 (toml.io), as settings need it: what is read here means the same to every reader of TOML, what is
 * not is an error that says so. Tables [a.b], bare keys, strings on one line, decimal numbers, booleans, and arrays of
 * strings, over several lines too. Debian 12 has no library for it in C. */
#ifndef SOTTO_CLIENT_TOML_H
#define SOTTO_CLIENT_TOML_H

#include <stddef.h>

#include "sotto.h"

typedef struct toml_entry {
    char *table; /* "" before the first one, "study.run" */
    char *key;
    char *value; /* a string's text; numbers and booleans as they are written; an array's strings with commas between */
    size_t line; /* of the key, from 1 */
} toml_entry;

typedef struct toml {
    toml_entry *entries;
    size_t n, cap;
} toml;

/* Reads all of text[0 … n). The sentence of SOTTO_EFORMAT begins with the line's number: "3: …". toml_free in any
 * case. */
sotto_status toml_read(toml *out, const char *text, size_t n, sotto_error *err);
void toml_free(toml *t);

#endif
