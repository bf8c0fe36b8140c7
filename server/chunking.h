/* SPDX-License-Identifier: MIT
 * OpenAI's chunking_strategy: "auto", or {"type": "server_vad", "threshold", "prefix_padding_ms",
 * "silence_duration_ms"} as JSON or as form fields chunking_strategy[type] and so on. Pure. */
#ifndef SOTTOD_CHUNKING_H
#define SOTTOD_CHUNKING_H

#include "reply.h"
#include "sotto.h"

typedef struct chunking {
    bool is_auto, is_vad;
    bool given[3]; /* of the numbers, in the order of chunking.c's table */
    double values[3];
} chunking;

/* One form field: `key` is what was in its brackets, NULL without. False with *e filled. */
bool chunking_add(chunking *c, const char *key, const char *value, api_error *e);
/* All of them are there: checks that they make one of the two forms, and sets the voice detector's options. */
bool chunking_settle(const chunking *c, sotto_options *options, api_error *e);

#endif
