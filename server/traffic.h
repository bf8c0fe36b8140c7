/* SPDX-License-Identifier: MIT
 * Requests counted by route, status and time, for /metrics. */
#ifndef SOTTOD_TRAFFIC_H
#define SOTTOD_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

enum { TRAFFIC_KINDS = 256, TRAFFIC_BUCKETS = 12 };

extern const double traffic_bounds[TRAFFIC_BUCKETS]; /* seconds, upper ends of the buckets */

/* Times in buckets, each without the ones before it; the last is for all above. */
typedef struct traffic_times {
    uint64_t buckets[TRAFFIC_BUCKETS + 1];
    double sum_s;
} traffic_times;

typedef struct traffic_kind {
    const char *route; /* static */
    unsigned status;   /* 0: the client left before an answer */
    uint64_t n;
} traffic_kind;

typedef struct traffic_counts {
    traffic_kind kinds[TRAFFIC_KINDS];
    size_t n_kinds;
    uint64_t received_bytes;     /* of bodies */
    traffic_times answer, queue; /* of transcriptions: until the answer is out; of that, in the queue */
} traffic_counts;

typedef struct traffic traffic;

/* NULL when memory ran out. */
traffic *traffic_create(void);
void traffic_free(traffic *t);

/* These from any thread. A request ended; kinds beyond TRAFFIC_KINDS are counted with the last. */
void traffic_request(traffic *t, const char *route, unsigned status, uint64_t received_bytes);
/* A transcription was answered with 200. */
void traffic_transcription(traffic *t, double answer_s, double queue_s);
void traffic_get(traffic *t, traffic_counts *out);

#endif
