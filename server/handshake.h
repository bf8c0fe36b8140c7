/* SPDX-License-Identifier: MIT
 * The opening of a WebSocket (RFC 6455, section 4.2), as far as HTTP headers tell. Pure: no sockets. */
#ifndef SOTTOD_HANDSHAKE_H
#define SOTTOD_HANDSHAKE_H

#include "options.h"
#include "reply.h"
#include "websocket_key.h"

/* Headers of the request; NULL where it has none. */
typedef struct handshake {
    const char *upgrade, *connection, *version, *key, *origin, *host;
} handshake;

/* Whom the daemon lets in; the lists are the operator's. */
typedef struct handshake_welcome {
    options_list origins; /* pages of other addresses: "https://example.org", or "*" for all */
    options_list hosts;   /* names that the daemon's own pages may be opened by, or "*" for all */
} handshake_welcome;

/* Is this a client that may go on as a WebSocket? `accept` gets the value of Sec-WebSocket-Accept. Else false with *e:
 * 426 for what is no WebSocket or another version of it, 400 for a malformed one, 403 for a web page that is neither
 * the daemon's own nor of a welcome origin. A page counts as the daemon's own when its origin is the Host and that is
 * an IP address, localhost or a welcome name: any other name may be a stranger's that was pointed at this machine after
 * the stranger's page was loaded ("DNS rebinding"). */
bool handshake_check(const handshake *h, const handshake_welcome *welcome, char accept[WEBSOCKET_ACCEPT_BYTES],
                     api_error *e);

#endif
