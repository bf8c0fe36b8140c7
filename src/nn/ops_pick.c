/* SPDX-License-Identifier: MIT
 * Processor -> table. Built without any instruction set flags. */
#include "base/error.h"
#include "nn/ops_tables.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* CPUID leaf 7, subleaf 1, EAX bit 4; GCC 12 cannot be asked by name. */
static bool has_avxvnni(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
#endif

/* Best first. __builtin_cpu_supports also asks whether the OS saves the registers. */
size_t sotto__ops_all(const sotto__ops **out, size_t max)
{
    size_t n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (n < max && avx512 && __builtin_cpu_supports("avx512vnni")) out[n++] = &sotto__ops_vnni;
    if (n < max && avx512) out[n++] = &sotto__ops_avx512;
    if (n < max && avx2 && has_avxvnni()) out[n++] = &sotto__ops_avxvnni;
    if (n < max && avx2) out[n++] = &sotto__ops_avx2;
    if (n < max) out[n++] = &sotto__ops_sse2;
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
    } names[] = {{"scalar", SOTTO__ISA_SCALAR},   {"sse2", SOTTO__ISA_SSE2},     {"avx2", SOTTO__ISA_AVX2},
                 {"avxvnni", SOTTO__ISA_AVXVNNI}, {"avx512", SOTTO__ISA_AVX512}, {"vnni", SOTTO__ISA_VNNI},
                 {"neon", SOTTO__ISA_NEON}};
    const sotto__ops *all[SOTTO__ISAS];
    size_t n = sotto__ops_all(all, SOTTO__ISAS);
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

const sotto__ops *sotto__ops_allowed(sotto_error *err)
{
    const char *ceiling = getenv("SOTTO_ISA");
    const sotto__ops *ops = sotto__ops_pick(ceiling && *ceiling ? ceiling : NULL);
    if (!ops)
        sotto__fail(err, SOTTO_EINVAL,
                    "SOTTO_ISA is \"%.40s\", expected scalar, sse2, avx2, avxvnni, avx512, vnni or neon", ceiling);
    return ops;
}
