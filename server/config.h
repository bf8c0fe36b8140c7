/* SPDX-License-Identifier: MIT
 * What options.def fills: the daemon's settings, constant after start. */
#ifndef SOTTOD_CONFIG_H
#define SOTTOD_CONFIG_H

#include "models.h"
#include "options.h"

typedef struct config {
#define SECTION(title)
#define OPTION OPTION_FIELD
#include "options.def"
#undef OPTION
#undef SECTION
} config;

#endif
