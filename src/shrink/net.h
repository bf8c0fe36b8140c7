/* SPDX-License-Identifier: MIT
 * A model's parameters as they are worked on: a copy of each tensor in floats, under its name in CTranslate2's files,
 * with what its inputs were while calibration audio was transcribed. Shrinking changes the copy; file.h writes it. */
#ifndef SOTTO_SHRINK_NET_H
#define SOTTO_SHRINK_NET_H

#include "model/model.h"
#include "shrink/coded.h"
#include "shrink/spec.h"

typedef struct sotto__tensor_copy {
    sotto__param param; /* name (layers counted as in the source), part, where, layer, piece, shape */
    float *values;      /* [out, in], NULL for a layer that was dropped */
    size_t out, in;     /* as they are now; param.shape is as it was. Vectors: [1, n] */
    float *gram;        /* [in, in] sum of x x^T over inputs x, or NULL */
    /* how it is to be stored */
    float *first; /* NULL, or the first of two factors [rank, in]; values are [out, rank] then */
    size_t rank;
    float *inner_gram;         /* [rank, rank] of what the first factor makes, or NULL */
    const sotto__term *coding; /* of kind CODES or HALF; NULL: as it is */
    uint8_t *rare;             /* NULL, or [out]: 1 for rows of rare_bits */
    double rare_bits;
} sotto__tensor_copy;

typedef struct sotto__net {
    const sotto_model *model;
    sotto__tensor_copy *tensors;
    size_t n;
    size_t n_audio_ctx;
    int32_t *tokens; /* ids that stay, ascending; NULL = all */
    size_t n_tokens;
    int32_t *heads; /* pairs (layer, head) of the alignment heads */
    size_t n_heads;
} sotto__net;

/* A copy of the model (in f32), with grams from `grams`, if given: [model's parameters] as sotto__params_walk goes. */
sotto_status sotto__net_open(sotto__net **out, const sotto_model *model, float *const *grams, sotto_error *err);
void sotto__net_free(sotto__net *net);

/* Does the tensor fit a scope ("decoder.1.mlp")? */
bool sotto__in_scope(const sotto__tensor_copy *t, const char *scope);
/* The piece of a layer, NULL if it has none (or no more). */
sotto__tensor_copy *sotto__net_find(sotto__net *net, sotto__where where, size_t layer, sotto__piece piece);
size_t sotto__net_layers(const sotto__net *net, sotto__where where); /* of the source */

/* reduce.c */
sotto_status sotto__drop_layers(sotto__net *net, const sotto__term *term, sotto_error *err);
sotto_status sotto__drop_heads(sotto__net *net, const sotto__term *term, sotto_error *err);
sotto_status sotto__drop_neurons(sotto__net *net, const sotto__term *term, sotto_error *err);
sotto_status sotto__shorten(sotto__net *net, const sotto__term *term, sotto_error *err);
/* vocabulary.c */
sotto_status sotto__trim_vocabulary(sotto__net *net, const sotto__term *term, sotto_error *err);
sotto_status sotto__mark_rare(sotto__net *net, const sotto__term *term, sotto_error *err);
/* matrices.c */
sotto_status sotto__factor_matrices(sotto__net *net, const sotto__term *term, sotto_error *err);
sotto_status sotto__prune_matrices(sotto__net *net, const sotto__term *term, sotto_error *err);
sotto_status sotto__choose_coding(sotto__net *net, const sotto__term *term, sotto_error *err);

/* calibrate.c: transcribes up to `seconds` of the audio in the folder (or file) `path` and sums each layer's inputs up:
 * grams[i] for the i-th parameter of sotto__params_walk, NULL for vectors; for free() each. */
sotto_status sotto__calibrate(sotto_model *model, const char *path, double seconds, float **grams, sotto_error *err);
size_t sotto__params_count(const sotto_model *model);

/* file.c: writes the net as `path`, *report is a JSON object. */
sotto_status sotto__net_write(const sotto__net *net, const char *spec, const char *path, char **report,
                              sotto_error *err);

#endif
