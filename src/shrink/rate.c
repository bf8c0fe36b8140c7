/* SPDX-License-Identifier: MIT
 * Uniform steps at a given entropy. Codes that are packed by an entropy coder need no level count: for independent
 * weights equal steps are within a quarter of a bit of the best code there is (Gish & Pierce 1968), and the step alone
 * decides between bits and errors. Steps that cost alike in every input give the least error for the bits. */
#include "base/checked.h"
#include "base/error.h"
#include "shrink/coding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 256, TRIES = 8 }; /* rows that a step is found on, evenly spread */
enum { WIDEST = 100 };            /* steps of the largest weight: a code has 127, some for what gptq adds */

/* An entropy that is as good as the one asked for. */
static const double near = 0.003;

uint16_t *sotto__even_columns(size_t in, const double *r, const double *cost)
{
    uint16_t *column = sotto__aligned(in, sizeof *column);
    double middle = 0;
    for (size_t i = 0; i < in; i++) middle += log(r ? r[i * in + i] : 1 / sqrt(cost[i]));
    middle = exp(middle / (double)in);
    for (size_t i = 0; column && i < in; i++) {
        const double factor = (r ? r[i * in + i] : 1 / sqrt(cost[i])) / middle;
        column[i] = sotto__to_half(fmin(fmax(factor, 1e-3), 1e3));
    }
    return column;
}

bool sotto__widen_columns(uint16_t *column, const sotto__weights_in *w, double *stretch, double *r)
{
    bool any = false;
    for (size_t i = 0; i < w->in; i++) {
        double most = 0;
        for (size_t o = 0; o < w->out; o++)
            most = fmax(most, fabs(sotto__weight_in(w, o, i)) / (w->rare && w->rare[o] ? w->rare_step : w->step));
        if (!(most > WIDEST)) continue;
        const double before = stretch[i];
        column[i] = sotto__to_half(sotto__from_half(column[i]) * most / WIDEST);
        stretch[i] = 1 / sotto__from_half(column[i]);
        for (size_t j = 0; r && j <= i; j++) r[j * w->in + i] *= stretch[i] / before;
        any = true;
    }
    return any;
}

double sotto__entropy(const sotto__coded *c, const uint8_t *rare)
{
    size_t count[2][256] = {0}, rows[2] = {0};
    double bits = 0;
    for (size_t o = 0; o < c->out; o++) {
        const size_t kind = rare && rare[o];
        rows[kind]++;
        for (size_t i = 0; i < c->in; i++) count[kind][c->codes[o * c->in + i]]++;
    }
    for (size_t kind = 0; kind < 2; kind++)
        for (size_t v = 0; v < 256; v++) {
            const double n = (double)count[kind][v];
            if (n > 0) bits -= n * log2(n / (double)(rows[kind] * c->in));
        }
    return c->out && c->in ? bits / (double)(c->out * c->in) : 0;
}

/* ---- the step ---- */

struct sample {
    sotto__weights_in w; /* of the rows */
    sotto__coded coded;
    float *rows;
    double *x; /* [in] */
    const bool *dead;
    const double *r;
};

static sotto_status code_sample(struct sample *s, double step, double *bits, sotto_error *err)
{
    s->w.step = step;
    sotto_status st = SOTTO_OK;
    if (s->r)
        st = sotto__gptq(&s->coded, &s->w, s->dead, s->r, err);
    else
        for (size_t o = 0; o < s->w.out; o++) sotto__round_row(&s->coded, o, &s->w, o, s->x);
    *bits = sotto__entropy(&s->coded, NULL);
    return st;
}

/* log2 of the step that gives normal weights of each input's deviation the entropy `rate`: log2(deviation / step) +
 * log2(2 pi e) / 2. */
static double first_guess(const struct sample *s, double rate)
{
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->w.in; i++) {
        double squares = 0;
        for (size_t o = 0; o < s->w.out; o++) squares += pow(sotto__weight_in(&s->w, o, i), 2);
        if (!(squares > 0)) continue;
        sum += 0.5 * log2(squares / (double)s->w.out);
        n++;
    }
    return (n ? sum / (double)n : 0) + 2.047 - rate;
}

/* An octave of steps is a bit, or less where many codes are 0 anyway: going by the bits that are amiss never goes too
 * far. */
static sotto_status find_step(struct sample *s, double rate, double *step, sotto_error *err)
{
    double level = first_guess(s, rate), bits = 0;
    sotto_status st = SOTTO_OK;
    for (int i = 0; st == SOTTO_OK && i < TRIES; i++) {
        level = fmin(fmax(level, -23), 15);
        *step = sotto__from_half(sotto__to_half(exp2(level)));
        st = code_sample(s, *step, &bits, err);
        if (fabs(bits - rate) < near) break;
        level += bits - rate;
    }
    return st;
}

/* Up to SAMPLE of the rows that are (not) rare; how many. */
static size_t take_rows(struct sample *s, const sotto__weights_in *w, bool rare)
{
    size_t all = 0, at = 0, n = 0;
    for (size_t o = 0; o < w->out; o++) all += (w->rare && w->rare[o]) == rare;
    const size_t most = all < SAMPLE ? all : SAMPLE;
    for (size_t o = 0; o < w->out && n < most; o++) {
        if ((w->rare && w->rare[o]) != rare) continue;
        if (at++ < n * all / most) continue;
        memcpy(s->rows + n++ * w->in, w->w + o * w->in, w->in * sizeof *s->rows);
    }
    return n;
}

static sotto_status find_for(const sotto__weights_in *w, bool rare, double rate, double *step, const bool *dead,
                             const double *r, sotto_error *err)
{
    const sotto__coding coding = {.bits = 8};
    const size_t most = w->out < SAMPLE ? w->out : SAMPLE;
    struct sample s = {.w = *w, .dead = dead, .r = r};
    sotto_status st = SOTTO_OK;
    s.w.w = s.rows = sotto__aligned(most * w->in, sizeof *s.rows);
    s.x = sotto__aligned(w->in, sizeof *s.x);
    s.w.rare = NULL;
    if (!s.rows || !s.x) {
        st = sotto__fail_nomem(err, "a sample of weights");
    } else if ((s.w.out = take_rows(&s, w, rare)) > 0) {
        st = sotto__coded_open(&s.coded, s.w.out, w->in, &coding, err);
        if (st == SOTTO_OK) st = find_step(&s, rate, step, err);
    }
    sotto__coded_free(&s.coded);
    free(s.rows);
    free(s.x);
    return st;
}

sotto_status sotto__find_steps(sotto__weights_in *w, const sotto__coding *coding, const bool *dead, const double *r,
                               sotto_error *err)
{
    double common = 1, rare = 1;
    sotto_status st = find_for(w, false, coding->rate, &common, dead, r, err);
    if (st == SOTTO_OK && w->rare) st = find_for(w, true, coding->rare_bits, &rare, dead, r, err);
    w->step = common;
    w->rare_step = rare;
    return st;
}
