/* SPDX-License-Identifier: MIT
 * The key of a WebSocket's opening and the answer to it (RFC 6455, sections 4.1 and 4.2.2), and credentials for
 * it. Pure. */
#ifndef SOTTO_COMMON_WEBSOCKET_KEY_H
#define SOTTO_COMMON_WEBSOCKET_KEY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WEBSOCKET_KEY_RANDOM = 16, /* bytes that a key is made of */
    WEBSOCKET_KEY_BYTES = 25,  /* of a key as text, with its NUL */
    WEBSOCKET_ACCEPT_BYTES = 29
};

/* Sec-WebSocket-Key. */
void websocket_key(const uint8_t random[WEBSOCKET_KEY_RANDOM], char key[WEBSOCKET_KEY_BYTES]);
/* Is it the text of so many bytes in base64? */
bool websocket_key_is_sound(const char *key);
/* Sec-WebSocket-Accept for a key. */
void websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_BYTES]);
/* "Authorization: Basic …" (RFC 7617), to be freed; NULL when memory ran out. */
char *websocket_basic(const char *user, const char *password);

#endif
