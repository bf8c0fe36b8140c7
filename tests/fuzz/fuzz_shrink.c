/* SPDX-License-Identifier: MIT
 * What is to be done to a model, as one string. */
#include "fuzz.h"

#include <stdlib.h>

#include "shrink/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    sotto__spec *spec = malloc(sizeof *spec);
    sotto_error err = {0};
    char *text = fuzz_text(data, n);
    if (!spec) abort();
    if (sotto__spec_parse(spec, text, &err) != SOTTO_OK) {
        if (!*err.message) abort();
    } else {
        (void)sotto__spec_calibration(spec);
        (void)sotto__spec_wants_calibration(spec);
    }
    free(text);
    free(spec);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char one[] = "vocab=en:20000,int4:g32:gptq,int8@conv,heads=0.25@encoder,prune=0.5:wanda@decoder.mlp";
    static const char two[] = "layers=-1@decoder,drop=0+2@encoder,ctx=750,rank=0.5@encoder.mlp,rate=2.9:gptq:centred,"
                              "rare=en:16000:1.3,f16@embedding,calibration=a/b.wav";
    take(one, sizeof one - 1);
    take(two, sizeof two - 1);
    take("none", 4);
}
