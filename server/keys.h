/* SPDX-License-Identifier: MIT
 * The API keys of --api-key-file: who may use the daemon, and under which name.
 *
 * One key a line, a name after it if wanted ("sk-4f1c… kitchen"), and after that "admin" for one that may load and
 * unload models; empty lines and those that begin with '#' are left out. A key is up to 255 printable ASCII characters
 * without blanks. Keys are never given out again: logs and other parts of the daemon have the names. */
#ifndef SOTTOD_KEYS_H
#define SOTTOD_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "sotto.h"

enum { KEYS_MOST = 1000, KEYS_KEY_BYTES = 256, KEYS_NAME_BYTES = 48 };

typedef struct keys keys;

/* Reads `path`, which must outlive the keys. Errors name the file and the line, never what is in it: SOTTO_EIO,
 * SOTTO_EFORMAT (also: no key at all, two that are alike, two of one name), SOTTO_ELIMIT, SOTTO_ENOMEM. */
sotto_status keys_open(keys **out, const char *path, sotto_error *err);
/* Reads the file again; on failure the keys stay as they were. Any thread. */
sotto_status keys_reload(keys *k, sotto_error *err);
/* Is `given` one of the keys? `name` gets whose: its own, or "key-<line>". Takes as long for every `given`. Any
 * thread. */
bool keys_find(keys *k, const char *given, char name[KEYS_NAME_BYTES]);
/* Is that the name of an administrator's key? */
bool keys_is_admin(keys *k, const char *name);
size_t keys_count(keys *k);
/* NULL is fine. */
void keys_free(keys *k);

#endif
