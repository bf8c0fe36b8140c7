/* SPDX-License-Identifier: MIT
 * Wyoming's events in pieces; the first byte tells how long those are. What the events ask for becomes a job as in the
 * daemon, of a model with random weights. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "tiny_model.h"
#include "wyoming_request.h"
#include "wyoming_wire.h"

static config settings = {.max_upload = 1 << 16};
static server daemon_;

static void stop(void)
{
    pool_stop(daemon_.pool);
    pool_free(daemon_.pool);
}

static void start(void)
{
    static char path[640];
    static const char *models[] = {path};
    pool_config c = {.models = models, .n = 1};
    sotto_error err = {0};
    sotto_model_options_default(&c.open);
    c.open.threads = 1;
    c.open.no_cache = true;
    if (tiny_write(&tiny_default, TINY_GGML, fuzz_directory(), path, sizeof path) != 0 ||
        pool_start(&daemon_.pool, &c, &err) != SOTTO_OK)
        abort();
    daemon_.config = &settings;
    daemon_.spool = fuzz_directory();
    atexit(stop);
}

static void refused(const api_error *e)
{
    if (e->status < 400 || e->status > 599 || !*e->message) abort();
}

/* False: the daemon would hang up. */
static bool take_event(wyoming_request *request, const wyoming_reader *r, bool *is_chunk)
{
    api_error e = {0};
    bool ok = true;
    if (strcmp(r->type, "transcribe") == 0) ok = wyoming_request_ask(request, &daemon_, r->data, &e);
    if (strcmp(r->type, "audio-start") == 0) ok = wyoming_request_start(request, &daemon_, r->data, &e);
    *is_chunk = strcmp(r->type, "audio-chunk") == 0;
    if (*is_chunk) ok = wyoming_request_chunk(request, &daemon_, r->data, &e);
    if (strcmp(r->type, "audio-stop") == 0) {
        job *j = NULL;
        ok = wyoming_request_finish(request, &daemon_, &j, &e);
        if (j && (!ok || j->upload.size <= WYOMING_WAV_HEAD_BYTES)) abort();
        job_release(j);
    }
    if (strcmp(r->type, "describe") == 0) {
        json_t *info = wyoming_info(&daemon_);
        if (!info) abort();
        json_decref(info);
    }
    if (!ok) refused(&e);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    wyoming_reader r;
    wyoming_request request = {0};
    const size_t step = n && data[0] ? data[0] : 1;
    bool broken = false, is_chunk = false;
    if (!daemon_.pool) start();
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
                broken = !take_event(&request, &r, &is_chunk);
            }
            if (s == WYOMING_PAYLOAD && is_chunk) {
                api_error e = {0};
                broken = !wyoming_request_append(&request, &daemon_, r.payload, r.payload_n, &e);
                if (broken) refused(&e);
            }
            if (broken) break;
        }
        if (!broken && left) abort(); /* MORE means that all is taken */
        free(piece);
    }
    wyoming_request_drop(&request);
    wyoming_reader_free(&r);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char ask[] =
        "\x40{\"type\": \"describe\"}\n{\"type\": \"transcribe\", \"data\": {\"language\": \"en\"}}\n";
    static const char sound[] = "\x07{\"type\": \"audio-start\", \"data_length\": 44}\n"
                                "{\"rate\": 16000, \"width\": 2, \"channels\": 1}"
                                "{\"type\": \"audio-chunk\", \"data_length\": 44, \"payload_length\": 8}\n"
                                "{\"rate\": 16000, \"width\": 2, \"channels\": 1}12345678{\"type\": \"audio-stop\"}\n";
    static const char both[] =
        "\xff{\"type\":\"transcribe\",\"data\":{\"language\":\"en-US\",\"name\":\"whisper-1\"}}\n"
        "{\"type\":\"audio-chunk\",\"data\":{\"rate\":8000,\"width\":1,\"channels\":2},"
        "\"payload_length\":5}\n12345{\"type\":\"audio-stop\"}\n{\"type\":\"audio-stop\"}\n"
        "{\"type\":\"audio-start\",\"data\":{\"rate\":8000,\"width\":3,\"channels\":2}}\n";
    take(ask, sizeof ask - 1);
    take(sound, sizeof sound - 1);
    take(both, sizeof both - 1);
}
