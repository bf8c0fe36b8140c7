/* SPDX-License-Identifier: MIT
 * Quantising and laying out (packed.h). Plain C: done once a model. */
#include "nn/packed.h"

#include <math.h>
#include <string.h>

float sotto__activation_limit(size_t in, int bits)
{
    const double largest = bits == 4 ? 8 : bits == 8 ? 127 : 32767;
    const double summed = bits == 4 ? SOTTO__GROUP : (double)in;
    const double limit = floor(2147483647.0 / (largest * (summed > 0 ? summed : 1)));
    return (float)(limit < 32767 ? limit : 32767);
}

size_t sotto__packed_bytes(size_t in, size_t out, int bits)
{
    const size_t values = sotto__panels(out) * sotto__pairs(in) * 2 * SOTTO__PANEL;
    return bits == 4 ? values / 2 : bits == 8 ? values : 2 * values;
}

size_t sotto__packed_scales(size_t in, size_t out, int bits)
{
    return sotto__panels(out) * SOTTO__PANEL * (bits == 4 ? in / SOTTO__GROUP : 1);
}

struct source {
    const float *w;
    size_t in, out; /* of one tap */
};

static float value(const struct source *s, size_t o, size_t i)
{
    return s->w[(i / s->in * s->out + o) * s->in + i % s->in];
}

static float clamp_round(float x, float low, float high)
{
    x = rintf(x);
    return x < low ? low : x > high ? high : x;
}

static void pack8(int8_t *data, float *scale, const struct source *s, size_t in, size_t panel)
{
    const size_t first = panel * SOTTO__PANEL;
    for (size_t j = 0; j < SOTTO__PANEL && first + j < s->out; j++) {
        float largest = 0;
        for (size_t i = 0; i < in; i++) largest = fmaxf(largest, fabsf(value(s, first + j, i)));
        const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
        scale[j] = largest / 127.0f;
        for (size_t i = 0; i < in; i++)
            data[i / 2 * 2 * SOTTO__PANEL + 2 * j + i % 2] =
                (int8_t)clamp_round(value(s, first + j, i) * inverse, -127, 127);
    }
}

/* The scale for 32 values that leaves the least squared error: from the one that maps the value of largest magnitude to
 * -8 down, as clipping it a little often serves the rest. */
static float best_scale4(const float *x)
{
    float extreme = 0, best = 0, best_error = INFINITY;
    for (size_t i = 0; i < SOTTO__GROUP; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    if (extreme == 0) return 0;
    for (int c = 0; c < 16; c++) {
        const float scale = extreme / (-8.6f + 0.15f * (float)c), inverse = 1.0f / scale;
        float error = 0;
        for (size_t i = 0; i < SOTTO__GROUP; i++) {
            const float e = x[i] - scale * clamp_round(x[i] * inverse, -8, 7);
            error += e * e;
        }
        if (error < best_error) {
            best_error = error;
            best = scale;
        }
    }
    return best;
}

/* Where value i of output j lies: its word's index in a panel, and its lowest bit. */
static size_t word4(size_t i, size_t j, unsigned *shift)
{
    *shift = (unsigned)(i % 8 / 2 * 4);
    return i / 8 * 2 * SOTTO__PANEL + 2 * j + i % 2;
}

static void pack4(uint16_t *data, float *scale, const struct source *s, size_t in, size_t panel)
{
    const size_t first = panel * SOTTO__PANEL;
    for (size_t j = 0; j < SOTTO__PANEL && first + j < s->out; j++) {
        for (size_t g = 0; g < in / SOTTO__GROUP; g++) {
            float x[SOTTO__GROUP];
            for (size_t i = 0; i < SOTTO__GROUP; i++) x[i] = value(s, first + j, g * SOTTO__GROUP + i);
            const float sc = best_scale4(x), inverse = sc != 0 ? 1.0f / sc : 0.0f;
            scale[g * SOTTO__PANEL + j] = sc;
            for (size_t i = 0; i < SOTTO__GROUP; i++) {
                unsigned shift;
                const size_t at = word4(g * SOTTO__GROUP + i, j, &shift);
                const unsigned q = (unsigned)((int)clamp_round(x[i] * inverse, -8, 7) + 8);
                data[at] = (uint16_t)((data[at] & ~(15u << shift)) | q << shift);
            }
        }
    }
}

void sotto__pack(void *data, float *scale, const float *w, size_t in, size_t out, size_t taps, int bits, size_t panel)
{
    const struct source s = {w, in, out};
    const size_t all = taps * in, bytes = sotto__packed_bytes(all, SOTTO__PANEL, bits);
    const size_t scales = sotto__packed_scales(all, SOTTO__PANEL, bits);
    unsigned char *to = (unsigned char *)data + panel * bytes;
    memset(to, bits == 4 ? 0x88 : 0, bytes);
    memset(scale + panel * scales, 0, scales * sizeof *scale);
    if (bits == 4)
        pack4((uint16_t *)(void *)to, scale + panel * scales, &s, all, panel);
    else
        pack8((int8_t *)to, scale + panel * scales, &s, all, panel);
}

void sotto__unpack_row(const sotto__packed *p, size_t o, float *y)
{
    const size_t panel = o / SOTTO__PANEL, j = o % SOTTO__PANEL;
    const unsigned char *data =
        (const unsigned char *)p->data + panel * sotto__packed_bytes(p->in, SOTTO__PANEL, p->bits);
    const float *scale = p->scale + panel * sotto__packed_scales(p->in, SOTTO__PANEL, p->bits);
    for (size_t i = 0; i < p->in; i++) {
        const size_t at = i / 2 * 2 * SOTTO__PANEL + 2 * j + i % 2;
        unsigned shift;
        if (p->bits == 4) {
            const unsigned word = ((const uint16_t *)(const void *)data)[word4(i, j, &shift)];
            y[i] = scale[i / SOTTO__GROUP * SOTTO__PANEL + j] * (float)((int)(word >> shift & 15) - 8);
        } else if (p->bits == 8) {
            y[i] = scale[j] * (float)((const int8_t *)data)[at];
        } else {
            y[i] = scale[j] * (float)((const int16_t *)(const void *)data)[at];
        }
    }
}
