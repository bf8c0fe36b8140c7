/* SPDX-License-Identifier: MIT
 * Eight lanes a vector, multiply and accumulate in one instruction. */
#include "nn/ops_tables.h"

#if defined(__x86_64__)
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__AVXVNNI__)
#error "ops_avxvnni.c must be built with -mavx2 -mfma -mavxvnni"
#endif
#include <immintrin.h>

#define VF_BYTES 32
#define SOTTO__TABLE sotto__ops_avxvnni
#define SOTTO__TABLE_NAME "avxvnni"
#define SOTTO__TABLE_ISA SOTTO__ISA_AVXVNNI
#include "nn/ops_body.inc"

static inline vi iv_pair(const int16_t *p)
{
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return (vi)_mm256_set1_epi32(pair);
}

static inline vi iv_load8(const int8_t *p)
{
    return (vi)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

static inline vi iv_dot(vi s, vi a, vi b) { return (vi)_mm256_dpwssd_avx_epi32((__m256i)s, (__m256i)a, (__m256i)b); }

static inline vi iv_round(vf x) { return (vi)_mm256_cvtps_epi32((__m256)x); }

#include "nn/ops_packed.inc"
#endif
