/* SPDX-License-Identifier: MIT
 * The session object of realtime events, in both forms: what is taken is told back, and taken again, the same. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "pool.h"
#include "realtime_config.h"

/* Of the models, only their names and languages matter here. */
static const pool_facts facts[] = {{.name = "tiny.en"}, {.name = "base", .multilingual = true}};

const pool_facts *pool_get_facts(const pool *p, size_t model)
{
    (void)p;
    return &facts[model];
}

bool pool_find(const pool *p, const char *name, size_t *model, api_error *e)
{
    (void)p;
    for (*model = 0; *model < 2; ++*model)
        if (strcmp(name, facts[*model].name) == 0) return true;
    *model = 0;
    return api_error_set(e, 404, "model", "model_not_found", "unknown");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const server s = {.vad_path = "vad"};
    json_t *session = n ? json_loadb((const char *)data + 1, n - 1, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const bool beta = n && data[0] & 1;
    realtime_config c, again;
    api_error e = {0};
    if (!session) return 0;
    realtime_config_default(&c);
    if (realtime_config_update(&c, &s, session, beta, &e)) {
        sotto_stream_options o;
        json_t *told = realtime_config_json(&c, &s, "sess_1", beta);
        if (!told || c.rate < 8000 || c.rate > 192000 || c.model > 1) abort();
        sotto_stream_options_default(&o);
        realtime_config_stream(&c, &s, &o);
        if (!realtime_config_copy(&again, &c)) abort();
        if (realtime_config_differs(&again, &c)) abort();
        realtime_config_free(&again);
        json_decref(told);
    } else if (e.status < 400 || e.status > 499 || !*e.message) {
        abort();
    }
    realtime_config_free(&c);
    json_decref(session);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    /* the first byte tells the form */
    static const char current[] =
        "0{\"type\":\"transcription\",\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":24000},"
        "\"transcription\":{\"model\":\"base\",\"language\":\"en\",\"prompt\":\"names\",\"delay\":\"low\"},"
        "\"noise_reduction\":null,\"turn_detection\":{\"type\":\"server_vad\",\"threshold\":0.5,"
        "\"prefix_padding_ms\":300,\"silence_duration_ms\":500}}},\"include\":[]}";
    static const char telephone[] = "0{\"type\":\"transcription\",\"audio\":{\"input\":{\"format\":{\"type\":"
                                    "\"audio/pcmu\"},\"turn_detection\":null}}}";
    static const char beta[] = "1{\"input_audio_format\":\"g711_alaw\",\"input_audio_transcription\":{\"model\":"
                               "\"tiny.en\"},\"turn_detection\":{\"type\":\"server_vad\"}}";
    static const char plain[] = "1{\"input_audio_format\":\"pcm16\",\"turn_detection\":null}";
    const char *const seeds[] = {current, telephone, beta, plain};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) take(seeds[i], strlen(seeds[i]));
}
