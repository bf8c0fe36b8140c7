/* SPDX-License-Identifier: MIT
 * Matrix products in f32 by OpenBLAS: the only file that knows it. Single-threaded calls; callers split rows. */
#include "nn/ops.h"

#include <cblas.h>
#include <pthread.h>
#include <stdio.h>

static void single_thread(void) { openblas_set_num_threads(1); }

void sotto__gemm_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, single_thread);
}

static char info[96];

static void fill_info(void)
{
    const char *config = openblas_get_config(); /* "OpenBLAS 0.3.21 DYNAMIC_ARCH NO_AFFINITY Zen MAX_THREADS=64" */
    char version[32] = "?";
    sscanf(config, "OpenBLAS %31s", version);
    snprintf(info, sizeof info, "openblas %s %s", version, openblas_get_corename());
}

const char *sotto__gemm_info(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_info);
    return info;
}

void sotto__gemm_nt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                    float *c, size_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n, (blasint)k, 1.0f, a, (blasint)lda, b,
                (blasint)ldb, beta, c, (blasint)ldc);
}

void sotto__gemm_nn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                    float *c, size_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, 1.0f, a, (blasint)lda, b,
                (blasint)ldb, beta, c, (blasint)ldc);
}

void sotto__gemv(size_t m, size_t k, const float *a, size_t lda, const float *x, float beta, float *y)
{
    cblas_sgemv(CblasRowMajor, CblasNoTrans, (blasint)m, (blasint)k, 1.0f, a, (blasint)lda, x, 1, beta, y, 1);
}
