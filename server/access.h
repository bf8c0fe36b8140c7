/* SPDX-License-Identifier: MIT
 * Who asks, and may they? From the headers of a request to the name of a client, or the refusal. Pure but for the lock
 * of the keys: no sockets. */
#ifndef SOTTOD_ACCESS_H
#define SOTTOD_ACCESS_H

#include "keys.h"
#include "reply.h"

struct sockaddr;

enum { ACCESS_CLIENT_BYTES = 64, ACCESS_PROTOCOL_BYTES = 64, ACCESS_ID_BYTES = 65 };

/* Headers of the request; NULL where it has none. */
typedef struct access_headers {
    const char *authorization;
    const char *protocols; /* Sec-WebSocket-Protocol, of a WebSocket's opening only */
} access_headers;

/* With keys (NULL: everyone may), the request must bring one: "Authorization: Bearer KEY", or, as a browser's
 * WebSocket cannot send that, the subprotocol "openai-insecure-api-key.KEY". True with the key's name in `client`
 * ("" without keys); else false with *e, 401. */
bool access_check(keys *k, const access_headers *h, char client[ACCESS_CLIENT_BYTES], api_error *e);

/* Whom an address stands for where there is no key: itself, of IPv6 its first 64 bits, which are what one subscriber
 * gets. NULL is fine. */
void access_address(const struct sockaddr *a, char client[ACCESS_CLIENT_BYTES]);

/* The name of a request: the client's own (NULL: none) when it is a harmless word of at most 64 bytes, else a random
 * one. */
void access_request_id(const char *given, char id[ACCESS_ID_BYTES]);

/* The subprotocol to agree on: the first offered that is no key; "" when there is none. */
void access_protocol(const char *offered, char chosen[ACCESS_PROTOCOL_BYTES]);

#endif
