/* SPDX-License-Identifier: MIT
 * Frames from a client, at a server's end; the first byte tells how much comes at once. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "websocket.h"

static void on_binary(void *user, const uint8_t *bytes, size_t n)
{
    unsigned *sum = user;
    for (size_t i = 0; i < n; i++) *sum += bytes[i];
}

static void on_text(void *user, const char *text, size_t n)
{
    unsigned *sum = user;
    if (text[n] != '\0') abort();
    *sum += (unsigned)strlen(text);
}

static void on_too_big(void *user) { (void)user; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const websocket_handler handler = {on_binary, on_text, on_too_big};
    unsigned sum = 0;
    int pair[2];
    char drain[4096];
    websocket *w;
    const size_t extra = n ? (size_t)data[0] < n - 1 ? data[0] : n - 1 : 0;
    size_t at = 1 + extra;
    if (!n) return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) abort();
    w = websocket_open(pair[0], data + 1, extra, &handler, &sum);
    if (!w) abort();
    if (data[0] & 1) websocket_take_texts(w, 64);
    for (int turns = 0; turns < 64; turns++) {
        const size_t step = 1 + data[0], left = at < n ? n - at : 0, now = left < step * 16 ? left : step * 16;
        if (now && send(pair[1], data + at, now, MSG_NOSIGNAL) == (ssize_t)now) at += now;
        if (!now && !websocket_has_more(w)) shutdown(pair[1], SHUT_WR);
        if (!websocket_receive(w) || !websocket_flush(w) || websocket_closed(w)) break;
        while (recv(pair[1], drain, sizeof drain, 0) > 0)
            ;
        if (!now && !websocket_has_more(w)) break;
    }
    (void)websocket_peer_code(w);
    websocket_free(w);
    close(pair[0]);
    close(pair[1]);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    /* masked with 0: text "hello", binary of four bytes in two frames, ping, close 1000 */
    static const char talk[] = "\x00\x81\x85\0\0\0\0hello\x02\x82\0\0\0\0ab\x80\x82\0\0\0\0cd\x89\x81\0\0\0\0x"
                               "\x88\x82\0\0\0\0\x03\xe8";
    static const char long_one[] = "\x09\x82\xfe\x00\x80\x12\x34\x56\x78"
                                   "0123456789012345678901234567890123456789012345678901234567890123"
                                   "0123456789012345678901234567890123456789012345678901234567890123";
    take(talk, sizeof talk - 1);
    take(long_one, sizeof long_one - 1);
}
