/* SPDX-License-Identifier: MIT
 * Sixteen lanes a vector, multiply and accumulate in one instruction. */
#include "nn/ops_tables.h"

#if defined(__x86_64__)
#if !defined(__AVX512F__) || !defined(__AVX512DQ__) || !defined(__AVX512BW__) || !defined(__AVX512VNNI__)
#error "ops_vnni.c must be built with -mavx512f -mavx512dq -mavx512bw -mavx512vnni"
#endif
#include <immintrin.h>

#define VF_BYTES 64
#define SOTTO__TABLE sotto__ops_vnni
#define SOTTO__TABLE_NAME "vnni"
#define SOTTO__TABLE_ISA SOTTO__ISA_VNNI
#include "nn/ops_body.inc"
#include "nn/ops_x86.inc"

static inline vi iv_dot(vi s, vi a, vi b) { return (vi)_mm512_dpwssd_epi32((__m512i)s, (__m512i)a, (__m512i)b); }

#define SOTTO__BYTES sotto__bytes_vnni
#define SOTTO__TABLE_BYTES &sotto__bytes_vnni
#define BYTE_PANELS 2

static inline vi ib_dot(vi s, vi a, vi b) { return (vi)_mm512_dpbusd_epi32((__m512i)s, (__m512i)a, (__m512i)b); }

#include "nn/ops_packed.inc"
#endif
