/* SPDX-License-Identifier: MIT
 * The memory that parameters are computed with: which form each matrix has at a precision, where it lies, and how it is
 * made from the weight file's tensors. */
#ifndef SOTTO_MODEL_ARENA_H
#define SOTTO_MODEL_ARENA_H

#include "model/model.h"

typedef enum sotto__form { SOTTO__FLOATS, SOTTO__HALVES, SOTTO__PACKED16, SOTTO__PACKED8, SOTTO__PACKED4 } sotto__form;

/* Where a layer stands. Fine: the decoder's layers that few bits harm, which are those that write into the residual
 * stream and the queries of cross-attention. */
typedef enum sotto__place {
    SOTTO__IN_ENCODER, /* and keys and values of cross-attention: once a window */
    SOTTO__IN_DECODER,
    SOTTO__IN_DECODER_FINE,
    SOTTO__IN_VOCABULARY,
    SOTTO__PLACES
} sotto__place;

/* A vector, or the weights of a layer. */
typedef struct sotto__field {
    const float **to;              /* the pointer in params or a block */
    size_t size;                   /* values */
    sotto__linear *linear;         /* the layer whose weights it is; NULL = a vector */
    sotto__place place;            /* of a layer */
    const sotto__tensor *slice[3]; /* tensors that it is made of, along its first dimension; NULL = zeros */
    int slices;
    /* set by sotto__arena_fill */
    sotto__form form;
    size_t at, scales_at, bytes; /* offsets and size in the arena */
} sotto__field;

typedef struct sotto__fields {
    sotto__field *items;
    size_t n, cap;
} sotto__fields;

/* Makes model->arena in model->precision from the fields' tensors or, with `cache`, maps the file that an earlier run
 * left beside the model (cache.h; it is written here when there is none), and points all fields' layers into it. Sets
 * info.resident_bytes. SOTTO_ENOMEM. */
sotto_status sotto__arena_fill(sotto_model *model, const sotto__weights *w, const sotto__fields *fields, bool cache,
                               sotto_error *err);
void sotto__arena_release(sotto_model *model);

#endif
