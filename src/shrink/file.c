/* SPDX-License-Identifier: MIT
 * A net -> one file (its layout: model/weights_sotto.c) and a report of what is in it. */
#include "shrink/coding.h"
#include "shrink/net.h"
#include "base/checked.h"
#include "model/compress.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FRAMES = 6, VERSION = 1 };

/* One tensor as the file has it. */
struct packed_tensor {
    const sotto__tensor_copy *from;
    bool first; /* the first of two factors */
    char name[128];
    size_t parameters, nonzero, bits; /* bits: of all values */
    json_t *head;
    sotto__str frames;
    size_t sizes[MAX_FRAMES];
    int n_frames;
    sotto_status status;
    sotto_error err;
};

struct writing {
    const sotto__net *net;
    struct packed_tensor *tensors;
    size_t n;
    bool wide; /* the source's values have 32 bits */
};

/* ---- frames ---- */

static bool add_frame(struct packed_tensor *p, const void *data, size_t n)
{
    const size_t before = p->frames.len;
    if (!sotto__compress(&p->frames, data, n)) return false;
    p->sizes[p->n_frames++] = p->frames.len - before;
    return true;
}

/* n values of `width` bytes: all lowest bytes, then the next. Little-endian machines only, as all of the library. */
static bool add_shuffled(struct packed_tensor *p, const void *values, size_t n, size_t width)
{
    const unsigned char *from = values;
    unsigned char *bytes = malloc(n * width + 1);
    for (size_t i = 0; bytes && i < n; i++)
        for (size_t b = 0; b < width; b++) bytes[b * n + i] = from[i * width + b];
    const bool good = bytes && add_frame(p, bytes, n * width);
    free(bytes);
    return good;
}

/* Codes of 8 bits that are nearly all within 7 of the middle: those two in a byte, 0 … 14 for -7 … 7, the others 15 and
 * in a frame of their own. Zstandard spends at least a bit on a byte, and less than that is lost on two codes at once.
 */
static bool add_escaped(struct packed_tensor *p, const sotto__coded *c, size_t escapes)
{
    const size_t row = (c->in + 1) / 2;
    unsigned char *bytes = calloc(c->out * row + 1, 1), *others = malloc(escapes + 1);
    size_t n = 0;
    for (size_t o = 0; bytes && others && o < c->out; o++)
        for (size_t i = 0; i < c->in; i++) {
            const uint8_t code = c->codes[o * c->in + i];
            const unsigned nibble = code >= 121 && code <= 135 ? code - 121U : 15U;
            if (nibble == 15) others[n++] = code;
            bytes[o * row + i / 2] = (unsigned char)(bytes[o * row + i / 2] | nibble << (i % 2 * 4));
        }
    json_object_set_new(p->head, "escapes", json_integer((json_int_t)escapes));
    const bool good = bytes && others && add_frame(p, bytes, c->out * row) && add_frame(p, others, escapes);
    free(bytes);
    free(others);
    return good;
}

static bool add_codes(struct packed_tensor *p, const sotto__coded *c, bool rate)
{
    size_t escapes = 0;
    for (size_t i = 0; rate && i < c->out * c->in; i++) escapes += c->codes[i] < 121 || c->codes[i] > 135;
    if (rate && escapes < c->out * c->in / 200) return add_escaped(p, c, escapes);
    const size_t row = c->bits <= 4 ? (c->in + 1) / 2 : c->in;
    unsigned char *bytes = calloc(c->out * row + 1, 1);
    for (size_t o = 0; bytes && o < c->out; o++)
        for (size_t i = 0; i < c->in; i++) {
            const unsigned code = c->codes[o * c->in + i];
            unsigned char *to = bytes + o * row + (c->bits <= 4 ? i / 2 : i);
            *to = (unsigned char)(c->bits <= 4 ? *to | code << (i % 2 * 4) : code);
        }
    const bool good = bytes && add_frame(p, bytes, c->out * row);
    free(bytes);
    return good;
}

/* ---- tensors ---- */

static bool is_sinusoids(const sotto__tensor_copy *t)
{
    const size_t half = t->in / 2;
    if (t->param.part != SOTTO_PART_ENCODER_POSITIONS || half < 2) return false;
    for (size_t r = 0; r < t->out; r++)
        for (size_t i = 0; i < half; i++) {
            const double angle = (double)r * exp(-log(10000.0) / (double)(half - 1) * (double)i);
            if (fabs(sin(angle) - t->values[r * t->in + i]) > 1e-3 ||
                fabs(cos(angle) - t->values[r * t->in + half + i]) > 1e-3)
                return false;
        }
    return true;
}

static bool encode_floats(struct packed_tensor *p, const float *w, size_t n, bool wide)
{
    __extension__ typedef _Float16 half;
    half *narrow = malloc(n * sizeof *narrow);
    if (!narrow) return false;
    for (size_t i = 0; i < n; i++) {
        narrow[i] = (half)w[i];
        p->nonzero += w[i] != 0;
        wide |= isinf((float)narrow[i]) && !isinf(w[i]);
    }
    p->bits = (wide ? 32 : 16) * p->parameters;
    json_object_set_new(p->head, "float", json_integer(wide ? 32 : 16));
    const bool good = wide ? add_shuffled(p, w, n, sizeof *w) : add_shuffled(p, narrow, n, sizeof *narrow);
    free(narrow);
    return good;
}

/* Of a value; at a rate their entropy, as that is what a code takes once it is packed. */
static double mean_bits(const sotto__coded *c, const sotto__coding *how)
{
    size_t rare = 0;
    if (how->rate > 0) return sotto__entropy(c, how->rare);
    for (size_t o = 0; how->rare && o < c->out; o++) rare += how->rare[o];
    return c->bits - (double)rare / (double)c->out * (c->bits - how->rare_bits);
}

static sotto_status encode_codes(struct packed_tensor *p, const float *w, size_t out, size_t in, const float *gram,
                                 sotto_error *err)
{
    sotto__coding how = p->from->coding->coding, *coding = &how;
    sotto__coded c;
    how.rare = p->from->rare;
    how.rare_bits = p->from->rare_bits;
    const sotto_status st = sotto__quantise(&c, w, out, in, coding, gram, err);
    if (st != SOTTO_OK) return st;
    const size_t groups = (in + c.group - 1) / c.group;
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++) {
            const size_t g = o * groups + i / c.group;
            p->nonzero +=
                c.offset || (c.scale[g] != 0 && c.codes[o * in + i] != (c.zero ? c.zero[g] : 1 << (c.bits - 1)));
        }
    const double bits = mean_bits(&c, coding);
    p->bits = (size_t)(bits * (double)p->parameters + 0.5);
    if (coding->rate > 0) json_object_set_new(p->head, "rate", json_real(bits));
    json_object_set_new(p->head, "bits", json_integer(c.bits));
    json_object_set_new(p->head, "group", json_integer((json_int_t)c.group));
    if (c.zero) json_object_set_new(p->head, "asymmetric", json_true());
    if (c.column) json_object_set_new(p->head, "columns", json_true());
    if (c.offset) json_object_set_new(p->head, "offsets", json_true());
    const bool good =
        add_shuffled(p, c.scale, out * groups, sizeof *c.scale) && (!c.zero || add_frame(p, c.zero, out * groups)) &&
        (!c.column || add_shuffled(p, c.column, in, sizeof *c.column)) &&
        (!c.offset || add_shuffled(p, c.offset, in, sizeof *c.offset)) && add_codes(p, &c, coding->rate > 0);
    sotto__coded_free(&c);
    return good ? SOTTO_OK : sotto__fail_nomem(err, "shrunken model");
}

/* The stacked biases have zeros where keys would have theirs: bytes, but no parameters. */
static size_t padding_of(const sotto__tensor_copy *t)
{
    const bool qkv = t->param.piece == SOTTO__PIECE_QKV_BIAS;
    if (!qkv && t->param.piece != SOTTO__PIECE_CROSS_KV_BIAS) return 0;
    const size_t n = t->in / (qkv ? 3 : 2), first = qkv ? n : 0;
    for (size_t i = 0; i < n; i++)
        if (t->values[first + i] != 0) return 0;
    return n;
}

static void encode(void *arg, size_t index, int thread)
{
    const struct writing *w = arg;
    struct packed_tensor *p = &w->tensors[index];
    const sotto__tensor_copy *t = p->from;
    const size_t out = p->first ? t->rank : t->out, in = !p->first && t->first ? t->rank : t->in;
    const float *values = p->first ? t->first : t->values;
    const float *gram = p->first || !t->first ? t->gram : t->inner_gram;
    (void)thread;
    p->status = SOTTO_OK;
    p->parameters = out * in - padding_of(t);
    p->head = json_object();
    if (is_sinusoids(t)) {
        json_object_set_new(p->head, "sinusoids", json_true());
        p->nonzero = p->parameters;
    } else if (t->coding && t->coding->kind == SOTTO__TERM_CODES) {
        p->status = encode_codes(p, values, out, in, gram, &p->err);
    } else if (!encode_floats(p, values, out * in, w->wide && !t->coding)) {
        p->status = sotto__fail_nomem(&p->err, "shrunken model");
    }
}

/* ---- lists ---- */

/* "encoder/layer_3/…" with the layer's number among those that stay. */
static void name_tensor(struct packed_tensor *p, const sotto__net *net)
{
    const sotto__param *param = &p->from->param;
    const char *number = strstr(param->name, "layer_");
    if (param->where == SOTTO__GLOBAL || !number) {
        snprintf(p->name, sizeof p->name, "%s%s", param->name, p->first ? "_a" : "");
        return;
    }
    size_t layer = 0;
    for (size_t l = 0; l < param->layer; l++)
        layer += sotto__net_find((sotto__net *)(uintptr_t)net, param->where, l, SOTTO__PIECE_UP) != NULL;
    snprintf(p->name, sizeof p->name, "%.*s%zu%s%s", (int)(number - param->name + 6), param->name, layer,
             strchr(number, '/'), p->first ? "_a" : "");
}

static sotto_status list_tensors(struct writing *w, sotto_error *err)
{
    w->tensors = calloc(2 * w->net->n + 1, sizeof *w->tensors);
    if (!w->tensors) return sotto__fail_nomem(err, "shrunken model");
    for (size_t i = 0; i < w->net->n; i++) {
        const sotto__tensor_copy *t = &w->net->tensors[i];
        for (int first = t->first ? 1 : 0; t->values && first >= 0; first--) {
            struct packed_tensor *p = &w->tensors[w->n++];
            *p = (struct packed_tensor){.from = t, .first = first};
            name_tensor(p, w->net);
        }
    }
    return SOTTO_OK;
}

static json_t *integers(const size_t *values, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_integer((json_int_t)values[i]));
    return list;
}

static json_t *shape_of(const struct packed_tensor *p)
{
    const sotto__tensor_copy *t = p->from;
    const size_t vector[] = {t->in}, first[] = {t->rank, t->in}, second[] = {t->out, t->rank},
                 matrix[] = {t->out, t->in};
    const size_t taps[] = {t->param.shape[0], t->param.shape[1], t->param.shape[2]};
    if (t->param.rank == 1) return integers(vector, 1);
    if (t->param.rank == 3) return integers(taps, 3);
    return integers(p->first ? first : t->first ? second : matrix, 2);
}

/* Ids, unless all stay, and bytes of the tokens that stay, as one frame. */
static json_t *write_tokens(const sotto__net *net, sotto__str *frame)
{
    const sotto__tokenizer *tokenizer = net->model->tokenizer;
    const size_t n = net->tokens ? net->n_tokens : (size_t)net->model->info.n_vocab;
    const size_t ordinary = (size_t)sotto__tokenizer_specials(tokenizer)->eot;
    sotto__str raw = {0};
    bool good = true;
    for (size_t i = 0; good && net->tokens && i < n; i++) {
        const uint32_t id = (uint32_t)net->tokens[i];
        good = sotto__str_append(&raw, (const char *)&id, sizeof id);
    }
    for (size_t i = 0; good && i < n; i++) {
        const size_t id = net->tokens ? (size_t)net->tokens[i] : i;
        size_t len;
        if (id >= ordinary) break;
        const char *bytes = sotto__tokenizer_bytes(tokenizer, (int32_t)id, &len);
        const uint16_t size = (uint16_t)len;
        good = sotto__str_append(&raw, (const char *)&size, sizeof size) && sotto__str_append(&raw, bytes, len);
    }
    good = good && sotto__compress(frame, raw.data, raw.len);
    json_t *head =
        good ? json_pack("{s:b,s:I,s:I,s:I,s:I}", "ids", net->tokens != NULL, "kept", (json_int_t)n, "ordinary",
                         (json_int_t)ordinary, "bytes", (json_int_t)raw.len, "frame", (json_int_t)frame->len)
             : NULL;
    sotto__str_free(&raw);
    return head;
}

static size_t layers_left(const sotto__net *net, sotto__where where)
{
    size_t n = 0;
    for (size_t l = 0; l < sotto__net_layers(net, where); l++)
        n += sotto__net_find((sotto__net *)(uintptr_t)net, where, l, SOTTO__PIECE_UP) != NULL;
    return n;
}

static json_t *dims_of(const sotto__net *net)
{
    const sotto_model_info *m = &net->model->info;
    return json_pack("{s:i,s:I,s:i,s:i,s:I,s:i,s:i,s:i,s:i,s:I}", "n_mels", m->n_mels, "n_audio_ctx",
                     (json_int_t)net->n_audio_ctx, "n_audio_state", m->n_audio_state, "n_audio_head", m->n_audio_head,
                     "n_audio_layer", (json_int_t)layers_left(net, SOTTO__ENCODER), "n_vocab", m->n_vocab, "n_text_ctx",
                     m->n_text_ctx, "n_text_state", m->n_text_state, "n_text_head", m->n_text_head, "n_text_layer",
                     (json_int_t)layers_left(net, SOTTO__DECODER));
}

static json_t *heads_of(const sotto__net *net)
{
    json_t *list = json_array();
    for (size_t i = 0; i < net->n_heads; i++) {
        size_t layer = 0;
        for (size_t l = 0; l < (size_t)net->heads[2 * i]; l++)
            layer += sotto__net_find((sotto__net *)(uintptr_t)net, SOTTO__DECODER, l, SOTTO__PIECE_UP) != NULL;
        json_array_append_new(list, json_pack("[I,i]", (json_int_t)layer, net->heads[2 * i + 1]));
    }
    return list;
}

static json_t *header_of(const struct writing *w, const char *spec, json_t *tokens)
{
    const char *slash = strrchr(w->net->model->path, '/');
    json_t *tensors = json_array();
    for (size_t i = 0; i < w->n; i++) {
        const struct packed_tensor *p = &w->tensors[i];
        json_object_set_new(p->head, "name", json_string(p->name));
        json_object_set_new(p->head, "shape", shape_of(p));
        json_object_set_new(p->head, "nonzero", json_integer((json_int_t)p->nonzero));
        json_object_set_new(p->head, "frames", integers(p->sizes, p->n_frames));
        json_array_append(tensors, p->head);
    }
    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "source", slash && slash[1] ? slash + 1 : w->net->model->path, "spec",
                     spec, "dims", dims_of(w->net), "alignment_heads", heads_of(w->net), "tokens", tokens, "tensors",
                     tensors);
}

/* ---- the file ---- */

static bool write_all(int fd, const void *data, size_t n)
{
    const char *from = data;
    while (n > 0) {
        const ssize_t done = write(fd, from, n);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        from += done;
        n -= (size_t)done;
    }
    return true;
}

static bool write_parts(int fd, const struct writing *w, const sotto__str *head, const sotto__str *tokens)
{
    bool good = write_all(fd, head->data, head->len) && write_all(fd, tokens->data, tokens->len);
    for (size_t i = 0; good && i < w->n; i++)
        if (w->tensors[i].frames.len) good = write_all(fd, w->tensors[i].frames.data, w->tensors[i].frames.len);
    return good;
}

/* Under another name first, so that `path` is the old file or the whole new one. */
static sotto_status write_file(const struct writing *w, const sotto__str *head, const sotto__str *tokens,
                               const char *path, sotto_error *err)
{
    sotto__str temporary = {0};
    if (!sotto__str_printf(&temporary, "%s.XXXXXX", path)) return sotto__fail_nomem(err, path);
    const int fd = mkostemp(temporary.data, O_CLOEXEC);
    bool good = fd >= 0;
    if (good) {
        good = write_parts(fd, w, head, tokens) && fchmod(fd, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH) == 0 &&
               fsync(fd) == 0;
        good = close(fd) == 0 && good;
        good = good && rename(temporary.data, path) == 0;
    }
    const int why = errno;
    if (!good && fd >= 0) unlink(temporary.data);
    sotto__str_free(&temporary);
    return good ? SOTTO_OK : sotto__fail(err, SOTTO_EIO, "cannot write %s: %s", path, strerror(why));
}

static bool make_head(sotto__str *out, json_t *header)
{
    char *text = json_dumps(header, JSON_COMPACT);
    sotto__str frame = {0};
    const size_t n = text ? strlen(text) : 0;
    bool good = text && sotto__compress(&frame, text, n);
    if (good) {
        const uint32_t numbers[] = {VERSION, (uint32_t)n, (uint32_t)frame.len};
        good = sotto__str_append(out, SOTTO__SHRUNKEN_MAGIC, 8) &&
               sotto__str_append(out, (const char *)numbers, sizeof numbers) &&
               sotto__str_append(out, frame.data, frame.len);
    }
    sotto__str_free(&frame);
    free(text);
    return good;
}

/* ---- the report ---- */

static char *report_of(const struct writing *w, const char *spec, size_t file_bytes)
{
    uint64_t parameters[SOTTO_PART_COUNT] = {0}, nonzero[SOTTO_PART_COUNT] = {0}, bits[SOTTO_PART_COUNT] = {0};
    uint64_t bytes[SOTTO_PART_COUNT] = {0}, all[4] = {0};
    json_t *tensors = json_array(), *parts = json_object();
    for (size_t i = 0; i < w->n; i++) {
        const struct packed_tensor *p = &w->tensors[i];
        const sotto_part part = p->from->param.part;
        parameters[part] += p->parameters;
        nonzero[part] += p->nonzero;
        bits[part] += p->bits;
        bytes[part] += p->frames.len;
        json_array_append_new(tensors, json_pack("{s:s,s:s,s:o,s:I,s:I,s:I,s:I}", "name", p->name, "part",
                                                 sotto_part_name(part), "shape", shape_of(p), "parameters",
                                                 (json_int_t)p->parameters, "nonzero", (json_int_t)p->nonzero, "bits",
                                                 (json_int_t)p->bits, "bytes", (json_int_t)p->frames.len));
    }
    for (int i = 0; i < SOTTO_PART_COUNT; i++) {
        json_object_set_new(parts, sotto_part_name((sotto_part)i),
                            json_pack("{s:I,s:I,s:I,s:I}", "parameters", (json_int_t)parameters[i], "nonzero",
                                      (json_int_t)nonzero[i], "bits", (json_int_t)bits[i], "bytes",
                                      (json_int_t)bytes[i]));
        all[0] += parameters[i];
        all[1] += nonzero[i];
        all[2] += bits[i];
    }
    json_t *root = json_pack("{s:s,s:I,s:I,s:I,s:I,s:o,s:o}", "spec", spec, "parameters", (json_int_t)all[0], "nonzero",
                             (json_int_t)all[1], "bits", (json_int_t)all[2], "file_bytes", (json_int_t)file_bytes,
                             "parts", parts, "tensors", tensors);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

static void close_writing(struct writing *w)
{
    for (size_t i = 0; i < w->n; i++) {
        json_decref(w->tensors[i].head);
        sotto__str_free(&w->tensors[i].frames);
    }
    free(w->tensors);
}

sotto_status sotto__net_write(const sotto__net *net, const char *spec, const char *path, char **report,
                              sotto_error *err)
{
    const uint64_t *stored = net->model->info.stored_bytes;
    struct writing w = {.net = net, .wide = stored[SOTTO_PRECISION_F32] > stored[SOTTO_PRECISION_F16]};
    sotto__str head = {0}, frame = {0};
    sotto_status st = list_tensors(&w, err);
    if (st == SOTTO_OK) sotto__pool_run(net->model->nn.pool, encode, &w, w.n);
    for (size_t i = 0; st == SOTTO_OK && i < w.n; i++)
        if ((st = w.tensors[i].status) != SOTTO_OK)
            sotto__fail(err, st, "%s: %s", w.tensors[i].name, w.tensors[i].err.message);
    if (st == SOTTO_OK) {
        json_t *tokens = write_tokens(net, &frame);
        json_t *header = tokens ? header_of(&w, spec, tokens) : NULL;
        st = header && make_head(&head, header) ? write_file(&w, &head, &frame, path, err)
                                                : sotto__fail_nomem(err, "shrunken model");
        json_decref(header);
    }
    if (st == SOTTO_OK && report) {
        size_t bytes = head.len + frame.len;
        for (size_t i = 0; i < w.n; i++) bytes += w.tensors[i].frames.len;
        *report = report_of(&w, spec, bytes);
        if (!*report) st = sotto__fail_nomem(err, "report of a shrunken model");
    }
    sotto__str_free(&head);
    sotto__str_free(&frame);
    close_writing(&w);
    return st;
}
