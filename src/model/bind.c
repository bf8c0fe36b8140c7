/* SPDX-License-Identifier: MIT
 * Weight file -> parameters: one table says, for every tensor, what each format calls it, its shape, the part it counts
 * to and where it goes. Formats differ in one thing only: CTranslate2 stacks q, k, v; the others store them apart. */
#include "model/arena.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sizes in the table, resolved per model and layer.
 * A: width of a layer's self-attention, C: of its cross-attention, M: of its MLP's middle; D, D and 4D unless the model
 * was shrunken. */
enum size { ONE, D, A, A3, C, C2, M, MELS, KERNEL, T_AUDIO, T_TEXT, VOCAB, SIZES };

struct row {
    sotto__where where;
    size_t field; /* offset of the const float * in sotto__params or sotto__block */
    sotto_part part;
    enum size shape[3];  /* of the whole destination; ONE = no such dimension */
    int slice, slices;   /* this tensor fills slice `slice` of `slices` along the first dimension */
    int key_slice;       /* this tensor's slice that is padding when all zero (a stacked bias), -1 = none */
    const char *name[3]; /* by sotto__file_format; NULL = not in that format; %d = layer. Ours has CTranslate2's. */
};

#define P(f) offsetof(sotto__params, f)
#define B(f) offsetof(sotto__block, f)
#define OA "encoder.blocks.%d."
#define OT "decoder.blocks.%d."
#define CA "encoder/layer_%d/"
#define CT "decoder/layer_%d/"
#define HA "model.encoder.layers.%d."
#define HT "model.decoder.layers.%d."

// clang-format off
static const struct row table[] = {
    /* where, field, part, shape, slice, slices, key_slice, {CTranslate2, ggml (openai-whisper's names), Hugging Face} */
    {SOTTO__GLOBAL, P(conv1.weight), SOTTO_PART_CONV, {D, MELS, KERNEL}, 0, 1, -1, {"encoder/conv1/weight", "encoder.conv1.weight", "model.encoder.conv1.weight"}},
    {SOTTO__GLOBAL, P(conv1.bias), SOTTO_PART_CONV, {D, ONE, ONE}, 0, 1, -1, {"encoder/conv1/bias", "encoder.conv1.bias", "model.encoder.conv1.bias"}},
    {SOTTO__GLOBAL, P(conv2.weight), SOTTO_PART_CONV, {D, D, KERNEL}, 0, 1, -1, {"encoder/conv2/weight", "encoder.conv2.weight", "model.encoder.conv2.weight"}},
    {SOTTO__GLOBAL, P(conv2.bias), SOTTO_PART_CONV, {D, ONE, ONE}, 0, 1, -1, {"encoder/conv2/bias", "encoder.conv2.bias", "model.encoder.conv2.bias"}},
    {SOTTO__GLOBAL, P(audio_positions), SOTTO_PART_ENCODER_POSITIONS, {T_AUDIO, D, ONE}, 0, 1, -1, {"encoder/position_encodings/encodings", "encoder.positional_embedding", "model.encoder.embed_positions.weight"}},
    {SOTTO__GLOBAL, P(encoder_norm.gamma), SOTTO_PART_ENCODER_NORM, {D, ONE, ONE}, 0, 1, -1, {"encoder/layer_norm/gamma", "encoder.ln_post.weight", "model.encoder.layer_norm.weight"}},
    {SOTTO__GLOBAL, P(encoder_norm.beta), SOTTO_PART_ENCODER_NORM, {D, ONE, ONE}, 0, 1, -1, {"encoder/layer_norm/beta", "encoder.ln_post.bias", "model.encoder.layer_norm.bias"}},
    {SOTTO__GLOBAL, P(embedding.weight), SOTTO_PART_TOKEN_EMBEDDING, {VOCAB, D, ONE}, 0, 1, -1, {"decoder/embeddings/weight", "decoder.token_embedding.weight", "model.decoder.embed_tokens.weight"}},
    {SOTTO__GLOBAL, P(text_positions), SOTTO_PART_DECODER_POSITIONS, {T_TEXT, D, ONE}, 0, 1, -1, {"decoder/position_encodings/encodings", "decoder.positional_embedding", "model.decoder.embed_positions.weight"}},
    {SOTTO__GLOBAL, P(decoder_norm.gamma), SOTTO_PART_DECODER_NORM, {D, ONE, ONE}, 0, 1, -1, {"decoder/layer_norm/gamma", "decoder.ln.weight", "model.decoder.layer_norm.weight"}},
    {SOTTO__GLOBAL, P(decoder_norm.beta), SOTTO_PART_DECODER_NORM, {D, ONE, ONE}, 0, 1, -1, {"decoder/layer_norm/beta", "decoder.ln.bias", "model.decoder.layer_norm.bias"}},

#define SELF_ATTENTION(where, part, norm_part, C, O, H) \
    {where, B(self_norm.gamma), norm_part, {D, ONE, ONE}, 0, 1, -1, {C "self_attention/layer_norm/gamma", O "attn_ln.weight", H "self_attn_layer_norm.weight"}}, \
    {where, B(self_norm.beta), norm_part, {D, ONE, ONE}, 0, 1, -1, {C "self_attention/layer_norm/beta", O "attn_ln.bias", H "self_attn_layer_norm.bias"}}, \
    {where, B(qkv.weight), part, {A3, D, ONE}, 0, 1, -1, {C "self_attention/linear_0/weight", NULL, NULL}}, \
    {where, B(qkv.weight), part, {A3, D, ONE}, 0, 3, -1, {NULL, O "attn.query.weight", H "self_attn.q_proj.weight"}}, \
    {where, B(qkv.weight), part, {A3, D, ONE}, 1, 3, -1, {NULL, O "attn.key.weight", H "self_attn.k_proj.weight"}}, \
    {where, B(qkv.weight), part, {A3, D, ONE}, 2, 3, -1, {NULL, O "attn.value.weight", H "self_attn.v_proj.weight"}}, \
    {where, B(qkv.bias), part, {A3, ONE, ONE}, 0, 1, 1, {C "self_attention/linear_0/bias", NULL, NULL}}, \
    {where, B(qkv.bias), part, {A3, ONE, ONE}, 0, 3, -1, {NULL, O "attn.query.bias", H "self_attn.q_proj.bias"}}, \
    {where, B(qkv.bias), part, {A3, ONE, ONE}, 2, 3, -1, {NULL, O "attn.value.bias", H "self_attn.v_proj.bias"}}, \
    {where, B(self_out.weight), part, {D, A, ONE}, 0, 1, -1, {C "self_attention/linear_1/weight", O "attn.out.weight", H "self_attn.out_proj.weight"}}, \
    {where, B(self_out.bias), part, {D, ONE, ONE}, 0, 1, -1, {C "self_attention/linear_1/bias", O "attn.out.bias", H "self_attn.out_proj.bias"}},
#define MLP(where, part, norm_part, C, O, H) \
    {where, B(mlp_norm.gamma), norm_part, {D, ONE, ONE}, 0, 1, -1, {C "ffn/layer_norm/gamma", O "mlp_ln.weight", H "final_layer_norm.weight"}}, \
    {where, B(mlp_norm.beta), norm_part, {D, ONE, ONE}, 0, 1, -1, {C "ffn/layer_norm/beta", O "mlp_ln.bias", H "final_layer_norm.bias"}}, \
    {where, B(up.weight), part, {M, D, ONE}, 0, 1, -1, {C "ffn/linear_0/weight", O "mlp.0.weight", H "fc1.weight"}}, \
    {where, B(up.bias), part, {M, ONE, ONE}, 0, 1, -1, {C "ffn/linear_0/bias", O "mlp.0.bias", H "fc1.bias"}}, \
    {where, B(down.weight), part, {D, M, ONE}, 0, 1, -1, {C "ffn/linear_1/weight", O "mlp.2.weight", H "fc2.weight"}}, \
    {where, B(down.bias), part, {D, ONE, ONE}, 0, 1, -1, {C "ffn/linear_1/bias", O "mlp.2.bias", H "fc2.bias"}},

    SELF_ATTENTION(SOTTO__ENCODER, SOTTO_PART_ENCODER_ATTENTION, SOTTO_PART_ENCODER_NORM, CA, OA, HA)
    MLP(SOTTO__ENCODER, SOTTO_PART_ENCODER_MLP, SOTTO_PART_ENCODER_NORM, CA, OA, HA)
    SELF_ATTENTION(SOTTO__DECODER, SOTTO_PART_DECODER_SELF_ATTENTION, SOTTO_PART_DECODER_NORM, CT, OT, HT)
    {SOTTO__DECODER, B(cross_norm.gamma), SOTTO_PART_DECODER_NORM, {D, ONE, ONE}, 0, 1, -1, {CT "attention/layer_norm/gamma", OT "cross_attn_ln.weight", HT "encoder_attn_layer_norm.weight"}},
    {SOTTO__DECODER, B(cross_norm.beta), SOTTO_PART_DECODER_NORM, {D, ONE, ONE}, 0, 1, -1, {CT "attention/layer_norm/beta", OT "cross_attn_ln.bias", HT "encoder_attn_layer_norm.bias"}},
    {SOTTO__DECODER, B(cross_q.weight), SOTTO_PART_DECODER_CROSS_ATTENTION, {C, D, ONE}, 0, 1, -1, {CT "attention/linear_0/weight", OT "cross_attn.query.weight", HT "encoder_attn.q_proj.weight"}},
    {SOTTO__DECODER, B(cross_q.bias), SOTTO_PART_DECODER_CROSS_ATTENTION, {C, ONE, ONE}, 0, 1, -1, {CT "attention/linear_0/bias", OT "cross_attn.query.bias", HT "encoder_attn.q_proj.bias"}},
    {SOTTO__DECODER, B(cross_kv.weight), SOTTO_PART_DECODER_CROSS_ATTENTION, {C2, D, ONE}, 0, 1, -1, {CT "attention/linear_1/weight", NULL, NULL}},
    {SOTTO__DECODER, B(cross_kv.weight), SOTTO_PART_DECODER_CROSS_ATTENTION, {C2, D, ONE}, 0, 2, -1, {NULL, OT "cross_attn.key.weight", HT "encoder_attn.k_proj.weight"}},
    {SOTTO__DECODER, B(cross_kv.weight), SOTTO_PART_DECODER_CROSS_ATTENTION, {C2, D, ONE}, 1, 2, -1, {NULL, OT "cross_attn.value.weight", HT "encoder_attn.v_proj.weight"}},
    {SOTTO__DECODER, B(cross_kv.bias), SOTTO_PART_DECODER_CROSS_ATTENTION, {C2, ONE, ONE}, 0, 1, 0, {CT "attention/linear_1/bias", NULL, NULL}},
    {SOTTO__DECODER, B(cross_kv.bias), SOTTO_PART_DECODER_CROSS_ATTENTION, {C2, ONE, ONE}, 1, 2, -1, {NULL, OT "cross_attn.value.bias", HT "encoder_attn.v_proj.bias"}},
    {SOTTO__DECODER, B(cross_out.weight), SOTTO_PART_DECODER_CROSS_ATTENTION, {D, C, ONE}, 0, 1, -1, {CT "attention/linear_2/weight", OT "cross_attn.out.weight", HT "encoder_attn.out_proj.weight"}},
    {SOTTO__DECODER, B(cross_out.bias), SOTTO_PART_DECODER_CROSS_ATTENTION, {D, ONE, ONE}, 0, 1, -1, {CT "attention/linear_2/bias", OT "cross_attn.out.bias", HT "encoder_attn.out_proj.bias"}},
    MLP(SOTTO__DECODER, SOTTO_PART_DECODER_MLP, SOTTO_PART_DECODER_NORM, CT, OT, HT)
};
// clang-format on

enum { ROWS = sizeof table / sizeof table[0] };

struct widths {
    size_t self, cross, mlp;
};

struct binder {
    sotto_model *model;
    const sotto__weights *w;
    size_t sizes[SIZES];                       /* but those of a layer */
    struct widths *widths[SOTTO__DECODER + 1]; /* by where: [layers] */
    sotto__fields fields;
    size_t n_inners; /* of model->inners that are taken */
};

static const char *name_of(const struct row *row, sotto__file_format format)
{
    return row->name[format == SOTTO__SHRUNKEN ? SOTTO__CTRANSLATE2 : format];
}

static size_t size_in(const struct binder *b, sotto__where where, size_t layer, enum size size)
{
    const struct widths *w = where == SOTTO__GLOBAL ? NULL : &b->widths[where][layer];
    switch (size) {
    case A:
        return w->self;
    case A3:
        return 3 * w->self;
    case C:
        return w->cross;
    case C2:
        return 2 * w->cross;
    case M:
        return w->mlp;
    default:
        return b->sizes[size];
    }
}

static size_t layers_of(const struct binder *b, sotto__where where)
{
    const sotto_model_info *info = &b->model->info;
    return where == SOTTO__GLOBAL ? 1 : (size_t)(where == SOTTO__ENCODER ? info->n_audio_layer : info->n_text_layer);
}

static size_t whole_size(const struct binder *b, const struct row *row, size_t layer)
{
    return size_in(b, row->where, layer, row->shape[0]) * size_in(b, row->where, layer, row->shape[1]) *
           size_in(b, row->where, layer, row->shape[2]);
}

static const float **field_of(const struct binder *b, const struct row *row, size_t layer)
{
    sotto__params *p = &b->model->params;
    char *base = row->where == SOTTO__GLOBAL    ? (char *)p
                 : row->where == SOTTO__ENCODER ? (char *)&p->encoder[layer]
                                                : (char *)&p->decoder[layer];
    return (const float **)(void *)(base + row->field);
}

static bool is_matrix(const struct row *row)
{
    return row->shape[1] != ONE && row->part != SOTTO_PART_ENCODER_POSITIONS &&
           row->part != SOTTO_PART_DECODER_POSITIONS;
}

static sotto__place place_of(const struct row *row)
{
    if (row->part == SOTTO_PART_TOKEN_EMBEDDING) return SOTTO__IN_VOCABULARY;
    if (row->where != SOTTO__DECODER || row->field == B(cross_kv.weight)) return SOTTO__IN_ENCODER;
    return row->field == B(self_out.weight) || row->field == B(cross_q.weight) || row->field == B(cross_out.weight) ||
                   row->field == B(down.weight)
               ? SOTTO__IN_DECODER_FINE
               : SOTTO__IN_DECODER;
}

/* Layers that may have two factors: seven matrices a block, and the embedding; then an empty one. */
#define MAX_INNERS(b) (7 * (layers_of(b, SOTTO__ENCODER) + layers_of(b, SOTTO__DECODER)) + 1)

/* ---- dimensions ---- */

static size_t count_layers(const sotto__weights *w, const char *pattern)
{
    char name[160];
    for (size_t n = 0;; n++) {
        snprintf(name, sizeof name, pattern, (int)n);
        if (n > 1000 || !sotto__weights_find(w, name)) return n;
    }
}

static size_t dim_of(const sotto__weights *w, const char *name, int dim)
{
    const sotto__tensor *t = sotto__weights_find(w, name);
    return t && dim < t->rank ? t->dims[dim] : 0;
}

/* What the header does not say is read off the tensors' shapes (CTranslate2 says nearly nothing). */
static void infer_dims(const sotto__weights *w, sotto__dims *d)
{
    *d = w->dims;
    if (w->format != SOTTO__CTRANSLATE2) return;
    d->n_audio_state = d->n_text_state = dim_of(w, "encoder/conv1/weight", 0);
    d->n_mels = dim_of(w, "encoder/conv1/weight", 1);
    d->n_audio_ctx = dim_of(w, "encoder/position_encodings/encodings", 0);
    d->n_vocab = dim_of(w, "decoder/embeddings/weight", 0);
    d->n_text_ctx = dim_of(w, "decoder/position_encodings/encodings", 0);
    d->n_audio_layer = count_layers(w, CA "ffn/linear_0/weight");
    d->n_text_layer = count_layers(w, CT "ffn/linear_0/weight");
    if (d->n_audio_head == 0) d->n_audio_head = d->n_audio_state / 64;
    if (d->n_text_head == 0) d->n_text_head = d->n_text_state / 64;
}

static sotto_status check_dims(struct binder *b, sotto_error *err)
{
    sotto_model_info *info = &b->model->info;
    sotto__dims d;
    infer_dims(b->w, &d);
    const struct {
        const char *name;
        size_t value, low, high;
        int32_t *to;
    } limits[] = {
        {"n_mels", d.n_mels, 1, 512, &info->n_mels},
        {"n_audio_ctx", d.n_audio_ctx, b->w->format == SOTTO__SHRUNKEN ? 100 : 1500, 1500, &info->n_audio_ctx},
        {"n_audio_state", d.n_audio_state, 8, 16384, &info->n_audio_state},
        {"n_audio_head", d.n_audio_head, 1, 256, &info->n_audio_head},
        {"n_audio_layer", d.n_audio_layer, 1, 256, &info->n_audio_layer},
        {"n_vocab", d.n_vocab, 51864, 60000, &info->n_vocab},
        {"n_text_ctx", d.n_text_ctx, 16, 8192, &info->n_text_ctx},
        {"n_text_state", d.n_text_state, d.n_audio_state, d.n_audio_state, &info->n_text_state},
        {"n_text_head", d.n_text_head, 1, 256, &info->n_text_head},
        {"n_text_layer", d.n_text_layer, 1, 256, &info->n_text_layer},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (limits[i].value < limits[i].low || limits[i].value > limits[i].high)
            return sotto__fail(err, SOTTO_EFORMAT, "%s: %s is %zu, expected %zu to %zu", b->w->file, limits[i].name,
                               limits[i].value, limits[i].low, limits[i].high);
        *limits[i].to = (int32_t)limits[i].value;
    }
    if (d.n_audio_state % d.n_audio_head || d.n_text_state % d.n_text_head)
        return sotto__fail(err, SOTTO_EFORMAT, "%s: state width %zu is no multiple of %zu audio and %zu text heads",
                           b->w->file, d.n_audio_state, d.n_audio_head, d.n_text_head);
    b->sizes[ONE] = 1;
    b->sizes[D] = d.n_audio_state;
    b->sizes[MELS] = d.n_mels;
    b->sizes[KERNEL] = 3;
    b->sizes[T_AUDIO] = d.n_audio_ctx;
    b->sizes[T_TEXT] = d.n_text_ctx;
    b->sizes[VOCAB] = b->w->token_rows ? b->w->n_rows : d.n_vocab;
    return SOTTO_OK;
}

/* Widths inside a layer, read off its tensors' shapes where they may be other than the model's. */
static sotto_status find_widths(struct binder *b, sotto__where where, sotto_error *err)
{
    const size_t n = layers_of(b, where), d = b->sizes[D];
    const sotto_model_info *info = &b->model->info;
    const size_t head = d / (size_t)(where == SOTTO__ENCODER ? info->n_audio_head : info->n_text_head);
    struct widths *w = b->widths[where] = calloc(n, sizeof *w);
    if (!w) return sotto__fail_nomem(err, "widths of layers");
    for (size_t l = 0; l < n; l++, w++) {
        const char *const pattern[] = {
            where == SOTTO__ENCODER ? CA "self_attention/linear_0/bias" : CT "self_attention/linear_0/bias",
            CT "attention/linear_0/bias", where == SOTTO__ENCODER ? CA "ffn/linear_0/bias" : CT "ffn/linear_0/bias"};
        size_t *const to[] = {&w->self, &w->cross, &w->mlp};
        *w = (struct widths){d, d, 4 * d};
        for (int i = 0; b->w->format == SOTTO__SHRUNKEN && i < 3; i++) {
            char name[160];
            const size_t most = *to[i];
            if (where == SOTTO__ENCODER && i == 1) continue;
            snprintf(name, sizeof name, pattern[i], (int)l);
            *to[i] = dim_of(b->w, name, 0) / (i == 0 ? 3 : 1);
            if (*to[i] == 0 || *to[i] > most || (i < 2 && *to[i] % head != 0))
                return sotto__fail(err, SOTTO_EFORMAT, "%s: %s stands for a width of %zu, expected 1 to %zu%s",
                                   b->w->file, name, *to[i], most, i < 2 ? ", in whole heads" : "");
        }
    }
    return SOTTO_OK;
}

/* ---- fields ---- */

/* The tensor of the first factor of a layer that has two: "…_a" [rank, in] beside "…" [out, rank]. */
static const sotto__tensor *first_factor(const struct binder *b, const struct row *row, size_t layer)
{
    char name[160];
    int n;
    if (b->w->format != SOTTO__SHRUNKEN) return NULL;
    n = snprintf(name, sizeof name - 2, name_of(row, b->w->format), (int)layer);
    if (n < 0 || (size_t)n >= sizeof name - 2) return NULL;
    memcpy(name + n, "_a", 3);
    return sotto__weights_find(b->w, name);
}

/* The first factor as a layer of its own; the field before it, whose layer it belongs to, is then [out, rank]. */
static sotto_status list_inner(struct binder *b, sotto__linear *outer, sotto__place place, const sotto__tensor *t,
                               sotto_error *err)
{
    sotto__fields *f = &b->fields;
    if (t->rank != 2 || t->dims[1] != outer->in || t->dims[0] < 1 || t->dims[0] > outer->in || outer->taps != 1 ||
        b->n_inners == MAX_INNERS(b))
        return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %s is no first factor of a layer of %zu inputs", b->w->file,
                           t->name, outer->in);
    if (!sotto__grow(&f->items, &f->cap, f->n + 1, sizeof *f->items))
        return sotto__fail_nomem(err, "list of parameters");
    sotto__linear *inner = outer->inner = &b->model->inners[b->n_inners++];
    *inner = (sotto__linear){.in = outer->in, .out = t->dims[0], .taps = 1, .bytes = outer->bytes};
    outer->in = inner->out;
    f->items[f->n - 1].size = outer->in * outer->out;
    f->items[f->n++] = (sotto__field){
        .to = &inner->weight, .size = t->elements, .linear = inner, .place = place, .slice = {t}, .slices = 1};
    return SOTTO_OK;
}

/* One field for each pointer of params and blocks, in the table's order. */
static sotto_status list_fields(struct binder *b, sotto_error *err)
{
    sotto__fields *f = &b->fields;
    sotto_status st;
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &table[i];
        if (i > 0 && row->field == table[i - 1].field && row->where == table[i - 1].where) continue;
        for (size_t l = 0; l < layers_of(b, row->where); l++) {
            if (!sotto__grow(&f->items, &f->cap, f->n + 1, sizeof *f->items))
                return sotto__fail_nomem(err, "list of parameters");
            sotto__field *one = &f->items[f->n++];
            *one = (sotto__field){.to = field_of(b, row, l), .size = whole_size(b, row, l)};
            if (!is_matrix(row)) continue;
            one->linear = (sotto__linear *)(void *)((char *)one->to - offsetof(sotto__linear, weight));
            one->place = place_of(row);
            const sotto__tensor *first = first_factor(b, row, l);
            if (first && (st = list_inner(b, one->linear, one->place, first, err)) != SOTTO_OK) return st;
        }
    }
    return SOTTO_OK;
}

static sotto__field *find_field(struct binder *b, const float **to)
{
    for (size_t i = 0; i < b->fields.n; i++) {
        if (b->fields.items[i].to == to) return &b->fields.items[i];
    }
    return NULL; /* cannot be: the table made them */
}

static void format_shape(char *out, size_t cap, const size_t *dims, int rank)
{
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < rank && at < cap; i++)
        at += (size_t)snprintf(out + at, cap - at, i ? " x %zu" : "%zu", dims[i]);
}

/* Dimensions of 1 do not matter: ggml writes conv biases as [D, 1]. */
static int squeeze(size_t *out, const size_t *dims, int rank)
{
    int n = 0;
    for (int i = 0; i < rank; i++) {
        if (dims[i] != 1) out[n++] = dims[i];
    }
    return n;
}

static bool all_zero(const sotto__tensor *t, size_t first, size_t n)
{
    const size_t bytes = t->precision == SOTTO_PRECISION_F32 ? 4 : 2;
    const unsigned char *p = (const unsigned char *)t->data + first * bytes;
    for (size_t i = 0; i < n * bytes; i++) {
        if (p[i]) return false;
    }
    return true;
}

/* Bytes of the file by the precision that its values have there: 5 to 8 bits count as int8, fewer as int4. */
static void count_stored(sotto_model_info *info, const sotto__tensor *t)
{
    const sotto_precision stored =
        t->bits == 32   ? SOTTO_PRECISION_F32
        : t->bits >= 16 ? (t->precision == SOTTO_PRECISION_BF16 ? SOTTO_PRECISION_BF16 : SOTTO_PRECISION_F16)
        : t->bits > 4   ? SOTTO_PRECISION_INT8
                        : SOTTO_PRECISION_INT4;
    info->stored_bytes[stored] += t->file_bytes;
    info->nonzero_parameters += t->nonzero;
    info->parameter_bits += (uint64_t)t->bits * t->elements;
}

static sotto_status bind_tensor(struct binder *b, const struct row *row, size_t layer, sotto_error *err)
{
    sotto_model_info *info = &b->model->info;
    char name[160], found[96], wanted[96];
    size_t dims[3], want[3], have[SOTTO__MAX_RANK];
    const sotto__tensor *t;
    snprintf(name, sizeof name, name_of(row, b->w->format), (int)layer);
    t = sotto__weights_find(b->w, name);
    /* Some Hugging Face files were saved without the outer "model." */
    if (!t && b->w->format == SOTTO__HUGGINGFACE) t = sotto__weights_find(b->w, name + strlen("model."));
    if (!t) return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %s is missing", b->w->file, name);
    for (int i = 0; i < 3; i++) dims[i] = size_in(b, row->where, layer, row->shape[i]);
    dims[0] /= (size_t)row->slices;
    const sotto__tensor *first = row->shape[1] == ONE ? NULL : first_factor(b, row, layer);
    if (first) dims[1] = first->dims[0];
    const int want_rank = squeeze(want, dims, 3), have_rank = squeeze(have, t->dims, t->rank);
    if (want_rank != have_rank || memcmp(want, have, (size_t)want_rank * sizeof *want) != 0) {
        format_shape(wanted, sizeof wanted, want, want_rank);
        format_shape(found, sizeof found, t->dims, t->rank);
        return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %s is %s, expected %s", b->w->file, name, found, wanted);
    }
    sotto__field *field = find_field(b, field_of(b, row, layer));
    field->slice[row->slice] = t;
    field->slices = row->slices;
    /* A stacked bias holds zeros where the model has no parameter: they are bytes in the file, but not parameters. */
    size_t parameters = t->elements;
    if (row->key_slice >= 0) {
        const size_t n = size_in(b, row->where, layer, row->shape[0] == A3 ? A : C);
        if (all_zero(t, (size_t)row->key_slice * n, n)) parameters -= n;
    }
    if (first) parameters += first->elements;
    info->part_parameters[row->part] += parameters;
    info->parameters += parameters;
    count_stored(info, t);
    if (first) count_stored(info, first);
    return SOTTO_OK;
}

/* ---- layers ---- */

static void size_linear(sotto__linear *l, size_t in, size_t out, size_t taps)
{
    l->in = in;
    l->out = out;
    l->taps = taps;
}

static void size_block(sotto__block *b, const struct widths *w, size_t d, size_t head)
{
    b->self_norm.n = b->cross_norm.n = b->mlp_norm.n = d;
    b->self_heads = w->self / head;
    b->cross_heads = w->cross / head;
    size_linear(&b->qkv, d, 3 * w->self, 1);
    size_linear(&b->self_out, w->self, d, 1);
    size_linear(&b->cross_q, d, w->cross, 1);
    size_linear(&b->cross_kv, d, 2 * w->cross, 1);
    size_linear(&b->cross_out, w->cross, d, 1);
    size_linear(&b->up, d, w->mlp, 1);
    size_linear(&b->down, w->mlp, d, 1);
}

/* Layers know their sizes. */
static void size_layers(struct binder *b)
{
    sotto__params *p = &b->model->params;
    const size_t d = b->sizes[D];
    size_linear(&p->conv1, b->sizes[MELS], d, b->sizes[KERNEL]);
    size_linear(&p->conv2, d, d, b->sizes[KERNEL]);
    size_linear(&p->embedding, d, b->sizes[VOCAB], 1);
    p->encoder_norm.n = p->decoder_norm.n = d;
    p->conv1.bytes = p->conv2.bytes = true; /* once a window, in the thousands of rows: all that encodes it */
    for (size_t l = 0; l < layers_of(b, SOTTO__ENCODER); l++) {
        sotto__block *e = &p->encoder[l];
        size_block(e, &b->widths[SOTTO__ENCODER][l], d, d / (size_t)b->model->info.n_audio_head);
        e->qkv.bytes = e->self_out.bytes = e->up.bytes = e->down.bytes = true;
    }
    for (size_t l = 0; l < layers_of(b, SOTTO__DECODER); l++) {
        size_block(&p->decoder[l], &b->widths[SOTTO__DECODER][l], d, d / (size_t)b->model->info.n_text_head);
        p->decoder[l].cross_kv.bytes = true;
    }
}

static void count_unshared(const struct binder *b)
{
    sotto_model_info *info = &b->model->info;
    const uint64_t d = b->sizes[D], positions = b->sizes[T_AUDIO];
    /* conv1 writes two outputs per encoder position (stride 1), conv2 one (stride 2) */
    const uint64_t conv1 = d * b->sizes[MELS] * b->sizes[KERNEL] + d, conv2 = d * d * b->sizes[KERNEL] + d;
    info->unshared_conv_parameters = 2 * positions * conv1 + positions * conv2;
}

sotto_status sotto__bind(sotto_model *model, const sotto__weights *w, bool cache, sotto_error *err)
{
    struct binder b = {.model = model, .w = w};
    sotto_status st = check_dims(&b, err);
    if (st != SOTTO_OK) return st;
    model->params.encoder = calloc(layers_of(&b, SOTTO__ENCODER), sizeof(sotto__block));
    model->params.decoder = calloc(layers_of(&b, SOTTO__DECODER), sizeof(sotto__block));
    model->inners = calloc(MAX_INNERS(&b) + 1, sizeof *model->inners);
    if (!model->params.encoder || !model->params.decoder || !model->inners)
        return sotto__fail_nomem(err, "model layers");
    if ((st = find_widths(&b, SOTTO__ENCODER, err)) != SOTTO_OK ||
        (st = find_widths(&b, SOTTO__DECODER, err)) != SOTTO_OK)
        goto done;
    size_layers(&b);
    if ((st = list_fields(&b, err)) != SOTTO_OK) goto done;
    for (size_t i = 0; i < ROWS; i++) {
        if (!name_of(&table[i], w->format)) continue;
        for (size_t l = 0; l < layers_of(&b, table[i].where); l++) {
            if ((st = bind_tensor(&b, &table[i], l, err)) != SOTTO_OK) goto done;
        }
    }
    model->embedding = find_field(&b, &model->params.embedding.weight)->slice[0];
    if ((st = sotto__arena_fill(model, w, &b.fields, cache, err)) != SOTTO_OK) goto done;
    count_unshared(&b);
    model->token_rows = w->token_rows;
    model->row_tokens = w->row_tokens;
done:
    free(b.widths[SOTTO__ENCODER]);
    free(b.widths[SOTTO__DECODER]);
    free(b.fields.items);
    return st;
}

/* ---- walking ---- */

static sotto__piece piece_of(const struct row *row)
{
    static const struct {
        size_t field;
        sotto__piece piece;
    } of_block[] = {
        {B(qkv.weight), SOTTO__PIECE_QKV},
        {B(qkv.bias), SOTTO__PIECE_QKV_BIAS},
        {B(self_out.weight), SOTTO__PIECE_OUT},
        {B(cross_q.weight), SOTTO__PIECE_CROSS_Q},
        {B(cross_q.bias), SOTTO__PIECE_CROSS_Q_BIAS},
        {B(cross_kv.weight), SOTTO__PIECE_CROSS_KV},
        {B(cross_kv.bias), SOTTO__PIECE_CROSS_KV_BIAS},
        {B(cross_out.weight), SOTTO__PIECE_CROSS_OUT},
        {B(up.weight), SOTTO__PIECE_UP},
        {B(up.bias), SOTTO__PIECE_UP_BIAS},
        {B(down.weight), SOTTO__PIECE_DOWN},
    };
    if (row->where == SOTTO__GLOBAL) {
        return row->field == P(conv1.weight) || row->field == P(conv2.weight) ? SOTTO__PIECE_CONV
               : row->field == P(text_positions)                              ? SOTTO__PIECE_POSITIONS
               : row->field == P(embedding.weight)                            ? SOTTO__PIECE_EMBEDDING
                                                                              : SOTTO__PIECE_OTHER;
    }
    for (size_t i = 0; i < sizeof of_block / sizeof of_block[0]; i++)
        if (of_block[i].field == row->field) return of_block[i].piece;
    return SOTTO__PIECE_OTHER;
}

static size_t width_of(const sotto_model *m, const sotto__block *block, enum size size)
{
    const sotto_model_info *info = &m->info;
    const size_t head = (size_t)(info->n_audio_state / info->n_audio_head);
    const size_t widths[SIZES] = {[ONE] = 1,
                                  [D] = (size_t)info->n_audio_state,
                                  [A] = block ? block->self_heads * head : 0,
                                  [A3] = block ? 3 * block->self_heads * head : 0,
                                  [C] = block ? block->cross_heads * head : 0,
                                  [C2] = block ? 2 * block->cross_heads * head : 0,
                                  [M] = block ? block->up.out : 0,
                                  [MELS] = (size_t)info->n_mels,
                                  [KERNEL] = 3,
                                  [T_AUDIO] = (size_t)info->n_audio_ctx,
                                  [T_TEXT] = (size_t)info->n_text_ctx,
                                  [VOCAB] = m->params.embedding.out};
    return widths[size];
}

void sotto__params_walk(const sotto_model *model, bool (*see)(void *user, const sotto__param *param), void *user)
{
    struct binder b = {.model = (sotto_model *)(uintptr_t)model};
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &table[i];
        if (!row->name[SOTTO__CTRANSLATE2]) continue;
        for (size_t l = 0; l < layers_of(&b, row->where); l++) {
            const float **field = field_of(&b, row, l);
            const sotto__block *block = row->where == SOTTO__ENCODER   ? &model->params.encoder[l]
                                        : row->where == SOTTO__DECODER ? &model->params.decoder[l]
                                                                       : NULL;
            sotto__param p = {
                .part = row->part, .where = row->where, .layer = l, .piece = piece_of(row), .values = *field};
            snprintf(p.name, sizeof p.name, row->name[SOTTO__CTRANSLATE2], (int)l);
            while (p.rank < 3 && row->shape[p.rank] != ONE) {
                p.shape[p.rank] = width_of(model, block, row->shape[p.rank]);
                p.rank++;
            }
            if (is_matrix(row))
                p.layer_of =
                    (const sotto__linear *)(const void *)((const char *)field - offsetof(sotto__linear, weight));
            if (!see(user, &p)) return;
        }
    }
}
