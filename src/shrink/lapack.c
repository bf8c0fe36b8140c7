/* SPDX-License-Identifier: MIT
 * LAPACK and double-precision BLAS, by the Fortran names that OpenBLAS exports: the only file that knows them. Matrices
 * here are row-major, so Fortran sees the transpose of each. */
#include "shrink/lapack.h"

#include "base/checked.h"
#include "base/error.h"
#include "nn/ops.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* No header of Debian's OpenBLAS declares these. Lengths of the character arguments are left out, as CBLAS does: each
 * is one character. */
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
extern void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info);
extern void dpotrs_(const char *uplo, const int *n, const int *nrhs, const double *a, const int *lda, double *b,
                    const int *ldb, int *info);
extern void dgesdd_(const char *jobz, const int *m, const int *n, double *a, const int *lda, double *s, double *u,
                    const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork, int *iwork, int *info);
extern void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
                   const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
                   const int *ldc);

sotto_status sotto__lapack_fits(size_t rows, size_t columns, sotto_error *err)
{
    if (rows <= INT_MAX / 8 && columns <= INT_MAX / 8) return SOTTO_OK;
    return sotto__fail(err, SOTTO_ELIMIT, "a matrix of %zu x %zu is too large to factorise", rows, columns);
}

/* What Fortran calls the upper triangle is the lower one of a row-major matrix. */
static void clear_above(double *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++) a[i * n + j] = 0;
}

static void clear_below(double *a, size_t n)
{
    for (size_t i = 0; i < n; i++) memset(a + i * n, 0, i * sizeof *a);
}

bool sotto__cholesky(double *a, size_t n)
{
    const int size = (int)n;
    int info = 0;
    sotto__gemm_init();
    if (n > 0) dpotrf_("U", &size, a, &size, &info);
    clear_above(a, n);
    return info == 0;
}

bool sotto__inverse_factor(double *a, size_t n)
{
    const int size = (int)n;
    int info = 0;
    sotto__gemm_init();
    if (n > 0) dpotrf_("L", &size, a, &size, &info);
    if (n > 0 && info == 0) dpotri_("L", &size, a, &size, &info);
    if (n > 0 && info == 0) dpotrf_("L", &size, a, &size, &info);
    clear_below(a, n);
    return info == 0;
}

void sotto__cholesky_solve(const double *l, size_t n, double *b, size_t rows)
{
    const int size = (int)n, count = (int)rows;
    int info;
    if (n > 0 && rows > 0) dpotrs_("U", &size, &count, l, &size, b, &size, &info);
}

sotto_status sotto__svd(double *a, size_t n, size_t m, double *p, double *sigma, sotto_error *err)
{
    const int rows = (int)m, columns = (int)n, one = 1, ask = -1;
    int info = 0, *iwork = sotto__aligned(8 * n, sizeof *iwork);
    double best = 0, none = 0, *work = NULL;
    sotto_status st = SOTTO_OK;
    sotto__gemm_init();
    /* "O": of a^T = U S V^T, U overwrites a^T, so its transpose a, and V^T, row-major V, is p */
    dgesdd_("O", &rows, &columns, a, &rows, sigma, &none, &one, p, &columns, &best, &ask, iwork, &info);
    if (info == 0 && best < (double)INT_MAX) work = sotto__aligned((size_t)best + 1, sizeof *work);
    if (!iwork || !work) {
        st = sotto__fail_nomem(err, "singular value decomposition");
    } else {
        const int given = (int)best;
        dgesdd_("O", &rows, &columns, a, &rows, sigma, &none, &one, p, &columns, work, &given, iwork, &info);
        if (info != 0) st = sotto__fail(err, SOTTO_EINTERNAL, "singular values of a %zu x %zu matrix not found", n, m);
    }
    free(work);
    free(iwork);
    return st;
}

void sotto__product_d(bool at, bool bt, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                      const double *b, size_t ldb, double beta, double *c, size_t ldc)
{
    const int rows = (int)m, columns = (int)n, depth = (int)k, la = (int)lda, lb = (int)ldb, lc = (int)ldc;
    if (m > 0 && n > 0)
        dgemm_(bt ? "T" : "N", at ? "T" : "N", &columns, &rows, &depth, &alpha, b, &lb, a, &la, &beta, c, &lc);
}
