/* SPDX-License-Identifier: MIT
 * Vocabulary files of a model directory -> raw bytes by id. Sources are untrusted: sizes and ids are bounded. */
#include "token/vocab.h"

#include "base/error.h"
#include "token/unicode.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAX_FILE_BYTES = 32 << 20, /* tokenizer.json of the multilingual models has 4 MB */
    MAX_TOKENS = 1 << 20       /* Whisper has 51866 */
};

sotto_status sotto__vocab_add(sotto__vocab *v, const char *bytes, size_t n, sotto_error *err)
{
    size_t end;
    if (!sotto__add(v->bytes_len, n, &end) || !sotto__grow(&v->bytes, &v->bytes_cap, end, 1) ||
        !sotto__grow(&v->ends, &v->ends_cap, v->n + 1, sizeof *v->ends))
        return sotto__fail_nomem(err, "vocabulary");
    if (n) memcpy(v->bytes + v->bytes_len, bytes, n);
    v->bytes_len = end;
    v->ends[v->n++] = end;
    return SOTTO_OK;
}

void sotto__vocab_free(sotto__vocab *v)
{
    free(v->bytes);
    free(v->ends);
    *v = (sotto__vocab){0};
}

/* ---- GPT-2's byte-to-unicode mapping, undone -------------------------------------------------------------------- */

/* Printable Latin-1 stands for itself; the other 68 bytes, in order, for U+0100 … U+0143. */
typedef struct byte_map {
    int16_t byte_of[0x144]; /* by code point; -1 = stands for no byte */
} byte_map;

static void byte_map_init(byte_map *m)
{
    int next = 0x100;
    memset(m->byte_of, 0xFF, sizeof m->byte_of);
    for (int b = 0; b < 256; b++) {
        const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
        m->byte_of[printable ? b : next++] = (int16_t)b;
    }
}

/* Appends one token as written in the file. A token with any character outside the mapping is kept as it is written:
 * such ones are special tokens, told by id alone. */
static sotto_status add_mapped(sotto__vocab *v, const byte_map *m, const char *text, size_t n, sotto_error *err)
{
    size_t len = 0, at = 0, end;
    char *room; /* the mapping never lengthens */
    if (!sotto__add(v->bytes_len, n, &end) || !sotto__grow(&v->bytes, &v->bytes_cap, end, 1))
        return sotto__fail_nomem(err, "vocabulary");
    room = v->bytes ? v->bytes + v->bytes_len : NULL; /* NULL: an empty first token */
    while (at < n) {
        int32_t cp;
        at += sotto__utf8_next(text + at, n - at, &cp, NULL);
        if (cp >= 0x144 || m->byte_of[cp] < 0) return sotto__vocab_add(v, text, n, err);
        room[len++] = (char)(unsigned char)m->byte_of[cp];
    }
    if (!sotto__grow(&v->ends, &v->ends_cap, v->n + 1, sizeof *v->ends)) return sotto__fail_nomem(err, "vocabulary");
    v->bytes_len += len;
    v->ends[v->n++] = v->bytes_len;
    return SOTTO_OK;
}

/* ---- the four forms --------------------------------------------------------------------------------------------- */

typedef struct source {
    const char *path;
    char *data;
    size_t len;
} source;

/* Reads the regular file source->path whole. */
static sotto_status read_whole(source *s, sotto_error *err)
{
    struct stat st;
    sotto_status status;
    const int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return sotto__fail(err, errno == ENOENT ? SOTTO_ENOTFOUND : SOTTO_EIO, "cannot open %s: %s", s->path,
                           strerror(errno));
    if (fstat(fd, &st)) {
        status = sotto__fail(err, SOTTO_EIO, "cannot stat %s: %s", s->path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(st.st_mode)) {
        status = sotto__fail(err, SOTTO_EFORMAT, "%s is not a regular file", s->path);
        goto done;
    }
    if (st.st_size > MAX_FILE_BYTES) {
        status = sotto__fail(err, SOTTO_ELIMIT, "%s has %lld bytes, expected a vocabulary of at most %d", s->path,
                             (long long)st.st_size, MAX_FILE_BYTES);
        goto done;
    }
    s->data = malloc((size_t)st.st_size + 1);
    if (!s->data) {
        status = sotto__fail_nomem(err, s->path);
        goto done;
    }
    while (s->len < (size_t)st.st_size) {
        const ssize_t got = read(fd, s->data + s->len, (size_t)st.st_size - s->len);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            status = sotto__fail(err, SOTTO_EIO, "cannot read %s: %s", s->path, strerror(errno));
            goto done;
        }
        if (!got) break;
        s->len += (size_t)got;
    }
    s->data[s->len] = '\0';
    status = SOTTO_OK;
done:
    close(fd);
    return status;
}

static sotto_status too_many(const source *s, sotto_error *err)
{
    return sotto__fail(err, SOTTO_ELIMIT, "%s has more than %d tokens", s->path, MAX_TOKENS);
}

/* CTranslate2's vocabulary.txt: one token a line, in id order. */
static sotto_status read_lines(sotto__vocab *v, const byte_map *m, const source *s, sotto_error *err)
{
    char *const end = s->data + s->len;
    for (char *line = s->data; line < end;) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t n;
        sotto_status status;
        if (!stop) stop = end;
        n = (size_t)(stop - line);
        if (n && line[n - 1] == '\r') n--; /* never part of a mapped token */
        if (v->n == MAX_TOKENS) return too_many(s, err);
        status = add_mapped(v, m, line, n, err);
        if (status != SOTTO_OK) return status;
        line = stop + 1;
    }
    return SOTTO_OK;
}

/* CTranslate2's vocabulary.json: an array of strings, in id order. */
static sotto_status read_array(sotto__vocab *v, const byte_map *m, const source *s, const json_t *root,
                               sotto_error *err)
{
    if (!json_is_array(root)) return sotto__fail(err, SOTTO_EFORMAT, "%s is not a JSON array of tokens", s->path);
    for (size_t i = 0; i < json_array_size(root); i++) {
        const json_t *token = json_array_get(root, i);
        sotto_status status;
        if (!json_is_string(token)) return sotto__fail(err, SOTTO_EFORMAT, "%s: token %zu is not a string", s->path, i);
        if (i == MAX_TOKENS) return too_many(s, err);
        status = add_mapped(v, m, json_string_value(token), json_string_length(token), err);
        if (status != SOTTO_OK) return status;
    }
    return SOTTO_OK;
}

/* Tokens by id while a map is gathered; borrowed strings, NULL = hole. */
typedef struct id_table {
    struct {
        const char *text;
        size_t len;
    } *tokens;
    size_t n, cap;
} id_table;

/* Notes a token under the JSON integer `id`. Two tokens may not share an id, unless `keep_first`. */
static sotto_status table_put(id_table *t, const source *s, const char *text, size_t len, const json_t *id,
                              bool keep_first, sotto_error *err)
{
    const json_int_t at = json_integer_value(id);
    if (!json_is_integer(id) || at < 0 || at >= MAX_TOKENS)
        return sotto__fail(err, SOTTO_EFORMAT, "%s: token \"%.40s\" has no id from 0 to %d", s->path, text,
                           MAX_TOKENS - 1);
    if ((size_t)at >= t->n) {
        if (!sotto__grow(&t->tokens, &t->cap, (size_t)at + 1, sizeof *t->tokens))
            return sotto__fail_nomem(err, s->path);
        memset(t->tokens + t->n, 0, ((size_t)at + 1 - t->n) * sizeof *t->tokens);
        t->n = (size_t)at + 1;
    }
    if (t->tokens[at].text) {
        if (keep_first) return SOTTO_OK;
        return sotto__fail(err, SOTTO_EFORMAT, "%s: tokens \"%.40s\" and \"%.40s\" share the id %lld", s->path,
                           t->tokens[at].text, text, (long long)at);
    }
    t->tokens[at].text = text;
    t->tokens[at].len = len;
    return SOTTO_OK;
}

/* A map token -> id, and for tokenizer.json the added tokens that it lacks. Ids that no token claims are empty. */
static sotto_status read_map(sotto__vocab *v, const byte_map *m, const source *s, json_t *map, const json_t *added,
                             sotto_error *err)
{
    id_table t = {0};
    sotto_status status = SOTTO_OK;
    const char *key;
    json_t *value;

    if (!json_is_object(map)) return sotto__fail(err, SOTTO_EFORMAT, "%s holds no JSON map of tokens to ids", s->path);
    for (void *it = json_object_iter(map); status == SOTTO_OK && it; it = json_object_iter_next(map, it)) {
        key = json_object_iter_key(it);
        value = json_object_iter_value(it);
        status = table_put(&t, s, key, json_object_iter_key_len(it), value, false, err);
    }
    for (size_t i = 0; status == SOTTO_OK && i < json_array_size(added); i++) {
        const json_t *one = json_array_get(added, i), *content = json_object_get(one, "content");
        if (!json_is_string(content))
            status = sotto__fail(err, SOTTO_EFORMAT, "%s: added token %zu has no content", s->path, i);
        else
            status = table_put(&t, s, json_string_value(content), json_string_length(content),
                               json_object_get(one, "id"), true, err);
    }
    for (size_t i = 0; status == SOTTO_OK && i < t.n; i++) {
        if (!t.tokens[i].text)
            status = sotto__vocab_add(v, "", 0, err);
        else
            status = add_mapped(v, m, t.tokens[i].text, t.tokens[i].len, err);
    }
    free(t.tokens);
    return status;
}

typedef enum form { FORM_LINES, FORM_ARRAY, FORM_MAP, FORM_TOKENIZER } form;

static sotto_status read_form(sotto__vocab *v, source *s, form f, sotto_error *err)
{
    byte_map m;
    json_error_t why;
    json_t *root, *model;
    sotto_status status = read_whole(s, err);
    if (status != SOTTO_OK) return status;
    byte_map_init(&m);
    if (f == FORM_LINES) {
        status = read_lines(v, &m, s, err);
    } else {
        root = json_loadb(s->data, s->len, 0, &why);
        if (!root) return sotto__fail(err, SOTTO_EFORMAT, "%s is not JSON: line %d: %s", s->path, why.line, why.text);
        model = json_object_get(root, "model");
        if (f == FORM_ARRAY)
            status = read_array(v, &m, s, root, err);
        else if (f == FORM_MAP)
            status = read_map(v, &m, s, root, NULL, err);
        else
            status = read_map(v, &m, s, json_object_get(model, "vocab"), json_object_get(root, "added_tokens"), err);
        json_decref(root);
    }
    if (status == SOTTO_OK && !v->n) status = sotto__fail(err, SOTTO_EFORMAT, "%s holds no tokens", s->path);
    return status;
}

sotto_status sotto__vocab_read_dir(sotto__vocab *v, const char *dir, sotto_error *err)
{
    /* Quickest to read first. */
    static const struct {
        const char *name;
        form form;
    } files[] = {{"vocabulary.txt", FORM_LINES},
                 {"vocabulary.json", FORM_ARRAY},
                 {"vocab.json", FORM_MAP},
                 {"tokenizer.json", FORM_TOKENIZER}};
    sotto_status status = SOTTO_ENOTFOUND;

    *v = (sotto__vocab){0};
    for (size_t i = 0; status == SOTTO_ENOTFOUND && i < sizeof files / sizeof files[0]; i++) {
        sotto__str path = {0};
        source s = {0};
        if (!sotto__str_printf(&path, "%s/%s", dir, files[i].name)) return sotto__fail_nomem(err, dir);
        s.path = path.data;
        status = read_form(v, &s, files[i].form, err);
        free(s.data);
        sotto__str_free(&path);
    }
    if (status == SOTTO_ENOTFOUND)
        sotto__fail(err, status,
                    "no vocabulary in %s: expected vocabulary.txt, vocabulary.json, vocab.json or "
                    "tokenizer.json",
                    dir);
    if (status != SOTTO_OK) sotto__vocab_free(v);
    return status;
}
