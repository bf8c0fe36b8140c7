/* SPDX-License-Identifier: MIT
 * sotto's own format, of shrunken models: one file with weights and vocabulary. Little-endian:
 *
 *     8 bytes  SOTTO__SHRUNKEN_MAGIC
 *     u32      version: 1
 *     u32      bytes of the header, u32 bytes of its frame
 *     frame    the header, JSON
 *     frames   what the header lists, one after the other
 *
 * Frames are Zstandard's. The header:
 *
 *     {"source": NAME, "spec": SPEC, "dims": {"n_mels": 80, …}, "alignment_heads": [[layer, head], …],
 *      "tokens": {"ids": true, "kept": K, "ordinary": N, "bytes": B, "frame": F},
 *      "tensors": [{"name": …, "shape": [out, in], …, "nonzero": n, "frames": [sizes]}, …]}
 *
 * "tokens" is the first frame: the K ids that have a row in the embedding, u32 each and ascending (with "ids": false
 * all have one, and none are listed), then for each of them below N its length, u16, and its bytes. Tensors are called
 * as CTranslate2 calls them and are one of
 *
 *     "float": 16 or 32            one frame: the values, first all their lowest bytes, then the next …
 *     "sinusoids": true            no frame: whisper.model.sinusoids
 *     "bits": 2 … 8, "group": g    frames: scales, halves [out, ceil(in / g)] stored like values; with "asymmetric"
 *                                  zeros, a byte each; with "columns" halves [in]; with "offsets" halves [in]; codes
 * [out, in], a byte each, or two in a byte where they have up to 4 bits, the first one's bits lowest, by row. With
 * "escapes": n, codes of 8 bits are two in a byte, too, less the 121 of -7; 15 is a code outside 121 … 135, and one
 * more frame holds those n, a byte each. "rate", for information, is the entropy of the codes. value(o, i) = offset[i]
 * + column[i] * scale[o][i / g] * (code[o][i] - zero[o][i / g]), zero 2^(bits - 1) without zeros
 *
 * A shape of three dimensions [out, in, taps] is one of [out, in * taps] here. */
#include "model/weights.h"
#include "model/compress.h"
#include "base/error.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 8 << 20, MAX_VALUES = 1 << 28, MAX_FRAMES = 6 };

struct parser {
    sotto__weights *w;
    sotto__reader at;
    sotto_error *err;
};

static sotto_status damaged(const struct parser *p, const char *what)
{
    return sotto__fail(p->err, SOTTO_EFORMAT, "%s: %s is damaged or cut off", p->w->file, what);
}

static bool number(const json_t *object, const char *key, size_t most, size_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > most)
        return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

/* n bytes from the next frame of `size` bytes, NULL when that is not what it holds. The caller frees them. */
static unsigned char *next_frame(struct parser *p, size_t n, size_t size)
{
    const unsigned char *frame = sotto__read_bytes(&p->at, size);
    unsigned char *bytes = frame ? malloc(n ? n : 1) : NULL;
    if (bytes && !sotto__decompress(bytes, n, frame, size)) {
        free(bytes);
        bytes = NULL;
    }
    return bytes;
}

/* ---- tensors ---- */

struct shape {
    int rank;
    size_t dims[SOTTO__MAX_RANK], elements, out, in;
    size_t frames[MAX_FRAMES];
    int n_frames;
};

static bool read_shape(const json_t *tensor, struct shape *s)
{
    const json_t *dims = json_object_get(tensor, "shape"), *frames = json_object_get(tensor, "frames");
    const size_t rank = json_array_size(dims), n = json_array_size(frames);
    *s = (struct shape){.rank = (int)rank, .n_frames = (int)n, .elements = 1};
    if (rank < 1 || rank > 3 || n > MAX_FRAMES) return false;
    for (size_t i = 0; i < rank; i++) {
        const json_int_t d = json_integer_value(json_array_get(dims, i));
        if (d < 1 || d > MAX_VALUES || !sotto__mul(s->elements, (size_t)d, &s->elements) || s->elements > MAX_VALUES)
            return false;
        s->dims[i] = (size_t)d;
    }
    for (size_t i = 0; i < n; i++) {
        const json_int_t size = json_integer_value(json_array_get(frames, i));
        if (size < 1) return false;
        s->frames[i] = (size_t)size;
    }
    s->out = s->dims[0];
    s->in = s->elements / s->out;
    return true;
}

static float half(const unsigned char *low, const unsigned char *high)
{
    const uint16_t bits = (uint16_t)(*low | *high << 8);
    __extension__ _Float16 value;
    memcpy(&value, &bits, sizeof value);
    return (float)value;
}

/* n halves, lowest bytes first, as floats. */
static float *read_halves(struct parser *p, size_t n, size_t frame)
{
    unsigned char *bytes = next_frame(p, 2 * n, frame);
    float *y = bytes ? malloc(n * sizeof *y) : NULL;
    for (size_t i = 0; y && i < n; i++) y[i] = half(bytes + i, bytes + n + i);
    free(bytes);
    return y;
}

static float *read_floats(struct parser *p, const struct shape *s)
{
    const size_t n = s->elements;
    unsigned char *bytes = next_frame(p, 4 * n, s->frames[0]);
    float *y = bytes ? malloc(n * sizeof *y) : NULL;
    for (size_t i = 0; y && i < n; i++) {
        const uint32_t word = (uint32_t)bytes[i] | (uint32_t)bytes[n + i] << 8 | (uint32_t)bytes[2 * n + i] << 16 |
                              (uint32_t)bytes[3 * n + i] << 24;
        memcpy(y + i, &word, sizeof word);
    }
    free(bytes);
    return y;
}

/* whisper.model.sinusoids: [positions, D] */
static float *make_sinusoids(const struct shape *s)
{
    float *y = malloc(s->elements * sizeof *y);
    const size_t half_width = s->in / 2;
    if (!y) return NULL;
    memset(y, 0, s->elements * sizeof *y);
    const double step = half_width > 1 ? log(10000.0) / (double)(half_width - 1) : 0;
    for (size_t t = 0; t < s->out; t++) {
        for (size_t i = 0; i < half_width; i++) {
            const double angle = (double)t * exp(-step * (double)i);
            y[t * s->in + i] = (float)sin(angle);
            y[t * s->in + half_width + i] = (float)cos(angle);
        }
    }
    return y;
}

static float *read_codes(struct parser *p, const struct shape *s, const json_t *tensor, size_t bits)
{
    const bool asymmetric = json_is_true(json_object_get(tensor, "asymmetric"));
    const bool columns = json_is_true(json_object_get(tensor, "columns"));
    const bool offsets = json_is_true(json_object_get(tensor, "offsets"));
    size_t group, frame = 0, escapes = 0, escaped = 0;
    const bool escaping = number(tensor, "escapes", s->elements, &escapes), paired = bits <= 4 || escaping;
    const size_t wanted = 2U + asymmetric + columns + offsets + escaping, row = paired ? (s->in + 1) / 2 : s->in;
    if ((size_t)s->n_frames != wanted || !number(tensor, "group", s->in, &group) || group < 1) return NULL;
    const size_t groups = (s->in + group - 1) / group;
    float *scale = read_halves(p, s->out * groups, s->frames[frame++]);
    unsigned char *zero = scale && asymmetric ? next_frame(p, s->out * groups, s->frames[frame++]) : NULL;
    float *column = scale && columns ? read_halves(p, s->in, s->frames[frame++]) : NULL;
    float *offset = scale && offsets ? read_halves(p, s->in, s->frames[frame++]) : NULL;
    unsigned char *codes = scale ? next_frame(p, s->out * row, s->frames[wanted - 1 - escaping]) : NULL;
    unsigned char *others = codes && escaping ? next_frame(p, escapes, s->frames[wanted - 1]) : NULL;
    float *y =
        scale && codes && (others || !escaping) && (zero || !asymmetric) && (column || !columns) && (offset || !offsets)
            ? malloc(s->elements * sizeof *y)
            : NULL;
    const int middle = 1 << (bits - 1);
    for (size_t o = 0; y && o < s->out; o++) {
        for (size_t i = 0; i < s->in; i++) {
            const size_t g = o * groups + i / group;
            const unsigned byte = codes[o * row + (paired ? i / 2 : i)];
            int code = (int)(paired ? byte >> (i % 2 * 4) & 15 : byte);
            if (escaping && code < 15)
                code += middle - 7;
            else if (escaping)
                code = escaped < escapes ? others[escaped++] : middle;
            const float value = scale[g] * (float)(code - (zero ? zero[g] : middle));
            y[o * s->in + i] = (column ? column[i] * value : value) + (offset ? offset[i] : 0);
        }
    }
    free(scale);
    free(zero);
    free(column);
    free(offset);
    free(codes);
    free(others);
    if (escaped == escapes) return y;
    free(y);
    return NULL;
}

static float *read_values(struct parser *p, const struct shape *s, const json_t *tensor, int *bits)
{
    size_t n;
    if (json_is_true(json_object_get(tensor, "sinusoids")) && s->n_frames == 0 && s->rank == 2) {
        *bits = 0;
        return make_sinusoids(s);
    }
    if (number(tensor, "bits", 8, &n) && n >= 2) {
        *bits = (int)n;
        return read_codes(p, s, tensor, n);
    }
    if (number(tensor, "float", 32, &n) && s->n_frames == 1 && (n == 16 || n == 32)) {
        *bits = (int)n;
        return n == 16 ? read_halves(p, s->elements, s->frames[0]) : read_floats(p, s);
    }
    return NULL;
}

static sotto_status read_tensor(struct parser *p, const json_t *tensor)
{
    const char *name = json_string_value(json_object_get(tensor, "name"));
    struct shape s;
    size_t used, nonzero;
    int bits;
    if (!name || !read_shape(tensor, &s) || !number(tensor, "nonzero", s.elements, &nonzero))
        return damaged(p, "its list of tensors");
    float *values = read_values(p, &s, tensor, &bits);
    if (!values) return damaged(p, name);
    const sotto_status st =
        sotto__weights_add(p->w, name, strlen(name), SOTTO_PRECISION_F32, s.rank, s.dims, (const unsigned char *)values,
                           s.elements * sizeof *values, &used, p->err);
    if (st != SOTTO_OK) {
        free(values);
        return st;
    }
    sotto__tensor *t = &p->w->tensors[p->w->n_tensors - 1];
    t->owned = values;
    t->bits = bits;
    t->nonzero = nonzero;
    t->file_bytes = 0;
    for (int i = 0; i < s.n_frames; i++) t->file_bytes += s.frames[i];
    return SOTTO_OK;
}

/* ---- the rest of the header ---- */

static bool read_dims(const json_t *root, sotto__dims *d)
{
    const json_t *dims = json_object_get(root, "dims");
    const struct {
        const char *key;
        size_t *to;
    } table[] = {
        {"n_mels", &d->n_mels},
        {"n_audio_ctx", &d->n_audio_ctx},
        {"n_audio_state", &d->n_audio_state},
        {"n_audio_head", &d->n_audio_head},
        {"n_audio_layer", &d->n_audio_layer},
        {"n_vocab", &d->n_vocab},
        {"n_text_ctx", &d->n_text_ctx},
        {"n_text_state", &d->n_text_state},
        {"n_text_head", &d->n_text_head},
        {"n_text_layer", &d->n_text_layer},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (!number(dims, table[i].key, 1 << 20, table[i].to)) return false;
    return true;
}

static sotto_status read_alignment(struct parser *p, const json_t *root)
{
    const json_t *heads = json_object_get(root, "alignment_heads");
    const size_t n = json_array_size(heads);
    sotto__weights *w = p->w;
    if (n == 0) return SOTTO_OK;
    w->alignment_heads = calloc(n, 2 * sizeof *w->alignment_heads);
    if (!w->alignment_heads) return sotto__fail_nomem(p->err, "alignment heads");
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < 2; j++) {
            const json_t *one = json_array_get(json_array_get(heads, i), j);
            if (!json_is_integer(one) || json_integer_value(one) < 0 || json_integer_value(one) > 1000)
                return damaged(p, "its list of alignment heads");
            w->alignment_heads[2 * i + j] = (int32_t)json_integer_value(one);
        }
        w->n_alignment_heads = i + 1;
    }
    return SOTTO_OK;
}

/* The ordinary tokens' bytes, in id order, with empty ones for those that were left out. */
static sotto_status read_vocabulary(struct parser *p, sotto__reader *r, const int32_t *ids, size_t kept,
                                    size_t ordinary)
{
    size_t next = 0;
    sotto_status st;
    for (size_t id = 0; id < ordinary; id++) {
        const bool here = next < kept && (size_t)ids[next] == id;
        const size_t n = here ? sotto__read_u16(r) : 0;
        const unsigned char *bytes = sotto__read_bytes(r, n);
        if (!r->ok) return damaged(p, "its vocabulary");
        if ((st = sotto__vocab_add(&p->w->vocab, (const char *)bytes, n, p->err)) != SOTTO_OK) return st;
        next += here;
    }
    return SOTTO_OK;
}

static sotto_status read_ids(struct parser *p, sotto__reader *r, size_t kept, bool listed)
{
    sotto__weights *w = p->w;
    const size_t n = w->dims.n_vocab;
    w->row_tokens = calloc(kept + 1, sizeof *w->row_tokens);
    w->token_rows = malloc(n * sizeof *w->token_rows);
    w->n_rows = kept;
    if (!w->row_tokens || !w->token_rows) return sotto__fail_nomem(p->err, "vocabulary");
    memset(w->token_rows, 0xff, n * sizeof *w->token_rows);
    for (size_t i = 0; i < kept; i++) {
        const uint32_t id = listed ? sotto__read_u32(r) : (uint32_t)i;
        if (!r->ok || id >= n || (i && id <= (uint32_t)w->row_tokens[i - 1])) return damaged(p, "its vocabulary");
        w->row_tokens[i] = (int32_t)id;
        w->token_rows[id] = (int32_t)i;
    }
    return SOTTO_OK;
}

static sotto_status read_tokens(struct parser *p, const json_t *root)
{
    const json_t *tokens = json_object_get(root, "tokens");
    sotto__weights *w = p->w;
    size_t kept, ordinary, bytes, frame;
    if (!number(tokens, "kept", w->dims.n_vocab, &kept) || !number(tokens, "ordinary", w->dims.n_vocab, &ordinary) ||
        !number(tokens, "bytes", MAX_HEADER, &bytes) || !number(tokens, "frame", MAX_HEADER, &frame) || kept == 0)
        return damaged(p, "its vocabulary");
    unsigned char *data = next_frame(p, bytes, frame);
    if (!data) return damaged(p, "its vocabulary");
    sotto__reader r = {data, data + bytes, true};
    sotto_status st = read_ids(p, &r, kept, !json_is_false(json_object_get(tokens, "ids")));
    if (st == SOTTO_OK) st = read_vocabulary(p, &r, w->row_tokens, kept, ordinary);
    /* The special tokens, from the first after the ordinary ones on, are needed whatever is decoded. */
    for (size_t id = ordinary; st == SOTTO_OK && id < w->dims.n_vocab; id++)
        if (w->token_rows[id] < 0)
            st = sotto__fail(p->err, SOTTO_EFORMAT, "%s: special token %zu has no row in the embedding", w->file, id);
    free(data);
    if (st == SOTTO_OK && kept == w->dims.n_vocab) {
        free(w->token_rows);
        free(w->row_tokens);
        w->token_rows = w->row_tokens = NULL;
    }
    return st;
}

sotto_status sotto__parse_shrunken(sotto__weights *w, sotto_error *err)
{
    struct parser p = {w, {w->map, (const unsigned char *)w->map + w->map_bytes, true}, err};
    sotto_status st;
    sotto__read_bytes(&p.at, 8);
    const uint32_t version = sotto__read_u32(&p.at), raw = sotto__read_u32(&p.at), size = sotto__read_u32(&p.at);
    if (p.at.ok && version != 1)
        return sotto__fail(err, SOTTO_EUNSUPPORTED, "%s: version %u of sotto's format, expected 1", w->file, version);
    char *header = p.at.ok && raw <= MAX_HEADER ? (char *)next_frame(&p, raw, size) : NULL;
    json_t *root = header ? json_loadb(header, raw, 0, NULL) : NULL;
    free(header);
    const json_t *tensors = json_object_get(root, "tensors");
    if (!root || !read_dims(root, &w->dims) || !json_is_array(tensors)) {
        json_decref(root);
        return damaged(&p, "its header");
    }
    if ((st = read_alignment(&p, root)) == SOTTO_OK) st = read_tokens(&p, root);
    for (size_t i = 0; st == SOTTO_OK && i < json_array_size(tensors); i++)
        st = read_tensor(&p, json_array_get(tensors, i));
    json_decref(root);
    return st;
}
