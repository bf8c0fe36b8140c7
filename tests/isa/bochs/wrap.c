/* SPDX-License-Identifier: MIT
 * Linked into the tests with --wrap: whatever pool they ask for has one thread, as machine.c has no others, and they
 * see only the tables that other machines do not run. */
#include "base/pool.h"
#include "nn/ops.h"

sotto_status __real_sotto__pool_create(sotto__pool **out, int threads, sotto_error *err);
sotto_status __wrap_sotto__pool_create(sotto__pool **out, int threads, sotto_error *err);
size_t __real_sotto__ops_all(const sotto__ops **out, size_t max);
size_t __wrap_sotto__ops_all(const sotto__ops **out, size_t max);

sotto_status __wrap_sotto__pool_create(sotto__pool **out, int threads, sotto_error *err)
{
    return __real_sotto__pool_create(out, threads < 1 ? threads : 1, err);
}

size_t __wrap_sotto__ops_all(const sotto__ops **out, size_t max)
{
    const size_t n = __real_sotto__ops_all(out, max);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (out[i]->isa == SOTTO__ISA_VNNI || out[i]->isa == SOTTO__ISA_AVX512) out[kept++] = out[i];
    return kept;
}
