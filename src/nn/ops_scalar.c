/* SPDX-License-Identifier: MIT
 * The plain twin: vectors of one float, no instruction set assumed. */
#include "nn/ops_tables.h"

#define VF_BYTES 4
#define SOTTO__TABLE sotto__ops_scalar
#define SOTTO__TABLE_NAME "scalar"
#define SOTTO__TABLE_ISA SOTTO__ISA_SCALAR
#include "nn/ops_body.inc"
