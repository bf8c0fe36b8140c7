/* SPDX-License-Identifier: MIT
 * Four lanes a vector: what every x86-64 processor has. */
#include "nn/ops_tables.h"

#if defined(__x86_64__)
#include <emmintrin.h>

#define VF_BYTES 16
#define SOTTO__TABLE sotto__ops_sse2
#define SOTTO__TABLE_NAME "sse2"
#define SOTTO__TABLE_ISA SOTTO__ISA_SSE2
#include "nn/ops_body.inc"

static inline vi iv_load8(const int8_t *p)
{
    const __m128i x = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return (vi)_mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8);
}

static inline vi iv_dot(vi s, vi a, vi b)
{
    return (vi)_mm_add_epi32((__m128i)s, _mm_madd_epi16((__m128i)a, (__m128i)b));
}

static inline vi iv_round(vf x) { return (vi)_mm_cvtps_epi32((__m128)x); }

#include "nn/ops_packed.inc"
#endif
