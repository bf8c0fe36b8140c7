/* SPDX-License-Identifier: MIT
 * Where a pass through the model spends its time: a lap is what ran since the lap before it, so laps add up to the
 * whole. Layers count the work, encoder.c and decoder.c end the laps. Off unless sotto__nn.timer is set. */
#ifndef SOTTO_NN_TIMER_H
#define SOTTO_NN_TIMER_H

#include <stddef.h>
#include <stdint.h>

/* Laps of encoder and decoder. name, JSON key */
#define SOTTO__LAP_LIST(X)                                                                                             \
    X(SOTTO__LAP_EMBED, "embed") /* mel or tokens to the first layer's input, positions */                             \
    X(SOTTO__LAP_CONV1, "conv1")                                                                                       \
    X(SOTTO__LAP_CONV2, "conv2")                                                                                       \
    X(SOTTO__LAP_ROWS, "norm_round") /* norms, and rows of activations made integers */                                \
    X(SOTTO__LAP_QKV, "qkv")                                                                                           \
    X(SOTTO__LAP_KEEP, "keep_kv") /* keys and values packed, or copied to where they are kept */                       \
    X(SOTTO__LAP_SELF, "self_attention")                                                                               \
    X(SOTTO__LAP_OUT, "self_out")                                                                                      \
    X(SOTTO__LAP_CROSS_Q, "cross_q")                                                                                   \
    X(SOTTO__LAP_CROSS, "cross_attention")                                                                             \
    X(SOTTO__LAP_CROSS_OUT, "cross_out")                                                                               \
    X(SOTTO__LAP_UP, "mlp_up")                                                                                         \
    X(SOTTO__LAP_DOWN, "mlp_down")                                                                                     \
    X(SOTTO__LAP_CROSS_KV, "cross_kv")                                                                                 \
    X(SOTTO__LAP_LOGITS, "vocabulary")                                                                                 \
    X(SOTTO__LAP_OTHER, "other")

typedef enum sotto__lap_name {
#define X(name, key) name,
    SOTTO__LAP_LIST(X)
#undef X
        SOTTO__LAP_NAMES
} sotto__lap_name;

const char *sotto__lap_key(sotto__lap_name name);

typedef struct sotto__lap {
    sotto__lap_name name;
    double seconds;
    uint64_t multiply_adds;
    uint64_t integer_multiply_adds; /* those of them on 16-bit integers */
    uint64_t byte_multiply_adds;    /* those of them on 8-bit ones */
    uint64_t bytes;                 /* that have to be read or written, each value once */
    uint64_t weight_bytes;          /* those of them that are the model's, or keys and values */
} sotto__lap;

/* Laps of a pass, at most; what comes later is added to the last. */
enum { SOTTO__LAPS_MOST = 2048 };

typedef struct sotto__timer {
    sotto__lap laps[SOTTO__LAPS_MOST]; /* in order: the same in every pass of the same shape */
    size_t n;
    sotto__lap open; /* work of the lap that runs */
    double since;    /* its start */
} sotto__timer;

/* Forgets all laps; the first one runs. */
void sotto__timer_start(sotto__timer *t);
/* Ends the lap that runs and calls it `name`; the next one runs. */
void sotto__timer_lap(sotto__timer *t, sotto__lap_name name);

/* *sum += *lap, but for the name. */
void sotto__lap_add(sotto__lap *sum, const sotto__lap *lap);

#endif
