/* SPDX-License-Identifier: MIT
 * The file of prepacked parameters beside a weight file. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "model/cache.h"

enum { PAGE = 4096, ARENA = 512 };
static const uint64_t layout = 7;

static void about(sotto_model *m, sotto__weights *w, char source[700])
{
    static const char weights[] = "the weights";
    sotto_error err;
    snprintf(source, 700, "%s", fuzz_file("w.bin", weights, sizeof weights));
    *m = (sotto_model){.precision = SOTTO_PRECISION_F32};
    *w = (sotto__weights){.file = source, .map = (void *)(uintptr_t)weights, .map_bytes = sizeof weights};
    if (sotto__pool_create(&m->nn.pool, 1, &err) != SOTTO_OK) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char source[700];
    sotto_model m;
    sotto__weights w;
    const size_t bytes = n > PAGE ? n - PAGE : 0;
    volatile unsigned sum = 0;
    about(&m, &w, source);
    fuzz_file("w.bin.f32.packed", data, n);
    if (bytes && sotto__cache_map(&m, &w, bytes, layout)) {
        for (size_t i = 0; i < bytes; i++) sum += ((const unsigned char *)m.arena)[i];
        sotto__cache_unmap(&m);
    }
    sotto__pool_free(m.nn.pool);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    char source[700], packed[720];
    sotto_model m;
    sotto__weights w;
    static unsigned char arena[ARENA];
    for (size_t i = 0; i < ARENA; i++) arena[i] = (unsigned char)i;
    about(&m, &w, source);
    m.arena = arena;
    m.arena_bytes = sizeof arena;
    if (!sotto__cache_write(&m, &w, layout)) abort();
    sotto__pool_free(m.nn.pool);
    snprintf(packed, sizeof packed, "%s.f32.packed", source);
    fuzz_seed_file(take, 0, false, packed);
}
