/* SPDX-License-Identifier: MIT
 * The opening of a WebSocket (RFC 6455, section 4.2), as far as HTTP headers tell. Pure: no sockets. */
#ifndef SOTTOD_HANDSHAKE_H
#define SOTTOD_HANDSHAKE_H

#include "options.h"
#include "reply.h"

/* Headers of the request; NULL where it has none. */
typedef struct handshake {
    const char *upgrade, *connection, *version, *key, *origin, *host;
} handshake;

enum { HANDSHAKE_ACCEPT_BYTES = 29 };

/* Is this a client that may go on as a WebSocket? `accept` gets the value of Sec-WebSocket-Accept. Else false with *e:
 * 426 for what is no WebSocket or another version of it, 400 for a malformed one, 403 for a web page of another origin
 * than the daemon's own that is not among `origins` ("https://example.org", or "*" for all). */
bool handshake_check(const handshake *h, const options_list *origins, char accept[HANDSHAKE_ACCEPT_BYTES],
                     api_error *e);

#endif
