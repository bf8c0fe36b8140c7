/* SPDX-License-Identifier: MIT
 * TOML -> entries (toml.h). */
#include "toml.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "utf8.h"

typedef struct reader {
    const char *at, *end;
    size_t line;
    char *table;
    char **tables; /* headed so far: each may be there once */
    size_t n_tables;
    sotto_error *err;
} reader;

typedef struct text {
    char *data;
    size_t n, cap;
} text;

static sotto_status fail(const reader *r, const char *sentence)
{
    return options_fail(r->err, SOTTO_EFORMAT, "%zu: %s", r->line, sentence);
}

static sotto_status no_memory(const reader *r) { return options_fail(r->err, SOTTO_ENOMEM, "out of memory: settings"); }

static bool put(text *t, const char *bytes, size_t n)
{
    if (t->n + n + 1 > t->cap) {
        size_t cap = 2 * (t->n + n + 1);
        char *data = realloc(t->data, cap);
        if (!data) return false;
        t->data = data;
        t->cap = cap;
    }
    memcpy(t->data + t->n, bytes, n);
    t->n += n;
    t->data[t->n] = '\0';
    return true;
}

static int peek(const reader *r) { return r->at < r->end ? (unsigned char)*r->at : EOF; }

static void skip_blanks(reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t') r->at++;
}

/* Over blanks and a comment, to the line's end or to what is there. */
static void skip_comment(reader *r)
{
    skip_blanks(r);
    if (peek(r) == '#')
        while (r->at < r->end && *r->at != '\n') r->at++;
    if (peek(r) == '\r' && r->at + 1 < r->end && r->at[1] == '\n') r->at++;
}

static void skip_lines(reader *r)
{
    for (skip_comment(r); peek(r) == '\n'; skip_comment(r)) r->at++, r->line++;
}

static bool is_bare(int c) { return c != EOF && c < 0x80 && (isalnum(c) || c == '_' || c == '-'); }

static size_t bare_length(const reader *r)
{
    size_t n = 0;
    while (r->at + n < r->end && is_bare((unsigned char)r->at[n])) n++;
    return n;
}

/* ---- values --------------------------------------------------------------------------------------------------- */

static bool put_character(text *t, unsigned long c)
{
    char b[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (n == 1) {
        b[0] = (char)c;
        return put(t, b, 1);
    }
    for (size_t i = n; i-- > 1; c >>= 6) b[i] = (char)(0x80 | (c & 0x3F));
    b[0] = (char)((0xF00 >> n & 0xFF) | c);
    return put(t, b, n);
}

/* Behind a backslash. */
static sotto_status read_escape(reader *r, text *t)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    const int c = peek(r);
    const char *simple = c != EOF && c ? strchr(from, c) : NULL;
    r->at++;
    if (simple) return put(t, to + (simple - from), 1) ? SOTTO_OK : no_memory(r);
    const ptrdiff_t digits = c == 'u' ? 4 : c == 'U' ? 8 : 0;
    unsigned long value = 0;
    if (!digits || r->end - r->at < digits) return fail(r, "there is no such escape in a string");
    for (ptrdiff_t i = 0; i < digits; i++, r->at++) {
        const unsigned char d = (unsigned char)*r->at;
        if (!isxdigit(d)) return fail(r, "there is no such escape in a string");
        value = value << 4 | (unsigned long)(isdigit(d) ? d - '0' : tolower(d) - 'a' + 10);
    }
    if (!value || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
        return fail(r, "an escape in a string stands for no character");
    return put_character(t, value) ? SOTTO_OK : no_memory(r);
}

/* At a quotation mark. */
static sotto_status read_string(reader *r, text *t)
{
    const char quote = *r->at++;
    if (r->end - r->at >= 2 && r->at[0] == quote && r->at[1] == quote)
        return fail(r, "strings over several lines are not read here");
    if (!put(t, "", 0)) return no_memory(r);
    for (;;) {
        const int c = peek(r);
        if (c == EOF || c == '\n' || c == '\r') return fail(r, "a string has no end on its line");
        r->at++;
        if (c == quote) return SOTTO_OK;
        sotto_status st = SOTTO_OK;
        if (c == '\\' && quote == '"')
            st = read_escape(r, t);
        else if (!put(t, r->at - 1, 1))
            st = no_memory(r);
        if (st != SOTTO_OK) return st;
    }
}

/* Digits with single underscores between them, put without those. */
static bool read_digits(const char **at, const char *end, text *t)
{
    const char *p = *at;
    if (p == end || !isdigit((unsigned char)*p)) return false;
    while (p < end && (isdigit((unsigned char)*p) || (*p == '_' && p + 1 < end && isdigit((unsigned char)p[1])))) {
        if (*p != '_' && !put(t, p, 1)) return false;
        p++;
    }
    *at = p;
    return true;
}

/* [+-] 0 | 1…9 digits, then a fraction and an exponent or none, and nothing behind them. */
static bool read_number(const char *at, const char *end, text *t)
{
    if (*at == '-' && !put(t, "-", 1)) return false;
    if (*at == '-' || *at == '+') at++;
    if (end - at > 1 && *at == '0' && (isdigit((unsigned char)at[1]) || at[1] == '_')) return false;
    if (!read_digits(&at, end, t)) return false;
    if (at < end && *at == '.') {
        if (!put(t, at++, 1) || !read_digits(&at, end, t)) return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        if (!put(t, at++, 1)) return false;
        if (at < end && (*at == '-' || *at == '+') && !put(t, at++, 1)) return false;
        if (!read_digits(&at, end, t)) return false;
    }
    return at == end;
}

static sotto_status read_plain(reader *r, text *t)
{
    const char *begin = r->at;
    while (is_bare(peek(r)) || peek(r) == '.' || peek(r) == '+') r->at++;
    const size_t n = (size_t)(r->at - begin);
    if ((n == 4 && memcmp(begin, "true", n) == 0) || (n == 5 && memcmp(begin, "false", n) == 0))
        return put(t, begin, n) ? SOTTO_OK : no_memory(r);
    if (n && read_number(begin, r->at, t)) return SOTTO_OK;
    return fail(r, "a value is a \"string\", a decimal number, true, false, or an array [\"of\", \"strings\"]");
}

/* At "[". */
static sotto_status read_array(reader *r, text *t)
{
    bool first = true;
    r->at++;
    if (!put(t, "", 0)) return no_memory(r);
    for (;;) {
        skip_lines(r);
        if (peek(r) == ']') break;
        if (peek(r) != '"' && peek(r) != '\'') return fail(r, "an array has strings only here, and ends with ]");
        if (!first && !put(t, ",", 1)) return no_memory(r);
        const size_t before = t->n;
        sotto_status st = read_string(r, t);
        if (st != SOTTO_OK) return st;
        if (memchr(t->data + before, ',', t->n - before))
            return fail(r, "a string of an array may not have a comma here");
        first = false;
        skip_lines(r);
        if (peek(r) == ',')
            r->at++;
        else if (peek(r) != ']')
            return fail(r, "between the strings of an array there are commas, and at its end is a ]");
    }
    r->at++;
    return SOTTO_OK;
}

/* ---- lines ---------------------------------------------------------------------------------------------------- */

/* "[a.b]" */
static sotto_status read_table(reader *r)
{
    text name = {0};
    sotto_status st = SOTTO_OK;
    r->at++;
    for (bool more = true; more && st == SOTTO_OK;) {
        skip_blanks(r);
        const size_t n = bare_length(r);
        if (!n) st = fail(r, "a table is headed [name] or [name.name]");
        if (st == SOTTO_OK && ((name.n && !put(&name, ".", 1)) || !put(&name, r->at, n))) st = no_memory(r);
        r->at += n;
        skip_blanks(r);
        more = peek(r) == '.';
        if (more) r->at++;
    }
    if (st == SOTTO_OK && peek(r) != ']') st = fail(r, "a table is headed [name] or [name.name]");
    for (size_t i = 0; st == SOTTO_OK && i < r->n_tables; i++)
        if (strcmp(r->tables[i], name.data) == 0) st = fail(r, "this table was there before");
    char **grown = st == SOTTO_OK ? reallocarray(r->tables, r->n_tables + 1, sizeof *grown) : NULL;
    if (st == SOTTO_OK && !grown) st = no_memory(r);
    if (st != SOTTO_OK) {
        free(name.data);
        return st;
    }
    r->at++;
    r->tables = grown;
    r->table = r->tables[r->n_tables++] = name.data;
    return SOTTO_OK;
}

static toml_entry *add_entry(toml *t)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 16;
        toml_entry *grown = reallocarray(t->entries, cap, sizeof *grown);
        if (!grown) return NULL;
        t->entries = grown;
        t->cap = cap;
    }
    return memset(&t->entries[t->n++], 0, sizeof(toml_entry));
}

/* "key = value" */
static sotto_status read_entry(reader *r, toml *out)
{
    const size_t n = bare_length(r);
    text value = {0};
    if (!n) return fail(r, "a line is empty, a # comment, a [table], or key = value");
    toml_entry *e = add_entry(out);
    if (!e || !(e->key = strndup(r->at, n)) || !(e->table = strdup(r->table))) return no_memory(r);
    e->line = r->line;
    for (size_t i = 0; i + 1 < out->n; i++)
        if (strcmp(out->entries[i].key, e->key) == 0 && strcmp(out->entries[i].table, e->table) == 0)
            return fail(r, "this key was there before");
    r->at += n;
    skip_blanks(r);
    if (peek(r) != '=') return fail(r, "a key is followed by =");
    r->at++;
    skip_blanks(r);
    const int c = peek(r);
    sotto_status st = c == '"' || c == '\'' ? read_string(r, &value)
                      : c == '['            ? read_array(r, &value)
                                            : read_plain(r, &value);
    e->value = value.data;
    return st;
}

/* UTF-8 without control characters but tabs and line ends. */
static sotto_status check_text(reader *r)
{
    if (!utf8_is_text(r->at, (size_t)(r->end - r->at)))
        return options_fail(r->err, SOTTO_EFORMAT, "1: this is no UTF-8 text");
    for (const char *c = r->at; c < r->end; c++) {
        const unsigned char u = (unsigned char)*c;
        if (u == '\n') r->line++;
        if ((u < 0x20 && u != '\t' && u != '\n' && !(u == '\r' && c + 1 < r->end && c[1] == '\n')) || u == 0x7F)
            return fail(r, "there is a control character");
    }
    r->line = 1;
    return SOTTO_OK;
}

sotto_status toml_read(toml *out, const char *source, size_t n, sotto_error *err)
{
    static char none[] = "";
    reader r = {.at = source, .end = source + n, .line = 1, .table = none, .err = err};
    *out = (toml){0};
    sotto_status st = check_text(&r);
    for (skip_lines(&r); st == SOTTO_OK && r.at < r.end; skip_lines(&r)) {
        st = peek(&r) == '[' ? read_table(&r) : read_entry(&r, out);
        if (st != SOTTO_OK) break;
        skip_comment(&r);
        if (r.at < r.end && *r.at != '\n') st = fail(&r, "there is more on this line than belongs there");
    }
    for (size_t i = 0; i < r.n_tables; i++) free(r.tables[i]);
    free(r.tables);
    return st;
}

void toml_free(toml *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->entries[i].table);
        free(t->entries[i].key);
        free(t->entries[i].value);
    }
    free(t->entries);
    *t = (toml){0};
}
