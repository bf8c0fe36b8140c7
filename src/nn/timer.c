/* SPDX-License-Identifier: MIT
 * Laps and their names. */
#include "nn/timer.h"
#include "base/checked.h"

const char *sotto__lap_key(sotto__lap_name name)
{
    static const char *const keys[] = {
#define X(name, key) key,
        SOTTO__LAP_LIST(X)
#undef X
    };
    return (unsigned)name < SOTTO__LAP_NAMES ? keys[name] : NULL;
}

void sotto__timer_start(sotto__timer *t)
{
    t->n = 0;
    t->open = (sotto__lap){0};
    t->since = sotto__now_s();
}

void sotto__lap_add(sotto__lap *sum, const sotto__lap *lap)
{
    sum->seconds += lap->seconds;
    sum->multiply_adds += lap->multiply_adds;
    sum->integer_multiply_adds += lap->integer_multiply_adds;
    sum->byte_multiply_adds += lap->byte_multiply_adds;
    sum->bytes += lap->bytes;
    sum->weight_bytes += lap->weight_bytes;
}

void sotto__timer_lap(sotto__timer *t, sotto__lap_name name)
{
    const double now = sotto__now_s();
    t->open.name = name;
    t->open.seconds = now - t->since;
    if (t->n < SOTTO__LAPS_MOST)
        t->laps[t->n++] = t->open;
    else
        sotto__lap_add(&t->laps[t->n - 1], &t->open);
    t->open = (sotto__lap){0};
    t->since = now;
}
