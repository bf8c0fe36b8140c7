/* SPDX-License-Identifier: MIT
 * Tokens -> logits, any number of sequences in one pass. Mirrors whisper.model.TextDecoder.forward with its key-value
 * cache. R = rows of the pass: the tokens of all steps, one after the other. */
#include "model/state.h"
#include "base/checked.h"
#include "base/error.h"
#include "nn/attention.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((int)SOTTO__EXACT_ROWS <= (int)SOTTO__ATTENTION_FEW_ROWS, "attention keeps rows apart");

/* The pass in flight. */
struct pass {
    sotto__runtime *rt;
    sotto__step *steps;
    size_t n_steps, rows;
    float *x, *xn, *att, *wide;  /* [R, D] x 3, [R, 4D] */
    sotto__attention *attention; /* [n_steps] */
    float **raw;                 /* [n_steps, H]: where raw cross-attention scores of a head go */
};

static sotto_status check_steps(const sotto__runtime *rt, const sotto__step *steps, size_t n, size_t *rows,
                                sotto_error *err)
{
    const sotto_model_info *info = &rt->model->info;
    *rows = 0;
    for (size_t i = 0; i < n; i++) {
        const sotto__step *s = &steps[i];
        if (s->n_tokens == 0 || s->n_tokens > s->seq->capacity - s->seq->length)
            return sotto__fail(err, SOTTO_EINTERNAL, "a decoder pass of %zu tokens after %zu, the context holds %zu",
                               s->n_tokens, s->seq->length, s->seq->capacity);
        if (s->n_logits > s->n_tokens)
            return sotto__fail(err, SOTTO_EINTERNAL, "logits of %zu positions asked of %zu tokens", s->n_logits,
                               s->n_tokens);
        for (size_t t = 0; t < s->n_tokens; t++) {
            if (s->tokens[t] < 0 || s->tokens[t] >= info->n_vocab)
                return sotto__fail(err, SOTTO_EINTERNAL, "token %d is outside the vocabulary of %d", s->tokens[t],
                                   info->n_vocab);
        }
        *rows += s->n_tokens;
    }
    return SOTTO_OK;
}

static sotto_status open_pass(struct pass *p, sotto_error *err)
{
    sotto__runtime *rt = p->rt;
    const size_t d = (size_t)rt->model->info.n_text_state, heads = (size_t)rt->model->info.n_text_head;
    if (p->rows > rt->rows_cap) {
        const size_t cap = p->rows + p->rows / 2 + 8;
        free(rt->rows);
        rt->rows_cap = 0;
        rt->rows = sotto__aligned(cap * 7 * d, sizeof(float));
        if (!rt->rows) return sotto__fail_nomem(err, "decoder scratch");
        rt->rows_cap = cap;
    }
    p->x = rt->rows;
    p->xn = p->x + p->rows * d;
    p->att = p->xn + p->rows * d;
    p->wide = p->att + p->rows * d;
    p->attention = calloc(p->n_steps, sizeof *p->attention);
    p->raw = calloc(p->n_steps * heads, sizeof *p->raw);
    return p->attention && p->raw ? SOTTO_OK : sotto__fail_nomem(err, "decoder scratch");
}

/* Token embeddings plus positions. */
static void embed(struct pass *p)
{
    sotto__runtime *rt = p->rt;
    const sotto_model *m = rt->model;
    const size_t d = (size_t)m->info.n_text_state;
    float *x = p->x;
    for (size_t i = 0; i < p->n_steps; i++) {
        const sotto__step *s = &p->steps[i];
        for (size_t t = 0; t < s->n_tokens; t++, x += d) {
            sotto__widen(m->nn.ops, m->embedding, (size_t)s->tokens[t] * d, d, x);
            m->nn.ops->add(x, m->params.text_positions + (s->seq->length + t) * d, d);
            rt->row_seen[s->tokens[t]] = 1;
        }
        if (s->seq->length + s->n_tokens > rt->positions_used) rt->positions_used = s->seq->length + s->n_tokens;
    }
    rt->counts.multiply_adds[SOTTO_PART_TOKEN_EMBEDDING] += (uint64_t)p->rows * d;
    rt->counts.multiply_adds[SOTTO_PART_DECODER_POSITIONS] += (uint64_t)p->rows * d;
    sotto__work(&m->nn, 2 * p->rows * d, false, p->rows * d * sizeof(float), 2 * p->rows * d * sizeof(float));
    sotto__lap_end(&m->nn, SOTTO__LAP_EMBED);
}

static void count_norm(struct pass *p, size_t rows)
{
    p->rt->counts.multiply_adds[SOTTO_PART_DECODER_NORM] +=
        (uint64_t)rows * 2 * (uint64_t)p->rt->model->info.n_text_state;
}

/* Appends this pass's keys and values (in wide, [R, 3D]) to the caches. */
static void append_kv(struct pass *p, size_t layer)
{
    const size_t d = (size_t)p->rt->model->info.n_text_state;
    const float *row = p->wide;
    for (size_t i = 0; i < p->n_steps; i++) {
        sotto__seq *s = p->steps[i].seq;
        const size_t plane = s->capacity * s->width;
        float *k = s->kv + 2 * layer * s->heads * plane, *v = k + s->heads * plane;
        for (size_t t = 0; t < p->steps[i].n_tokens; t++, row += 3 * d) {
            const size_t at = (s->length + t) * s->width;
            for (size_t h = 0; h < s->heads; h++) {
                memcpy(k + h * plane + at, row + d + h * s->width, s->width * sizeof(float));
                memcpy(v + h * plane + at, row + 2 * d + h * s->width, s->width * sizeof(float));
            }
        }
    }
}

/* x += out(attention(norm(x))) over each sequence's own past */
static void self_attention(struct pass *p, const sotto__block *b, size_t layer)
{
    sotto__runtime *rt = p->rt;
    const sotto_model *m = rt->model;
    const size_t d = (size_t)m->info.n_text_state, heads = (size_t)m->info.n_text_head, width = d / heads;
    size_t row = 0;
    sotto__norm_linear_run(&m->nn, &b->self_norm, &b->qkv, p->x, p->rows, p->xn, p->wide, 3 * d,
                           SOTTO__STORE); /* [R, 3D] */
    sotto__lap_end(&m->nn, SOTTO__LAP_QKV);
    append_kv(p, layer);
    sotto__lap_end(&m->nn, SOTTO__LAP_KEEP);
    for (size_t i = 0; i < p->n_steps; i++) {
        const sotto__step *s = &p->steps[i];
        const size_t plane = s->seq->capacity * width, keys = s->seq->length + s->n_tokens;
        const float *k = s->seq->kv + 2 * layer * heads * plane;
        p->attention[i] = (sotto__attention){.q = p->wide + row * 3 * d,
                                             .k = k,
                                             .v = k + heads * plane,
                                             .out = p->att + row * d,
                                             .ldq = 3 * d,
                                             .ldo = d,
                                             .k_head = plane,
                                             .k_row = width,
                                             .v_head = plane,
                                             .v_row = width,
                                             .rows = s->n_tokens,
                                             .keys = keys,
                                             .causal = true};
        row += s->n_tokens;
        rt->counts.mix_multiply_adds[SOTTO_MIX_DECODER_SELF] += 2 * (uint64_t)s->n_tokens * keys * d;
    }
    sotto__attention_run(&m->nn, p->attention, p->n_steps, heads, width, rt->scratch, rt->scratch_stride);
    sotto__lap_end(&m->nn, SOTTO__LAP_SELF);
    sotto__linear_run(&m->nn, &b->self_out, p->att, d, p->rows, p->x, d, SOTTO__RESIDUAL);
    sotto__lap_end(&m->nn, SOTTO__LAP_OUT);
    count_norm(p, p->rows);
    sotto__count_linear(rt, SOTTO_PART_DECODER_SELF_ATTENTION, &b->qkv, p->rows);
    sotto__count_linear(rt, SOTTO_PART_DECODER_SELF_ATTENTION, &b->self_out, p->rows);
}

/* x += out(attention(norm(x))) over the windows; neighbours that share a window read its keys and values once. */
static void cross_attention(struct pass *p, const sotto__block *b, size_t layer)
{
    sotto__runtime *rt = p->rt;
    const sotto_model *m = rt->model;
    const size_t d = (size_t)m->info.n_text_state, heads = (size_t)m->info.n_text_head, width = d / heads;
    const size_t all = (size_t)m->info.n_audio_ctx;
    size_t n = 0, row = 0;
    sotto__norm_linear_run(&m->nn, &b->cross_norm, &b->cross_q, p->x, p->rows, p->xn, p->wide, d,
                           SOTTO__STORE); /* [R, D] */
    sotto__lap_end(&m->nn, SOTTO__LAP_CROSS_Q);
    for (size_t i = 0; i < p->n_steps; i++) {
        const sotto__step *s = &p->steps[i];
        const size_t t = s->window->positions;
        const float *k = s->window->cross_kv ? s->window->cross_kv + 2 * layer * t * d : NULL;
        const sotto__packed *kv = NULL;
        if (s->window->packed_kv)
            kv = (const sotto__packed *)(const void *)(s->window->packed_kv + layer * s->window->kv_bytes);
        sotto__attention *last = n ? &p->attention[n - 1] : NULL;
        if (last && last->k == k && last->packed_k == kv && !last->raw && !s->cross_scores) {
            last->rows += s->n_tokens;
        } else {
            p->attention[n] = (sotto__attention){.q = p->wide + row * d,
                                                 .k = k,
                                                 .v = k ? k + t * d : NULL,
                                                 .packed_k = kv,
                                                 .packed_v = kv ? kv + heads : NULL,
                                                 .out = p->att + row * d,
                                                 .ldq = d,
                                                 .ldo = d,
                                                 .k_head = t * width,
                                                 .k_row = width,
                                                 .v_head = t * width,
                                                 .v_row = width,
                                                 .rows = s->n_tokens,
                                                 .keys = t,
                                                 .key_bias = s->window->sampled ? s->window->key_bias : NULL};
            if (s->cross_scores) {
                p->attention[n].raw = p->raw + i * heads;
                p->attention[n].raw_ld = all;
                for (size_t h = 0; h < heads; h++) {
                    const int32_t index = rt->alignment_index[layer * heads + h];
                    p->raw[i * heads + h] = index < 0 ? NULL : s->cross_scores + (size_t)index * s->n_tokens * all;
                }
            }
            n++;
        }
        row += s->n_tokens;
        rt->counts.mix_multiply_adds[SOTTO_MIX_DECODER_CROSS] += 2 * (uint64_t)s->n_tokens * t * d;
    }
    sotto__attention_run(&m->nn, p->attention, n, heads, width, rt->scratch, rt->scratch_stride);
    sotto__lap_end(&m->nn, SOTTO__LAP_CROSS);
    sotto__linear_run(&m->nn, &b->cross_out, p->att, d, p->rows, p->x, d, SOTTO__RESIDUAL);
    sotto__lap_end(&m->nn, SOTTO__LAP_CROSS_OUT);
    count_norm(p, p->rows);
    sotto__count_linear(rt, SOTTO_PART_DECODER_CROSS_ATTENTION, &b->cross_q, p->rows);
    sotto__count_linear(rt, SOTTO_PART_DECODER_CROSS_ATTENTION, &b->cross_out, p->rows);
}

static void mlp(struct pass *p, const sotto__block *b)
{
    const sotto_model *m = p->rt->model;
    const size_t d = (size_t)m->info.n_text_state;
    sotto__norm_linear_run(&m->nn, &b->mlp_norm, &b->up, p->x, p->rows, p->xn, p->wide, 4 * d,
                           SOTTO__GELU); /* [R, 4D] */
    sotto__lap_end(&m->nn, SOTTO__LAP_UP);
    sotto__linear_run(&m->nn, &b->down, p->wide, 4 * d, p->rows, p->x, d, SOTTO__RESIDUAL);
    sotto__lap_end(&m->nn, SOTTO__LAP_DOWN);
    count_norm(p, p->rows);
    sotto__count_linear(p->rt, SOTTO_PART_DECODER_MLP, &b->up, p->rows);
    sotto__count_linear(p->rt, SOTTO_PART_DECODER_MLP, &b->down, p->rows);
}

/* Last norm and vocabulary projection, for the positions that want logits. Runs of single-token steps whose logits lie
 * one after the other in memory are one product. */
static void project(struct pass *p)
{
    sotto__runtime *rt = p->rt;
    const sotto_model *m = rt->model;
    const size_t d = (size_t)m->info.n_text_state, v = (size_t)m->info.n_vocab;
    const sotto__norm *norm = &m->params.decoder_norm;
    const sotto__linear *logits = &m->params.embedding;
    size_t row = 0, total = 0;
    /* gather the wanted rows at the front of xn */
    for (size_t i = 0; i < p->n_steps; i++) {
        const sotto__step *s = &p->steps[i];
        const float *from = p->x + (row + s->n_tokens - s->n_logits) * d;
        if (s->n_logits) sotto__norm_run(&m->nn, norm, from, s->n_logits, p->xn + total * d);
        total += s->n_logits;
        row += s->n_tokens;
    }
    sotto__lap_end(&m->nn, SOTTO__LAP_ROWS);
    for (size_t i = 0, first = 0; i < p->n_steps;) {
        float *to = p->steps[i].logits;
        size_t n = p->steps[i].n_logits;
        for (i++; i < p->n_steps && p->steps[i].logits == to + n * v; i++) n += p->steps[i].n_logits;
        if (n) sotto__linear_run(&m->nn, logits, p->xn + first * d, d, n, to, v, SOTTO__STORE);
        first += n;
    }
    sotto__lap_end(&m->nn, SOTTO__LAP_LOGITS);
    count_norm(p, total);
    sotto__count_linear(rt, SOTTO_PART_TOKEN_EMBEDDING, logits, total);
    if (total) rt->logits_used = true;
}

sotto_status sotto__decoder_forward(sotto__runtime *rt, sotto__step *steps, size_t n_steps, sotto_stage stage,
                                    sotto_error *err)
{
    const double start = sotto__now_s();
    const sotto_model *m = rt->model;
    struct pass p = {.rt = rt, .steps = steps, .n_steps = n_steps};
    sotto_status st;
    if ((st = check_steps(rt, steps, n_steps, &p.rows, err)) != SOTTO_OK) return st;
    if ((st = open_pass(&p, err)) != SOTTO_OK) goto done;
    embed(&p);
    for (size_t l = 0; l < (size_t)m->info.n_text_layer; l++) {
        if ((st = sotto__check_cancel(rt, err)) != SOTTO_OK) goto done;
        self_attention(&p, &m->params.decoder[l], l);
        cross_attention(&p, &m->params.decoder[l], l);
        mlp(&p, &m->params.decoder[l]);
    }
    project(&p);
    for (size_t i = 0; i < n_steps; i++) steps[i].seq->length += steps[i].n_tokens;
    rt->decoder_used = true;
    rt->counts.decoder_steps++;
    rt->counts.stage_s[stage] += sotto__now_s() - start;
done:
    free(p.attention);
    free(p.raw);
    return st;
}
