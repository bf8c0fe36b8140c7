/* SPDX-License-Identifier: MIT
 * The three targets of foreign weight formats: the file under its own name, opened as the loader does it. Reads every
 * byte of every tensor that is handed out. */
#ifndef SOTTO_TESTS_FUZZ_WEIGHTS_H
#define SOTTO_TESTS_FUZZ_WEIGHTS_H

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/weights.h"
#include "tiny_model.h"

/* The hyper-parameters of the seeds; Hugging Face keeps them beside the weights. */
static const tiny_model fuzz_model = {
    .n_mels = 80, .width = 2, .heads = 1, .audio_layers = 1, .text_layers = 1, .n_vocab = 40, .text_ctx = 4, .seed = 5};

static inline void fuzz_read_all(const sotto__weights *w)
{
    static const size_t bits[] = {
#define X(name, key, bits) bits,
        SOTTO_PRECISION_LIST(X)
#undef X
    };
    volatile unsigned sum = 0;
    for (size_t i = 0; i < w->n_tensors; i++) {
        const sotto__tensor *t = &w->tensors[i];
        const unsigned char *bytes = t->data;
        if (sotto__weights_find(w, t->name) == NULL) abort();
        for (size_t k = 0; k < t->elements * bits[t->precision] / 8; k++) sum += bytes[k];
    }
}

static inline int fuzz_weights(const char *name, const uint8_t *data, size_t n)
{
    sotto__weights *w = NULL;
    sotto_error err = {0};
    const char *path = fuzz_file(name, data, n);
    if (sotto__weights_open(&w, path, &err) == SOTTO_OK)
        fuzz_read_all(w);
    else if (!*err.message)
        abort(); /* a refusal says why */
    sotto__weights_close(w);
    return 0;
}

static inline void fuzz_weights_seeds(tiny_format format, void (*take)(const void *data, size_t n))
{
    char path[640];
    if (tiny_write(&fuzz_model, format, fuzz_directory(), path, sizeof path) != 0) abort();
    fuzz_seed_file(take, 0, false, path);
}

#endif
