/* SPDX-License-Identifier: MIT */
#include "live/gate.h"

static const float SPEECH = 0.5f, SILENCE = 0.35f;

sotto__gate_event sotto__gate_push(sotto__gate *g, float probability)
{
    if (!g->open) {
        if (!(probability >= SPEECH)) return SOTTO__GATE_NONE;
        g->open = true;
        g->voiced = 1;
        g->silent = 0;
        return SOTTO__GATE_BEGIN;
    }
    if (probability >= SPEECH) {
        g->voiced++;
        g->silent = 0;
    } else if (g->silent || probability < SILENCE) { /* between the two it stays what it was */
        g->silent++;
    }
    if (g->silent < g->silence) return SOTTO__GATE_NONE;
    g->open = false;
    return SOTTO__GATE_END;
}
