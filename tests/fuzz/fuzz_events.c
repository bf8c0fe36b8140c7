/* SPDX-License-Identifier: MIT
 * Server-sent events as a client reads them; the first byte tells how long the pieces are. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "events.h"

static bool on_event(const char *data, size_t n, void *user)
{
    size_t *sum = user;
    for (size_t i = 0; i < n; i++) *sum += (unsigned char)data[i];
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t sum = 0;
    const size_t step = n && data[0] ? data[0] : 1;
    events e = {.on_event = on_event, .user = &sum};
    for (size_t at = 1; at < n; at += step) {
        const size_t now = n - at < step ? n - at : step;
        char *piece = fuzz_text(data + at, now);
        const bool more = events_feed(&e, piece, now);
        free(piece);
        if (!more) break;
    }
    events_free(&e);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char text[] =
        "\x05: hello\r\n\r\nevent: a\ndata: {\"x\": 1}\ndata: more\n\ndata:[DONE]\n\nid: 3\rdata: x\r\r";
    take(text, sizeof text - 1);
}
