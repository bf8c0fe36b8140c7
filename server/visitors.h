/* SPDX-License-Identifier: MIT
 * Connections that take their time on purpose ("slow loris"): a request's head, and the pace of its body, are due. The
 * HTTP library only notices silence, which a byte now and then breaks. */
#ifndef SOTTOD_VISITORS_H
#define SOTTOD_VISITORS_H

#include <stddef.h>

#include "sotto.h"

typedef struct visitors visitors;
typedef struct visitor visitor; /* a connection */

typedef enum visitor_phase {
    VISITOR_HEAD,  /* a request's head is due `patience_s` after the connection or the answer before */
    VISITOR_BODY,  /* its body, at `rate` bytes a second once patience_s are over */
    VISITOR_SERVED /* it is our turn */
} visitor_phase;

/* A thread shuts the sockets of those that are late; their connections then end as if the client had left. `rate` 0:
 * bodies may take as long as they like. */
sotto_status visitors_start(visitors **out, double patience_s, double rate, sotto_error *err);
/* All have left. NULL is fine. */
void visitors_stop(visitors *v);

/* `fd` stays open until visitor_leave. NULL when memory ran out, which is fine for the other calls: that connection is
 * not looked after. */
visitor *visitor_enter(visitors *v, int fd);
void visitor_leave(visitor *one);
void visitor_turn(visitor *one, visitor_phase phase);
/* Bytes of the body. */
void visitor_received(visitor *one, size_t n);

size_t visitors_count(visitors *v);

#endif
