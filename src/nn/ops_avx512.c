/* SPDX-License-Identifier: MIT
 * Sixteen lanes a vector. */
#include "nn/ops_tables.h"

#if defined(__x86_64__)
#if !defined(__AVX512F__) || !defined(__AVX512DQ__) || !defined(__AVX512BW__)
#error "ops_avx512.c must be built with -mavx512f -mavx512dq -mavx512bw"
#endif
#include <immintrin.h>

#define VF_BYTES 64
#define SOTTO__TABLE sotto__ops_avx512
#define SOTTO__TABLE_NAME "avx512"
#define SOTTO__TABLE_ISA SOTTO__ISA_AVX512
#include "nn/ops_body.inc"
#include "nn/ops_x86.inc"

static inline vi iv_dot(vi s, vi a, vi b)
{
    return (vi)_mm512_add_epi32((__m512i)s, _mm512_madd_epi16((__m512i)a, (__m512i)b));
}

#include "nn/ops_packed.inc"
#endif
