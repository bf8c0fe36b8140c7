/* SPDX-License-Identifier: MIT
 * An open model: parameters in f32 as the layers want them, tokenizer, mel filters. Immutable once opened.
 * D = state width, T = 1500 audio positions, V = vocabulary. */
#ifndef SOTTO_MODEL_MODEL_H
#define SOTTO_MODEL_MODEL_H

#include <pthread.h>

#include "model/batch.h"
#include "model/weights.h"
#include "nn/linear.h"
#include "token/tokenizer.h"

/* A transformer block. The cross_* fields are the decoder's only. All pointers lead into sotto_model.block. */
typedef struct sotto__block {
    float *self_norm_g, *self_norm_b;
    float *qkv_w, *qkv_b; /* [3D, D], [3D]: q, k, v; the k part of the bias is zero (Whisper's keys have none) */
    float *self_out_w, *self_out_b;
    float *cross_norm_g, *cross_norm_b;
    float *cross_q_w, *cross_q_b;
    float *cross_kv_w, *cross_kv_b; /* [2D, D], [2D] */
    float *cross_out_w, *cross_out_b;
    float *mlp_norm_g, *mlp_norm_b;
    float *up_w, *up_b;     /* [4D, D], [4D] */
    float *down_w, *down_b; /* [D, 4D], [D] */
} sotto__block;

typedef struct sotto__params {
    float *conv1_w, *conv1_b; /* [3, D, n_mels]: one matrix a tap */
    float *conv2_w, *conv2_b; /* [3, D, D] */
    float *audio_positions;   /* [T, D] */
    float *encoder_norm_g, *encoder_norm_b;
    float *embedding;      /* [V, D], input and output */
    float *text_positions; /* [n_text_ctx, D] */
    float *decoder_norm_g, *decoder_norm_b;
    sotto__block *encoder, *decoder; /* [n_audio_layer], [n_text_layer] */
} sotto__params;

struct sotto_model {
    sotto_model_info info;
    char *path;
    sotto__nn nn;
    sotto__params params;
    float *block; /* all parameters, one allocation */
    sotto__tokenizer *tokenizer;
    float *mel_filters;       /* [n_mels, 201] */
    int32_t *alignment_heads; /* pairs (layer, head) */
    size_t n_alignment_heads;
    sotto__desk *desk; /* where sessions meet; the one thing in here that changes, besides the peak */
    pthread_mutex_t peak_lock;
    double peak_gflops; /* 0 = not measured yet */
};

/* Checks names and shapes of all tensors in `w` against one table, fills model->params, the dimensions and the counts
 * in model->info. model->nn must be set. */
sotto_status sotto__bind(sotto_model *model, const sotto__weights *w, sotto_error *err);

#endif
