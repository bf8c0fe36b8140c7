/* SPDX-License-Identifier: MIT
 * A random-weight Whisper model of small dimensions, written in any of the three formats from the same seed, so that
 * loaders, decoder and whole runs can be tested without fetched weights. */
#ifndef SOTTO_TESTS_TINY_MODEL_H
#define SOTTO_TESTS_TINY_MODEL_H

#include <stddef.h>
#include <stdint.h>

typedef struct tiny_model {
    size_t n_mels, width, heads, audio_layers, text_layers, n_vocab, text_ctx;
    uint64_t seed;
    int flat_positions; /* 1: all encoder positions have the same embedding */
    int sinusoids;      /* 1: encoder positions are whisper.model.sinusoids, as in real models */
} tiny_model;

/* 80 mels, width 64, 2 heads, 1 + 2 layers, the vocabulary of an English model, 64 tokens of context. */
extern const tiny_model tiny_default;

typedef enum tiny_format { TINY_CTRANSLATE2, TINY_GGML, TINY_HUGGINGFACE } tiny_format;
enum { TINY_FORMATS = 3 };

/* Writes the model into the existing directory `dir` (model.bin, ggml-model.bin or model.safetensors, and what goes
 * with it) and puts the weight file's path into path[cap]. Weights are f16 (ggml: 1-D tensors and positions f32, with
 * the same values). Returns 0, or -1 on failure. */
int tiny_write(const tiny_model *m, tiny_format format, const char *dir, char *path, size_t cap);

/* A new directory under $TMPDIR or /tmp in path[cap]; tiny_remove deletes it with what is in it. */
int tiny_directory(char *path, size_t cap);
void tiny_remove(const char *dir);

/* The model with an English vocabulary, [0], and with a multilingual one, [1], each in a new directory of its own. */
int tiny_pair(const tiny_model *m, char dir[2][256], char path[2][512]);

/* The parameters such a model has, by arithmetic on its dimensions. */
uint64_t tiny_parameters(const tiny_model *m);

#endif
