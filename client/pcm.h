/* SPDX-License-Identifier: MIT
 * Sound from a pipe, while it comes: WAV, or bare 16-bit little-endian mono samples at 16 kHz. Pure: bytes in, samples
 * out. */
#ifndef SOTTO_CLIENT_PCM_H
#define SOTTO_CLIENT_PCM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sotto.h"

enum { PCM_HEAD = 4096 }; /* bytes that a WAV's chunks before its samples may take */

typedef struct pcm {
    unsigned rate, channels, bits;
    bool is_float;
    uint64_t left; /* bytes of samples to come; UINT64_MAX: until the end */
} pcm;

/* Looks at the first n bytes. *used is what comes before the samples. False: more bytes are needed (`is_end`: there are
 * none; then it never returns false). *st other than SOTTO_OK: a WAV that cannot be read, `err` says why. */
bool pcm_begin(pcm *p, const unsigned char *bytes, size_t n, bool is_end, size_t *used, sotto_status *st,
               sotto_error *err);

/* Bytes of one sample of all channels. */
size_t pcm_frame(const pcm *p);

/* `frames` mono samples from that many frames. */
void pcm_decode(const pcm *p, const unsigned char *bytes, size_t frames, float *out);

#endif
