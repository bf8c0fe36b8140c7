/* SPDX-License-Identifier: MIT
 * Factorisations in doubles. Row-major; single-threaded, so that results do not depend on the number of threads. */
#ifndef SOTTO_SHRINK_LAPACK_H
#define SOTTO_SHRINK_LAPACK_H

#include <stdbool.h>
#include <stddef.h>

#include "sotto.h"

/* Dimensions that LAPACK's 32-bit integers hold; check before the calls below. SOTTO_ELIMIT. */
sotto_status sotto__lapack_fits(size_t rows, size_t columns, sotto_error *err);

/* a[n, n] symmetric = L L^T: a becomes L, its upper part zeros. False where a is not positive definite; a is lost. */
bool sotto__cholesky(double *a, size_t n);

/* a[n, n] symmetric, a^-1 = R^T R with R upper: a becomes R, its lower part zeros. False as above. */
bool sotto__inverse_factor(double *a, size_t n);

/* b[rows, n]: every row v becomes (L L^T)^-1 v; l as sotto__cholesky leaves it. */
void sotto__cholesky_solve(const double *l, size_t n, double *b, size_t rows);

/* a[n, m], n <= m, = P diag(sigma) Q: a becomes Q[n, m]; p[n, n], sigma[n] descending. SOTTO_ENOMEM, SOTTO_EINTERNAL
 * where it does not converge (a holds NaN). */
sotto_status sotto__svd(double *a, size_t n, size_t m, double *p, double *sigma, sotto_error *err);

/* c[m, n] = alpha op(a) op(b) + beta c; op(a) [m, k] is a, or its transpose where at is set, likewise b. */
void sotto__product_d(bool at, bool bt, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                      const double *b, size_t ldb, double beta, double *c, size_t ldc);

#endif
