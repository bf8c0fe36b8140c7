/* SPDX-License-Identifier: MIT
 * Sixteen floats a vector. */
#include "nn/ops_tables.h"

#if defined(__x86_64__)
#if !defined(__AVX512F__) || !defined(__AVX512DQ__)
#error "ops_avx512.c must be built with -mavx512f -mavx512dq"
#endif
#define VF_BYTES 64
#define SOTTO__TABLE sotto__ops_avx512
#define SOTTO__TABLE_NAME "avx512"
#define SOTTO__TABLE_ISA SOTTO__ISA_AVX512
#include "nn/ops_body.inc"
#endif
