/* SPDX-License-Identifier: MIT
 * How far a transcription has come, as lines of JSON: each with the segments that are new in it and where to go on.
 * Numbers are written so that they come back to the bit. */
#ifndef SOTTO_TEXT_CHECKPOINT_H
#define SOTTO_TEXT_CHECKPOINT_H

#include "base/checked.h"
#include "text/transcribe.h"

typedef struct sotto__checkpoint {
    const sotto_model_info *info; /* of the model */
    size_t frames;                /* of the recording */
    size_t n_parts;               /* that it is cut into; 0: it goes window after window */
    size_t next;                  /* first part that is not done, or first frame */
    const char *language;         /* static */
    double language_probability;
    size_t reset_since; /* of the history, window after window */
    double last_speech_s;
} sotto__checkpoint;

/* Appends one line, without its end, which holds segments[n]. */
sotto_status sotto__checkpoint_write(const sotto__checkpoint *c, const sotto_segment *segments, size_t n,
                                     sotto__str *out, sotto_error *err);

/* Appends the segments of all lines to `t` and sets what `c` does not have yet: `next` and all below. SOTTO_EINVAL when
 * they are none, or of another model or recording or cut otherwise than `c` says; `t` may have some of them then. */
sotto_status sotto__checkpoint_read(sotto__checkpoint *c, const char *lines, sotto__transcript *t, sotto_error *err);

#endif
