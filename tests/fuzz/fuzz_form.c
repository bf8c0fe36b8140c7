/* SPDX-License-Identifier: MIT
 * Fields of a request: name NUL value NUL …; the first byte tells how long the pieces are that a value comes in, for
 * which model they are, and whether they are OpenAI's or whisper.cpp's. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "form.h"
#include "whisper_cpp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const form_facts facts[] = {{.model = "tiny.en", .multilingual = false, .task = SOTTO_TASK_TRANSCRIBE},
                                {.model = "base", .multilingual = true, .task = SOTTO_TASK_TRANSLATE}};
    form *f = malloc(sizeof *f);
    api_error e = {0};
    bool good = true;
    size_t at = 1, step;
    char *text;
    if (!f) abort();
    form_init(f);
    if (n) {
        text = fuzz_text(data, n);
        step = data[0] ? data[0] : 1;
        if (data[0] & 2) f->dialect = whisper_cpp_field;
        while (good && at < n) {
            const char *name = text + at;
            size_t begin = at + strlen(name) + 1, length, sent = 0;
            if (begin > n) break;
            length = strnlen(text + begin, n - begin);
            do {
                const size_t now = length - sent < step ? length - sent : step;
                char *piece = (char *)fuzz_text((const uint8_t *)text + begin + sent, now);
                good = form_append(f, name, sent, piece, now, &e);
                free(piece);
                sent += now;
            } while (good && sent < length);
            at = begin + length + 1;
        }
        if (good) good = (data[0] & 2 ? whisper_cpp_finish : form_finish)(f, &facts[data[0] & 1], &e);
        if (!good && (e.status < 400 || e.status > 599 || !*e.message)) abort();
        free(text);
    }
    form_free(f);
    free(f);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char plain[] = "\x10model\0whisper-1\0language\0en\0temperature\0"
                                "0.4\0response_format\0verbose_json\0"
                                "timestamp_granularities[]\0word\0timestamp_granularities[]\0segment\0prompt\0names\0";
    static const char lists[] = "\x03keywords[]\0Sotto\0keywords[0]\0Whisper\0stream\0true\0include[]\0logprobs\0"
                                "chunking_strategy\0{\"type\":\"server_vad\",\"threshold\":0.5}\0";
    static const char parts[] = "\x05"
                                "chunking_strategy[type]\0server_vad\0chunking_strategy[silence_duration_ms]\0"
                                "300\0beam_size\0"
                                "5\0best_of\0"
                                "3\0word_timestamps\0true\0";
    static const char others[] = "\x12temperature\0"
                                 "0.2\0temperature_inc\0"
                                 "0\0response_format\0vtt\0beam_size\0-1\0offset_t\0"
                                 "500\0duration\0"
                                 "0\0language\0auto\0translate\0false\0suppress_nst\0false\0max_context\0"
                                 "0\0diarize\0false\0vad\0true\0";
    take(others, sizeof others - 1);
    take(plain, sizeof plain - 1);
    take(lists, sizeof lists - 1);
    take(parts, sizeof parts - 1);
}
