/* SPDX-License-Identifier: MIT
 * Runtime, window and sequence objects: memory and counters of one session. The arithmetic is in encoder.c, decoder.c.
 */
#include "model/state.h"
#include "base/error.h"
#include "base/wait.h"
#include "nn/attention.h"

#include <stdlib.h>
#include <string.h>

sotto_status sotto__runtime_open(sotto__runtime **out, sotto_model *model, sotto_error *err)
{
    const sotto_model_info *info = &model->info;
    const size_t heads = (size_t)info->n_text_layer * (size_t)info->n_text_head;
    sotto__runtime *rt = calloc(1, sizeof *rt);
    *out = NULL;
    if (!rt) return sotto__fail_nomem(err, "session");
    rt->model = model;
    rt->work = sotto__desk_work(model->desk);
    sotto__cond_open(&rt->wake);
    rt->row_seen = calloc((size_t)info->n_vocab, 1);
    rt->position_seen = calloc((size_t)info->n_audio_ctx, 1);
    rt->alignment_index = calloc(heads, sizeof *rt->alignment_index);
    if (!rt->row_seen || !rt->position_seen || !rt->alignment_index) {
        sotto__runtime_free(rt);
        return sotto__fail_nomem(err, "session");
    }
    for (size_t i = 0; i < heads; i++) rt->alignment_index[i] = -1;
    for (size_t i = 0; i < model->n_alignment_heads; i++)
        rt->alignment_index[model->alignment_heads[2 * i] * info->n_text_head + model->alignment_heads[2 * i + 1]] =
            (int32_t)i;
    *out = rt;
    return SOTTO_OK;
}

void sotto__runtime_free(sotto__runtime *rt)
{
    if (!rt) return;
    sotto__runtime_leave(rt);
    pthread_cond_destroy(&rt->wake);
    free(rt->row_seen);
    free(rt->position_seen);
    free(rt->alignment_index);
    free(rt);
}

size_t sotto__helpers_take(sotto_model *m, size_t wanted)
{
    enum { ALL = 8 };
    size_t taken = atomic_load(&m->helpers), n;
    do {
        n = taken >= ALL ? 1 : ALL - taken < wanted ? ALL - taken : wanted;
    } while (!atomic_compare_exchange_weak(&m->helpers, &taken, taken + n));
    return n;
}

void sotto__helpers_return(sotto_model *m, size_t n) { atomic_fetch_sub(&m->helpers, n); }

sotto_model *sotto__runtime_model(const sotto__runtime *rt) { return rt->model; }

const sotto_model_info *sotto__runtime_info(const sotto__runtime *rt) { return &rt->model->info; }

size_t sotto__runtime_window_frames(const sotto__runtime *rt)
{
    return 2 * (size_t)rt->model->info.n_audio_ctx; /* the second convolution's stride */
}

const sotto__tokenizer *sotto__runtime_tokenizer(const sotto__runtime *rt) { return rt->model->tokenizer; }

const float *sotto__runtime_mel_filters(const sotto__runtime *rt) { return rt->model->mel_filters; }

const int32_t *sotto__runtime_alignment_heads(const sotto__runtime *rt, size_t *n)
{
    *n = rt->model->n_alignment_heads;
    return rt->model->alignment_heads;
}

sotto_counts *sotto__runtime_counts(sotto__runtime *rt) { return &rt->counts; }

void sotto__runtime_touched_reset(sotto__runtime *rt)
{
    rt->encoder_used = rt->decoder_used = rt->logits_used = false;
    rt->positions_used = 0;
    memset(rt->row_seen, 0, (size_t)rt->model->info.n_vocab);
    memset(rt->position_seen, 0, (size_t)rt->model->info.n_audio_ctx);
}

void sotto__runtime_touched(const sotto__runtime *rt, uint64_t out[SOTTO_PART_COUNT])
{
    const sotto_model_info *info = &rt->model->info;
    uint64_t rows = 0, positions = 0;
    for (int32_t i = 0; i < info->n_vocab; i++) rows += rt->row_seen[i];
    for (int32_t i = 0; i < info->n_audio_ctx; i++) positions += rt->position_seen[i];
    for (int p = 0; p < SOTTO_PART_COUNT; p++) {
        const bool encoder = p == SOTTO_PART_CONV || p == SOTTO_PART_ENCODER_ATTENTION || p == SOTTO_PART_ENCODER_MLP ||
                             p == SOTTO_PART_ENCODER_NORM;
        out[p] = (encoder ? rt->encoder_used : rt->decoder_used) ? info->part_parameters[p] : 0;
    }
    out[SOTTO_PART_ENCODER_POSITIONS] = positions * (uint64_t)info->n_audio_state;
    out[SOTTO_PART_DECODER_POSITIONS] = rt->positions_used * (uint64_t)info->n_text_state;
    if (!rt->logits_used) out[SOTTO_PART_TOKEN_EMBEDDING] = rows * (uint64_t)info->n_text_state;
}

bool sotto__packs_attention(const sotto_model *m)
{
    enum { MAX_WIDTH = 256 };
    return m->precision >= SOTTO_PRECISION_INT16 && m->info.n_audio_state / m->info.n_audio_head <= MAX_WIDTH &&
           m->info.n_text_state / m->info.n_text_head <= MAX_WIDTH;
}

void sotto__runtime_absorb(sotto__runtime *rt, const sotto__runtime *other)
{
    const sotto_model_info *info = &rt->model->info;
    sotto_counts_add(&rt->counts, &other->counts);
    rt->encoder_used |= other->encoder_used;
    rt->decoder_used |= other->decoder_used;
    rt->logits_used |= other->logits_used;
    if (other->positions_used > rt->positions_used) rt->positions_used = other->positions_used;
    for (int32_t i = 0; i < info->n_vocab; i++) rt->row_seen[i] |= other->row_seen[i];
    for (int32_t i = 0; i < info->n_audio_ctx; i++) rt->position_seen[i] |= other->position_seen[i];
}

void sotto__runtime_set_background(sotto__runtime *rt, bool on) { rt->background = on; }

void sotto__runtime_cancel(sotto__runtime *rt, bool on) { atomic_store(&rt->cancelled, on); }

bool sotto__runtime_cancelled(const sotto__runtime *rt) { return atomic_load(&rt->cancelled); }

sotto_status sotto__check_cancel(const sotto__runtime *rt, sotto_error *err)
{
    return sotto__runtime_cancelled(rt) ? sotto__fail(err, SOTTO_ECANCELLED, "the transcription was cancelled")
                                        : SOTTO_OK;
}

void sotto__count_linear(sotto__runtime *rt, sotto_part part, const sotto__linear *layer, size_t rows)
{
    rt->counts.multiply_adds[part] +=
        (uint64_t)rows * (layer->taps * layer->in * layer->out + (layer->bias ? layer->out : 0));
    if (layer->inner) sotto__count_linear(rt, part, layer->inner, rows);
}

/* ---- windows ---- */

sotto_status sotto__window_create(sotto__window **out, const sotto__runtime *rt, sotto_error *err)
{
    const sotto_model_info *info = &rt->model->info;
    sotto__window *w = calloc(1, sizeof *w);
    *out = NULL;
    if (w) w->key_bias = sotto__aligned((size_t)info->n_audio_ctx, sizeof(float));
    if (!w || !w->key_bias) {
        sotto__window_free(w);
        return sotto__fail_nomem(err, "encoded window");
    }
    *out = w;
    return SOTTO_OK;
}

void sotto__window_free(sotto__window *w)
{
    if (!w) return;
    free(w->states);
    free(w->cross_kv);
    free(w->packed_kv);
    free(w->key_bias);
    free(w);
}

sotto_status sotto__window_reserve(sotto__window *w, const sotto__runtime *rt, size_t positions, sotto_error *err)
{
    const sotto_model_info *info = &rt->model->info;
    const size_t states = positions * (size_t)info->n_audio_state;
    if (positions <= w->capacity) return SOTTO_OK;
    const size_t layers = (size_t)info->n_text_layer, heads = (size_t)info->n_text_head;
    free(w->states);
    free(w->cross_kv);
    free(w->packed_kv);
    w->cross_kv = NULL;
    w->packed_kv = NULL;
    w->positions = w->capacity = 0;
    w->states = sotto__aligned(states, sizeof(float));
    if (sotto__packs_attention(rt->model)) {
        w->kv_bytes = sotto__kv_bytes(positions, heads, (size_t)info->n_text_state / heads, 8);
        w->packed_kv = sotto__aligned(layers, w->kv_bytes);
    } else {
        w->cross_kv = sotto__aligned(2 * layers * states, sizeof(float));
    }
    if (!w->states || (!w->cross_kv && !w->packed_kv)) return sotto__fail_nomem(err, "encoded window");
    w->capacity = positions;
    return SOTTO_OK;
}

size_t sotto__window_positions(const sotto__window *w) { return w->positions; }

const float *sotto__window_states(const sotto__window *w) { return w->states; }

/* ---- sequences ---- */

sotto_status sotto__seq_create(sotto__seq **out, const sotto__runtime *rt, sotto_error *err)
{
    const sotto_model_info *info = &rt->model->info;
    sotto__seq *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s) {
        s->capacity = (size_t)info->n_text_ctx;
        s->layers = (size_t)info->n_text_layer;
        s->heads = (size_t)info->n_text_head;
        s->width = (size_t)info->n_text_state / s->heads;
        s->kv = sotto__aligned(2 * s->layers * s->heads * s->capacity * s->width, sizeof(float));
    }
    if (!s || !s->kv) {
        sotto__seq_free(s);
        return sotto__fail_nomem(err, "sequence cache");
    }
    *out = s;
    return SOTTO_OK;
}

void sotto__seq_free(sotto__seq *s)
{
    if (!s) return;
    free(s->kv);
    free(s);
}

size_t sotto__seq_length(const sotto__seq *s) { return s->length; }

void sotto__seq_truncate(sotto__seq *s, size_t length)
{
    if (length < s->length) s->length = length;
}

void sotto__seq_copy(sotto__seq *dst, const sotto__seq *src)
{
    const size_t planes = 2 * src->layers * src->heads, plane = src->capacity * src->width;
    if (dst == src) return;
    for (size_t i = 0; i < planes; i++)
        memcpy(dst->kv + i * plane, src->kv + i * plane, src->length * src->width * sizeof(float));
    dst->length = src->length;
}
