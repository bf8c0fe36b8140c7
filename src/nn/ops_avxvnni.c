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
#include "nn/ops_x86.inc"

static inline vi iv_dot(vi s, vi a, vi b) { return (vi)_mm256_dpwssd_avx_epi32((__m256i)s, (__m256i)a, (__m256i)b); }

#define SOTTO__BYTES sotto__bytes_avxvnni
#define SOTTO__TABLE_BYTES &sotto__bytes_avxvnni
#define BYTE_PANELS 1

static inline vi ib_dot(vi s, vi a, vi b) { return (vi)_mm256_dpbusd_avx_epi32((__m256i)s, (__m256i)a, (__m256i)b); }

#include "nn/ops_packed.inc"
#endif
