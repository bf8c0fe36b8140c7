/* SPDX-License-Identifier: MIT
 * Eight lanes a vector. */
#include "nn/ops_tables.h"

#if defined(__x86_64__)
#if !defined(__AVX2__) || !defined(__FMA__)
#error "ops_avx2.c must be built with -mavx2 -mfma"
#endif
#include <immintrin.h>

#define VF_BYTES 32
#define SOTTO__TABLE sotto__ops_avx2
#define SOTTO__TABLE_NAME "avx2"
#define SOTTO__TABLE_ISA SOTTO__ISA_AVX2
#include "nn/ops_body.inc"
#include "nn/ops_x86.inc"

static inline vi iv_dot(vi s, vi a, vi b)
{
    return (vi)_mm256_add_epi32((__m256i)s, _mm256_madd_epi16((__m256i)a, (__m256i)b));
}

#include "nn/ops_packed.inc"
#endif
