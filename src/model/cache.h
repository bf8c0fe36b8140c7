/* SPDX-License-Identifier: MIT
 * The prepacked parameters of a model as a file beside its weights, NAME.PRECISION.packed: written once, mapped by
 * every later process, so that opening needs no conversion and processes share the memory. */
#ifndef SOTTO_MODEL_CACHE_H
#define SOTTO_MODEL_CACHE_H

#include "model/model.h"

/* Maps the file of m->precision as m->arena. False, with nothing changed, when there is none that holds `bytes` bytes
 * in the order that `layout` stands for, made from this weight file's content, and is whole. */
bool sotto__cache_map(sotto_model *m, const sotto__weights *w, size_t bytes, uint64_t layout);

/* Writes m->arena under a temporary name and renames it. False when that is not possible, which hurts nobody. */
bool sotto__cache_write(const sotto_model *m, const sotto__weights *w, uint64_t layout);

void sotto__cache_unmap(sotto_model *m);

/* For layouts: a hash of n bytes that continues `seed`. */
uint64_t sotto__hash(const void *data, size_t n, uint64_t seed);

#endif
