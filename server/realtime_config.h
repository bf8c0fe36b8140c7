/* SPDX-License-Identifier: MIT
 * The settings of a realtime transcription session: what session.update (and transcription_session.update, the form
 * before it) may say, and how they are told back. Pure. */
#ifndef SOTTOD_REALTIME_CONFIG_H
#define SOTTOD_REALTIME_CONFIG_H

#include <jansson.h>

#include "realtime_audio.h"
#include "reply.h"
#include "server.h"

typedef struct realtime_config {
    realtime_codec codec;
    int32_t rate; /* samples a second */
    bool vad;     /* the server ends turns, after `silence_ms`; else the client commits */
    int32_t silence_ms;
    const char *delay;    /* a word of OpenAI's; NULL: the default interval */
    const char *language; /* code; NULL: told from what is said */
    char *prompt;         /* NULL: none */
    size_t model;         /* which of the daemon's */
} realtime_config;

/* Whether an update asks for another kind of audio or of turns, which a buffer with audio cannot take. */
bool realtime_config_differs(const realtime_config *a, const realtime_config *b);

void realtime_config_default(realtime_config *c);
bool realtime_config_copy(realtime_config *to, const realtime_config *from);
void realtime_config_free(realtime_config *c);

/* Changes what the `session` object of an update names; null clears. False with *e, whose param is the path of the
 * field at fault, and then *c may be half changed. `beta`: the older, flat form. */
bool realtime_config_update(realtime_config *c, const server *s, const json_t *session, bool beta, api_error *e);
/* The session object of *.created and *.updated; NULL when memory ran out. */
json_t *realtime_config_json(const realtime_config *c, const server *s, const char *id, bool beta);

/* As a stream takes it; borrows texts of `c` and `s`. */
void realtime_config_stream(const realtime_config *c, const server *s, sotto_stream_options *o);

#endif
