/* SPDX-License-Identifier: MIT
 * Silero VAD's forward pass, as in the silero-vad package (tinygrad_model.py, and the encoder and decoder of its
 * TorchScript model), one chunk at a time: the plain twin of batch.c. A row of zeros before and behind a convolution's
 * input is its padding, so that three neighbouring rows are one operand. */
#include "base/checked.h"
#include "base/error.h"
#include "model/weights.h"
#include "vad/net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct sotto__vad_stream {
    const sotto__vad *vad;
    float h[H], c[H];
    float x[INPUT + CONTEXT];
    float spectrum[T][2 * BINS];
    float magnitude[1 + T + 1][BINS];
    float y1[1 + T + 1][C1], y2[1 + T / 2][C2], y3[C3];
    float cell[C4 + H]; /* the LSTM cell's input: y4, h */
    float gates[GATES];
};

/* ---- weights -------------------------------------------------------------------------------------------------- */

typedef struct wanted {
    const char *name;
    int rank;
    size_t dims[3];
} wanted;

static void print_shape(char *text, size_t cap, int rank, const size_t *dims)
{
    sotto__str s = {0};
    for (int i = 0; i < rank; i++) sotto__str_printf(&s, "%s%zu", i ? ", " : "", dims[i]);
    strncpy(text, s.data ? s.data : "", cap - 1);
    text[cap - 1] = 0;
    sotto__str_free(&s);
}

/* The tensor's values, in the mapping and perhaps unaligned, once name, type and shape are as wanted. */
static sotto_status find(const sotto__weights *w, const wanted *want, const void **out, sotto_error *err)
{
    const sotto__tensor *t = sotto__weights_find(w, want->name);
    if (!t)
        return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %s of Silero VAD (16 kHz) is missing", w->file, want->name);
    if (t->rank != want->rank || memcmp(t->dims, want->dims, (size_t)t->rank * sizeof *t->dims) != 0) {
        char found[96], expected[96];
        print_shape(found, sizeof found, t->rank, t->dims);
        print_shape(expected, sizeof expected, want->rank, want->dims);
        return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %s has shape [%s], expected [%s]", w->file, want->name,
                           found, expected);
    }
    if (t->precision != SOTTO_PRECISION_F32)
        return sotto__fail(err, SOTTO_EUNSUPPORTED, "%s: tensor %s is not of dtype F32", w->file, want->name);
    *out = t->data;
    return SOTTO_OK;
}

static sotto_status load(float *to, const sotto__weights *w, const wanted *want, sotto_error *err)
{
    const void *from;
    size_t n = 1;
    sotto_status st = find(w, want, &from, err);
    if (st != SOTTO_OK) return st;
    for (int i = 0; i < want->rank; i++) n *= want->dims[i];
    memcpy(to, from, n * sizeof *to);
    return SOTTO_OK;
}

/* [out, in, 3] in the file; taps first … first+taps-1 of it as [out, taps, in]. */
static sotto_status load_conv(float *to, const sotto__weights *w, const wanted *want, size_t first, size_t taps,
                              sotto_error *err)
{
    const size_t in = want->dims[1];
    const void *from;
    sotto_status st = find(w, want, &from, err);
    if (st != SOTTO_OK) return st;
    for (size_t o = 0; o < want->dims[0]; o++)
        for (size_t k = 0; k < taps; k++)
            for (size_t i = 0; i < in; i++)
                memcpy(to++, (const char *)from + ((o * in + i) * TAPS + first + k) * sizeof *to, sizeof *to);
    return SOTTO_OK;
}

static sotto_status load_lstm(sotto__vad *v, const sotto__weights *w, sotto_error *err)
{
    static const wanted input = {"lstm_cell.weight_ih", 2, {GATES, C4}},
                        recurrent = {"lstm_cell.weight_hh", 2, {GATES, H}},
                        input_bias = {"lstm_cell.bias_ih", 1, {GATES}},
                        recurrent_bias = {"lstm_cell.bias_hh", 1, {GATES}};
    const void *ih, *hh;
    float bias[GATES];
    sotto_status st;
    if ((st = find(w, &input, &ih, err)) != SOTTO_OK || (st = find(w, &recurrent, &hh, err)) != SOTTO_OK ||
        (st = load(v->lstm_bias, w, &input_bias, err)) != SOTTO_OK ||
        (st = load(bias, w, &recurrent_bias, err)) != SOTTO_OK)
        return st;
    for (size_t g = 0; g < GATES; g++) {
        memcpy(v->lstm[g], (const char *)ih + g * C4 * sizeof(float), C4 * sizeof(float));
        memcpy(v->lstm[g] + C4, (const char *)hh + g * H * sizeof(float), H * sizeof(float));
        v->lstm_bias[g] += bias[g];
    }
    return SOTTO_OK;
}

static sotto_status load_all(sotto__vad *v, const sotto__weights *w, sotto_error *err)
{
    const struct {
        float *to;
        wanted want;
    } plain[] = {{v->basis[0], {"stft_conv.weight", 3, {2 * BINS, 1, FFT}}},
                 {v->bias1, {"conv1.bias", 1, {C1}}},
                 {v->bias2, {"conv2.bias", 1, {C2}}},
                 {v->bias3, {"conv3.bias", 1, {C3}}},
                 {v->bias4, {"conv4.bias", 1, {C4}}},
                 {v->out_weight, {"final_conv.weight", 3, {1, H, 1}}},
                 {&v->out_bias, {"final_conv.bias", 1, {1}}}};
    const struct {
        float *to;
        wanted want;
        size_t first, taps;
    } convs[] = {{v->conv1[0][0], {"conv1.weight", 3, {C1, BINS, TAPS}}, 0, TAPS},
                 {v->conv2[0][0], {"conv2.weight", 3, {C2, C1, TAPS}}, 0, TAPS},
                 {v->conv3[0][0], {"conv3.weight", 3, {C3, C2, TAPS}}, 0, TAPS},
                 {v->conv4[0], {"conv4.weight", 3, {C4, C3, TAPS}}, 1, 1}};
    sotto_status st = SOTTO_OK;
    for (size_t i = 0; st == SOTTO_OK && i < sizeof plain / sizeof *plain; i++)
        st = load(plain[i].to, w, &plain[i].want, err);
    for (size_t i = 0; st == SOTTO_OK && i < sizeof convs / sizeof *convs; i++)
        st = load_conv(convs[i].to, w, &convs[i].want, convs[i].first, convs[i].taps, err);
    return st == SOTTO_OK ? load_lstm(v, w, err) : st;
}

sotto_status sotto__vad_open(sotto__vad **out, const char *path, sotto_error *err)
{
    struct stat sb;
    sotto__str file = {0};
    sotto__weights *w = NULL;
    sotto__vad *v = NULL;
    sotto_status st = SOTTO_OK;
    *out = NULL;
    sotto__gemm_init();
    if (!sotto__str_printf(&file, "%s%s", path,
                           stat(path, &sb) == 0 && S_ISDIR(sb.st_mode) ? "/silero_vad_16k.safetensors" : ""))
        st = sotto__fail_nomem(err, "path of the voice detector");
    if (st == SOTTO_OK) st = sotto__safetensors_open(&w, file.data, err);
    if (st == SOTTO_OK && !(v = sotto__aligned(1, sizeof *v))) st = sotto__fail_nomem(err, "voice detector");
    if (st == SOTTO_OK && !(v->ops = sotto__ops_allowed(err))) st = SOTTO_EINVAL;
    if (st == SOTTO_OK && (st = load_all(v, w, err)) == SOTTO_OK) sotto__vad_arrange(v);
    sotto__weights_close(w);
    sotto__str_free(&file);
    if (st == SOTTO_OK)
        *out = v;
    else
        sotto__vad_free(v);
    return st;
}

void sotto__vad_free(sotto__vad *vad) { free(vad); }

/* ---- one chunk ------------------------------------------------------------------------------------------------ */

sotto_status sotto__vad_stream_create(sotto__vad_stream **out, const sotto__vad *vad, sotto_error *err)
{
    sotto__vad_stream *s = sotto__aligned(1, sizeof *s);
    *out = s;
    if (!s) return sotto__fail_nomem(err, "voice detector's state");
    memset(s, 0, sizeof *s); /* the rows of padding stay zero */
    s->vad = vad;
    return SOTTO_OK;
}

void sotto__vad_stream_free(sotto__vad_stream *s) { free(s); }

void sotto__vad_stream_reset(sotto__vad_stream *s)
{
    memset(s->h, 0, sizeof s->h);
    memset(s->c, 0, sizeof s->c);
    memset(s->x, 0, sizeof s->x);
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

static void relu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

/* x = the 64 samples before, the chunk, and its end mirrored */
static void take_samples(sotto__vad_stream *s, const float *chunk)
{
    memcpy(s->x, s->x + SOTTO__VAD_CHUNK, CONTEXT * sizeof *s->x);
    for (size_t i = 0; i < SOTTO__VAD_CHUNK; i++) s->x[CONTEXT + i] = sotto__vad_limited(chunk[i]);
    for (size_t i = 0; i < CONTEXT; i++) s->x[INPUT + i] = s->x[INPUT - 2 - i];
}

/* y[rows, out] = bias + W x, W [out, in]; row r of x begins at r * step and may overlap the next. Weights are the
 * larger operand and each is used for few rows, so products are not worth a library's repacking. */
static void product(const sotto__ops *ops, const float *weight, const float *bias, size_t out, size_t in,
                    const float *x, size_t step, size_t rows, float *y)
{
    for (size_t o = 0; o < out; o++)
        for (size_t r = 0; r < rows; r++)
            y[r * out + o] = (bias ? bias[o] : 0.0f) + ops->dot(weight + o * in, x + r * step, in);
}

/* torch.nn.LSTMCell on s->cell = (y4, h) */
static void lstm_cell(sotto__vad_stream *s)
{
    const sotto__vad *v = s->vad;
    const float *in = s->gates, *forget = in + H, *cell = forget + H, *out = cell + H;
    product(v->ops, v->lstm[0], v->lstm_bias, GATES, C4 + H, s->cell, 0, 1, s->gates);
    for (size_t i = 0; i < H; i++) {
        s->c[i] = sigmoid(forget[i]) * s->c[i] + sigmoid(in[i]) * tanhf(cell[i]);
        s->h[i] = sigmoid(out[i]) * tanhf(s->c[i]);
    }
}

float sotto__vad_stream_push(sotto__vad_stream *s, const float chunk[SOTTO__VAD_CHUNK])
{
    const sotto__vad *v = s->vad;
    const sotto__ops *ops = v->ops;
    float logit = v->out_bias;
    take_samples(s, chunk);
    /* [640] -> [4, 258] -> [4, 129] */
    product(ops, v->basis[0], NULL, 2 * BINS, FFT, s->x, HOP, T, s->spectrum[0]);
    for (size_t t = 0; t < T; t++)
        for (size_t k = 0; k < BINS; k++) {
            const float re = s->spectrum[t][k], im = s->spectrum[t][BINS + k];
            s->magnitude[1 + t][k] = sqrtf(re * re + im * im);
        }
    /* [4, 129] -> [4, 128] -> [2, 64] -> [64] -> [128] */
    product(ops, v->conv1[0][0], v->bias1, C1, TAPS * BINS, s->magnitude[0], BINS, T, s->y1[1]);
    relu(s->y1[1], T * C1);
    product(ops, v->conv2[0][0], v->bias2, C2, TAPS * C1, s->y1[0], 2 * C1, T / 2, s->y2[1]);
    relu(s->y2[1], T / 2 * C2);
    product(ops, v->conv3[0][0], v->bias3, C3, TAPS * C2, s->y2[0], 0, 1, s->y3);
    relu(s->y3, C3);
    product(ops, v->conv4[0], v->bias4, C4, C3, s->y3, 0, 1, s->cell);
    relu(s->cell, C4);
    memcpy(s->cell + C4, s->h, sizeof s->h);
    lstm_cell(s);
    for (size_t i = 0; i < H; i++) logit += s->h[i] > 0.0f ? s->h[i] * v->out_weight[i] : 0.0f;
    return sigmoid(logit);
}
