/* SPDX-License-Identifier: MIT
 * The tables that ops_<isa>.c files define; only they and ops_pick.c include this. */
#ifndef SOTTO_NN_OPS_TABLES_H
#define SOTTO_NN_OPS_TABLES_H

#include "nn/ops.h"

extern const sotto__ops sotto__ops_scalar, sotto__ops_sse2, sotto__ops_avx2, sotto__ops_avxvnni, sotto__ops_avx512,
    sotto__ops_vnni, sotto__ops_neon;
extern const sotto__byte_ops sotto__bytes_scalar, sotto__bytes_avxvnni, sotto__bytes_vnni;

#endif
