/* SPDX-License-Identifier: MIT
 * Tokens -> logits, any number of sequences of any number of sessions in one pass. Mirrors
 * whisper.model.TextDecoder.forward with its key-value cache. R = rows of the pass: the tokens of all steps, one after
 * the other. */
#include "model/state.h"
#include "base/checked.h"
#include "base/error.h"
#include "nn/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One step of the pass, and whose it is. */
struct part {
    sotto__step *step;
    sotto__request *from;
};

/* The pass in flight. Steps of few tokens come first: their rows go through the layers together, each by itself; longer
 * ones are matrix products of their own. So a step's rows are the same whatever else is in the pass. */
struct pass {
    sotto_model *model;
    sotto__work *work;
    sotto__request *requests;
    struct part *parts; /* [n_parts] */
    size_t n_parts, n_few, rows, few_rows;
    float *x, *xn, *att, *wide;  /* [R, D] x 3, [R, 4D] */
    sotto__attention *attention; /* [n_parts] */
    float **raw;                 /* [n_parts, H]: where raw cross-attention scores of a head go */
    float **to;                  /* [few_rows]: where logits go */
};

sotto_status sotto__decoder_check(sotto__request *r)
{
    const sotto_model_info *info = &r->rt->model->info;
    r->rows = 0;
    if (r->n_steps == 0) return sotto__fail(r->err, SOTTO_EINTERNAL, "a decoder pass without steps");
    for (size_t i = 0; i < r->n_steps; i++) {
        const sotto__step *s = &r->steps[i];
        if (s->n_tokens == 0 || s->n_tokens > s->seq->capacity - s->seq->length)
            return sotto__fail(r->err, SOTTO_EINTERNAL, "a decoder pass of %zu tokens after %zu, the context holds %zu",
                               s->n_tokens, s->seq->length, s->seq->capacity);
        if (s->n_logits > s->n_tokens)
            return sotto__fail(r->err, SOTTO_EINTERNAL, "logits of %zu positions asked of %zu tokens", s->n_logits,
                               s->n_tokens);
        for (size_t t = 0; t < s->n_tokens; t++) {
            if (s->tokens[t] < 0 || s->tokens[t] >= info->n_vocab)
                return sotto__fail(r->err, SOTTO_EINTERNAL, "token %d is outside the vocabulary of %d", s->tokens[t],
                                   info->n_vocab);
        }
        r->rows += s->n_tokens;
    }
    return SOTTO_OK;
}

static bool is_few(const sotto__step *s) { return s->n_tokens <= SOTTO__FEW_ROWS; }

/* Fills in the steps that are few, or those that are not, from p->parts[at] on. */
static size_t place(struct pass *p, bool few, size_t at)
{
    for (sotto__request *r = p->requests; r; r = r->next)
        for (size_t i = 0; i < r->n_steps; i++)
            if (is_few(&r->steps[i]) == few) p->parts[at++] = (struct part){&r->steps[i], r};
    return at;
}

static bool open_pass(struct pass *p)
{
    sotto__work *work = p->work;
    const size_t d = (size_t)p->model->info.n_text_state, heads = (size_t)p->model->info.n_text_head;
    for (const sotto__request *r = p->requests; r; r = r->next) {
        p->rows += r->rows;
        p->n_parts += r->n_steps;
    }
    if (p->rows > work->rows_cap) {
        const size_t cap = p->rows + p->rows / 2 + 8;
        free(work->rows);
        work->rows_cap = 0;
        work->rows = sotto__aligned(cap * 7 * d, sizeof(float));
        if (!work->rows) return false;
        work->rows_cap = cap;
    }
    p->x = work->rows;
    p->xn = p->x + p->rows * d;
    p->att = p->xn + p->rows * d;
    p->wide = p->att + p->rows * d;
    p->parts = calloc(p->n_parts, sizeof *p->parts);
    p->attention = calloc(p->n_parts, sizeof *p->attention);
    p->raw = calloc(p->n_parts * heads, sizeof *p->raw);
    p->to = calloc(p->rows, sizeof *p->to);
    if (!p->parts || !p->attention || !p->raw || !p->to) return false;
    p->n_few = place(p, true, 0);
    place(p, false, p->n_few);
    for (size_t i = 0; i < p->n_few; i++) p->few_rows += p->parts[i].step->n_tokens;
    return true;
}

static void close_pass(struct pass *p)
{
    free(p->parts);
    free(p->attention);
    free(p->raw);
    free(p->to);
}

/* Row of the embedding. Where the vocabulary was trimmed, a token without one, as a guessed one may be, is the end of
 * text: its logits are minus infinity, so that nothing builds on it. */
static size_t row_of(const sotto_model *m, int32_t token)
{
    if (!m->token_rows) return (size_t)token;
    const int32_t row = m->token_rows[token];
    return (size_t)(row >= 0 ? row : m->token_rows[sotto__tokenizer_specials(m->tokenizer)->eot]);
}

/* Token embeddings plus positions. */
static void embed(struct pass *p)
{
    const sotto_model *m = p->model;
    const size_t d = (size_t)m->info.n_text_state;
    float *x = p->x;
    for (size_t i = 0; i < p->n_parts; i++) {
        const sotto__step *s = p->parts[i].step;
        sotto__runtime *rt = p->parts[i].from->rt;
        for (size_t t = 0; t < s->n_tokens; t++, x += d) {
            sotto__widen(m->nn.ops, m->embedding, row_of(m, s->tokens[t]) * d, d, x);
            m->nn.ops->add(x, m->params.text_positions + (s->seq->length + t) * d, d);
            rt->row_seen[s->tokens[t]] = 1;
        }
        if (s->seq->length + s->n_tokens > rt->positions_used) rt->positions_used = s->seq->length + s->n_tokens;
    }
    for (sotto__request *r = p->requests; r; r = r->next) {
        r->rt->counts.multiply_adds[SOTTO_PART_TOKEN_EMBEDDING] += (uint64_t)r->rows * d;
        r->rt->counts.multiply_adds[SOTTO_PART_DECODER_POSITIONS] += (uint64_t)r->rows * d;
    }
    sotto__did(&m->nn, 2 * p->rows * d, SOTTO__ON_FLOATS, p->rows * d * sizeof(float), 2 * p->rows * d * sizeof(float));
    sotto__lap_end(&m->nn, SOTTO__LAP_EMBED);
}

/* All rows through a layer, after `norm` if there is one; ldx and ldy are its widths. Sums of integers are the same for
 * any number of rows, so packed layers take them all at once. */
static void linear(struct pass *p, const sotto__norm *norm, const sotto__linear *layer, const float *x, float *y,
                   sotto__epilogue epilogue)
{
    const sotto__nn *nn = &p->model->nn;
    const size_t in = sotto__linear_in(layer);
    size_t row = p->few_rows;
    if (layer->packed.data) {
        if (norm)
            sotto__norm_linear_run(nn, norm, layer, x, p->rows, NULL, y, layer->out, epilogue);
        else
            sotto__linear_run(nn, layer, x, in, p->rows, y, layer->out, epilogue);
        return;
    }
    if (norm) {
        sotto__norm_run(nn, norm, x, p->rows, p->xn);
        x = p->xn;
    }
    sotto__linear_each(nn, layer, x, in, p->few_rows, y, layer->out, NULL, epilogue);
    for (size_t i = p->n_few; i < p->n_parts; i++) {
        const size_t n = p->parts[i].step->n_tokens;
        sotto__linear_run(nn, layer, x + row * in, in, n, y + row * layer->out, layer->out, epilogue);
        row += n;
    }
}

static void count_norm(sotto__runtime *rt, size_t rows)
{
    rt->counts.multiply_adds[SOTTO_PART_DECODER_NORM] += (uint64_t)rows * 2 * (uint64_t)rt->model->info.n_text_state;
}

/* A norm and two layers over all rows, each request its own. */
static void count(struct pass *p, sotto_part part, const sotto__linear *first, const sotto__linear *second)
{
    for (sotto__request *r = p->requests; r; r = r->next) {
        count_norm(r->rt, r->rows);
        sotto__count_linear(r->rt, part, first, r->rows);
        sotto__count_linear(r->rt, part, second, r->rows);
    }
}

/* Appends this pass's keys and values (in wide, [R, 3A], A = heads * W) to the caches. */
static void append_kv(struct pass *p, size_t layer)
{
    const size_t heads = p->model->params.decoder[layer].self_heads;
    const float *row = p->wide;
    for (size_t i = 0; i < p->n_parts; i++) {
        sotto__seq *s = p->parts[i].step->seq;
        const size_t plane = s->capacity * s->width;
        float *k = s->kv + 2 * layer * s->heads * plane, *v = k + s->heads * plane;
        for (size_t t = 0; t < p->parts[i].step->n_tokens; t++, row += 3 * heads * s->width) {
            const size_t at = (s->length + t) * s->width;
            for (size_t h = 0; h < heads; h++) {
                memcpy(k + h * plane + at, row + (heads + h) * s->width, s->width * sizeof(float));
                memcpy(v + h * plane + at, row + (2 * heads + h) * s->width, s->width * sizeof(float));
            }
        }
    }
}

/* x += out(attention(norm(x))) over each sequence's own past */
static void self_attention(struct pass *p, const sotto__block *b, size_t layer)
{
    const sotto_model *m = p->model;
    const size_t width = (size_t)(m->info.n_text_state / m->info.n_text_head), heads = b->self_heads, d = heads * width;
    size_t row = 0;
    linear(p, &b->self_norm, &b->qkv, p->x, p->wide, SOTTO__STORE); /* [R, 3A] */
    sotto__lap_end(&m->nn, SOTTO__LAP_QKV);
    append_kv(p, layer);
    sotto__lap_end(&m->nn, SOTTO__LAP_KEEP);
    for (size_t i = 0; i < p->n_parts; i++) {
        const sotto__step *s = p->parts[i].step;
        const size_t plane = s->seq->capacity * width, keys = s->seq->length + s->n_tokens;
        const float *k = s->seq->kv + 2 * layer * s->seq->heads * plane;
        p->attention[i] = (sotto__attention){.q = p->wide + row * 3 * d,
                                             .k = k,
                                             .v = k + s->seq->heads * plane,
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
        p->parts[i].from->rt->counts.mix_multiply_adds[SOTTO_MIX_DECODER_SELF] += 2 * (uint64_t)s->n_tokens * keys * d;
    }
    sotto__attention_run(&m->nn, p->attention, p->n_parts, heads, width, p->work->scratch, p->work->scratch_stride);
    sotto__lap_end(&m->nn, SOTTO__LAP_SELF);
    linear(p, NULL, &b->self_out, p->att, p->x, SOTTO__RESIDUAL);
    sotto__lap_end(&m->nn, SOTTO__LAP_OUT);
    count(p, SOTTO_PART_DECODER_SELF_ATTENTION, &b->qkv, &b->self_out);
}

/* x += out(attention(norm(x))) over the windows; neighbours of a request that share a window read its keys and values
 * once. */
static void cross_attention(struct pass *p, const sotto__block *b, size_t layer)
{
    const sotto_model *m = p->model;
    const size_t width = (size_t)(m->info.n_text_state / m->info.n_text_head), heads = b->cross_heads,
                 d = heads * width;
    const size_t all = (size_t)m->info.n_audio_ctx, most = (size_t)m->info.n_text_head;
    size_t n = 0, row = 0;
    linear(p, &b->cross_norm, &b->cross_q, p->x, p->wide, SOTTO__STORE); /* [R, A] */
    sotto__lap_end(&m->nn, SOTTO__LAP_CROSS_Q);
    for (size_t i = 0; i < p->n_parts; i++) {
        const sotto__step *s = p->parts[i].step;
        const size_t t = s->window->positions;
        const float *k = s->window->cross_kv ? s->window->cross_kv + 2 * layer * t * most * width : NULL;
        const sotto__packed *kv = NULL;
        if (s->window->packed_kv)
            kv = (const sotto__packed *)(const void *)(s->window->packed_kv + layer * s->window->kv_bytes);
        sotto__attention *last = i && p->parts[i - 1].from == p->parts[i].from ? &p->attention[n - 1] : NULL;
        if (i < p->n_few && last && last->k == k && last->packed_k == kv && !last->raw && !s->cross_scores) {
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
                    const int32_t index = p->parts[i].from->rt->alignment_index[layer * most + h];
                    p->raw[i * heads + h] = index < 0 ? NULL : s->cross_scores + (size_t)index * s->n_tokens * all;
                }
            }
            n++;
        }
        row += s->n_tokens;
        p->parts[i].from->rt->counts.mix_multiply_adds[SOTTO_MIX_DECODER_CROSS] += 2 * (uint64_t)s->n_tokens * t * d;
    }
    sotto__attention_run(&m->nn, p->attention, n, heads, width, p->work->scratch, p->work->scratch_stride);
    sotto__lap_end(&m->nn, SOTTO__LAP_CROSS);
    linear(p, NULL, &b->cross_out, p->att, p->x, SOTTO__RESIDUAL);
    sotto__lap_end(&m->nn, SOTTO__LAP_CROSS_OUT);
    count(p, SOTTO_PART_DECODER_CROSS_ATTENTION, &b->cross_q, &b->cross_out);
}

static void mlp(struct pass *p, const sotto__block *b)
{
    linear(p, &b->mlp_norm, &b->up, p->x, p->wide, SOTTO__GELU); /* [R, 4D] */
    sotto__lap_end(&p->model->nn, SOTTO__LAP_UP);
    linear(p, NULL, &b->down, p->wide, p->x, SOTTO__RESIDUAL);
    sotto__lap_end(&p->model->nn, SOTTO__LAP_DOWN);
    count(p, SOTTO_PART_DECODER_MLP, &b->up, &b->down);
}

/* Logits by row of a trimmed embedding -> logits by token, minus infinity where a token has no row. In place, from the
 * end: a row's token is never less than the row. */
static void spread(const sotto_model *m, float *logits)
{
    size_t v = (size_t)m->info.n_vocab;
    if (!m->row_tokens) return;
    for (size_t row = m->params.embedding.out; row-- > 0;) {
        const size_t token = (size_t)m->row_tokens[row];
        const float x = logits[row];
        while (v > token + 1) logits[--v] = -INFINITY;
        logits[--v] = x;
    }
    while (v > 0) logits[--v] = -INFINITY;
}

/* Last norm and vocabulary projection, for the positions that want logits: where they are few, all together. */
static void project(struct pass *p)
{
    const sotto_model *m = p->model;
    const size_t d = (size_t)m->info.n_text_state, v = (size_t)m->info.n_vocab;
    size_t row = 0, few = 0;
    for (size_t i = 0; i < p->n_parts; i++) {
        const sotto__step *s = p->parts[i].step;
        sotto__runtime *rt = p->parts[i].from->rt;
        const float *from = p->x + (row + s->n_tokens - s->n_logits) * d;
        row += s->n_tokens;
        if (!s->n_logits) continue;
        count_norm(rt, s->n_logits);
        sotto__count_linear(rt, SOTTO_PART_TOKEN_EMBEDDING, &m->params.embedding, s->n_logits);
        rt->logits_used = true;
        if (s->n_logits <= SOTTO__FEW_ROWS) { /* gathered at the front of xn */
            sotto__norm_run(&m->nn, &m->params.decoder_norm, from, s->n_logits, p->xn + few * d);
            for (size_t t = 0; t < s->n_logits; t++) p->to[few++] = s->logits + t * v;
        } else {
            sotto__norm_run(&m->nn, &m->params.decoder_norm, from, s->n_logits, p->att);
            sotto__linear_run(&m->nn, &m->params.embedding, p->att, d, s->n_logits, s->logits, v, SOTTO__STORE);
            for (size_t t = 0; t < s->n_logits; t++) spread(m, s->logits + t * v);
        }
    }
    sotto__lap_end(&m->nn, SOTTO__LAP_ROWS);
    sotto__linear_each(&m->nn, &m->params.embedding, p->xn, d, few, NULL, 0, p->to, SOTTO__STORE);
    for (size_t t = 0; t < few; t++) spread(m, p->to[t]);
    sotto__lap_end(&m->nn, SOTTO__LAP_LOGITS);
}

static bool all_cancelled(const struct pass *p)
{
    const sotto__request *r = p->requests;
    while (r && sotto__runtime_cancelled(r->rt)) r = r->next;
    return !r;
}

/* The tokens are in the caches; seconds are shared out by rows. */
static void conclude(struct pass *p, double seconds)
{
    for (sotto__request *r = p->requests; r; r = r->next) {
        for (size_t i = 0; i < r->n_steps; i++) r->steps[i].seq->length += r->steps[i].n_tokens;
        r->rt->decoder_used = true;
        r->rt->counts.decoder_steps++;
        r->rt->counts.stage_s[r->stage] += seconds * (double)r->rows / (double)p->rows;
        r->status = SOTTO_OK;
    }
}

void sotto__decoder_run(sotto_model *model, sotto__request *requests)
{
    const double start = sotto__now_s();
    struct pass p = {.model = model, .work = sotto__desk_work(model->desk), .requests = requests};
    if (!open_pass(&p)) {
        for (sotto__request *r = requests; r; r = r->next) r->status = sotto__fail_nomem(r->err, "decoder scratch");
        close_pass(&p);
        return;
    }
    embed(&p);
    for (size_t l = 0; l < (size_t)model->info.n_text_layer; l++) {
        if (all_cancelled(&p)) {
            for (sotto__request *r = requests; r; r = r->next) r->status = sotto__check_cancel(r->rt, r->err);
            close_pass(&p);
            return;
        }
        self_attention(&p, &model->params.decoder[l], l);
        cross_attention(&p, &model->params.decoder[l], l);
        mlp(&p, &model->params.decoder[l]);
    }
    project(&p);
    conclude(&p, sotto__now_s() - start);
    close_pass(&p);
}
