/* SPDX-License-Identifier: MIT
 * An open model: parameters in f32 as the layers want them, tokenizer, mel filters. Immutable once opened.
 * D = state width, T = 1500 audio positions, V = vocabulary. */
#ifndef SOTTO_MODEL_MODEL_H
#define SOTTO_MODEL_MODEL_H

#include <pthread.h>
#include <stdatomic.h>

#include "model/batch.h"
#include "model/weights.h"
#include "nn/linear.h"
#include "token/tokenizer.h"

/* A transformer block. The cross_* fields are the decoder's only. */
typedef struct sotto__block {
    sotto__norm self_norm;
    sotto__linear qkv; /* [3D, D]: q, k, v; the k part of the bias is zero (Whisper's keys have none) */
    sotto__linear self_out;
    sotto__norm cross_norm;
    sotto__linear cross_q, cross_kv, cross_out; /* cross_kv: [2D, D] */
    sotto__norm mlp_norm;
    sotto__linear up, down;         /* [4D, D], [D, 4D] */
    size_t self_heads, cross_heads; /* H, or fewer where heads were taken out: layers then have so many times W in the
                                       place of D */
} sotto__block;

/* All pointers lead into sotto_model.arena or the weight file. */
typedef struct sotto__params {
    sotto__linear conv1, conv2;   /* [3, D, n_mels], [3, D, D]: one matrix a tap */
    const float *audio_positions; /* [T, D] */
    sotto__norm encoder_norm;
    sotto__linear embedding;     /* [V, D], input and output */
    const float *text_positions; /* [n_text_ctx, D] */
    sotto__norm decoder_norm;
    sotto__block *encoder, *decoder; /* [n_audio_layer], [n_text_layer] */
} sotto__params;

struct sotto_model {
    sotto_model_info info;
    char *path;
    sotto__nn nn;
    sotto__params params;
    unsigned char *arena; /* all parameters as they are computed with */
    size_t arena_bytes;
    bool arena_is_file;
    sotto__weights *weights;        /* the file, mapped */
    const sotto__tensor *embedding; /* [V, D] in the file: where token embeddings are looked up */
    /* where the vocabulary was trimmed, else NULL; in weights */
    const int32_t *token_rows; /* [V]: row of a token in the embedding, -1 = it has none */
    const int32_t *row_tokens; /* [rows of the embedding], ascending */
    sotto__linear *inners;     /* first factors of layers that have two */
    sotto_precision precision;
    sotto__tokenizer *tokenizer;
    float *mel_filters;       /* [n_mels, 201] */
    int32_t *alignment_heads; /* pairs (layer, head) */
    size_t n_alignment_heads;
    sotto__desk *desk; /* where sessions meet; the one thing in here that changes, besides the peak */
    pthread_mutex_t peak_lock;
    double peak_gflops;    /* 0 = not measured yet */
    double peak_gops;      /* of integer products; 0 = not measured yet */
    atomic_size_t helpers; /* sessions that work on parts of recordings */
};

/* y[n] = elements first … first + n - 1 of a tensor, in f32. */
void sotto__widen(const sotto__ops *ops, const sotto__tensor *t, size_t first, size_t n, float *y);

/* Checks names and shapes of all tensors in `w` against one table, fills model->params, the dimensions and the counts
 * in model->info. model->nn and precision must be set; `w` must outlive the model. */
sotto_status sotto__bind(sotto_model *model, const sotto__weights *w, bool cache, sotto_error *err);

/* ---- all parameters, one after the other ---- */

typedef enum sotto__where { SOTTO__GLOBAL, SOTTO__ENCODER, SOTTO__DECODER } sotto__where;

/* What of the network a tensor is. Norms, biases and what else is not named are OTHER. */
typedef enum sotto__piece {
    SOTTO__PIECE_OTHER,
    SOTTO__PIECE_CONV,
    SOTTO__PIECE_POSITIONS, /* the decoder's, which are learned; the encoder's are sinusoids and OTHER */
    SOTTO__PIECE_EMBEDDING,
    SOTTO__PIECE_QKV,
    SOTTO__PIECE_QKV_BIAS,
    SOTTO__PIECE_OUT,
    SOTTO__PIECE_CROSS_Q,
    SOTTO__PIECE_CROSS_Q_BIAS,
    SOTTO__PIECE_CROSS_KV,
    SOTTO__PIECE_CROSS_KV_BIAS,
    SOTTO__PIECE_CROSS_OUT,
    SOTTO__PIECE_UP,
    SOTTO__PIECE_UP_BIAS,
    SOTTO__PIECE_DOWN
} sotto__piece;

typedef struct sotto__param {
    char name[100]; /* as CTranslate2 calls it */
    sotto_part part;
    sotto__where where;
    size_t layer;
    sotto__piece piece;
    int rank;
    size_t shape[3];
    const float *values; /* of a model in f32; of a convolution [taps, out, in], though shape is [out, in, taps] */
    const sotto__linear *layer_of; /* NULL = no matrix of a layer */
} sotto__param;

/* Calls `see` for every parameter, in an order that is the same for every model of these layers. False ends it. */
void sotto__params_walk(const sotto_model *model, bool (*see)(void *user, const sotto__param *param), void *user);

#endif
