/* SPDX-License-Identifier: MIT
 * Four floats a vector (aarch64 always has NEON). */
#include "nn/ops_tables.h"

#if defined(__aarch64__)
#define VF_BYTES 16
#define SOTTO__TABLE sotto__ops_neon
#define SOTTO__TABLE_NAME "neon"
#define SOTTO__TABLE_ISA SOTTO__ISA_NEON
#include "nn/ops_body.inc"
#endif
