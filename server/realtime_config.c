/* SPDX-License-Identifier: MIT
 * session.update <-> settings (realtime_config.h). */
#include "realtime_config.h"

#include <stdlib.h>
#include <string.h>

enum { RATE = 24000, TELEPHONE_RATE = 8000, RATE_MIN = 8000, RATE_MAX = 48000, SILENCE_MS = 500 };
enum { SILENCE_MIN_MS = 100, SILENCE_MAX_MS = 10000, PROMPT_BYTES = 64 << 10 };
static const double THRESHOLD = 0.5; /* the voice detector's own */
static const int PADDING_MS = 300;

static const struct {
    const char *ga, *beta;
    realtime_codec codec;
} codecs[] = {
    {"audio/pcm", "pcm16", REALTIME_PCM16},
    {"audio/pcmu", "g711_ulaw", REALTIME_PCMU},
    {"audio/pcma", "g711_alaw", REALTIME_PCMA},
};

/* How long a word may wait to be confirmed: the time from one hearing to the next. */
static const struct {
    const char *name;
    double interval_s;
} delays[] = {{"minimal", 0.2}, {"low", 0.4}, {"medium", 0.6}, {"high", 1}, {"xhigh", 2}};

void realtime_config_default(realtime_config *c)
{
    *c = (realtime_config){.codec = REALTIME_PCM16, .rate = RATE, .vad = true, .silence_ms = SILENCE_MS};
}

bool realtime_config_copy(realtime_config *to, const realtime_config *from)
{
    *to = *from;
    if (from->prompt) to->prompt = strdup(from->prompt);
    return !from->prompt || to->prompt;
}

void realtime_config_free(realtime_config *c)
{
    free(c->prompt);
    c->prompt = NULL;
}

bool realtime_config_differs(const realtime_config *a, const realtime_config *b)
{
    return a->codec != b->codec || a->rate != b->rate || a->vad != b->vad;
}

static bool invalid(api_error *e, const char *param, const char *expected)
{
    return api_error_set(e, 400, param, "invalid_value", "%s should be %s", param, expected);
}

/* A string or null: `*out` is NULL for null. False when it is neither. */
static bool text_of(const json_t *value, const char **out)
{
    *out = json_string_value(value);
    return json_is_string(value) || json_is_null(value);
}

static bool set_format(realtime_config *c, const json_t *format, bool beta, const char *param, api_error *e)
{
    const char *type = json_string_value(beta ? format : json_object_get(format, "type"));
    const json_t *rate = beta ? NULL : json_object_get(format, "rate");
    size_t i = 0, n = sizeof codecs / sizeof *codecs;
    while (i < n && !(type && strcmp(type, beta ? codecs[i].beta : codecs[i].ga) == 0)) i++;
    if (i == n)
        return invalid(e, param,
                       beta ? "pcm16, g711_ulaw or g711_alaw" : "of type audio/pcm, audio/pcmu or audio/pcma");
    c->codec = codecs[i].codec;
    c->rate = c->codec == REALTIME_PCM16 ? RATE : TELEPHONE_RATE;
    if (!rate || json_is_null(rate)) return true;
    json_int_t asked = json_integer_value(rate), least = c->codec == REALTIME_PCM16 ? RATE_MIN : TELEPHONE_RATE,
               most = c->codec == REALTIME_PCM16 ? RATE_MAX : TELEPHONE_RATE;
    if (asked < least || asked > most)
        return invalid(e, "session.audio.input.format.rate", "24000 (8000 to 48000 are taken) and 8000 for G.711");
    c->rate = (int32_t)asked;
    return true;
}

static bool set_turns(realtime_config *c, const json_t *turns, const char *param, api_error *e)
{
    const char *type = json_string_value(json_object_get(turns, "type"));
    const json_t *silence = json_object_get(turns, "silence_duration_ms"),
                 *threshold = json_object_get(turns, "threshold"),
                 *padding = json_object_get(turns, "prefix_padding_ms");
    c->vad = !json_is_null(turns);
    if (!c->vad) return true;
    if (!json_is_object(turns) || (type && strcmp(type, "server_vad") != 0))
        return invalid(e, param, "null or of type server_vad");
    if (threshold &&
        !(json_is_number(threshold) && json_number_value(threshold) >= 0 && json_number_value(threshold) <= 1))
        return invalid(e, param, "with a threshold from 0 to 1");
    if (padding && !(json_is_integer(padding) && json_integer_value(padding) >= 0))
        return invalid(e, param, "with a prefix_padding_ms of 0 or more");
    if (!silence || json_is_null(silence)) return true;
    if (!json_is_integer(silence) || json_integer_value(silence) < SILENCE_MIN_MS ||
        json_integer_value(silence) > SILENCE_MAX_MS)
        return invalid(e, param, "with a silence_duration_ms from 100 to 10000");
    c->silence_ms = (int32_t)json_integer_value(silence);
    return true;
}

static bool set_language(realtime_config *c, const server *s, const char *language, api_error *e)
{
    const pool_facts *model = pool_get_facts(s->pool, c->model);
    const form_facts facts = {.model = model->name, .multilingual = model->multilingual, .task = SOTTO_TASK_TRANSCRIBE};
    if (language && !*language) language = NULL;
    if (language && !sotto_language_code(language))
        return api_error_set(e, 400, "language", "invalid_value", "language is \"%.40s\", which is none of Whisper's",
                             language);
    if (!form_check_language(&facts, language, e)) return false;
    c->language = language ? sotto_language_code(language) : NULL;
    return true;
}

static bool set_prompt(realtime_config *c, const char *prompt, api_error *e)
{
    char *copy = prompt && *prompt ? strdup(prompt) : NULL;
    if (prompt && *prompt && !copy) return api_error_set(e, 500, NULL, NULL, "out of memory");
    if (copy && strlen(copy) > PROMPT_BYTES) {
        free(copy);
        return invalid(e, "prompt", "at most 65536 bytes long");
    }
    free(c->prompt);
    c->prompt = copy;
    return true;
}

static bool set_delay(realtime_config *c, const char *delay, api_error *e)
{
    c->delay = NULL;
    if (!delay) return true;
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++)
        if (strcmp(delays[i].name, delay) == 0) c->delay = delays[i].name;
    return c->delay || invalid(e, "delay", "minimal, low, medium, high or xhigh");
}

static bool set_transcription(realtime_config *c, const server *s, const json_t *t, const char *param, api_error *e)
{
    const char *key, *text;
    json_t *value;
    if (json_is_null(t)) {
        c->language = c->delay = NULL;
        return set_prompt(c, NULL, e);
    }
    if (!json_is_object(t)) return invalid(e, param, "an object or null");
    json_object_foreach((json_t *)t, key, value) {
        bool known = true;
        if (strcmp(key, "model") == 0 || strcmp(key, "language") == 0 || strcmp(key, "prompt") == 0 ||
            strcmp(key, "delay") == 0) {
            if (!text_of(value, &text)) return invalid(e, key, "a string");
            known = *key == 'm'   ? !text || pool_find(s->pool, text, &c->model, e)
                    : *key == 'l' ? set_language(c, s, text, e)
                    : *key == 'p' ? set_prompt(c, text, e)
                                  : set_delay(c, text, e);
        } else if (!json_is_null(value) && json_array_size(value) + json_object_size(value) > 0) {
            known = api_error_set(e, 400, key, "unsupported_parameter", "%.60s is not supported here", key);
        }
        if (!known) return false;
    }
    return true;
}

/* Log-probabilities are of tokens, and hearings confirm words. */
static bool check_include(const json_t *include, api_error *e)
{
    if (!include || json_is_null(include) || (json_is_array(include) && json_array_size(include) == 0)) return true;
    return api_error_set(e, 400, "session.include", "unsupported_parameter", "include is not supported here");
}

bool realtime_config_update(realtime_config *c, const server *s, const json_t *session, bool beta, api_error *e)
{
    const char *type = json_string_value(json_object_get(session, "type"));
    const json_t *audio = json_object_get(session, "audio");
    const json_t *input = beta ? session : json_object_get(audio, "input");
    const json_t *format = json_object_get(input, beta ? "input_audio_format" : "format");
    const json_t *transcription = json_object_get(input, beta ? "input_audio_transcription" : "transcription");
    const json_t *turns = json_object_get(input, "turn_detection");
    if (!json_is_object(session)) return invalid(e, "session", "an object");
    if (!beta && type && strcmp(type, "transcription") != 0)
        return invalid(e, "session.type", "\"transcription\": this server only transcribes");
    if (!beta && ((audio && !json_is_object(audio)) || (input && !json_is_object(input))))
        return invalid(e, "session.audio", "an object with an object \"input\"");
    return check_include(json_object_get(session, "include"), e) &&
           (!format || json_is_null(format) ||
            set_format(c, format, beta, beta ? "session.input_audio_format" : "session.audio.input.format", e)) &&
           (!transcription ||
            set_transcription(c, s, transcription,
                              beta ? "session.input_audio_transcription" : "session.audio.input.transcription", e)) &&
           (!turns || set_turns(c, turns, beta ? "session.turn_detection" : "session.audio.input.turn_detection", e));
}

json_t *realtime_config_json(const realtime_config *c, const server *s, const char *id, bool beta)
{
    json_t *transcription =
        json_pack("{s:o, s:s?, s:o}", "model", reply_json_text(pool_get_facts(s->pool, c->model)->name), "language",
                  c->language, "prompt", reply_json_text(c->prompt ? c->prompt : ""));
    if (transcription && c->delay) json_object_set_new(transcription, "delay", json_string(c->delay));
    json_t *turns = !c->vad ? json_null()
                            : json_pack("{s:s, s:f, s:i, s:i}", "type", "server_vad", "threshold", THRESHOLD,
                                        "prefix_padding_ms", PADDING_MS, "silence_duration_ms", (int)c->silence_ms);
    size_t i = 0;
    while (codecs[i].codec != c->codec) i++;
    if (beta)
        return json_pack("{s:s, s:s, s:s, s:o, s:o, s:n, s:[]}", "id", id, "object", "realtime.transcription_session",
                         "input_audio_format", codecs[i].beta, "input_audio_transcription", transcription,
                         "turn_detection", turns, "input_audio_noise_reduction", "include");
    json_t *format = json_pack("{s:s}", "type", codecs[i].ga);
    if (format && c->codec == REALTIME_PCM16) json_object_set_new(format, "rate", json_integer(c->rate));
    return json_pack("{s:s, s:s, s:s, s:{s:{s:o, s:o, s:o, s:n}}, s:[]}", "id", id, "object",
                     "realtime.transcription_session", "type", "transcription", "audio", "input", "format", format,
                     "transcription", transcription, "turn_detection", turns, "noise_reduction", "include");
}

void realtime_config_stream(const realtime_config *c, const server *s, sotto_stream_options *o)
{
    sotto_stream_options_default(o);
    o->vad_path = s->vad_path;
    o->sample_rate = c->rate;
    o->language = c->language;
    o->initial_prompt = c->prompt;
    o->silence_s = c->vad ? c->silence_ms / 1000.0 : SILENCE_MS / 1000.0;
    for (size_t i = 0; c->delay && i < sizeof delays / sizeof *delays; i++)
        if (strcmp(c->delay, delays[i].name) == 0) o->interval_s = delays[i].interval_s;
}
