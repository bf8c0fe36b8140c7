/* SPDX-License-Identifier: MIT
 * ~/.config/sotto/config.toml -> options that neither command line nor environment give. Keys before the first table
 * are for every command that has such an option, those of [transcribe] or [study.run] for that command. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "toml.h"

enum { SETTINGS_BYTES_MAX = 1 << 20 };

/* Kept to the end, or to the next call: options borrow the texts. */
static toml settings;

/* NULL when there is no home, or memory ran out. */
static char *settings_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char *path;
    int n = config && config[0] == '/' ? asprintf(&path, "%s/sotto/config.toml", config)
            : home && *home            ? asprintf(&path, "%s/.config/sotto/config.toml", home)
                                       : -1;
    return n < 0 ? NULL : path;
}

static sotto_status read_settings(const char *path, sotto_error *err)
{
    sotto_error why;
    FILE *file = fopen(path, "re");
    if (!file && (errno == ENOENT || errno == ENOTDIR)) return SOTTO_OK;
    char *text = malloc(SETTINGS_BYTES_MAX + 1);
    size_t n = file && text ? fread(text, 1, SETTINGS_BYTES_MAX + 1, file) : 0;
    sotto_status st = SOTTO_OK;
    if (!text)
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: %s", path);
    else if (!file || ferror(file))
        st = options_fail(err, SOTTO_EIO, "%s cannot be read: %s", path, strerror(errno));
    else if (n > SETTINGS_BYTES_MAX)
        st = options_fail(err, SOTTO_ELIMIT, "%s is longer than %d bytes", path, SETTINGS_BYTES_MAX);
    else if ((st = toml_read(&settings, text, n, &why)) != SOTTO_OK)
        options_fail(err, st, "%.200s:%s", path, why.message);
    if (file) fclose(file);
    free(text);
    return st;
}

/* ---- which command has which key ------------------------------------------------------------------------------ */

/* "study.run" is "sotto study run"; "" is every command. */
static bool is_for(const char *table, const options_program *p)
{
    const char *name = strchr(p->name, ' ') + 1;
    if (!*table) return true;
    for (; *table && *name; table++, name++)
        if (*table != (*name == ' ' ? '.' : *name)) return false;
    return !*table && !*name;
}

typedef struct search {
    const toml_entry *entry;
    bool command, key; /* found */
    const char *near;
    size_t distance;
} search;

static void look(const options_program *p, void *user)
{
    search *s = user;
    if (!is_for(s->entry->table, p)) return;
    s->command = true;
    s->key |= options_has(p, s->entry->key);
    for (size_t g = 0; g < p->n_groups; g++)
        for (size_t i = 0; i < p->groups[g].n; i++) {
            const char *name = p->groups[g].table[i].name;
            const size_t d = name ? options_distance(s->entry->key, name) : s->distance;
            if (d < s->distance) s->distance = d, s->near = name;
        }
}

static sotto_status check(const toml_entry *e, const char *path, sotto_error *err)
{
    search s = {.entry = e, .distance = 3};
    const char *table = e->table;
    commands_visit(look, &s);
    if (s.key) return SOTTO_OK;
    if (!s.command)
        return options_fail(err, SOTTO_ENOTFOUND, "%s:%zu: sotto has no command for the table [%s]", path, e->line,
                            table);
    return options_fail(err, SOTTO_ENOTFOUND, "%s:%zu: unknown key \"%s\"%s%s%s%s%s%s", path, e->line, e->key,
                        *table ? " in [" : "", table, *table ? "]" : "", s.near ? "; did you mean " : "",
                        s.near ? s.near : "", s.near ? "?" : "");
}

/* ---- to options ----------------------------------------------------------------------------------------------- */

static bool same_key(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b)) return false;
    return *a == *b;
}

/* The command's own table has it too. */
static bool is_overruled(const toml_entry *e, const options_program *p)
{
    for (size_t i = 0; !*e->table && i < settings.n; i++) {
        const toml_entry *other = &settings.entries[i];
        if (*other->table && is_for(other->table, p) && same_key(other->key, e->key)) return true;
    }
    return false;
}

sotto_status settings_apply(options_program *p, sotto_error *err)
{
    sotto_error why;
    char *path = settings_path();
    toml_free(&settings);
    sotto_status st = path ? read_settings(path, err) : SOTTO_OK;
    for (size_t i = 0; i < settings.n && st == SOTTO_OK; i++) {
        const toml_entry *e = &settings.entries[i];
        if ((st = check(e, path, err)) != SOTTO_OK) break;
        if (!is_for(e->table, p) || !options_has(p, e->key) || is_overruled(e, p)) continue;
        if ((st = options_set(p, OPTIONS_FROM_FILE, e->key, e->value, &why)) != SOTTO_OK)
            options_fail(err, st, "%.200s:%zu: %s", path, e->line, why.message);
    }
    free(path);
    return st;
}
