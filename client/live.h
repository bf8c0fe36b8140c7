/* SPDX-License-Identifier: MIT
 * Options of `sotto live` (live_options.def), for the files that it is made of. */
#ifndef SOTTO_CLIENT_LIVE_H
#define SOTTO_CLIENT_LIVE_H

#include "models.h"
#include "options.h"

typedef struct live_options {
#define SECTION(title)
#define OPTION OPTION_FIELD
#include "live_options.def"
#undef OPTION
#undef SECTION
} live_options;

/* As live_options.def names them. */
enum { LIVE_PACE_REAL, LIVE_PACE_FAST };
enum { LIVE_TASK_TRANSCRIBE, LIVE_TASK_TRANSLATE };

#endif
