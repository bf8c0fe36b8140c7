/* SPDX-License-Identifier: MIT
 * What gemm.c asks of OpenBLAS, as plain loops: for tests on machines whose OpenBLAS is not installed here. */
#ifndef SOTTO_TEST_ISA_CBLAS_H
#define SOTTO_TEST_ISA_CBLAS_H

#include <stddef.h>

typedef ptrdiff_t blasint;
enum { CblasRowMajor, CblasNoTrans, CblasTrans };

static inline void openblas_set_num_threads(int n) { (void)n; }
static inline const char *openblas_get_config(void) { return "OpenBLAS 0 loops"; }
static inline const char *openblas_get_corename(void) { return "plain"; }

/* c[m, n] = alpha a[m, k] b[k, n] + beta c, b given as [n, k] where b_order is CblasTrans. */
static inline void cblas_sgemm(int order, int a_order, int b_order, blasint m, blasint n, blasint k, float alpha,
                               const float *a, blasint lda, const float *b, blasint ldb, float beta, float *c,
                               blasint ldc)
{
    (void)order, (void)a_order;
    for (blasint i = 0; i < m; i++) {
        for (blasint j = 0; j < n; j++) {
            float sum = 0;
            for (blasint l = 0; l < k; l++)
                sum += a[i * lda + l] * (b_order == CblasTrans ? b[j * ldb + l] : b[l * ldb + j]);
            c[i * ldc + j] = alpha * sum + (beta != 0 ? beta * c[i * ldc + j] : 0);
        }
    }
}

/* y[m] = alpha a[m, k] x[k] + beta y */
static inline void cblas_sgemv(int order, int a_order, blasint m, blasint k, float alpha, const float *a, blasint lda,
                               const float *x, blasint step_x, float beta, float *y, blasint step_y)
{
    (void)order, (void)a_order;
    for (blasint i = 0; i < m; i++) {
        float sum = 0;
        for (blasint l = 0; l < k; l++) sum += a[i * lda + l] * x[l * step_x];
        y[i * step_y] = alpha * sum + (beta != 0 ? beta * y[i * step_y] : 0);
    }
}

#endif
