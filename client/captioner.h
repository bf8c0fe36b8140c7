/* SPDX-License-Identifier: MIT
 * What makes captions of sound: a stream of this process, or one of a daemon. One thread pushes and ends, another
 * begins, takes the captions and finishes. */
#ifndef SOTTO_CLIENT_CAPTIONER_H
#define SOTTO_CLIENT_CAPTIONER_H

#include "live.h"
#include "sotto.h"

typedef struct captioner captioner;

/* How things stand, for people to see. */
typedef struct captioner_state {
    double pushed_s, heard_s; /* seconds of sound */
    double level_db;
    bool speech;
    double hearing_s;       /* time spent on all hearings, */
    uint64_t multiply_adds; /* and their products with parameters */
} captioner_state;

typedef struct captioner_kind {
    /* Makes ready for sound of so many samples a second. Once, before all others. */
    sotto_status (*begin)(captioner *c, int rate, sotto_error *err);
    /* Takes n samples; never waits and loses none. */
    sotto_status (*push)(captioner *c, const float *samples, size_t n, sotto_error *err);
    /* So much waits to be heard that whoever can wait should. */
    bool (*is_ahead)(captioner *c);
    void (*end)(captioner *c);
    /* As sotto_stream_next, but that counts and touched parameters may be missing. After an error there is nothing
     * more; captions that came before it have been given out. */
    sotto_status (*next)(captioner *c, double timeout_s, const sotto_caption **out, sotto_error *err);
    void (*get_state)(captioner *c, captioner_state *to);
    /* After the last caption: was all sound heard? */
    sotto_status (*finish)(captioner *c, sotto_error *err);
    void (*free)(captioner *c); /* nobody pushes any more */
} captioner_kind;

struct captioner {
    const captioner_kind *kind;
};

/* Finds the voice detector; begin opens the model. `o` stays the caller's. */
sotto_status captioner_open_local(captioner **out, const live_options *o, sotto_error *err);
/* Asks whether a daemon answers at o->server; begin opens the stream. SOTTO_ECANCELLED when interrupted. */
sotto_status captioner_open_remote(captioner **out, const live_options *o, sotto_error *err);

#endif
