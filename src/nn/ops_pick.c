/* SPDX-License-Identifier: MIT
 * Processor -> table. Built without any instruction set flags. */
#include "nn/ops_tables.h"

#include <string.h>

/* Best first. __builtin_cpu_supports also asks whether the OS saves the registers. */
size_t sotto__ops_all(const sotto__ops **out, size_t max)
{
    size_t n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (n < max && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        out[n++] = &sotto__ops_avx512;
    if (n < max && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) out[n++] = &sotto__ops_avx2;
#elif defined(__aarch64__)
    if (n < max) out[n++] = &sotto__ops_neon;
#endif
    if (n < max) out[n++] = &sotto__ops_scalar;
    return n;
}

const sotto__ops *sotto__ops_pick(const char *ceiling)
{
    static const struct {
        const char *name;
        sotto__isa isa;
    } names[] = {{"scalar", SOTTO__ISA_SCALAR},
                 {"avx2", SOTTO__ISA_AVX2},
                 {"avx512", SOTTO__ISA_AVX512},
                 {"neon", SOTTO__ISA_NEON}};
    const sotto__ops *all[4];
    size_t n = sotto__ops_all(all, 4);
    if (!ceiling) return all[0];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(ceiling, names[i].name) != 0) continue;
        for (size_t j = 0; j < n; j++) {
            if (all[j]->isa <= names[i].isa) return all[j];
        }
        return all[n - 1];
    }
    return NULL;
}
