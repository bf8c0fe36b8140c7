/* SPDX-License-Identifier: MIT
 * WAV headers and samples as they come through a pipe (pcm.h). Recorders that write to a pipe leave the lengths in the
 * header 0 or 0xFFFFFFFF: then the samples last until the end. */
#include "pcm.h"

#include <math.h>
#include <string.h>

#include "options.h"

static unsigned u16(const unsigned char *b) { return b[0] | (unsigned)b[1] << 8; }
static uint32_t u32(const unsigned char *b) { return u16(b) | (uint32_t)u16(b + 2) << 16; }

static sotto_status read_format(pcm *p, const unsigned char *b, uint32_t length, sotto_error *err)
{
    unsigned tag = u16(b);
    if (tag == 0xFFFE && length >= 26) tag = u16(b + 24); /* extensible: the tag begins the sub-format */
    p->channels = u16(b + 2);
    p->rate = u32(b + 4);
    p->bits = u16(b + 14);
    p->is_float = tag == 3;
    bool whole = tag == 1 && (p->bits == 8 || p->bits == 16 || p->bits == 24 || p->bits == 32);
    if (!whole && !(p->is_float && p->bits == 32))
        return options_fail(err, SOTTO_EUNSUPPORTED,
                            "standard input: WAV of format %u with %u bits; expected integers of 8 to 32 bits or "
                            "32-bit floats",
                            tag, p->bits);
    if (p->channels < 1 || p->channels > 64 || p->rate < 8000 || p->rate > 192000)
        return options_fail(err, SOTTO_EUNSUPPORTED,
                            "standard input: WAV with %u channels at %u Hz; expected 1 to 64 and 8000 to 192000 Hz",
                            p->channels, p->rate);
    return SOTTO_OK;
}

bool pcm_begin(pcm *p, const unsigned char *b, size_t n, bool is_end, size_t *used, sotto_status *st, sotto_error *err)
{
    *p = (pcm){.rate = 16000, .channels = 1, .bits = 16, .left = UINT64_MAX};
    *used = 0;
    *st = SOTTO_OK;
    if (n < 12 && !is_end) return false;
    if (n < 12 || memcmp(b, "RIFF", 4) != 0 || memcmp(b + 8, "WAVE", 4) != 0) return true;
    bool known = false;
    for (size_t at = 12; at <= PCM_HEAD;) {
        if (at + 8 > n && !is_end) return false;
        if (at + 8 > n) break;
        uint32_t length = u32(b + at + 4);
        if (memcmp(b + at, "data", 4) == 0) {
            if (!known) *st = options_fail(err, SOTTO_EFORMAT, "standard input: WAV without a format before its data");
            p->left = length == 0 || length >= 0x7FFFF000 ? UINT64_MAX : length;
            *used = at + 8;
            return true;
        }
        if (memcmp(b + at, "fmt ", 4) == 0 && length >= 16 && at + 8 + length <= n) {
            if ((*st = read_format(p, b + at + 8, length, err)) != SOTTO_OK) return true;
            known = true;
        }
        if (length > PCM_HEAD) break;
        at += 8 + length + (length & 1);
    }
    *st = options_fail(err, SOTTO_EFORMAT, "standard input: WAV with no samples in its first %d bytes", PCM_HEAD);
    return true;
}

size_t pcm_frame(const pcm *p) { return (size_t)p->channels * p->bits / 8; }

static double sample(const pcm *p, const unsigned char *b)
{
    switch (p->bits) {
    case 8:
        return (b[0] - 128) / 128.0;
    case 16:
        return (int16_t)u16(b) / 32768.0;
    case 24:
        return (int32_t)((uint32_t)b[0] << 8 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 24) / 2147483648.0;
    default:
        break;
    }
    uint32_t bits = u32(b);
    float value;
    if (!p->is_float) return (int32_t)bits / 2147483648.0;
    memcpy(&value, &bits, sizeof value);
    return isfinite(value) ? (double)value : 0;
}

void pcm_decode(const pcm *p, const unsigned char *b, size_t frames, float *out)
{
    for (size_t i = 0; i < frames; i++) {
        double sum = 0;
        for (unsigned c = 0; c < p->channels; c++, b += p->bits / 8) sum += sample(p, b);
        out[i] = (float)(sum / p->channels);
    }
}
