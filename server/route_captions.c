/* SPDX-License-Identifier: MIT
 * GET /v1/captions, a WebSocket: audio in, words out while they are spoken. Here its query becomes options. */
#include <string.h>

#include "decode_options.h"
#include "route.h"

static const double INTERVAL_MIN_S = 0.1, INTERVAL_MAX_S = 10;
static const int64_t RATE_MIN = 8000, RATE_MAX = 192000;

static bool set_rate(sotto_stream_options *o, const char *value, api_error *e)
{
    int64_t rate;
    if (!options_parse_int(value, &rate) || rate < RATE_MIN || rate > RATE_MAX)
        return api_error_set(e, 400, "rate", "invalid_value",
                             "rate is \"%.40s\", but should be a whole number from %lld to %lld", value,
                             (long long)RATE_MIN, (long long)RATE_MAX);
    o->sample_rate = (int32_t)rate;
    return true;
}

static bool set_interval(sotto_stream_options *o, const char *value, api_error *e)
{
    if (!options_parse_double(value, &o->interval_s) || o->interval_s < INTERVAL_MIN_S ||
        o->interval_s > INTERVAL_MAX_S)
        return api_error_set(e, 400, "interval", "invalid_value",
                             "interval is \"%.40s\", but should be seconds from %g to %g", value, INTERVAL_MIN_S,
                             INTERVAL_MAX_S);
    return true;
}

static bool set_task(sotto_stream_options *o, const char *value, api_error *e)
{
    if (strcmp(value, "transcribe") != 0 && strcmp(value, "translate") != 0)
        return api_error_set(e, 400, "task", "invalid_value",
                             "task is \"%.40s\", but should be transcribe or translate", value);
    o->task = strcmp(value, "translate") == 0 ? SOTTO_TASK_TRANSLATE : SOTTO_TASK_TRANSCRIBE;
    return true;
}

/* One pair of the query; what was left empty is not there. `decode` has what transcriptions have too. */
static bool set(server *s, const char *name, const char *value, sotto_stream_options *o, sotto_options *decode,
                api_error *e)
{
    static const char *const names[] = {"model", "language", "prompt", "task", "interval", "rate"};
    sotto_error err;
    size_t known = 0;
    while (known < sizeof names / sizeof *names && strcmp(name, names[known]) != 0) known++;
    if (known == sizeof names / sizeof *names)
        return api_error_set(e, 400, name, "unknown_parameter",
                             "unknown parameter \"%.40s\"; there are model, language, prompt, task, interval and rate",
                             name);
    json_t *utf8 = json_string(value);
    json_decref(utf8);
    if (!utf8) return api_error_set(e, 400, name, "invalid_value", "%s is not UTF-8 text", name);
    if (!*value) return true;
    if (strcmp(name, "model") == 0) return form_check_model(value, s->model_name, e);
    if (strcmp(name, "rate") == 0) return set_rate(o, value, e);
    if (strcmp(name, "interval") == 0) return set_interval(o, value, e);
    if (strcmp(name, "task") == 0) return set_task(o, value, e);
    if (decode_option_set(decode, name, value, &err) == SOTTO_OK) return true;
    return api_error_set(e, 400, name, "invalid_value", "%s", err.message);
}

static bool check(server *s, const query_pair *query, size_t n, sotto_stream_options *o, api_error *e)
{
    sotto_options decode;
    sotto_stream_options_default(o);
    sotto_options_default(&decode);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            if (strcmp(query[i].name, query[k].name) == 0)
                return api_error_set(e, 400, query[i].name, NULL, "parameter \"%.40s\" is there twice", query[i].name);
        if (!set(s, query[i].name, query[i].value, o, &decode, e)) return false;
    }
    const form_facts facts = {
        .model = s->model_name, .multilingual = sotto_model_get_info(s->model)->multilingual, .task = o->task};
    if (!form_check_language(&facts, decode.language, e)) return false;
    o->language = decode.language ? sotto_language_code(decode.language) : NULL;
    o->initial_prompt = decode.initial_prompt;
    o->vad_path = s->vad_path;
    if (o->vad_path) return true;
    return api_error_set(e, 501, NULL, "no_detector",
                         "Live captions need the voice detector: models/fetch silero-vad, then start sottod again");
}

const route route_captions = {.method = "GET", .path = "/v1/captions", .live = check};
