/* SPDX-License-Identifier: MIT
 * Wyoming's events in pieces; the first byte tells how long those are. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "wyoming_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    wyoming_reader r;
    const size_t step = n && data[0] ? data[0] : 1;
    volatile unsigned sum = 0;
    bool broken = false;
    wyoming_reader_init(&r, 1 << 20);
    for (size_t at = 1; at < n && !broken; at += step) {
        size_t left = n - at < step ? n - at : step;
        char *piece = fuzz_text(data + at, left);
        const char *bytes = piece;
        for (;;) {
            const wyoming_step s = wyoming_read(&r, &bytes, &left);
            if (s == WYOMING_MORE) break;
            if (s == WYOMING_BROKEN) {
                broken = true;
                if (!*r.why) abort();
                break;
            }
            if (s == WYOMING_EVENT) {
                size_t m = 0;
                char *again;
                if (!r.type || !json_is_object(r.data)) abort();
                again = wyoming_write(r.type, json_incref(r.data), &m);
                free(again);
            }
            if (s == WYOMING_PAYLOAD)
                for (size_t i = 0; i < r.payload_n; i++) sum += (unsigned char)r.payload[i];
        }
        if (!broken && left) abort(); /* MORE means that all is taken */
        free(piece);
    }
    wyoming_reader_free(&r);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char ask[] =
        "\x40{\"type\": \"describe\"}\n{\"type\": \"transcribe\", \"data\": {\"language\": \"en\"}}\n";
    static const char sound[] = "\x07{\"type\": \"audio-start\", \"data_length\": 41}\n"
                                "{\"rate\": 16000, \"width\": 2, \"channels\": 1}"
                                "{\"type\": \"audio-chunk\", \"data_length\": 41, \"payload_length\": 8}\n"
                                "{\"rate\": 16000, \"width\": 2, \"channels\": 1}12345678{\"type\": \"audio-stop\"}\n";
    take(ask, sizeof ask - 1);
    take(sound, sizeof sound - 1);
}
