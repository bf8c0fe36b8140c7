/* SPDX-License-Identifier: MIT
 * The opening of a WebSocket with a daemon (RFC 6455, section 4.1). */
#ifndef SOTTO_CLIENT_UPGRADE_H
#define SOTTO_CLIENT_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>

#include "client.h"
#include "websocket.h"
#include "websocket_key.h"

/* What a server answers, as far as its head tells. Pure. */
typedef struct upgrade_reply {
    size_t head; /* bytes up to the body; 0: the head is not whole yet */
    long status;
    size_t length; /* Content-Length; 0 where there is none */
    char accept[WEBSOCKET_ACCEPT_BYTES];
} upgrade_reply;

/* False for what is no HTTP. */
bool upgrade_reply_read(upgrade_reply *to, const char *bytes, size_t n);

/* Connects and opens a WebSocket at `path`; the daemon's refusal, in its words, is the error. SOTTO_ECANCELLED when
 * interrupted. The caller frees *out before the remote. */
sotto_status upgrade(remote *r, const char *path, const remote_parameter *parameters, size_t n,
                     const websocket_handler *handler, void *user, websocket **out, sotto_error *err);

#endif
