/* SPDX-License-Identifier: MIT
 * Path -> mapped file, recognised format, table of tensors. */
#include "model/weights.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name;
    sotto_status (*parse)(sotto__weights *w, sotto_error *err);
} formats[SOTTO__FILE_FORMATS] = {
    [SOTTO__CTRANSLATE2] = {"ctranslate2", sotto__parse_ctranslate2},
    [SOTTO__GGML] = {"ggml", sotto__parse_ggml},
    [SOTTO__HUGGINGFACE] = {"huggingface", sotto__parse_huggingface},
    [SOTTO__SHRUNKEN] = {"sotto", sotto__parse_shrunken},
};

const char *sotto__file_format_name(sotto__file_format format) { return formats[format].name; }

/* ---- reading ---- */

const unsigned char *sotto__read_bytes(sotto__reader *r, size_t n)
{
    const unsigned char *p = r->at;
    if (!r->ok || (size_t)(r->end - r->at) < n) {
        r->ok = false;
        return NULL;
    }
    r->at += n;
    return p;
}

static uint64_t read_le(sotto__reader *r, size_t n)
{
    const unsigned char *p = sotto__read_bytes(r, n);
    uint64_t v = 0;
    if (!p) return 0;
    for (size_t i = n; i-- > 0;) v = v << 8 | p[i];
    return v;
}

uint8_t sotto__read_u8(sotto__reader *r) { return (uint8_t)read_le(r, 1); }

uint16_t sotto__read_u16(sotto__reader *r) { return (uint16_t)read_le(r, 2); }

uint32_t sotto__read_u32(sotto__reader *r) { return (uint32_t)read_le(r, 4); }

uint64_t sotto__read_u64(sotto__reader *r) { return read_le(r, 8); }

/* ---- tensors ---- */

static size_t element_bytes(sotto_precision precision)
{
#define X(name, key, bits) [name] = (bits) / 8,
    static const size_t bytes[] = {SOTTO_PRECISION_LIST(X)};
#undef X
    return bytes[precision];
}

sotto_status sotto__weights_add(sotto__weights *w, const char *name, size_t name_len, sotto_precision precision,
                                int rank, const size_t *dims, const unsigned char *data, size_t bytes_left,
                                size_t *bytes_used, sotto_error *err)
{
    size_t elements = 1, bytes;
    sotto__tensor *t;
    if (rank > SOTTO__MAX_RANK)
        return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %.*s has %d dimensions, expected at most %d", w->file,
                           (int)name_len, name, rank, SOTTO__MAX_RANK);
    for (int i = 0; i < rank; i++) {
        if (!sotto__mul(elements, dims[i], &elements))
            return sotto__fail(err, SOTTO_EFORMAT, "%s: size of tensor %.*s overflows", w->file, (int)name_len, name);
    }
    if (!sotto__mul(elements, element_bytes(precision), &bytes) || bytes > bytes_left)
        return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %.*s needs %zu values, but the file ends before them",
                           w->file, (int)name_len, name, elements);
    if (!sotto__grow(&w->tensors, &w->tensors_cap, w->n_tensors + 1, sizeof *w->tensors))
        return sotto__fail_nomem(err, "tensor table");
    t = &w->tensors[w->n_tensors];
    *t = (sotto__tensor){.precision = precision,
                         .rank = rank,
                         .elements = elements,
                         .data = data,
                         .bits = (int)(8 * element_bytes(precision)),
                         .nonzero = elements,
                         .file_bytes = bytes};
    memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    t->name = strndup(name, name_len);
    if (!t->name) return sotto__fail_nomem(err, "tensor name");
    w->n_tensors++;
    *bytes_used = bytes;
    return SOTTO_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const sotto__tensor *)a)->name, ((const sotto__tensor *)b)->name);
}

static int name_to_tensor(const void *name, const void *tensor)
{
    return strcmp(name, ((const sotto__tensor *)tensor)->name);
}

const sotto__tensor *sotto__weights_find(const sotto__weights *w, const char *name)
{
    return w->n_tensors ? bsearch(name, w->tensors, w->n_tensors, sizeof *w->tensors, name_to_tensor) : NULL;
}

/* ---- config files ---- */

sotto_status sotto__config_alignment_heads(sotto__weights *w, const char *file, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    sotto__str path = {0};
    json_error_t json_error;
    json_t *root, *heads;
    if (w->alignment_heads) return SOTTO_OK;
    if (!sotto__str_printf(&path, "%s/%s", w->dir, file)) return sotto__fail_nomem(err, file);
    root = access(path.data, R_OK) == 0 ? json_load_file(path.data, 0, &json_error) : NULL;
    if (!root) { /* a missing file is fine; a broken one is not */
        if (access(path.data, F_OK) == 0)
            st = sotto__fail(err, SOTTO_EFORMAT, "%s: not readable as JSON: %s", path.data, json_error.text);
        sotto__str_free(&path);
        return st;
    }
    heads = json_object_get(root, "alignment_heads");
    if (json_is_array(heads) && json_array_size(heads) > 0) {
        size_t n = json_array_size(heads);
        w->alignment_heads = calloc(n, 2 * sizeof *w->alignment_heads);
        if (!w->alignment_heads) st = sotto__fail_nomem(err, "alignment heads");
        for (size_t i = 0; st == SOTTO_OK && i < n; i++) {
            const json_t *pair = json_array_get(heads, i), *layer = json_array_get(pair, 0),
                         *head = json_array_get(pair, 1);
            if (!json_is_integer(layer) || !json_is_integer(head) || json_integer_value(layer) < 0 ||
                json_integer_value(layer) > 1000 || json_integer_value(head) < 0 || json_integer_value(head) > 1000) {
                st = sotto__fail(err, SOTTO_EFORMAT, "%s: alignment_heads[%zu] is not a pair [layer, head]", path.data,
                                 i);
                break;
            }
            w->alignment_heads[2 * i] = (int32_t)json_integer_value(layer);
            w->alignment_heads[2 * i + 1] = (int32_t)json_integer_value(head);
            w->n_alignment_heads = i + 1;
        }
    }
    json_decref(root);
    sotto__str_free(&path);
    return st;
}

/* ---- opening ---- */

static sotto_status map_file(sotto__weights *w, sotto_error *err)
{
    struct stat sb;
    int fd = open(w->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sotto__fail(err, errno == ENOENT ? SOTTO_ENOTFOUND : SOTTO_EIO, "cannot open %s: %s", w->file,
                           strerror(errno));
    if (fstat(fd, &sb) != 0 || !S_ISREG(sb.st_mode)) {
        close(fd);
        return sotto__fail(err, SOTTO_EFORMAT, "%s is not a regular file", w->file);
    }
    if (sb.st_size < 16) {
        close(fd);
        return sotto__fail(err, SOTTO_EFORMAT, "%s: %lld bytes are too few for a weight file", w->file,
                           (long long)sb.st_size);
    }
    w->map_bytes = (size_t)sb.st_size;
    w->map = mmap(NULL, w->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (w->map == MAP_FAILED) {
        w->map = NULL;
        return sotto__fail(err, SOTTO_EIO, "cannot map %s: %s", w->file, strerror(errno));
    }
    madvise(w->map, w->map_bytes, MADV_WILLNEED);
    return SOTTO_OK;
}

/* `path` is a weight file, or a directory that holds one under its format's usual name. */
static sotto_status locate(sotto__weights *w, const char *path, sotto_error *err)
{
    static const char *const names[] = {"model.bin", "model.safetensors", "ggml-model.bin", "model.sotto"};
    struct stat sb;
    sotto__str file = {0};
    if (stat(path, &sb) != 0)
        return sotto__fail(err, errno == ENOENT || errno == ENOTDIR ? SOTTO_ENOTFOUND : SOTTO_EIO,
                           "cannot open model %s: %s", path, strerror(errno));
    if (!S_ISDIR(sb.st_mode)) {
        const char *slash = strrchr(path, '/');
        w->file = strdup(path);
        w->dir = slash ? strndup(path, (size_t)(slash - path) + (slash == path)) : strdup(".");
        return w->file && w->dir ? SOTTO_OK : sotto__fail_nomem(err, "model path");
    }
    w->dir = strdup(path);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        file.len = 0;
        if (!sotto__str_printf(&file, "%s/%s", path, names[i])) break;
        if (access(file.data, F_OK) == 0) {
            w->file = file.data;
            return w->dir ? SOTTO_OK : sotto__fail_nomem(err, "model path");
        }
    }
    file.len = 0;
    if (sotto__str_printf(&file, "%s/model.safetensors.index.json", path) && access(file.data, F_OK) == 0) {
        sotto__str_free(&file);
        return sotto__fail(err, SOTTO_EUNSUPPORTED,
                           "model %s is split over several safetensors files, expected one model.safetensors", path);
    }
    sotto__str_free(&file);
    return sotto__fail(err, SOTTO_ENOTFOUND,
                       "model directory %s holds none of model.bin, model.safetensors, ggml-model.bin, model.sotto",
                       path);
}

static bool recognise(const sotto__weights *w, sotto__file_format *out)
{
    sotto__reader r = {w->map, (const unsigned char *)w->map + w->map_bytes, true};
    const uint32_t magic = sotto__read_u32(&r);
    const unsigned char *p = w->map;
    if (magic == 0x67676d6cu)
        *out = SOTTO__GGML;
    else if (memcmp(p, SOTTO__SHRUNKEN_MAGIC, 8) == 0)
        *out = SOTTO__SHRUNKEN;
    else if (p[8] == '{' && p[4] == 0 && p[5] == 0 && p[6] == 0 && p[7] == 0)
        *out = SOTTO__HUGGINGFACE;
    else if (magic >= 1 && magic <= 100)
        *out = SOTTO__CTRANSLATE2;
    else
        return false;
    return true;
}

/* By name, each once. */
static sotto_status sort_tensors(sotto__weights *w, sotto_error *err)
{
    if (w->n_tensors) qsort(w->tensors, w->n_tensors, sizeof *w->tensors, by_name);
    for (size_t i = 1; i < w->n_tensors; i++) {
        if (strcmp(w->tensors[i - 1].name, w->tensors[i].name) == 0)
            return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %s is there twice", w->file, w->tensors[i].name);
    }
    return SOTTO_OK;
}

sotto_status sotto__weights_open(sotto__weights **out, const char *path, sotto_error *err)
{
    sotto_status st;
    sotto__weights *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w) return sotto__fail_nomem(err, "weights");
    if ((st = locate(w, path, err)) != SOTTO_OK) goto fail;
    if ((st = map_file(w, err)) != SOTTO_OK) goto fail;
    if (!recognise(w, &w->format)) {
        st = sotto__fail(err, SOTTO_EFORMAT,
                         "%s is no weight file: expected CTranslate2, ggml, safetensors or sotto's own", w->file);
        goto fail;
    }
    if ((st = formats[w->format].parse(w, err)) != SOTTO_OK) goto fail;
    if ((st = sort_tensors(w, err)) != SOTTO_OK) goto fail;
    *out = w;
    return SOTTO_OK;
fail:
    sotto__weights_close(w);
    return st;
}

sotto_status sotto__safetensors_open(sotto__weights **out, const char *file, sotto_error *err)
{
    sotto_status st;
    sotto__weights *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w) return sotto__fail_nomem(err, "weights");
    w->file = strdup(file);
    if (!w->file)
        st = sotto__fail_nomem(err, "weight file's path");
    else if ((st = map_file(w, err)) == SOTTO_OK) {
        if (!recognise(w, &w->format) || w->format != SOTTO__HUGGINGFACE)
            st = sotto__fail(err, SOTTO_EFORMAT, "%s is no safetensors file", file);
        else if ((st = sotto__parse_safetensors(w, err)) == SOTTO_OK)
            st = sort_tensors(w, err);
    }
    if (st == SOTTO_OK)
        *out = w;
    else
        sotto__weights_close(w);
    return st;
}

void sotto__weights_drop(sotto__weights *w, const sotto__tensor *keep)
{
    for (size_t i = 0; i < w->n_tensors; i++) {
        sotto__tensor *t = &w->tensors[i];
        if (t == keep || !t->owned) continue;
        free(t->owned);
        t->owned = NULL;
        t->data = NULL;
    }
}

void sotto__weights_close(sotto__weights *w)
{
    if (!w) return;
    for (size_t i = 0; i < w->n_tensors; i++) {
        free(w->tensors[i].name);
        free(w->tensors[i].owned);
    }
    free(w->token_rows);
    free(w->row_tokens);
    free(w->tensors);
    if (w->map) munmap(w->map, w->map_bytes);
    sotto__vocab_free(&w->vocab);
    free(w->mel_filters);
    free(w->alignment_heads);
    free(w->file);
    free(w->dir);
    free(w);
}
