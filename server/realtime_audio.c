/* SPDX-License-Identifier: MIT
 * base64 and G.711 (realtime_audio.h). */
#include "realtime_audio.h"

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool realtime_base64(const char *text, size_t n_text, uint8_t *out, size_t *n)
{
    uint32_t bits = 0;
    size_t digits = n_text;
    *n = 0;
    while (digits && n_text - digits < 2 && text[digits - 1] == '=') digits--;
    if (digits % 4 == 1 || (digits != n_text && n_text % 4 != 0)) return false;
    for (size_t i = 0; i < digits; i++) {
        int value = digit(text[i]);
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4) out[(*n)++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    return true;
}

/* Sign, exponent of 3 bits, mantissa of 4. */
static int32_t from_pcmu(uint8_t byte)
{
    byte = (uint8_t)~byte;
    int32_t magnitude = ((((byte & 15) << 3) + 0x84) << (byte >> 4 & 7)) - 0x84;
    return byte & 0x80 ? -magnitude : magnitude;
}

static int32_t from_pcma(uint8_t byte)
{
    byte ^= 0x55;
    int32_t exponent = byte >> 4 & 7, magnitude = ((byte & 15) << 4) + 8;
    if (exponent) magnitude = (magnitude + 0x100) << (exponent - 1);
    return byte & 0x80 ? magnitude : -magnitude;
}

float realtime_sample(realtime_codec codec, const uint8_t *bytes)
{
    int32_t value = codec == REALTIME_PCMU   ? from_pcmu(*bytes)
                    : codec == REALTIME_PCMA ? from_pcma(*bytes)
                                             : (int16_t)(uint16_t)(bytes[0] | bytes[1] << 8);
    return (float)value / 32768.0F;
}
