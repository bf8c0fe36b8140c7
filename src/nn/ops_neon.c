/* SPDX-License-Identifier: MIT
 * Four floats a vector (aarch64 always has NEON). */
#include "nn/ops_tables.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define VF_BYTES 16
#define SOTTO__TABLE sotto__ops_neon
#define SOTTO__TABLE_NAME "neon"
#define SOTTO__TABLE_ISA SOTTO__ISA_NEON
#include "nn/ops_body.inc"

static inline vi iv_load8(const int8_t *p) { return (vi)vmovl_s8(vld1_s8(p)); }

static inline vi iv_dot(vi s, vi a, vi b)
{
    const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
    const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y)), high = vmull_high_s16(x, y);
    return s + (vi)vpaddq_s32(low, high);
}

static inline vi iv_round(vf x) { return (vi)vcvtnq_s32_f32((float32x4_t)x); }

#include "nn/ops_packed.inc"
#endif
