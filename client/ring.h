/* SPDX-License-Identifier: MIT
 * Samples from one thread to another without locks: PortAudio's callback writes, the feeder reads. What does not fit is
 * lost, but its length is kept in its place, so that times after it stay right. */
#ifndef SOTTO_CLIENT_RING_H
#define SOTTO_CLIENT_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ring {
    float *data;
    size_t mask;                       /* capacity - 1; a power of two */
    _Alignas(64) atomic_size_t head;   /* samples ever written */
    size_t pending;                    /* the writer's: lost samples that are not announced yet */
    _Alignas(64) atomic_size_t tail;   /* samples ever read */
    _Alignas(64) atomic_size_t gap_at; /* a gap lies before this sample … */
    atomic_size_t gap;                 /* … of so many; 0: none */
    atomic_size_t lost;                /* in all */
    atomic_size_t overruns;            /* times that writing had to begin losing */
} ring;

/* Room for at least n samples; false when memory ran out. Zero-initialised rings may be freed. */
bool ring_init(ring *r, size_t n);
void ring_free(ring *r);

/* The writing thread. All n samples are taken, or all are lost. Never waits. */
void ring_write(ring *r, const float *samples, size_t n);

/* The reading thread. Up to n samples into `out`, zeros where some were lost; 0 when there are none. */
size_t ring_read(ring *r, float *out, size_t n);

/* Samples in it now, without gaps; either thread. */
size_t ring_used(ring *r);

#endif
