/* SPDX-License-Identifier: MIT
 * Quantising and laying out (packed.h). Plain C: done once a model. */
#include "nn/packed.h"

#include <math.h>
#include <string.h>

static size_t weight_group(int bits) { return bits == 4 ? SOTTO__GROUP4 : 64; }

static int weight_limit(int bits) { return bits == 16 ? 4095 : bits == 8 ? 127 : 15; /* 4 bits: 0 … 15 */ }

sotto__packed sotto__packed_weights(const void *data, const float *scale, size_t in, size_t out, int bits)
{
    return (sotto__packed){data, scale, in, out, weight_group(bits), bits, weight_limit(bits)};
}

float sotto__activation_limit(const sotto__packed *b)
{
    const double summed = (double)(b->group < b->in ? b->group : b->in);
    const double limit = floor(2147483647.0 / (b->largest * (summed > 0 ? summed : 1)));
    return (float)(limit < 32767 ? limit : 32767);
}

size_t sotto__packed_bytes(size_t in, size_t out, int bits)
{
    const size_t values = sotto__panels(out) * sotto__pairs(in) * 2 * SOTTO__PANEL;
    return bits == 4 ? values / 2 : bits == 8 ? values : 2 * values;
}

size_t sotto__packed_scales(size_t in, size_t out, int bits)
{
    return sotto__panels(out) * SOTTO__PANEL * sotto__groups(in, weight_group(bits));
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
    return x > low ? x < high ? x : high : low; /* NaN: low */
}

/* 8 and 16 bits: one group of one output. As ops.h's quantise: without any size, or not finite, it becomes zeros. */
static void pack_group(void *data, float *scale, const struct source *s, size_t o, size_t j, size_t first, size_t n,
                       int bits)
{
    const float limit = (float)weight_limit(bits);
    float largest = 0;
    for (size_t i = first; i < first + n; i++) {
        const float size = fabsf(value(s, o, i));
        if (!(size < 1e30f)) return;
        largest = fmaxf(largest, size);
    }
    if (!(largest > 1e-30f)) return;
    const float inverse = limit / largest;
    *scale = largest / limit;
    for (size_t i = first; i < first + n; i++) {
        const size_t at = i / 2 * 2 * SOTTO__PANEL + 2 * j + i % 2;
        const float q = rintf(value(s, o, i) * inverse);
        if (bits == 8)
            ((int8_t *)data)[at] = (int8_t)q;
        else
            ((int16_t *)data)[at] = (int16_t)q;
    }
}

static void pack_wide(void *data, float *scale, const struct source *s, size_t in, int bits, size_t panel)
{
    const size_t o = panel * SOTTO__PANEL, group = weight_group(bits);
    for (size_t j = 0; j < SOTTO__PANEL && o + j < s->out; j++)
        for (size_t g = 0; g < sotto__groups(in, group); g++)
            pack_group(data, scale + g * SOTTO__PANEL + j, s, o + j, j, g * group,
                       in - g * group < group ? in - g * group : group, bits);
}

/* The scale for 32 values that leaves the least squared error: from the one that maps the value of largest magnitude to
 * -8 down, as clipping it a little often serves the rest. */
static float best_scale4(const float *x)
{
    float extreme = 0, best = 0, best_error = INFINITY;
    for (size_t i = 0; i < SOTTO__GROUP4; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    if (extreme == 0) return 0;
    for (int c = 0; c < 16; c++) {
        const float scale = extreme / (-8.6f + 0.15f * (float)c), inverse = 1.0f / scale;
        float error = 0;
        for (size_t i = 0; i < SOTTO__GROUP4; i++) {
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
        for (size_t g = 0; g < in / SOTTO__GROUP4; g++) {
            float x[SOTTO__GROUP4];
            for (size_t i = 0; i < SOTTO__GROUP4; i++) x[i] = value(s, first + j, g * SOTTO__GROUP4 + i);
            const float sc = best_scale4(x), inverse = sc != 0 ? 1.0f / sc : 0.0f;
            scale[g * SOTTO__PANEL + j] = sc;
            for (size_t i = 0; i < SOTTO__GROUP4; i++) {
                unsigned shift;
                const size_t at = word4(g * SOTTO__GROUP4 + i, j, &shift);
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
        pack_wide(to, scale + panel * scales, &s, all, bits, panel);
}

void sotto__unpack_row(const sotto__packed *p, size_t o, float *y)
{
    const size_t panel = o / SOTTO__PANEL, j = o % SOTTO__PANEL, groups = sotto__groups(p->in, p->group);
    const unsigned char *data =
        (const unsigned char *)p->data + panel * sotto__packed_bytes(p->in, SOTTO__PANEL, p->bits);
    for (size_t i = 0; i < p->in; i++) {
        const float scale = p->scale[(panel * groups + i / p->group) * SOTTO__PANEL + j];
        const size_t at = i / 2 * 2 * SOTTO__PANEL + 2 * j + i % 2;
        unsigned shift;
        if (p->bits == 4) {
            const unsigned word = ((const uint16_t *)(const void *)data)[word4(i, j, &shift)];
            y[i] = scale * (float)((int)(word >> shift & 15) - 8);
        } else if (p->bits == 8) {
            y[i] = scale * (float)((const int8_t *)data)[at];
        } else {
            y[i] = scale * (float)((const int16_t *)(const void *)data)[at];
        }
    }
}
