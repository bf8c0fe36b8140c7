/* SPDX-License-Identifier: MIT
 * What is to be done to a model, as one string of terms separated by commas: "vocab=en:20000,int4:g32:gptq,int8@conv".
 *
 *     none                   nothing (alone)
 *     calibration=PATH       what to measure on, where the caller names nothing: an audio file or a folder of some
 *     vocab=en[:N]           tokens written in ASCII only, the N that came first into the vocabulary (all)
 *     vocab=FILE[:N]         tokens that the text in FILE is made of, the N that are most frequent in it
 *     layers=-N@SCOPE        N layers less, those that were measured to add least
 *     drop=I[+J…]@SCOPE      layers I, J … (counted from 0) less
 *     heads=F[@SCOPE]        the fraction F of attention heads less, those that were measured to matter least
 *     mlp=F[@SCOPE]          the same of MLP neurons
 *     ctx=N                  an audio context of N positions of 20 ms in the place of 1500
 *     rank=F[@SCOPE]         matrices as products of two with the fraction F of their parameters
 *     prune=F[:wanda][@SCOPE] the fraction F of weights set to zero
 *     f16[@SCOPE]            values in 16 bits
 *     intB[:gN|:row][:asym][:gptq][:awq][:centred][@SCOPE]   B = 2 … 8 bits, a scale for N inputs (64)
 *     rate=B[:gptq][:centred][@SCOPE]   codes of B bits on average (0.5 … 7), packed by their entropy
 *     rare=en:N:B, rare=FILE:N:B   B bits for those rows of the embedding that vocab=en:N or vocab=FILE:N would drop
 *
 * They are applied in the order of this list, whatever their order in the string; of several terms of one kind that
 * name the same matrix, the last one counts. A scope is made of names that all have to fit, joined by dots: encoder,
 * decoder, conv, embedding, positions, a layer's number, attention, cross, mlp, qkv, out, q, kv, up, down. */
#ifndef SOTTO_SHRINK_SPEC_H
#define SOTTO_SHRINK_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "shrink/coded.h"
#include "sotto.h"

typedef enum sotto__term_kind {
    SOTTO__TERM_CALIBRATION,
    SOTTO__TERM_VOCAB,
    SOTTO__TERM_LAYERS,
    SOTTO__TERM_DROP,
    SOTTO__TERM_HEADS,
    SOTTO__TERM_MLP,
    SOTTO__TERM_CTX,
    SOTTO__TERM_RANK,
    SOTTO__TERM_PRUNE,
    SOTTO__TERM_HALF,
    SOTTO__TERM_CODES, /* int# and rate */
    SOTTO__TERM_RARE,
    SOTTO__TERM_KINDS
} sotto__term_kind;

enum { SOTTO__TERMS = 64, SOTTO__TERM_TEXT = 200 };

typedef struct sotto__term {
    sotto__term_kind kind;
    char scope[SOTTO__TERM_TEXT];  /* "" = everything */
    char source[SOTTO__TERM_TEXT]; /* vocab, rare: "en" or a file; calibration: a path */
    double fraction;               /* heads, mlp, rank, prune; rare: bits */
    size_t number;                 /* layers, ctx, vocab (0 = all), rare */
    uint64_t drop[4];              /* bit of each layer to drop */
    bool wanda;
    sotto__coding coding; /* of codes */
} sotto__term;

typedef struct sotto__spec {
    sotto__term terms[SOTTO__TERMS];
    size_t n;
} sotto__spec;

/* SOTTO_EINVAL with a sentence that names the term at fault and what was expected. */
sotto_status sotto__spec_parse(sotto__spec *out, const char *text, sotto_error *err);

/* The path of the spec's calibration term, or NULL. */
const char *sotto__spec_calibration(const sotto__spec *spec);

/* Whether a term of the spec needs to know what goes through the layers. */
bool sotto__spec_wants_calibration(const sotto__spec *spec);

#endif
