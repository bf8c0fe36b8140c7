/* SPDX-License-Identifier: MIT
 * A weight file of this format -> tensor views, then a model as far as it comes. */
#include "fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) { return fuzz_weights("ggml-model.bin", data, n); }

void fuzz_seeds(void (*take)(const void *data, size_t n)) { fuzz_weights_seeds(TINY_GGML, take); }
