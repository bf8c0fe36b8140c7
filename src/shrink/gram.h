/* SPDX-License-Identifier: MIT
 * The Gram matrix of a layer's inputs, made fit for factorising. */
#ifndef SOTTO_SHRINK_GRAM_H
#define SOTTO_SHRINK_GRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "sotto.h"

/* A share of the mean of the diagonal that is added to every element of it, as in GPTQ's reference implementation. */
#define SOTTO__DAMPING 0.05

typedef struct sotto__gram {
    double *g;    /* [n, n], symmetric, finite, its diagonal positive */
    bool *dead;   /* [n]: the input was 0 throughout */
    double *mean; /* [n]: the damped diagonal: what an error in a weight of this input costs */
    double damping;
    size_t n;
} sotto__gram;

/* gram[n, n] in doubles. An input that was always 0 is dead: it is given the mean diagonal, and no relation to the
 * others. One whose diagonal is negative or not finite is treated likewise, but is not dead. Other values that are not
 * finite count as 0. SOTTO_ENOMEM, SOTTO_ELIMIT; free in any case. */
sotto_status sotto__gram_open(sotto__gram *to, const float *gram, size_t n, sotto_error *err);
void sotto__gram_free(sotto__gram *g);

/* A factor of the damped matrix, made by sotto__cholesky or sotto__inverse_factor, [n, n], for free(). Where it is not
 * positive definite after all, damping grows until it is. NULL: out of memory. */
double *sotto__gram_factor(const sotto__gram *g, bool (*factor)(double *a, size_t n));

#endif
