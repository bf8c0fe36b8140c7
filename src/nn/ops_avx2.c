/* SPDX-License-Identifier: MIT
 * Eight floats a vector. */
#include "nn/ops_tables.h"

#if defined(__x86_64__)
#if !defined(__AVX2__) || !defined(__FMA__)
#error "ops_avx2.c must be built with -mavx2 -mfma"
#endif
#define VF_BYTES 32
#define SOTTO__TABLE sotto__ops_avx2
#define SOTTO__TABLE_NAME "avx2"
#define SOTTO__TABLE_ISA SOTTO__ISA_AVX2
#include "nn/ops_body.inc"
#endif
