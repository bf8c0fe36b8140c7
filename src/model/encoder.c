/* SPDX-License-Identifier: MIT
 * mel -> encoder states -> cross-attention keys and values. Mirrors whisper.model.AudioEncoder.forward; the two
 * convolutions are three matrix products each, one a tap. */
#include "model/state.h"
#include "audio/features.h"
#include "base/checked.h"
#include "base/error.h"
#include "nn/attention.h"

#include <math.h>
#include <string.h>

enum { FRAMES = SOTTO__WINDOW_FRAMES };

static sotto_status make_scratch(sotto__runtime *rt, sotto_error *err)
{
    const sotto_model_info *info = &rt->model->info;
    const size_t mels = (size_t)info->n_mels, t = (size_t)info->n_audio_ctx, d = (size_t)info->n_audio_state;
    if (rt->work->wide) return SOTTO_OK;
    if (!rt->work->mel) rt->work->mel = sotto__aligned((FRAMES + 2) * mels, sizeof(float));
    if (!rt->work->conv) rt->work->conv = sotto__aligned((FRAMES + 2) * d, sizeof(float));
    if (!rt->work->x) rt->work->x = sotto__aligned(t * d, sizeof(float));
    if (!rt->work->xn) rt->work->xn = sotto__aligned(t * d, sizeof(float));
    if (!rt->work->mel || !rt->work->conv || !rt->work->x || !rt->work->xn)
        return sotto__fail_nomem(err, "encoder scratch");
    if (sotto__packs_attention(rt->model) && !rt->work->kv) {
        const size_t heads = (size_t)info->n_audio_head;
        rt->work->kv = sotto__aligned(sotto__kv_bytes(t, heads, d / heads, 16), 1);
        if (!rt->work->kv) return sotto__fail_nomem(err, "encoder scratch");
    }
    rt->work->wide = sotto__aligned(t * 4 * d, sizeof(float));
    return rt->work->wide ? SOTTO_OK : sotto__fail_nomem(err, "encoder scratch");
}

static void count_norm(sotto__runtime *rt, size_t rows)
{
    rt->counts.multiply_adds[SOTTO_PART_ENCODER_NORM] += (uint64_t)rows * 2 * (uint64_t)rt->model->info.n_audio_state;
}

/* Which positions of a window are computed: 0 … whole - 1, then `sampled` of the constant tail. */
struct plan {
    size_t whole, sampled, tail; /* tail: positions that the sampled ones stand for */
};

enum { MARGIN = 50 }; /* positions after the last frame that are always computed: 1 s */

static struct plan make_plan(size_t frames, size_t stride, size_t t)
{
    struct plan p = {t, 0, 0};
    const size_t whole = (frames + 1) / SOTTO__INPUT_STRIDE + MARGIN;
    if (stride <= 1 || whole >= t || (t - whole + stride / 2) / stride == 0) return p;
    p.whole = whole;
    p.tail = t - whole;
    p.sampled = (p.tail + stride / 2) / stride;
    return p;
}

/* The position of sampled row i: the middle of the stretch that it stands for. */
static size_t sampled_position(const struct plan *p, size_t i)
{
    return p->whole + (2 * i + 1) * p->tail / (2 * p->sampled);
}

/* mel [3000, n_mels] -> x [positions, D]: conv (width 3, stride 1), GELU, conv (width 3, stride 2), GELU, positions.
 * A position in the tail sees constant input only, like the last one of the margin, whose row it takes. */
static void stem(sotto__runtime *rt, const float *mel, const struct plan *p)
{
    const sotto_model *m = rt->model;
    const size_t mels = (size_t)m->info.n_mels, d = (size_t)m->info.n_audio_state, frames = 2 * p->whole;
    const size_t all = SOTTO__INPUT_STRIDE * (size_t)m->info.n_audio_ctx; /* frames of a window */
    const sotto__linear *conv1 = &m->params.conv1, *conv2 = &m->params.conv2;
    const size_t copied = frames < all ? frames + 1 : all;
    memset(rt->work->mel, 0, mels * sizeof(float));
    memcpy(rt->work->mel + mels, mel, copied * mels * sizeof(float));
    memset(rt->work->mel + (all + 1) * mels, 0, mels * sizeof(float));
    memset(rt->work->conv, 0, d * sizeof(float));
    memset(rt->work->conv + (all + 1) * d, 0, d * sizeof(float));
    sotto__lap_end(&m->nn, SOTTO__LAP_EMBED);
    sotto__linear_run(&m->nn, conv1, rt->work->mel, mels, frames, rt->work->conv + d, d, SOTTO__GELU);
    sotto__lap_end(&m->nn, SOTTO__LAP_CONV1);
    sotto__linear_run(&m->nn, conv2, rt->work->conv, 2 * d, p->whole, rt->work->x, d, SOTTO__GELU);
    sotto__lap_end(&m->nn, SOTTO__LAP_CONV2);
    for (size_t i = 0; i < p->sampled; i++) {
        float *row = rt->work->x + (p->whole + i) * d;
        memcpy(row, rt->work->x + (p->whole - 1) * d, d * sizeof(float));
        m->nn.ops->add(row, m->params.audio_positions + sampled_position(p, i) * d, d);
        rt->position_seen[sampled_position(p, i)] = 1;
    }
    memset(rt->position_seen, 1, p->whole);
    m->nn.ops->add(rt->work->x, m->params.audio_positions, p->whole * d);
    sotto__did(&m->nn, (p->whole + p->sampled) * d, SOTTO__ON_FLOATS, 2 * p->whole * d * sizeof(float),
               (p->whole + p->sampled) * d * sizeof(float));
    sotto__lap_end(&m->nn, SOTTO__LAP_EMBED);
    sotto__count_linear(rt, SOTTO_PART_CONV, conv1, frames);
    sotto__count_linear(rt, SOTTO_PART_CONV, conv2, p->whole);
    rt->counts.multiply_adds[SOTTO_PART_ENCODER_POSITIONS] += (uint64_t)(p->whole + p->sampled) * d;
}

static void block(sotto__runtime *rt, const sotto__block *b, const sotto__window *w)
{
    const sotto_model *m = rt->model;
    const size_t t = w->positions, d = (size_t)m->info.n_audio_state;
    const size_t heads = b->self_heads, width = d / (size_t)m->info.n_audio_head, a_width = heads * width;

    sotto__norm_linear_run(&m->nn, &b->self_norm, &b->qkv, rt->work->x, t, rt->work->xn, rt->work->wide, 3 * a_width,
                           SOTTO__STORE); /* [T, 3A] */
    sotto__lap_end(&m->nn, SOTTO__LAP_QKV);
    sotto__attention a = {.q = rt->work->wide,
                          .k = rt->work->wide + a_width,
                          .v = rt->work->wide + 2 * a_width,
                          .out = rt->work->xn,
                          .ldq = 3 * a_width,
                          .ldo = a_width,
                          .k_head = width,
                          .k_row = 3 * a_width,
                          .v_head = width,
                          .v_row = 3 * a_width,
                          .rows = t,
                          .keys = t,
                          .key_bias = w->sampled ? w->key_bias : NULL};
    if (rt->work->kv) {
        a.bytes = sotto__takes_bytes(&m->nn, &b->qkv);
        sotto__kv_pack(&m->nn, rt->work->kv, a.k, a.v, 3 * a_width, t, heads, width, a.bytes ? 8 : 16);
        a.packed_k = rt->work->kv;
        a.packed_v = rt->work->kv + heads;
        sotto__lap_end(&m->nn, SOTTO__LAP_KEEP);
    }
    sotto__attention_run(&m->nn, &a, 1, heads, width, rt->work->scratch, rt->work->scratch_stride); /* [T, A] */
    sotto__lap_end(&m->nn, SOTTO__LAP_SELF);
    sotto__linear_run(&m->nn, &b->self_out, rt->work->xn, a_width, t, rt->work->x, d, SOTTO__RESIDUAL);
    sotto__lap_end(&m->nn, SOTTO__LAP_OUT);
    sotto__mlp_run(&m->nn, &b->mlp_norm, &b->up, &b->down, rt->work->x, t, rt->work->xn, rt->work->wide, rt->work->x);
    sotto__lap_end(&m->nn, SOTTO__LAP_DOWN);

    count_norm(rt, 2 * t);
    sotto__count_linear(rt, SOTTO_PART_ENCODER_ATTENTION, &b->qkv, t);
    sotto__count_linear(rt, SOTTO_PART_ENCODER_ATTENTION, &b->self_out, t);
    sotto__count_linear(rt, SOTTO_PART_ENCODER_MLP, &b->up, t);
    sotto__count_linear(rt, SOTTO_PART_ENCODER_MLP, &b->down, t);
    rt->counts.mix_multiply_adds[SOTTO_MIX_ENCODER] += 2 * (uint64_t)t * t * a_width;
}

struct split_job {
    const float *from; /* [T, 2D] */
    float *to;         /* [2, H, T, W] */
    size_t t, heads, width;
};

static void split_head(void *arg, size_t index, int thread)
{
    const struct split_job *j = arg;
    float *to = j->to + index * j->t * j->width;
    (void)thread;
    for (size_t i = 0; i < j->t; i++)
        memcpy(to + i * j->width, j->from + i * 2 * j->heads * j->width + index * j->width, j->width * sizeof(float));
}

/* Keys and values of one decoder layer for the whole window. */
static void cross_kv(sotto__runtime *rt, const sotto__window *w, size_t layer)
{
    const sotto_model *m = rt->model;
    const sotto__block *b = &m->params.decoder[layer];
    const size_t t = w->positions, d = (size_t)m->info.n_audio_state;
    struct split_job j = {.from = rt->work->wide, .t = t, .heads = b->cross_heads};
    j.width = d / (size_t)m->info.n_text_head;
    const size_t a_width = j.heads * j.width;
    sotto__linear_run(&m->nn, &b->cross_kv, w->states, d, t, rt->work->wide, 2 * a_width, SOTTO__STORE); /* [T, 2A] */
    sotto__lap_end(&m->nn, SOTTO__LAP_CROSS_KV);
    if (w->packed_kv) {
        sotto__packed *kv = (sotto__packed *)(void *)(w->packed_kv + layer * w->kv_bytes);
        sotto__kv_pack(&m->nn, kv, rt->work->wide, rt->work->wide + a_width, 2 * a_width, t, j.heads, j.width, 8);
    } else {
        j.to = w->cross_kv + 2 * layer * t * d;
        sotto__did(&m->nn, 0, SOTTO__ON_FLOATS, 4 * t * a_width * sizeof(float), 0);
        sotto__pool_run(m->nn.pool, split_head, &j, 2 * j.heads);
    }
    sotto__lap_end(&m->nn, SOTTO__LAP_KEEP);
    sotto__count_linear(rt, SOTTO_PART_DECODER_CROSS_ATTENTION, &b->cross_kv, t);
}

sotto_status sotto__encoder_run(sotto__runtime *rt, const float *mel, size_t frames, int32_t tail_stride,
                                sotto__window *w, sotto_error *err)
{
    const double start = sotto__now_s();
    const sotto_model *m = rt->model;
    const struct plan plan =
        make_plan(frames, (size_t)(tail_stride > 1 ? tail_stride : 1), (size_t)m->info.n_audio_ctx);
    sotto_status st = make_scratch(rt, err);
    if (st != SOTTO_OK || (st = sotto__window_reserve(w, rt, plan.whole + plan.sampled, err)) != SOTTO_OK) return st;
    w->positions = plan.whole + plan.sampled;
    w->sampled = plan.sampled > 0;
    for (size_t i = 0; i < w->positions; i++)
        w->key_bias[i] = i < plan.whole ? 0.0f : logf((float)plan.tail / (float)plan.sampled);
    stem(rt, mel, &plan);
    for (int32_t l = 0; l < m->info.n_audio_layer; l++) {
        if ((st = sotto__check_cancel(rt, err)) != SOTTO_OK) return st;
        block(rt, &m->params.encoder[l], w);
    }
    sotto__norm_run(&m->nn, &m->params.encoder_norm, rt->work->x, w->positions, w->states);
    sotto__lap_end(&m->nn, SOTTO__LAP_ROWS);
    count_norm(rt, w->positions);
    for (size_t l = 0; l < (size_t)m->info.n_text_layer; l++) {
        if ((st = sotto__check_cancel(rt, err)) != SOTTO_OK) return st;
        cross_kv(rt, w, l);
    }
    rt->encoder_used = true;
    rt->counts.windows++;
    rt->counts.encoder_positions += w->positions;
    rt->counts.stage_s[SOTTO_STAGE_ENCODER] += sotto__now_s() - start;
    return SOTTO_OK;
}
