/* SPDX-License-Identifier: MIT
 * The ring between the sound card's thread and ours (ring.h). head and tail only grow; each has one writer. */
#include "ring.h"

#include <stdlib.h>
#include <string.h>

bool ring_init(ring *r, size_t n)
{
    size_t capacity = 1;
    *r = (ring){0};
    if (n > SIZE_MAX / 4 / sizeof *r->data) return false;
    while (capacity < n) capacity *= 2;
    r->data = calloc(capacity, sizeof *r->data);
    r->mask = capacity - 1;
    return r->data != NULL;
}

void ring_free(ring *r)
{
    free(r->data);
    r->data = NULL;
}

/* True when nothing is left unannounced: the place of a gap is free once the reader has passed the one before. */
static bool announce(ring *r, size_t head)
{
    if (r->pending == 0) return true;
    if (atomic_load_explicit(&r->gap, memory_order_acquire) != 0) return false;
    atomic_store_explicit(&r->gap_at, head, memory_order_relaxed);
    atomic_store_explicit(&r->gap, r->pending, memory_order_release);
    r->pending = 0;
    return true;
}

void ring_write(ring *r, const float *samples, size_t n)
{
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    size_t room = r->mask + 1 - (head - atomic_load_explicit(&r->tail, memory_order_acquire));
    if (n == 0) return;
    if (n > room || !announce(r, head)) {
        if (r->pending == 0) atomic_fetch_add_explicit(&r->overruns, 1, memory_order_relaxed);
        r->pending += n;
        atomic_fetch_add_explicit(&r->lost, n, memory_order_relaxed);
        return;
    }
    size_t at = head & r->mask, first = r->mask + 1 - at < n ? r->mask + 1 - at : n;
    memcpy(r->data + at, samples, first * sizeof *samples);
    memcpy(r->data, samples + first, (n - first) * sizeof *samples);
    atomic_store_explicit(&r->head, head + n, memory_order_release);
}

size_t ring_read(ring *r, float *out, size_t n)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    size_t used = atomic_load_explicit(&r->head, memory_order_acquire) - tail;
    size_t gap = atomic_load_explicit(&r->gap, memory_order_acquire); /* after head: seen when what follows it is */
    if (gap) {
        size_t before = atomic_load_explicit(&r->gap_at, memory_order_relaxed) - tail;
        if (before == 0) {
            if (n > gap) n = gap;
            memset(out, 0, n * sizeof *out);
            atomic_store_explicit(&r->gap, gap - n, memory_order_release);
            return n;
        }
        if (used > before) used = before;
    }
    if (n > used) n = used;
    size_t at = tail & r->mask, first = r->mask + 1 - at < n ? r->mask + 1 - at : n;
    memcpy(out, r->data + at, first * sizeof *out);
    memcpy(out + first, r->data, (n - first) * sizeof *out);
    atomic_store_explicit(&r->tail, tail + n, memory_order_release);
    return n;
}

size_t ring_used(ring *r)
{
    return atomic_load_explicit(&r->head, memory_order_acquire) - atomic_load_explicit(&r->tail, memory_order_acquire);
}
