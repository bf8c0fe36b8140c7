/* SPDX-License-Identifier: MIT
 * The plain twin: vectors of one float, no instruction set assumed. */
#include "nn/ops_tables.h"

#define VF_BYTES 4
#define SOTTO__TABLE sotto__ops_scalar
#define SOTTO__TABLE_NAME "scalar"
#define SOTTO__TABLE_ISA SOTTO__ISA_SCALAR
#include "nn/ops_body.inc"

static inline vi iv_load8(const int8_t *p)
{
    const int16_t wide[2] = {p[0], p[1]};
    vi pair;
    memcpy(&pair, wide, sizeof pair);
    return pair;
}

static inline vi iv_dot(vi s, vi a, vi b)
{
    int16_t x[2], y[2];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    return s + x[0] * y[0] + x[1] * y[1];
}

static inline vi iv_round(vf x) { return (vi){x[0] == x[0] ? (int32_t)rintf(x[0]) : 0}; }

/* Only the definition: this table has no products that bytes make faster. */
#define SOTTO__BYTES sotto__bytes_scalar
#define BYTE_PANELS 1

static inline vi ib_dot(vi s, vi a, vi b)
{
    uint8_t x[4];
    int8_t y[4];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    return s + x[0] * y[0] + x[1] * y[1] + x[2] * y[2] + x[3] * y[3];
}

#include "nn/ops_packed.inc"
