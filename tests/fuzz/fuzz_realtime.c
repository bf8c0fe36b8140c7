/* SPDX-License-Identifier: MIT
 * Audio of a realtime event: base64, then samples of each codec. */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "realtime_audio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = fuzz_text(data, n);
    uint8_t *bytes = malloc(3 * ((n + 3) / 4) + 1);
    size_t m = 0;
    if (!bytes) abort();
    if (realtime_base64(text, n, bytes, &m)) {
        uint8_t *just = malloc(m ? m : 1);
        if (m > 3 * ((n + 3) / 4) || !just) abort();
        memcpy(just, bytes, m);
        for (size_t i = 0; i < m; i++) {
            const float u = realtime_sample(REALTIME_PCMU, just + i), a = realtime_sample(REALTIME_PCMA, just + i);
            if (!(fabsf(u) <= 1) || !(fabsf(a) <= 1)) abort();
            if (i + 1 < m && !(fabsf(realtime_sample(REALTIME_PCM16, just + i)) <= 1)) abort();
        }
        free(just);
    }
    free(bytes);
    free(text);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    take("AAECAwQFBgcICQ==", 16);
    take("AAECAwQFBgcICQ", 14);
    take("/+8=", 4);
}
