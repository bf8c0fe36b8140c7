/* SPDX-License-Identifier: MIT
 * A shrunken model's file: header, codes of every kind, trimmed vocabulary. */
#include "fuzz_weights.h"

#include "sotto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) { return fuzz_weights("model.sotto", data, n); }

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char *const specs[] = {
        "vocab=en:256,int4:g32@embedding,int3:asym@encoder,int8:row@decoder,f16@conv",
        "vocab=en:256,rate=2.5@decoder,prune=0.5@encoder,rank=0.5@encoder.mlp",
        "vocab=en:256,rate=3:centred@embedding,int2@encoder,f16@decoder,drop=0@decoder",
    };
    static const tiny_model model = {.n_mels = 80,
                                     .width = 32,
                                     .heads = 2,
                                     .audio_layers = 1,
                                     .text_layers = 2,
                                     .n_vocab = 51864,
                                     .text_ctx = 16,
                                     .seed = 5,
                                     .sinusoids = 1};
    char path[640], out[700];
    if (tiny_write(&model, TINY_GGML, fuzz_directory(), path, sizeof path) != 0) abort();
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        sotto_error err = {0};
        snprintf(out, sizeof out, "%s", fuzz_file("out.sotto", "", 0));
        fuzz_remove("out.sotto");
        if (sotto_shrink(path, specs[i], NULL, out, NULL, &err) != SOTTO_OK) {
            fprintf(stderr, "seed %s: %s\n", specs[i], err.message);
            abort();
        }
        fuzz_seed_file(take, 0, false, out);
    }
}
