/* SPDX-License-Identifier: MIT
 * Messages over an upgraded connection, without ever blocking, for both of its ends. Used by one thread. */
#ifndef SOTTO_COMMON_WEBSOCKET_H
#define SOTTO_COMMON_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    WEBSOCKET_MESSAGE_BYTES = 1 << 20, /* longest message taken */
    WEBSOCKET_TEXT_BYTES = 4096        /* longest text message that a server takes */
};

/* Codes of RFC 6455, section 7.4. */
typedef enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_UNSUPPORTED = 1003,
    WEBSOCKET_INVALID = 1007,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
    WEBSOCKET_INTERNAL = 1011
} websocket_code;

typedef struct websocket websocket;

/* From within websocket_receive. */
typedef struct websocket_handler {
    void (*on_binary)(void *user, const uint8_t *bytes, size_t n); /* a piece of a message; NULL: not looked at */
    void (*on_text)(void *user, const char *text, size_t n);       /* a whole message, NUL-terminated */
    void (*on_too_big)(void *user);                                /* no message is looked at after it */
} websocket_handler;

/* How bytes come and go: as recv and send do on a socket that does not block. `more`: others follow at once. */
typedef struct websocket_io {
    ssize_t (*read)(void *user, void *bytes, size_t n);
    ssize_t (*write)(void *user, const void *bytes, size_t n, bool more);
    void *user;
} websocket_io;

/* A server's end. `extra` are bytes that came with the handshake. `fd` stays the caller's. NULL when memory ran out. */
websocket *websocket_open(int fd, const void *extra, size_t n_extra, const websocket_handler *handler, void *user);
/* A client's end. */
websocket *websocket_open_client(const websocket_io *io, const void *extra, size_t n_extra,
                                 const websocket_handler *handler, void *user);
void websocket_free(websocket *w);

/* The longest text message that is taken from now on. */
void websocket_take_texts(websocket *w, size_t most_bytes);
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

/* Copy the message; to be called while nothing waits to be written. */
bool websocket_send_text(websocket *w, const char *text, size_t n);
bool websocket_send_binary(websocket *w, const uint8_t *bytes, size_t n);
bool websocket_ping(websocket *w);
/* Overtakes texts that wait: to be called when none does. */
bool websocket_close(websocket *w, websocket_code code, const char *reason);
/* Writes what the socket takes now. False when the connection is gone. */
bool websocket_flush(websocket *w);
bool websocket_wants_write(const websocket *w);
/* Both sides have said goodbye. */
bool websocket_closed(const websocket *w);
bool websocket_peer_closed(const websocket *w);
/* The code of the peer's close, 1005 when it gave none; 0 before it. */
unsigned websocket_peer_code(const websocket *w);

#endif
