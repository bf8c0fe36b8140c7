/* SPDX-License-Identifier: MIT
 * What this machine can do at most, measured on the pool that layers run on: the roof of a roofline. */
#ifndef SOTTO_NN_CEILINGS_H
#define SOTTO_NN_CEILINGS_H

#include "nn/linear.h"

/* Multiply-adds a second. */
typedef struct sotto__peaks {
    double floats;  /* f32, on registers */
    double pairs;   /* 16-bit integers, on registers */
    double bytes;   /* 8-bit integers, on registers; 0 where the kernel table has no products of them */
    double product; /* the product kernel on 8-bit weights, with activations of as many bits as there are, that stay in
                       a core's first caches */
} sotto__peaks;

/* Best of `rounds` rounds of some milliseconds each. SOTTO_ENOMEM. */
sotto_status sotto__peaks_measure(sotto__peaks *out, const sotto__nn *nn, int rounds, sotto_error *err);

/* Multiply-adds a second of the product kernel as in `product` above: with activations of 8 bits, where `in_bytes` and
 * the kernel table has products of them, else of 16. SOTTO_ENOMEM. */
sotto_status sotto__product_measure(double *out, const sotto__nn *nn, bool in_bytes, int rounds, sotto_error *err);

/* Bytes a second of reading an array of `bytes` over and over, its parts spread over the threads; best of `rounds`. A
 * part is read by whichever thread is free, as tasks of a layer are. SOTTO_ENOMEM. */
sotto_status sotto__bandwidth_measure(double *out, const sotto__nn *nn, size_t bytes, int rounds, sotto_error *err);

#endif
