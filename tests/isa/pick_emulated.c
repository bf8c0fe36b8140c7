/* SPDX-License-Identifier: MIT
 * ops_pick.c on a processor that claims everything, for the tables of immintrin_emulated.h. They still need AVX2: where
 * it is missing the test leaves off before it begins. */
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void need_avx2(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return;
    puts("skipped: no AVX2 to emulate AVX-512 on");
    exit(77);
}

static int claim_everything(unsigned *a)
{
    *a = ~0u;
    return 1;
}

#define __builtin_cpu_supports(name) 1
#define __get_cpuid_count(leaf, subleaf, a, b, c, d) (*(b) = *(c) = *(d) = 0, claim_everything(a))
#include "nn/ops_pick.c"
