/* SPDX-License-Identifier: MIT
 * GET /v1/realtime?intent=transcription, a WebSocket: OpenAI's realtime transcription sessions. Here its query is
 * checked. */
#include <string.h>

#include "route.h"

static bool check(server *s, const query_pair *query, size_t n, api_error *e)
{
    bool transcribes = false;
    size_t model;
    for (size_t i = 0; i < n; i++) {
        const char *name = query[i].name, *value = query[i].value;
        if (strcmp(name, "intent") == 0)
            transcribes = strcmp(value, "transcription") == 0;
        else if (strcmp(name, "model") != 0)
            return api_error_set(e, 400, name, "unknown_parameter",
                                 "unknown parameter \"%.40s\"; there are intent and model", name);
        else if (!pool_find(s->pool, value, &model, e))
            return false;
    }
    if (!transcribes)
        return api_error_set(e, 400, "intent", "invalid_value",
                             "intent should be \"transcription\": this server transcribes, it does not converse");
    if (s->vad_path) return true;
    return api_error_set(e, 501, NULL, "no_detector",
                         "Realtime sessions need the voice detector: models/fetch silero-vad, then start sottod again");
}

const route route_realtime = {.method = "GET", .path = "/v1/realtime", .realtime = check};
