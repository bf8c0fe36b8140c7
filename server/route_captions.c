/* SPDX-License-Identifier: MIT
 * GET /v1/captions, a WebSocket: audio in, words out while they are spoken. Here its query becomes options. */
#include <string.h>

#include "decode_options.h"
#include "route.h"
#include "utf8.h"

static const double INTERVAL_MIN_S = 0.1, INTERVAL_MAX_S = 10;
static const int64_t RATE_MIN = 8000, RATE_MAX = 192000;

/* Each sets what a parameter says, or says what is wrong. */
static bool set_model(server *s, live_request *r, const char *value, api_error *e)
{
    return pool_find(s->pool, value, &r->model, e);
}

static bool set_rate(server *s, live_request *r, const char *value, api_error *e)
{
    int64_t rate;
    (void)s;
    if (!options_parse_int(value, &rate) || rate < RATE_MIN || rate > RATE_MAX)
        return api_error_set(e, 400, "rate", "invalid_value",
                             "rate is \"%.40s\", but should be a whole number from %lld to %lld", value,
                             (long long)RATE_MIN, (long long)RATE_MAX);
    r->options.sample_rate = (int32_t)rate;
    return true;
}

static bool set_samples(server *s, live_request *r, const char *value, api_error *e)
{
    (void)s;
    if (strcmp(value, "s16") != 0 && strcmp(value, "f32") != 0)
        return api_error_set(e, 400, "samples", "invalid_value", "samples is \"%.40s\", but should be s16 or f32",
                             value);
    r->samples = strcmp(value, "f32") == 0 ? LIVE_F32 : LIVE_S16;
    return true;
}

static bool set_interval(server *s, live_request *r, const char *value, api_error *e)
{
    double seconds;
    (void)s;
    if (!options_parse_double(value, &seconds) || seconds < INTERVAL_MIN_S || seconds > INTERVAL_MAX_S)
        return api_error_set(e, 400, "interval", "invalid_value",
                             "interval is \"%.40s\", but should be seconds from %g to %g", value, INTERVAL_MIN_S,
                             INTERVAL_MAX_S);
    r->options.interval_s = seconds;
    return true;
}

static bool set_task(server *s, live_request *r, const char *value, api_error *e)
{
    (void)s;
    if (strcmp(value, "transcribe") != 0 && strcmp(value, "translate") != 0)
        return api_error_set(e, 400, "task", "invalid_value",
                             "task is \"%.40s\", but should be transcribe or translate", value);
    r->options.task = strcmp(value, "translate") == 0 ? SOTTO_TASK_TRANSLATE : SOTTO_TASK_TRANSCRIBE;
    return true;
}

static bool set_every_interval(server *s, live_request *r, const char *value, api_error *e)
{
    (void)s;
    if (options_parse_flag(value, &r->options.every_interval)) return true;
    return api_error_set(e, 400, "every_interval", "invalid_value",
                         "every_interval is \"%.40s\", but should be true or false", value);
}

static const struct {
    const char *name;
    bool (*set)(server *s, live_request *r, const char *value, api_error *e); /* NULL: as transcriptions have it */
} parameters[] = {
    {"model", set_model}, {"language", NULL},         {"prompt", NULL},
    {"task", set_task},   {"interval", set_interval}, {"every_interval", set_every_interval},
    {"rate", set_rate},   {"samples", set_samples},
};
enum { PARAMETERS = sizeof parameters / sizeof *parameters };

/* One pair of the query; what was left empty is not there. `decode` has what transcriptions have too. */
static bool set(server *s, const char *name, const char *value, live_request *r, sotto_options *decode, api_error *e)
{
    sotto_error err;
    size_t known = 0;
    while (known < PARAMETERS && strcmp(name, parameters[known].name) != 0) known++;
    if (known == PARAMETERS)
        return api_error_set(e, 400, name, "unknown_parameter",
                             "unknown parameter \"%.40s\"; there are model, language, prompt, task, interval, "
                             "every_interval, rate and samples",
                             name);
    if (!utf8_is_text(value, strlen(value)))
        return api_error_set(e, 400, name, "invalid_value", "%s is not UTF-8 text", name);
    if (!*value) return true;
    if (parameters[known].set) return parameters[known].set(s, r, value, e);
    if (decode_option_set(decode, name, value, &err) == SOTTO_OK) return true;
    return api_error_set(e, 400, name, "invalid_value", "%s", err.message);
}

static bool check(server *s, const query_pair *query, size_t n, live_request *r, api_error *e)
{
    sotto_stream_options *o = &r->options;
    sotto_options decode;
    *r = (live_request){.samples = LIVE_S16};
    sotto_stream_options_default(o);
    sotto_options_default(&decode);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            if (strcmp(query[i].name, query[k].name) == 0)
                return api_error_set(e, 400, query[i].name, NULL, "parameter \"%.40s\" is there twice", query[i].name);
        if (!set(s, query[i].name, query[i].value, r, &decode, e)) return false;
    }
    const pool_facts *model = pool_get_facts(s->pool, r->model);
    const form_facts facts = {.model = model->name, .multilingual = model->multilingual, .task = o->task};
    if (!form_check_language(&facts, decode.language, e)) return false;
    o->language = decode.language ? sotto_language_code(decode.language) : NULL;
    o->initial_prompt = decode.initial_prompt;
    o->vad_path = s->vad_path;
    if (o->vad_path) return true;
    return api_error_set(e, 501, NULL, "no_detector",
                         "Live captions need the voice detector: models/fetch silero-vad, then start sottod again");
}

const route route_captions = {.method = "GET", .path = "/v1/captions", .live = check};
