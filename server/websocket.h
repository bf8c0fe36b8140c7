/* SPDX-License-Identifier: MIT
 * Messages over an upgraded socket, without ever blocking. Used by one thread. */
#ifndef SOTTOD_WEBSOCKET_H
#define SOTTOD_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WEBSOCKET_MESSAGE_BYTES = 1 << 20, /* longest message taken */
    WEBSOCKET_TEXT_BYTES = 4096        /* longest text message taken */
};

/* Codes of RFC 6455, section 7.4. */
typedef enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_UNSUPPORTED = 1003,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
    WEBSOCKET_INTERNAL = 1011
} websocket_code;

typedef struct websocket websocket;

/* From within websocket_receive. */
typedef struct websocket_handler {
    void (*on_binary)(void *user, const uint8_t *bytes, size_t n); /* a piece of a message, as it comes */
    void (*on_text)(void *user, const char *text, size_t n);       /* a whole message, NUL-terminated */
    void (*on_too_big)(void *user);                                /* no message is looked at after it */
} websocket_handler;

/* `extra` are bytes that came with the handshake. `fd` stays the caller's. NULL when memory ran out. */
websocket *websocket_open(int fd, const void *extra, size_t n_extra, const websocket_handler *handler, void *user);
void websocket_free(websocket *w);

/* Reads what has come, at most 64 KiB of it. False when the connection is gone. */
bool websocket_receive(websocket *w);
/* Reads on without looking at the messages: only the peer's close counts from now on. */
void websocket_ignore(websocket *w);
/* Nothing is read any more: closed by the peer, or it speaks no WebSocket. */
bool websocket_deaf(const websocket *w);
/* More answers to pings wait than a peer that reads them would let come together: better not read on. */
bool websocket_clogged(const websocket *w);
/* Bytes came so far, frames of any kind; tells whether the peer lives. */
uint64_t websocket_received(const websocket *w);
/* websocket_open's extra bytes, or a cut-off read: more is there without the socket being readable. */
bool websocket_has_more(const websocket *w);

/* Copies the text; to be called while nothing waits to be written. */
bool websocket_send_text(websocket *w, const char *text, size_t n);
bool websocket_ping(websocket *w);
/* Overtakes texts that wait: to be called when none does. */
bool websocket_close(websocket *w, websocket_code code, const char *reason);
/* Writes what the socket takes now. False when the connection is gone. */
bool websocket_flush(websocket *w);
bool websocket_wants_write(const websocket *w);
/* Both sides have said goodbye. */
bool websocket_closed(const websocket *w);
bool websocket_peer_closed(const websocket *w);

#endif
