/* SPDX-License-Identifier: MIT
 * When somebody speaks: speech probabilities of successive chunks of 32 ms in, beginnings and ends of utterances out.
 * Thresholds as in Silero's VADIterator. A pure state machine. */
#ifndef SOTTO_LIVE_GATE_H
#define SOTTO_LIVE_GATE_H

#include <stdbool.h>
#include <stddef.h>

/* Set `silence`, the rest zero. */
typedef struct sotto__gate {
    size_t silence; /* chunks without speech that end an utterance, >= 1 */
    bool open;      /* within an utterance */
    size_t voiced;  /* chunks with speech in it */
    size_t silent;  /* chunks since the last that was not silent */
} sotto__gate;

typedef enum sotto__gate_event { SOTTO__GATE_NONE, SOTTO__GATE_BEGIN, SOTTO__GATE_END } sotto__gate_event;

sotto__gate_event sotto__gate_push(sotto__gate *g, float probability);

#endif
