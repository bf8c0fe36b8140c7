/* SPDX-License-Identifier: MIT
 * The structs behind runtime.h, shared by runtime.c, batch.c, encoder.c and decoder.c only. T = 1500 audio positions, D
 * = state width, H = heads, W = D / H. */
#ifndef SOTTO_MODEL_STATE_H
#define SOTTO_MODEL_STATE_H

#include <stdatomic.h>

#include "model/batch.h"
#include "model/model.h"
#include "model/runtime.h"

struct sotto__window {
    size_t positions;         /* computed: n <= T */
    size_t capacity;          /* positions that there is room for */
    float *states;            /* [n, D]: encoder output */
    float *cross_kv;          /* [n_text_layer, 2, H, n, W]: keys, then values, each head contiguous */
    unsigned char *packed_kv; /* instead of cross_kv: [n_text_layer, kv_bytes], keys and values of 8 bits */
    size_t kv_bytes;
    float *key_bias; /* [T]: 0, or the logarithm of how many positions a sampled one stands for */
    bool sampled;    /* key_bias has something other than 0 */
};

struct sotto__seq {
    float *kv; /* [n_text_layer, 2, H, n_text_ctx, W] */
    size_t length, capacity, layers, heads, width;
};

/* Scratch memory of a model, of use to one encoding or decoder pass at a time: whoever executes at the desk. */
typedef struct sotto__work {
    float *scratch; /* [threads, attention scratch] */
    size_t scratch_stride;
    /* the encoder's, made at the first encode */
    float *mel;        /* [3002, n_mels]: a zero row before and after */
    float *conv;       /* [3002, D]: the same */
    float *x, *xn;     /* [T, D] */
    float *wide;       /* [T, 4D]: q, k, v or the MLP's hidden layer */
    sotto__packed *kv; /* keys and values of a layer, 16 bits; NULL = attention in f32 */
    /* the decoder's, grown to the rows of the largest pass */
    float *rows; /* per row: x, xn, attention out [D each], q k v / hidden [4D] */
    size_t rows_cap;
} sotto__work;

struct sotto__runtime {
    sotto_model *model;
    sotto__work *work; /* the desk's */
    sotto_counts counts;
    atomic_bool cancelled;
    /* the desk's, under its lock */
    pthread_cond_t wake;
    uint64_t joined; /* round of the desk in which it is expected to go on decoding; 0 = it is not */
    bool present;    /* counted among those in the foreground */
    /* its owner's */
    bool background;
    /* touched since reset */
    bool encoder_used, decoder_used, logits_used;
    size_t positions_used;        /* decoder positions 0 … n-1 */
    unsigned char *position_seen; /* [T]: encoder positions computed */
    unsigned char *row_seen;      /* [V]: token embeddings looked up */
    int32_t *alignment_index;     /* [n_text_layer, H]: index among the alignment heads, -1 = none */
};

/* What a session hands to the desk: a window to encode, or its share of a decoder pass. */
typedef struct sotto__request sotto__request;
struct sotto__request {
    sotto__runtime *rt;
    sotto_error *err;
    sotto_status status;
    bool done, background;
    sotto__request *next;
    /* a decoder pass, where there are steps */
    sotto__step *steps;
    size_t n_steps, rows; /* rows: tokens of all steps */
    sotto_stage stage;
    /* an encoding */
    const float *mel;
    size_t frames;
    int32_t tail_stride;
    sotto__window *window;
};

/* Encodes now; what sotto__encode promises. */
sotto_status sotto__encoder_run(sotto__runtime *rt, const float *mel, size_t frames, int32_t tail_stride,
                                sotto__window *w, sotto_error *err);
/* Room for `positions`; the window's content is lost. */
sotto_status sotto__window_reserve(sotto__window *w, const sotto__runtime *rt, size_t positions, sotto_error *err);

/* Are the steps possible? Sets request->rows. */
sotto_status sotto__decoder_check(sotto__request *request);
/* One pass over the steps of all requests in the list; sets the status of each. */
void sotto__decoder_run(sotto_model *model, sotto__request *requests);

/* Whether attention over the window works on integers: where the weights do, and heads are no wider than it takes. */
bool sotto__packs_attention(const sotto_model *m);

/* SOTTO_ECANCELLED when the flag is set. */
sotto_status sotto__check_cancel(const sotto__runtime *rt, sotto_error *err);

/* Multiply-adds of `rows` rows through a linear layer; a bias counts one each, like every addition of a parameter. */
void sotto__count_linear(sotto__runtime *rt, sotto_part part, const sotto__linear *layer, size_t rows);

#endif
