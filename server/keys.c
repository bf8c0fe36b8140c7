/* SPDX-License-Identifier: MIT
 * File of keys -> table in memory; keys are compared in constant time (keys.h). */
#include "keys.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

enum { LINE_BYTES = 1024 };

typedef struct key {
    unsigned char text[KEYS_KEY_BYTES]; /* zeros behind the key, so that all are compared at one length */
    char name[KEYS_NAME_BYTES];
    bool admin;
} key;

typedef struct table {
    key *items;
    size_t n, cap;
} table;

struct keys {
    const char *path;
    pthread_mutex_t lock; /* of what follows */
    table table;
};

static void table_free(table *t)
{
    if (t->items) explicit_bzero(t->items, t->cap * sizeof *t->items);
    free(t->items);
    *t = (table){0};
}

/* 1 where all bytes are alike, without a branch on any of them. */
static unsigned same(const unsigned char *a, const unsigned char *b)
{
    volatile unsigned char differs = 0;
    for (size_t i = 0; i < KEYS_KEY_BYTES; i++) differs = (unsigned char)(differs | (a[i] ^ b[i]));
    return 1u & (unsigned)((differs - 1) >> 8);
}

/* The words of a line: key, name (may be ""), "admin". False when there are more, or one is too long or holds what it
 * must not. */
static bool split(char *line, char **text, char **name, bool *admin)
{
    static char none[] = "";
    char *rest = NULL;
    *text = strtok_r(line, " \t", &rest);
    *name = strtok_r(NULL, " \t", &rest);
    if (!*name) *name = none;
    const char *third = strtok_r(NULL, " \t", &rest);
    *admin = third && strcmp(third, "admin") == 0;
    if ((third && !*admin) || strtok_r(NULL, " \t", &rest) || strlen(*text) >= KEYS_KEY_BYTES ||
        strlen(*name) >= KEYS_NAME_BYTES)
        return false;
    for (const char *c = *text; *c; c++)
        if (*c < 33 || *c > 126) return false;
    for (const char *c = *name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@", *c)) return false;
    return true;
}

/* Doubles the room, leaving nothing of the keys behind. */
static bool grow(table *t)
{
    if (t->n < t->cap) return true;
    table larger = {.cap = t->cap ? 2 * t->cap : 16, .n = t->n};
    if (!(larger.items = calloc(larger.cap, sizeof *larger.items))) return false;
    if (t->n) memcpy(larger.items, t->items, t->n * sizeof *t->items);
    table_free(t);
    *t = larger;
    return true;
}

static sotto_status add(table *t, char *line, size_t number, const char *path, sotto_error *err)
{
    char *text, *name;
    bool admin;
    if (!split(line, &text, &name, &admin))
        return options_fail(
            err, SOTTO_EFORMAT,
            "%s, line %zu: should be KEY, KEY NAME or KEY NAME admin: a key of up to %d printable characters, a name "
            "of up to %d letters, digits, '-', '_', '.' and '@'",
            path, number, KEYS_KEY_BYTES - 1, KEYS_NAME_BYTES - 1);
    if (t->n == KEYS_MOST) return options_fail(err, SOTTO_ELIMIT, "%s has more than %d keys", path, KEYS_MOST);
    if (!grow(t)) return options_fail(err, SOTTO_ENOMEM, "out of memory: keys of %s", path);
    key *k = &t->items[t->n];
    memcpy(k->text, text, strlen(text));
    k->admin = admin;
    if (*name)
        snprintf(k->name, sizeof k->name, "%s", name);
    else
        snprintf(k->name, sizeof k->name, "key-%zu", number);
    for (size_t i = 0; i < t->n; i++)
        if (same(t->items[i].text, k->text) || strcmp(t->items[i].name, k->name) == 0)
            return options_fail(err, SOTTO_EFORMAT, "%s, line %zu: that key or name is there already", path, number);
    t->n++;
    return SOTTO_OK;
}

static sotto_status read_lines(table *t, FILE *from, const char *path, sotto_error *err)
{
    char line[LINE_BYTES];
    sotto_status st = SOTTO_OK;
    for (size_t number = 1; st == SOTTO_OK && fgets(line, sizeof line, from); number++) {
        size_t n = strcspn(line, "\r\n"), begin = strspn(line, " \t");
        if (n == sizeof line - 1) {
            st = options_fail(err, SOTTO_EFORMAT, "%s, line %zu is longer than %d bytes", path, number, LINE_BYTES - 2);
            break;
        }
        line[n] = '\0';
        if (line[begin] && line[begin] != '#') st = add(t, line, number, path, err);
    }
    explicit_bzero(line, sizeof line);
    if (st == SOTTO_OK && ferror(from))
        st = options_fail(err, SOTTO_EIO, "%s cannot be read: %s", path, strerror(errno));
    if (st == SOTTO_OK && t->n == 0) st = options_fail(err, SOTTO_EFORMAT, "%s has no key in it", path);
    return st;
}

static sotto_status read_file(table *t, const char *path, sotto_error *err)
{
    char buffer[BUFSIZ];
    FILE *from = fopen(path, "re");
    *t = (table){0};
    if (!from) return options_fail(err, SOTTO_EIO, "%s cannot be read: %s", path, strerror(errno));
    setvbuf(from, buffer, _IOFBF, sizeof buffer); /* ours to wipe */
    sotto_status st = read_lines(t, from, path, err);
    fclose(from);
    explicit_bzero(buffer, sizeof buffer);
    if (st != SOTTO_OK) table_free(t);
    return st;
}

sotto_status keys_open(keys **out, const char *path, sotto_error *err)
{
    table t;
    *out = NULL;
    sotto_status st = read_file(&t, path, err);
    if (st != SOTTO_OK) return st;
    keys *k = calloc(1, sizeof *k);
    if (!k) {
        table_free(&t);
        return options_fail(err, SOTTO_ENOMEM, "out of memory: keys of %s", path);
    }
    k->path = path;
    k->table = t;
    pthread_mutex_init(&k->lock, NULL);
    *out = k;
    return SOTTO_OK;
}

sotto_status keys_reload(keys *k, sotto_error *err)
{
    table fresh;
    sotto_status st = read_file(&fresh, k->path, err);
    if (st != SOTTO_OK) return st;
    pthread_mutex_lock(&k->lock);
    table old = k->table;
    k->table = fresh;
    pthread_mutex_unlock(&k->lock);
    table_free(&old);
    return SOTTO_OK;
}

bool keys_find(keys *k, const char *given, char name[KEYS_NAME_BYTES])
{
    unsigned char padded[KEYS_KEY_BYTES] = {0};
    size_t n = strlen(given), found = SIZE_MAX;
    bool fits = n > 0 && n < sizeof padded;
    if (fits) memcpy(padded, given, n);
    name[0] = '\0';
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < k->table.n; i++) {
        const size_t mask = (size_t)0 - same(padded, k->table.items[i].text); /* all ones when alike */
        found = (found & ~mask) | (i & mask);
    }
    bool known = fits && found < k->table.n;
    if (known) snprintf(name, KEYS_NAME_BYTES, "%s", k->table.items[found].name);
    pthread_mutex_unlock(&k->lock);
    explicit_bzero(padded, sizeof padded);
    return known;
}

bool keys_is_admin(keys *k, const char *name)
{
    bool admin = false;
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < k->table.n; i++)
        admin |= k->table.items[i].admin && strcmp(k->table.items[i].name, name) == 0;
    pthread_mutex_unlock(&k->lock);
    return admin;
}

size_t keys_count(keys *k)
{
    pthread_mutex_lock(&k->lock);
    size_t n = k->table.n;
    pthread_mutex_unlock(&k->lock);
    return n;
}

void keys_free(keys *k)
{
    if (!k) return;
    table_free(&k->table);
    pthread_mutex_destroy(&k->lock);
    free(k);
}
