/* SPDX-License-Identifier: MIT
 * What the fuzz targets share. A target is one fuzz_NAME.c with the two functions below. Built by Clang with libFuzzer
 * (preset fuzz) it looks for inputs of its own; built by any compiler with replay.c it takes the seeds, mutations of
 * them and the files of regressions/NAME. */
#ifndef SOTTO_TESTS_FUZZ_H
#define SOTTO_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One input; always returns 0. What is wrong shows as a crash, a sanitizer's report or abort(). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Hands out the seeds: well-formed inputs of every kind that the parser knows. */
void fuzz_seeds(void (*take)(const void *data, size_t n));

/* A directory of this process, made on the first call and removed at exit. */
const char *fuzz_directory(void);
/* Makes NAME in it hold these bytes and returns its path, valid until the next call. */
const char *fuzz_file(const char *name, const void *data, size_t n);
void fuzz_remove(const char *name);
/* A whole file as a seed: bytes `before` it, then what `path` holds. */
void fuzz_seed_file(void (*take)(const void *data, size_t n), uint8_t before, bool with_before, const char *path);
/* A NUL-terminated copy of the input, the caller's to free, on the heap so that a sanitizer sees reads past its end. */
char *fuzz_text(const uint8_t *data, size_t n);

#endif
