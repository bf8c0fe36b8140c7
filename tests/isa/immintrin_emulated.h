/* SPDX-License-Identifier: MIT
 * AVX-512, its VNNI and AVX-VNNI for a machine with AVX2: stands before ops_avx512.c, ops_vnni.c and ops_avxvnni.c
 * (-include) and replaces the intrinsics they use by plain loops; GCC breaks their 64-byte vectors into 32-byte ones.
 * What runs is the code for sixteen lanes, its tails and its layout, not the instructions themselves. */
#ifndef SOTTO_TEST_IMMINTRIN_EMULATED_H
#define SOTTO_TEST_IMMINTRIN_EMULATED_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>

/* The files ask for these; after immintrin.h, which would believe them. */
#define __AVX512F__ 1
#define __AVX512DQ__ 1
#define __AVX512BW__ 1
#define __AVX512VNNI__ 1
#define __AVXVNNI__ 1

typedef int32_t emulated_v16 __attribute__((vector_size(64)));
typedef int32_t emulated_v8 __attribute__((vector_size(32)));

/* s + low halves' product + high halves' product, modulo 2^32. */
static inline int32_t emulated_dot(int32_t s, int32_t a, int32_t b)
{
    const int32_t low = (int16_t)a * (int16_t)b, high = (int16_t)(a >> 16) * (int16_t)(b >> 16);
    return (int32_t)((uint32_t)s + (uint32_t)low + (uint32_t)high);
}

static inline __m512i emulated_set1_epi32(int32_t x) { return (__m512i)((emulated_v16){0} + x); }

static inline __m512i emulated_add_epi32(__m512i a, __m512i b) { return (__m512i)((emulated_v16)a + (emulated_v16)b); }

static inline __m512i emulated_dpwssd_epi32(__m512i s, __m512i a, __m512i b)
{
    emulated_v16 r;
    for (int i = 0; i < 16; i++) r[i] = emulated_dot(((emulated_v16)s)[i], ((emulated_v16)a)[i], ((emulated_v16)b)[i]);
    return (__m512i)r;
}

static inline __m512i emulated_madd_epi16(__m512i a, __m512i b)
{
    return emulated_dpwssd_epi32((__m512i)(emulated_v16){0}, a, b);
}

static inline __m256i emulated_dpwssd_avx_epi32(__m256i s, __m256i a, __m256i b)
{
    emulated_v8 r;
    for (int i = 0; i < 8; i++) r[i] = emulated_dot(((emulated_v8)s)[i], ((emulated_v8)a)[i], ((emulated_v8)b)[i]);
    return (__m256i)r;
}

/* s + four products of a byte of a (unsigned) and one of b (signed), modulo 2^32. */
static inline int32_t emulated_dot_bytes(int32_t s, int32_t a, int32_t b)
{
    int32_t sum = 0;
    for (int i = 0; i < 32; i += 8) sum += (uint8_t)(a >> i) * (int8_t)(b >> i);
    return (int32_t)((uint32_t)s + (uint32_t)sum);
}

static inline __m512i emulated_dpbusd_epi32(__m512i s, __m512i a, __m512i b)
{
    emulated_v16 r;
    for (int i = 0; i < 16; i++)
        r[i] = emulated_dot_bytes(((emulated_v16)s)[i], ((emulated_v16)a)[i], ((emulated_v16)b)[i]);
    return (__m512i)r;
}

static inline __m256i emulated_dpbusd_avx_epi32(__m256i s, __m256i a, __m256i b)
{
    emulated_v8 r;
    for (int i = 0; i < 8; i++)
        r[i] = emulated_dot_bytes(((emulated_v8)s)[i], ((emulated_v8)a)[i], ((emulated_v8)b)[i]);
    return (__m256i)r;
}

static inline __m512i emulated_cvtepi8_epi16(__m256i x)
{
    typedef int8_t bytes __attribute__((vector_size(32)));
    typedef int16_t words __attribute__((vector_size(64)));
    words r;
    for (int i = 0; i < 32; i++) r[i] = ((bytes)x)[i];
    return (__m512i)r;
}

/* As the instruction: to nearest, ties to even; what does not fit gives INT32_MIN. */
static inline __m512i emulated_cvtps_epi32(__m512 x)
{
    emulated_v16 r;
    for (int i = 0; i < 16; i++) r[i] = fabsf(x[i]) < 0x1p31f ? (int32_t)rintf(x[i]) : INT32_MIN;
    return (__m512i)r;
}

static inline __m512 emulated_max_ps(__m512 a, __m512 b)
{
    __m512 r;
    for (int i = 0; i < 16; i++) r[i] = a[i] > b[i] ? a[i] : b[i];
    return r;
}

static inline __m512i emulated_max_epi32(__m512i a, __m512i b)
{
    emulated_v16 r;
    for (int i = 0; i < 16; i++)
        r[i] = ((emulated_v16)a)[i] > ((emulated_v16)b)[i] ? ((emulated_v16)a)[i] : ((emulated_v16)b)[i];
    return (__m512i)r;
}

#define _mm512_max_ps emulated_max_ps
#define _mm512_max_epi32 emulated_max_epi32
#define _mm512_set1_epi32 emulated_set1_epi32
#define _mm512_add_epi32 emulated_add_epi32
#define _mm512_madd_epi16 emulated_madd_epi16
#define _mm512_dpwssd_epi32 emulated_dpwssd_epi32
#define _mm256_dpwssd_avx_epi32 emulated_dpwssd_avx_epi32
#define _mm512_dpbusd_epi32 emulated_dpbusd_epi32
#define _mm256_dpbusd_avx_epi32 emulated_dpbusd_avx_epi32
#define _mm512_cvtepi8_epi16 emulated_cvtepi8_epi16
#define _mm512_cvtps_epi32 emulated_cvtps_epi32

#endif
