/* SPDX-License-Identifier: MIT
 * Bytes made fewer, and back: Zstandard frames with their size and a checksum. */
#ifndef SOTTO_MODEL_COMPRESS_H
#define SOTTO_MODEL_COMPRESS_H

#include "base/checked.h"
#include "sotto.h"

/* Appends the frame of `n` bytes to `out`, as small as Zstandard makes it. False when memory ran out. */
bool sotto__compress(sotto__str *out, const void *data, size_t n);

/* The `n` bytes of `to` from a frame of `size` bytes. False when it holds another number of bytes, or is damaged. */
bool sotto__decompress(void *to, size_t n, const void *frame, size_t size);

#endif
