/* SPDX-License-Identifier: MIT
 * Turns of a realtime session: captions of a stream in, items of the conversation out, as events. A turn is what one
 * item holds: an utterance, or what was appended up to a commit. Pure but for the outbox; the caller has the lock. */
#ifndef SOTTOD_REALTIME_TURN_H
#define SOTTOD_REALTIME_TURN_H

#include <jansson.h>

#include "outbox.h"
#include "reply.h"
#include "sotto.h"

/* Where events go, and what numbers them. */
typedef struct realtime_voice {
    outbox *out;
    bool beta;
    bool lost; /* one did not fit, or memory ran out: the session cannot go on */
    uint64_t session, events, items;
    char last_item[32]; /* the latest, "" for none */
} realtime_voice;

typedef struct realtime_turn {
    bool by_client; /* it ends with a commit, not with a pause */
    bool open;      /* its item has been told */
    char item[32];  /* its id */
    char previous[32];
    char *text;     /* confirmed so far, NULL for none */
    size_t told;    /* bytes of it that were sent */
    double base_s;  /* of the stream's beginning in the session */
    double start_s; /* of the turn in the stream */
    const char *language;
} realtime_turn;

/* Takes `event` (NULL: out of memory), gives it type and event_id, sends it. */
void realtime_say(realtime_voice *v, const char *type, json_t *event);
/* `event_id` is the client's, or NULL. */
void realtime_say_error(realtime_voice *v, const api_error *e, const char *event_id);

/* What a hearing brought. */
void realtime_turn_hear(realtime_turn *t, realtime_voice *v, const sotto_caption *c);
/* The client commits: the item is told, and what is confirmed already; the rest comes with the next captions, until the
 * last. */
void realtime_turn_commit(realtime_turn *t, realtime_voice *v);
/* The audio of an open turn cannot be heard any more. */
void realtime_turn_fail(realtime_turn *t, realtime_voice *v, const char *message);
void realtime_turn_free(realtime_turn *t);

#endif
