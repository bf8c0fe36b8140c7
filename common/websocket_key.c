/* SPDX-License-Identifier: MIT
 * Keys of WebSockets (websocket_key.h); digest and base64 are nettle's, which no other file includes. */
#include "websocket_key.h"

#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void websocket_key(const uint8_t random[WEBSOCKET_KEY_RANDOM], char key[WEBSOCKET_KEY_BYTES])
{
    base64_encode_raw(key, WEBSOCKET_KEY_RANDOM, random);
    key[WEBSOCKET_KEY_BYTES - 1] = '\0';
}

bool websocket_key_is_sound(const char *key)
{
    struct base64_decode_ctx ctx;
    uint8_t bytes[BASE64_DECODE_LENGTH(WEBSOCKET_KEY_BYTES - 1)];
    size_t n = sizeof bytes, length = strlen(key);
    if (length != WEBSOCKET_KEY_BYTES - 1) return false;
    base64_decode_init(&ctx);
    return base64_decode_update(&ctx, &n, bytes, length, key) && base64_decode_final(&ctx) && n == WEBSOCKET_KEY_RANDOM;
}

void websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_BYTES])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    struct sha1_ctx ctx;
    uint8_t digest[SHA1_DIGEST_SIZE];
    sha1_init(&ctx);
    sha1_update(&ctx, strlen(key), (const uint8_t *)key);
    sha1_update(&ctx, sizeof guid - 1, (const uint8_t *)guid);
    sha1_digest(&ctx, sizeof digest, digest);
    base64_encode_raw(accept, sizeof digest, digest);
    accept[WEBSOCKET_ACCEPT_BYTES - 1] = '\0';
}

char *websocket_basic(const char *user, const char *password)
{
    static const char head[] = "Authorization: Basic ";
    char *plain = NULL, *line = NULL;
    int n = asprintf(&plain, "%s:%s", user, password);
    if (n < 0) return NULL;
    size_t coded = BASE64_ENCODE_RAW_LENGTH((size_t)n);
    if ((line = malloc(sizeof head + coded))) {
        memcpy(line, head, sizeof head);
        base64_encode_raw(line + sizeof head - 1, (size_t)n, (const uint8_t *)plain);
        line[sizeof head - 1 + coded] = '\0';
    }
    free(plain);
    return line;
}
