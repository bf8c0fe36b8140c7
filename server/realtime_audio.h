/* SPDX-License-Identifier: MIT
 * Audio as OpenAI's realtime clients send it: base64 of PCM or G.711. Pure. */
#ifndef SOTTOD_REALTIME_AUDIO_H
#define SOTTOD_REALTIME_AUDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum realtime_codec { REALTIME_PCM16, REALTIME_PCMU, REALTIME_PCMA } realtime_codec;

/* Decodes base64 (RFC 4648, padding may be left out) into `out`, which has room for 3 bytes of every 4 begun; `out` may
 * be `text`. False when it is none; *n is the number of bytes. */
bool realtime_base64(const char *text, size_t n_text, uint8_t *out, size_t *n);

/* A mono sample in -1 … 1 of its bytes (two for PCM16, little-endian, else one: ITU-T G.711's laws). */
float realtime_sample(realtime_codec codec, const uint8_t *bytes);

#endif
