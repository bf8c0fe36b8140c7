/* SPDX-License-Identifier: MIT
 * See tiny_model.h. Tensors are made in openai-whisper's names and shapes, then written under each format's. */
#include "tiny_model.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <dirent.h>

const tiny_model tiny_default = {80, 64, 2, 1, 2, 51864, 64, 1, 0, 0};

enum { MAX_TENSORS = 400 };

struct tensor {
    char name[200]; /* openai-whisper's */
    int rank;
    size_t dims[3];
    size_t n;
    uint16_t *half;
};

struct set {
    struct tensor tensors[MAX_TENSORS];
    size_t n;
    uint64_t rng;
};

static float uniform(struct set *s)
{
    s->rng = s->rng * 6364136223846793005u + 1442695040888963407u;
    return (float)(s->rng >> 40) / (float)(1 << 24) * 2.0f - 1.0f;
}

/* Normal values only: enough for weights of this size. */
static uint16_t to_half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const int exponent = (int)(bits >> 23 & 0xff) - 127 + 15;
    if (exponent <= 0) return (uint16_t)sign;
    return (uint16_t)(sign | (uint32_t)exponent << 10 | (bits >> 13 & 0x3ff));
}

static float from_half(uint16_t h)
{
    const int exponent = h >> 10 & 31;
    const float m = exponent ? (float)ldexp(1.0 + (h & 1023) / 1024.0, exponent - 15) : 0.0f;
    return h & 0x8000 ? -m : m;
}

static void add(struct set *s, const char *name, size_t a, size_t b, size_t c, float scale, float offset)
{
    struct tensor *t = &s->tensors[s->n++];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->dims[0] = a, t->dims[1] = b, t->dims[2] = c;
    t->rank = c ? 3 : b ? 2 : 1;
    t->n = a * (b ? b : 1) * (c ? c : 1);
    t->half = malloc(t->n * sizeof *t->half);
    for (size_t i = 0; i < t->n; i++) t->half[i] = to_half(offset + scale * uniform(s));
}

static void add_in(struct set *s, const char *prefix, const char *name, size_t a, size_t b, float scale, float offset)
{
    char full[200];
    snprintf(full, sizeof full, "%.100s%.60s", prefix, name);
    add(s, full, a, b, 0, scale, offset);
}

static void add_norm(struct set *s, const char *prefix, const char *name, size_t d)
{
    char full[200];
    snprintf(full, sizeof full, "%.100s%.60s.weight", prefix, name);
    add(s, full, d, 0, 0, 0.2f, 1.0f);
    snprintf(full, sizeof full, "%.100s%.60s.bias", prefix, name);
    add(s, full, d, 0, 0, 0.1f, 0.0f);
}

static void add_attention(struct set *s, const char *prefix, const char *name, size_t d)
{
    char full[200];
    const float scale = 1.5f / sqrtf((float)d);
    snprintf(full, sizeof full, "%.100s%.60s", prefix, name);
    add_in(s, full, ".query.weight", d, d, scale, 0);
    add_in(s, full, ".query.bias", d, 0, 0.1f, 0);
    add_in(s, full, ".key.weight", d, d, scale, 0);
    add_in(s, full, ".value.weight", d, d, scale, 0);
    add_in(s, full, ".value.bias", d, 0, 0.1f, 0);
    add_in(s, full, ".out.weight", d, d, scale, 0);
    add_in(s, full, ".out.bias", d, 0, 0.1f, 0);
}

/* whisper.model.sinusoids */
static void put_sinusoids(uint16_t *half, size_t positions, size_t d)
{
    const double step = log(10000.0) / (double)(d / 2 - 1);
    for (size_t t = 0; t < positions; t++)
        for (size_t i = 0; i < d / 2; i++) {
            const double angle = (double)t * exp(-step * (double)i);
            half[t * d + i] = to_half((float)sin(angle));
            half[t * d + d / 2 + i] = to_half((float)cos(angle));
        }
}

static void add_blocks(struct set *s, const char *side, size_t layers, size_t d, bool cross)
{
    for (size_t l = 0; l < layers; l++) {
        char prefix[48];
        snprintf(prefix, sizeof prefix, "%s.blocks.%zu.", side, l);
        add_norm(s, prefix, "attn_ln", d);
        add_attention(s, prefix, "attn", d);
        if (cross) {
            add_norm(s, prefix, "cross_attn_ln", d);
            add_attention(s, prefix, "cross_attn", d);
        }
        add_norm(s, prefix, "mlp_ln", d);
        add_in(s, prefix, "mlp.0.weight", 4 * d, d, 1.5f / sqrtf((float)d), 0);
        add_in(s, prefix, "mlp.0.bias", 4 * d, 0, 0.1f, 0);
        add_in(s, prefix, "mlp.2.weight", d, 4 * d, 0.7f / sqrtf((float)d), 0);
        add_in(s, prefix, "mlp.2.bias", d, 0, 0.1f, 0);
    }
}

static struct set *make(const tiny_model *m)
{
    struct set *s = calloc(1, sizeof *s);
    const size_t d = m->width;
    s->rng = m->seed;
    add(s, "encoder.conv1.weight", d, m->n_mels, 3, 0.1f, 0);
    add(s, "encoder.conv1.bias", d, 0, 0, 0.1f, 0);
    add(s, "encoder.conv2.weight", d, d, 3, 0.1f, 0);
    add(s, "encoder.conv2.bias", d, 0, 0, 0.1f, 0);
    add(s, "encoder.positional_embedding", 1500, d, 0, 0.5f, 0);
    for (size_t i = d; m->flat_positions && i < 1500 * d; i++)
        s->tensors[s->n - 1].half[i] = s->tensors[s->n - 1].half[i - d];
    if (m->sinusoids) put_sinusoids(s->tensors[s->n - 1].half, 1500, d);
    add_blocks(s, "encoder", m->audio_layers, d, false);
    add_norm(s, "encoder", ".ln_post", d);
    add(s, "decoder.token_embedding.weight", m->n_vocab, d, 0, 0.3f, 0);
    add(s, "decoder.positional_embedding", m->text_ctx, d, 0, 0.3f, 0);
    add_blocks(s, "decoder", m->text_layers, d, true);
    add_norm(s, "decoder", ".ln", d);
    return s;
}

static void drop(struct set *s)
{
    for (size_t i = 0; i < s->n; i++) free(s->tensors[i].half);
    free(s);
}

static const struct tensor *find(const struct set *s, const char *prefix, const char *name)
{
    char full[200];
    snprintf(full, sizeof full, "%.100s%.60s", prefix, name);
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->tensors[i].name, full) == 0) return &s->tensors[i];
    }
    return NULL;
}

uint64_t tiny_parameters(const tiny_model *m)
{
    struct set *s = make(m);
    uint64_t n = 0;
    for (size_t i = 0; i < s->n; i++) n += s->tensors[i].n;
    drop(s);
    return n;
}

/* ---- little-endian writing ---- */

static void put(FILE *f, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) fputc((int)(v >> 8 * i & 0xff), f);
}

static void put_half(FILE *f, const struct tensor *t)
{
    for (size_t i = 0; i < t->n; i++) put(f, t->half[i], 2);
}

static size_t ordinary_tokens(const tiny_model *m) { return m->n_vocab >= 51865 ? 50257 : 50256; }

/* Token i < 256 is byte i; the others are "t" and their number. */
static size_t token_bytes(size_t i, char *out, size_t cap)
{
    if (i < 256) {
        out[0] = (char)i;
        return 1;
    }
    return (size_t)snprintf(out, cap, "t%zu", i);
}

/* GPT-2's printable stand-in for a byte, as UTF-8. */
static size_t mapped_byte(unsigned char b, char *out)
{
    unsigned c = b;
    if (!((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174)) {
        c = 256;
        for (unsigned i = 0; i < b; i++) c += !((i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174);
    }
    if (c < 128) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 63));
    return 2;
}

static void put_mapped(FILE *f, size_t token, bool json)
{
    char raw[32], mapped[2];
    const size_t n = token_bytes(token, raw, sizeof raw);
    for (size_t i = 0; i < n; i++) {
        const size_t k = mapped_byte((unsigned char)raw[i], mapped);
        if (json && (mapped[0] == '"' || mapped[0] == '\\')) fputc('\\', f);
        fwrite(mapped, 1, k, f);
    }
}

/* ---- CTranslate2 ---- */

static void ct2_string(FILE *f, const char *s)
{
    put(f, strlen(s) + 1, 2);
    fwrite(s, 1, strlen(s) + 1, f);
}

static void ct2_head(FILE *f, const char *name, size_t rank, size_t a, size_t b, size_t c, size_t n)
{
    ct2_string(f, name);
    put(f, rank, 1);
    if (rank > 0) put(f, a, 4);
    if (rank > 1) put(f, b, 4);
    if (rank > 2) put(f, c, 4);
    put(f, 4, 1); /* float16 */
    put(f, n * 2, 4);
}

/* One variable from up to three tensors stacked; a NULL among them is a zero bias. */
static void ct2_stack(FILE *f, const char *name, const struct tensor *const *parts, size_t n_parts)
{
    const struct tensor *t = parts[0] ? parts[0] : parts[n_parts - 1]; /* the first may be a key's bias */
    ct2_head(f, name, (size_t)t->rank, t->dims[0] * n_parts, t->dims[1], t->dims[2], t->n * n_parts);
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i])
            put_half(f, parts[i]);
        else
            for (size_t k = 0; k < t->n; k++) put(f, 0, 2);
    }
}

static void ct2_one(FILE *f, const struct set *s, const char *prefix, const char *name, const char *to_prefix,
                    const char *to)
{
    char full[200];
    const struct tensor *t = find(s, prefix, name);
    snprintf(full, sizeof full, "%s%s", to_prefix, to);
    ct2_stack(f, full, &t, 1);
}

static void ct2_attention(FILE *f, const struct set *s, const char *p, const char *ln, const char *name, const char *to,
                          bool cross)
{
    char from[64], base[64], full[200];
    snprintf(from, sizeof from, "%s%s", p, name);
    snprintf(base, sizeof base, "%s", to);
    ct2_one(f, s, ln, ".weight", base, "layer_norm/gamma");
    ct2_one(f, s, ln, ".bias", base, "layer_norm/beta");
    const struct tensor *w[3] = {find(s, from, ".query.weight"), find(s, from, ".key.weight"),
                                 find(s, from, ".value.weight")};
    const struct tensor *b[3] = {find(s, from, ".query.bias"), NULL, find(s, from, ".value.bias")};
    const size_t first = cross ? 1 : 3; /* tensors in linear_0 */
    snprintf(full, sizeof full, "%slinear_0/weight", base);
    ct2_stack(f, full, w, first);
    snprintf(full, sizeof full, "%slinear_0/bias", base);
    ct2_stack(f, full, b, first);
    if (cross) {
        snprintf(full, sizeof full, "%slinear_1/weight", base);
        ct2_stack(f, full, w + 1, 2);
        snprintf(full, sizeof full, "%slinear_1/bias", base);
        ct2_stack(f, full, b + 1, 2);
    }
    ct2_one(f, s, from, ".out.weight", base, cross ? "linear_2/weight" : "linear_1/weight");
    ct2_one(f, s, from, ".out.bias", base, cross ? "linear_2/bias" : "linear_1/bias");
}

static void ct2_side(FILE *f, const struct set *s, const char *side, size_t layers, bool cross)
{
    for (size_t l = 0; l < layers; l++) {
        char p[48], ln[64], to[64];
        snprintf(p, sizeof p, "%s.blocks.%zu.", side, l);
        snprintf(ln, sizeof ln, "%sattn_ln", p);
        snprintf(to, sizeof to, "%s/layer_%zu/self_attention/", side, l);
        ct2_attention(f, s, p, ln, "attn", to, false);
        if (cross) {
            snprintf(ln, sizeof ln, "%scross_attn_ln", p);
            snprintf(to, sizeof to, "%s/layer_%zu/attention/", side, l);
            ct2_attention(f, s, p, ln, "cross_attn", to, true);
        }
        snprintf(to, sizeof to, "%s/layer_%zu/ffn/", side, l);
        ct2_one(f, s, p, "mlp_ln.weight", to, "layer_norm/gamma");
        ct2_one(f, s, p, "mlp_ln.bias", to, "layer_norm/beta");
        ct2_one(f, s, p, "mlp.0.weight", to, "linear_0/weight");
        ct2_one(f, s, p, "mlp.0.bias", to, "linear_0/bias");
        ct2_one(f, s, p, "mlp.2.weight", to, "linear_1/weight");
        ct2_one(f, s, p, "mlp.2.bias", to, "linear_1/bias");
    }
}

static int write_ct2(const tiny_model *m, const struct set *s, const char *dir, FILE *f)
{
    char path[512];
    FILE *v;
    put(f, 6, 4);
    ct2_string(f, "WhisperSpec");
    put(f, 3, 4);
    put(f, 2 + 4 + 1 + 2 + 1 + 1 + 2 + 12 * m->audio_layers + 20 * m->text_layers, 4);
    ct2_string(f, "encoder/num_heads"); /* int16 scalar */
    put(f, 0, 1), put(f, 2, 1), put(f, 2, 4), put(f, m->heads, 2);
    ct2_string(f, "decoder/num_heads");
    put(f, 0, 1), put(f, 2, 1), put(f, 2, 4), put(f, m->heads, 2);
    ct2_one(f, s, "encoder.conv1", ".weight", "encoder/", "conv1/weight");
    ct2_one(f, s, "encoder.conv1", ".bias", "encoder/", "conv1/bias");
    ct2_one(f, s, "encoder.conv2", ".weight", "encoder/", "conv2/weight");
    ct2_one(f, s, "encoder.conv2", ".bias", "encoder/", "conv2/bias");
    ct2_one(f, s, "encoder", ".positional_embedding", "encoder/", "position_encodings/encodings");
    ct2_one(f, s, "encoder", ".ln_post.weight", "encoder/", "layer_norm/gamma");
    ct2_one(f, s, "encoder", ".ln_post.bias", "encoder/", "layer_norm/beta");
    ct2_one(f, s, "decoder", ".token_embedding.weight", "decoder/", "embeddings/weight");
    ct2_one(f, s, "decoder", ".positional_embedding", "decoder/", "position_encodings/encodings");
    ct2_one(f, s, "decoder", ".ln.weight", "decoder/", "layer_norm/gamma");
    ct2_one(f, s, "decoder", ".ln.bias", "decoder/", "layer_norm/beta");
    ct2_side(f, s, "encoder", m->audio_layers, false);
    ct2_side(f, s, "decoder", m->text_layers, true);
    put(f, 0, 4); /* aliases */
    snprintf(path, sizeof path, "%s/vocabulary.json", dir);
    v = fopen(path, "w");
    if (!v) return -1;
    fputc('[', v);
    for (size_t i = 0; i < ordinary_tokens(m); i++) {
        fputs(i ? ",\"" : "\"", v);
        put_mapped(v, i, true);
        fputc('"', v);
    }
    fputc(']', v);
    return fclose(v);
}

/* ---- ggml ---- */

static int write_ggml(const tiny_model *m, const struct set *s, const char *dir, FILE *f)
{
    const size_t header[] = {m->n_vocab, 1500,           m->width,  m->heads, m->audio_layers, m->text_ctx, m->width,
                             m->heads,   m->text_layers, m->n_mels, 1};
    (void)dir;
    put(f, 0x67676d6c, 4);
    for (size_t i = 0; i < sizeof header / sizeof header[0]; i++) put(f, header[i], 4);
    put(f, m->n_mels, 4), put(f, 201, 4);
    for (size_t i = 0; i < m->n_mels * 201; i++) {
        const float x = i % 201 == i / 201 ? 0.02f : 0.0f; /* any filter will do */
        fwrite(&x, sizeof x, 1, f);
    }
    put(f, ordinary_tokens(m), 4);
    for (size_t i = 0; i < ordinary_tokens(m); i++) {
        char raw[32];
        const size_t n = token_bytes(i, raw, sizeof raw);
        put(f, n, 4);
        fwrite(raw, 1, n, f);
    }
    for (size_t i = 0; i < s->n; i++) {
        const struct tensor *t = &s->tensors[i];
        const bool wide = t->rank == 1 || strstr(t->name, "positional");
        const bool column = strstr(t->name, "conv") && t->rank == 1; /* [n, 1] in ggml */
        const int rank = column ? 2 : t->rank;
        put(f, (uint64_t)rank, 4);
        put(f, strlen(t->name), 4);
        put(f, wide ? 0 : 1, 4);
        if (column) put(f, 1, 4);
        for (int d = t->rank; d-- > 0;) put(f, t->dims[d], 4);
        fputs(t->name, f);
        if (!wide) put_half(f, t);
        for (size_t k = 0; wide && k < t->n; k++) {
            const float x = from_half(t->half[k]);
            fwrite(&x, sizeof x, 1, f);
        }
    }
    return 0;
}

/* ---- Hugging Face ---- */

static void hf_name(const char *openai, char *out, size_t cap)
{
    static const char *const pairs[][2] = {
        {".blocks.", ".layers."},
        {"cross_attn_ln.", "encoder_attn_layer_norm."},
        {".attn_ln.", ".self_attn_layer_norm."},
        {"cross_attn.", "encoder_attn."},
        {".attn.", ".self_attn."},
        {"mlp_ln.", "final_layer_norm."},
        {"mlp.0.", "fc1."},
        {"mlp.2.", "fc2."},
        {".query.", ".q_proj."},
        {".key.", ".k_proj."},
        {".value.", ".v_proj."},
        {".out.", ".out_proj."},
        {"ln_post.", "layer_norm."},
        {"decoder.ln.", "decoder.layer_norm."},
        {"token_embedding.", "embed_tokens."},
        {"positional_embedding", "embed_positions.weight"},
    };
    char name[192];
    snprintf(name, sizeof name, "model.%s", openai);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char *at = strstr(name, pairs[i][0]), rest[192];
        if (!at) continue;
        snprintf(rest, sizeof rest, "%s", at + strlen(pairs[i][0]));
        snprintf(at, sizeof name - (size_t)(at - name), "%s%s", pairs[i][1], rest);
    }
    snprintf(out, cap, "%s", name);
}

static int write_hf(const tiny_model *m, const struct set *s, const char *dir, FILE *f)
{
    char *header = NULL, path[512];
    size_t header_bytes = 0, at = 0;
    FILE *h = open_memstream(&header, &header_bytes), *c;
    if (!h) return -1;
    fputs("{\"__metadata__\":{\"format\":\"pt\"}", h);
    for (size_t i = 0; i < s->n; i++) {
        const struct tensor *t = &s->tensors[i];
        char name[192];
        hf_name(t->name, name, sizeof name);
        fprintf(h, ",\"%s\":{\"dtype\":\"F16\",\"shape\":[%zu", name, t->dims[0]);
        for (int d = 1; d < t->rank; d++) fprintf(h, ",%zu", t->dims[d]);
        fprintf(h, "],\"data_offsets\":[%zu,%zu]}", at, at + t->n * 2);
        at += t->n * 2;
    }
    fputc('}', h);
    fclose(h);
    put(f, header_bytes, 8);
    fwrite(header, 1, header_bytes, f);
    free(header);
    for (size_t i = 0; i < s->n; i++) put_half(f, &s->tensors[i]);
    snprintf(path, sizeof path, "%s/config.json", dir);
    c = fopen(path, "w");
    if (!c) return -1;
    fprintf(c,
            "{\"num_mel_bins\":%zu,\"max_source_positions\":1500,\"d_model\":%zu,\"encoder_attention_heads\":%zu,"
            "\"encoder_layers\":%zu,\"vocab_size\":%zu,\"max_target_positions\":%zu,\"decoder_attention_heads\":%zu,"
            "\"decoder_layers\":%zu}\n",
            m->n_mels, m->width, m->heads, m->audio_layers, m->n_vocab, m->text_ctx, m->heads, m->text_layers);
    fclose(c);
    snprintf(path, sizeof path, "%s/vocab.json", dir);
    c = fopen(path, "w");
    if (!c) return -1;
    fputc('{', c);
    for (size_t i = 0; i < ordinary_tokens(m); i++) {
        fputs(i ? ",\"" : "\"", c);
        put_mapped(c, i, true);
        fprintf(c, "\":%zu", i);
    }
    fputc('}', c);
    return fclose(c);
}

int tiny_write(const tiny_model *m, tiny_format format, const char *dir, char *path, size_t cap)
{
    static const struct {
        const char *file;
        int (*write)(const tiny_model *m, const struct set *s, const char *dir, FILE *f);
    } formats[TINY_FORMATS] = {
        {"model.bin", write_ct2}, {"ggml-model.bin", write_ggml}, {"model.safetensors", write_hf}};
    struct set *s = make(m);
    FILE *f;
    int rc = -1;
    snprintf(path, cap, "%s/%s", dir, formats[format].file);
    f = fopen(path, "wb");
    if (f) {
        rc = formats[format].write(m, s, dir, f);
        if (fclose(f) != 0) rc = -1;
    }
    drop(s);
    return rc;
}

int tiny_directory(char *path, size_t cap)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, cap, "%s/sotto-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    return mkdtemp(path) ? 0 : -1;
}

void tiny_remove(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[800];
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.') unlink(path);
    }
    if (d) closedir(d);
    rmdir(dir);
}

int tiny_pair(const tiny_model *m, char dir[2][256], char path[2][512])
{
    tiny_model one = *m;
    for (int i = 0; i < 2; i++) {
        one.n_vocab = i ? 51865 : 51864;
        if (tiny_directory(dir[i], sizeof dir[i]) != 0 ||
            tiny_write(&one, TINY_CTRANSLATE2, dir[i], path[i], sizeof path[i]) != 0)
            return -1;
    }
    return 0;
}
