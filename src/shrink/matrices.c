/* SPDX-License-Identifier: MIT
 * Single matrices: two thin ones in their place, zeros in them, fewer bits for them. */
#include "shrink/low_rank.h"
#include "shrink/net.h"
#include "shrink/prune.h"
#include "base/checked.h"
#include "base/error.h"

#include <math.h>
#include <stdlib.h>

/* A layer's matrix, other than a convolution's and the embedding, where `wide` is false. */
static bool is_matrix(const sotto__tensor_copy *t, bool wide)
{
    if (!t->values || !t->param.layer_of) return false;
    return wide || (t->param.piece != SOTTO__PIECE_CONV && t->param.piece != SOTTO__PIECE_EMBEDDING);
}

static sotto_status empty_scope(const char *what, const sotto__term *term, sotto_error *err)
{
    return sotto__fail(err, SOTTO_EINVAL, "shrink spec: no matrix in the scope @%s %s", term->scope, what);
}

/* The Gram matrix of what the first factor makes: A G A^T. */
static float *inner_gram(const float *a, size_t rank, size_t in, const float *gram)
{
    float *half = sotto__aligned(rank * in, sizeof *half), *out = sotto__aligned(rank * rank, sizeof *out);
    for (size_t r = 0; half && out && r < rank; r++)
        for (size_t j = 0; j < in; j++) {
            double sum = 0;
            for (size_t i = 0; i < in; i++) sum += (double)a[r * in + i] * gram[i * in + j];
            half[r * in + j] = (float)sum;
        }
    for (size_t r = 0; half && out && r < rank; r++)
        for (size_t s = 0; s < rank; s++) {
            double sum = 0;
            for (size_t i = 0; i < in; i++) sum += (double)half[r * in + i] * a[s * in + i];
            out[r * rank + s] = (float)sum;
        }
    free(half);
    return out;
}

static sotto_status factor(sotto__tensor_copy *t, double fraction, sotto_error *err)
{
    size_t rank = (size_t)((double)(t->out * t->in) * fraction / (double)(t->out + t->in));
    if (rank < 1) rank = 1;
    float *a = sotto__aligned(rank * t->in, sizeof *a), *b = sotto__aligned(t->out * rank, sizeof *b), *gram = NULL;
    sotto_status st = a && b ? sotto__low_rank(a, b, t->values, t->out, t->in, rank, t->gram, err)
                             : sotto__fail_nomem(err, "factors of a matrix");
    /* The first factor keeps the inputs' own; what the second one sees comes out of the first. */
    if (st == SOTTO_OK && t->gram && !(gram = inner_gram(a, rank, t->in, t->gram)))
        st = sotto__fail_nomem(err, "factors of a matrix");
    if (st != SOTTO_OK) {
        free(a);
        free(b);
        return st;
    }
    free(t->values);
    t->values = b;
    t->first = a;
    t->rank = rank;
    t->inner_gram = gram;
    return SOTTO_OK;
}

sotto_status sotto__factor_matrices(sotto__net *net, const sotto__term *term, sotto_error *err)
{
    size_t n = 0;
    sotto_status st = SOTTO_OK;
    for (size_t i = 0; st == SOTTO_OK && i < net->n; i++) {
        sotto__tensor_copy *t = &net->tensors[i];
        if (!is_matrix(t, false) || !sotto__in_scope(t, term->scope)) continue;
        n++;
        if (t->first) return sotto__fail(err, SOTTO_EINVAL, "shrink spec: %s is to be factored twice", t->param.name);
        st = factor(t, term->fraction, err);
    }
    return st == SOTTO_OK && n == 0 ? empty_scope("that can have two factors", term, err) : st;
}

static sotto_status prune(float *w, size_t out, size_t in, const float *gram, const sotto__term *term, sotto_error *err)
{
    return term->wanda ? sotto__prune_wanda(w, out, in, term->fraction, gram, err)
                       : sotto__prune_magnitude(w, out * in, term->fraction, err);
}

sotto_status sotto__prune_matrices(sotto__net *net, const sotto__term *term, sotto_error *err)
{
    size_t n = 0;
    sotto_status st = SOTTO_OK;
    for (size_t i = 0; st == SOTTO_OK && i < net->n; i++) {
        sotto__tensor_copy *t = &net->tensors[i];
        /* The embedding, which is looked up too, and the convolutions only where they are named. */
        if (!is_matrix(t, *term->scope) || !sotto__in_scope(t, term->scope)) continue;
        n++;
        if (t->first) {
            st = prune(t->first, t->rank, t->in, t->gram, term, err);
            if (st == SOTTO_OK) st = prune(t->values, t->out, t->rank, t->inner_gram, term, err);
        } else {
            st = prune(t->values, t->out, t->in, t->gram, term, err);
        }
    }
    return st == SOTTO_OK && n == 0 ? empty_scope("to prune", term, err) : st;
}

sotto_status sotto__choose_coding(sotto__net *net, const sotto__term *term, sotto_error *err)
{
    static const sotto__term positions = {.kind = SOTTO__TERM_CODES, .coding = {.bits = 8, .group = 64}};
    size_t n = 0;
    for (size_t i = 0; i < net->n; i++) {
        sotto__tensor_copy *t = &net->tensors[i];
        const bool matrix = is_matrix(t, true) || t->param.piece == SOTTO__PIECE_POSITIONS;
        const bool all_halves = term->kind == SOTTO__TERM_HALF && !*term->scope;
        if (!t->values || !(matrix || all_halves) || !sotto__in_scope(t, term->scope)) continue;
        /* Positions are no layer's inputs, so nothing is known of what errors in them cost: 8 bits unless named. */
        const bool named = t->param.piece != SOTTO__PIECE_POSITIONS || term->kind != SOTTO__TERM_CODES || *term->scope;
        t->coding = named ? term : &positions;
        n++;
    }
    return n ? SOTTO_OK : empty_scope("to code", term, err);
}
