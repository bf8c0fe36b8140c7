/* SPDX-License-Identifier: MIT
 * Peaks and bandwidth by the loops of the kernel table, one task a thread or some a thread. */
#include "nn/ceilings.h"
#include "base/checked.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

enum { IN = 384, OUT = 64, ROWS = 48, LINE = 16, TASKS = 4 /* a thread */ };

struct job {
    const sotto__nn *nn;
    bool in_bytes; /* activations of 8 bits in the place of 16 */
    double (*peak)(size_t rounds, float *sink);
    size_t repeats;
    unsigned char *memory; /* of all threads, or the array that is read */
    size_t bytes, part;
    float *sinks;   /* [threads, LINE] */
    double *counts; /* [tasks] */
};

static void peak_task(void *arg, size_t index, int thread)
{
    const struct job *j = arg;
    j->counts[index] = j->peak(j->repeats, j->sinks + (size_t)thread * LINE);
}

/* Per thread: activations, weights, scales, output. */
enum { ACTIVATIONS = ROWS * IN * 2, WEIGHTS = IN * OUT, SCALES = IN / 64 * OUT * 4, OUTPUT = ROWS * OUT * 4 };
enum { PRODUCT_BYTES = ACTIVATIONS + WEIGHTS + SCALES + OUTPUT };

static void product_task(void *arg, size_t index, int thread)
{
    const struct job *j = arg;
    unsigned char *at = j->memory + (size_t)thread * PRODUCT_BYTES;
    float row_scale[ROWS];
    const void *scales = at + ACTIVATIONS + WEIGHTS;
    const sotto__packed b = sotto__packed_weights(at + ACTIVATIONS, scales, IN, OUT, 8);
    for (size_t r = 0; r < ROWS; r++) row_scale[r] = 1.0f;
    const sotto__product g = {.a = (const int16_t *)(const void *)at,
                              .lda = IN,
                              .rows = ROWS,
                              .a_scale = row_scale,
                              .b = &b,
                              .c = (float *)(void *)(at + ACTIVATIONS + WEIGHTS + SCALES),
                              .ldc = OUT};
    float group_scale[ROWS * IN / 64];
    int32_t sums[ROWS * IN / 64];
    for (size_t r = 0; r < ROWS * IN / 64; r++) {
        group_scale[r] = 1.0f;
        sums[r] = -128 * 64;
    }
    const sotto__byte_product bytes = {.a = (const int8_t *)at,
                                       .lda = IN,
                                       .rows = ROWS,
                                       .a_scale = group_scale,
                                       .a_sums = sums,
                                       .b = &b,
                                       .c = g.c,
                                       .ldc = OUT};
    for (size_t i = 0; i < j->repeats; i++) {
        if (j->in_bytes)
            j->nn->ops->bytes->product(&bytes, 0, OUT / SOTTO__PANEL);
        else
            j->nn->ops->product(&g, 0, OUT / SOTTO__PANEL);
    }
    j->counts[index] = (double)j->repeats * IN * OUT * ROWS;
}

static void read_task(void *arg, size_t index, int thread)
{
    const struct job *j = arg;
    j->nn->ops->read_bytes(j->memory + index * j->part, j->part, j->sinks + (size_t)thread * LINE);
    j->counts[index] = (double)j->part;
}

/* Counts a second of n tasks; repeats `times` times between two looks at the clock. */
static double fastest(struct job *j, sotto__task *task, size_t n, size_t times, int rounds)
{
    double best = 0;
    for (int round = 0; round < rounds; round++) {
        double count = 0;
        const double start = sotto__now_s();
        for (size_t t = 0; t < times; t++) sotto__pool_run(j->nn->pool, task, j, n);
        const double seconds = sotto__now_s() - start;
        for (size_t i = 0; i < n; i++) count += j->counts[i];
        if (seconds > 0 && count * (double)times / seconds > best) best = count * (double)times / seconds;
    }
    return best;
}

static void release(struct job *j)
{
    free(j->memory);
    free(j->sinks);
    free(j->counts);
}

static sotto_status prepare(struct job *j, size_t tasks, sotto_error *err)
{
    const size_t threads = (size_t)sotto__pool_threads(j->nn->pool);
    j->memory = sotto__aligned(j->bytes, 1);
    j->sinks = sotto__aligned(threads * LINE, sizeof *j->sinks);
    j->counts = sotto__aligned(tasks, sizeof *j->counts);
    if (j->memory && j->sinks && j->counts) {
        memset(j->memory, 1, j->bytes); /* pages of its own */
        return SOTTO_OK;
    }
    release(j);
    return sotto__fail_nomem(err, "arrays to measure the machine with");
}

enum { PRODUCT_REPEATS = 20 };

sotto_status sotto__product_measure(double *out, const sotto__nn *nn, bool in_bytes, int rounds, sotto_error *err)
{
    const size_t threads = (size_t)sotto__pool_threads(nn->pool), tasks = TASKS * threads;
    struct job j = {
        .nn = nn, .bytes = threads * PRODUCT_BYTES, .in_bytes = in_bytes && nn->ops->bytes, .repeats = PRODUCT_REPEATS};
    *out = 0;
    const sotto_status st = prepare(&j, tasks, err);
    if (st != SOTTO_OK) return st;
    *out = fastest(&j, product_task, tasks, 1, rounds);
    release(&j);
    return SOTTO_OK;
}

sotto_status sotto__peaks_measure(sotto__peaks *out, const sotto__nn *nn, int rounds, sotto_error *err)
{
    enum { PEAK_REPEATS = 100000 };
    const size_t threads = (size_t)sotto__pool_threads(nn->pool), tasks = TASKS * threads;
    struct job j = {.nn = nn, .bytes = threads * PRODUCT_BYTES};
    *out = (sotto__peaks){0};
    sotto_status st = prepare(&j, tasks, err);
    if (st != SOTTO_OK) return st;
    j.repeats = PEAK_REPEATS;
    j.peak = nn->ops->peak_floats;
    out->floats = fastest(&j, peak_task, tasks, 1, rounds);
    j.peak = nn->ops->peak_pairs;
    out->pairs = fastest(&j, peak_task, tasks, 1, rounds);
    if (nn->ops->bytes) {
        j.peak = nn->ops->bytes->peak;
        out->bytes = fastest(&j, peak_task, tasks, 1, rounds);
    }
    release(&j);
    return sotto__product_measure(&out->product, nn, true, rounds, err);
}

sotto_status sotto__bandwidth_measure(double *out, const sotto__nn *nn, size_t bytes, int rounds, sotto_error *err)
{
    enum { UNIT = 512, LEAST = 8 << 20 }; /* bytes of a round, at least */
    const size_t tasks = 2 * TASKS * (size_t)sotto__pool_threads(nn->pool);
    struct job j = {.nn = nn, .part = (bytes / tasks + UNIT - 1) / UNIT * UNIT};
    if (j.part == 0) j.part = UNIT;
    j.bytes = tasks * j.part;
    *out = 0;
    sotto_status st = prepare(&j, tasks, err);
    if (st != SOTTO_OK) return st;
    *out = fastest(&j, read_task, tasks, j.bytes < LEAST ? LEAST / j.bytes : 1, rounds);
    release(&j);
    return SOTTO_OK;
}
