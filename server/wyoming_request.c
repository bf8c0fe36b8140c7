/* SPDX-License-Identifier: MIT
 * Wyoming events -> a job (wyoming_request.h). */
#include "wyoming_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "log.h"
#include "options.h"
#include "route.h"

static const json_int_t RATE_MIN = 1000, RATE_MAX = 384000, CHANNELS_MAX = 8;
static const uint64_t WAV_MOST = UINT32_MAX - WYOMING_WAV_HEAD_BYTES;

/* ---- what is asked ------------------------------------------------------------------------------------------------
 */

/* A text of `data`; NULL for none, which "" and null are too. */
static bool text_of(const json_t *data, const char *name, const char **out, api_error *e)
{
    const json_t *value = json_object_get(data, name);
    *out = json_string_value(value);
    if (*out && !**out) *out = NULL;
    if (!value || json_is_null(value) || json_is_string(value)) return true;
    return api_error_set(e, 400, name, "invalid_value", "%s of transcribe should be a string", name);
}

static bool add_field(form *f, const char *name, const char *value, api_error *e)
{
    return !value || form_append(f, name, 0, value, strlen(value), e);
}

/* "en-US" -> "en", as Home Assistant's languages are; "auto" is none. What is unknown stays, to be refused as what it
 * is. */
static const char *known_language(const char *tag, char out[64])
{
    if (!tag || strcmp(tag, "auto") == 0) return NULL;
    snprintf(out, 64, "%.*s", (int)strcspn(tag, "-_"), tag);
    return !sotto_language_code(tag) && sotto_language_code(out) ? out : tag;
}

/* As the fields of a form sent to /v1/audio/transcriptions, with its defaults and its refusals. */
static bool fill_form(form *f, server *s, const json_t *asked, api_error *e)
{
    char primary[64];
    const char *model, *language;
    return text_of(asked, "name", &model, e) && text_of(asked, "language", &language, e) &&
           add_field(f, "model", model, e) && add_field(f, "language", known_language(language, primary), e) &&
           add_field(f, "response_format", "verbose_json", e) && route_transcriptions.check(s, f, e);
}

bool wyoming_request_ask(wyoming_request *r, server *s, json_t *data, api_error *e)
{
    form probe;
    form_init(&probe);
    bool ok = fill_form(&probe, s, data, e); /* said now rather than after the audio */
    form_free(&probe);
    json_decref(r->asked);
    r->asked = json_incref(data);
    return ok;
}

/* ---- sound --------------------------------------------------------------------------------------------------------
 */

static bool number_of(const json_t *data, const char *name, json_int_t least, json_int_t most, uint32_t *out,
                      api_error *e)
{
    const json_t *value = json_object_get(data, name);
    if (!json_is_integer(value) || json_integer_value(value) < least || json_integer_value(value) > most)
        return api_error_set(e, 400, name, "invalid_value",
                             "%s of the audio should be a whole number from %lld to %lld", name, (long long)least,
                             (long long)most);
    *out = (uint32_t)json_integer_value(value);
    return true;
}

static bool format_of(const json_t *data, wyoming_format *f, api_error *e)
{
    if (!number_of(data, "rate", RATE_MIN, RATE_MAX, &f->rate, e) || !number_of(data, "width", 1, 4, &f->width, e) ||
        !number_of(data, "channels", 1, CHANNELS_MAX, &f->channels, e))
        return false;
    return f->width != 3 || api_error_set(e, 400, "width", "invalid_value", "width of the audio should be 1, 2 or 4");
}

void wyoming_wav_head(const wyoming_format *f, uint32_t pcm_bytes, uint8_t out[WYOMING_WAV_HEAD_BYTES])
{
    enum { PCM = 1, CHUNK_BYTES = 16 };
    const struct {
        const char *tag; /* four letters, or NULL and a number */
        uint32_t value;
        size_t bytes;
    } fields[] = {
        {"RIFF", 0, 4},
        {NULL, WYOMING_WAV_HEAD_BYTES - 8 + pcm_bytes, 4},
        {"WAVE", 0, 4},
        {"fmt ", 0, 4},
        {NULL, CHUNK_BYTES, 4},
        {NULL, PCM, 2},
        {NULL, f->channels, 2},
        {NULL, f->rate, 4},
        {NULL, f->rate * f->channels * f->width, 4},
        {NULL, f->channels * f->width, 2},
        {NULL, 8 * f->width, 2},
        {"data", 0, 4},
        {NULL, pcm_bytes, 4},
    };
    uint8_t *to = out;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        for (size_t b = 0; b < fields[i].bytes; b++) {
            uint32_t bits = fields[i].tag ? (uint32_t)fields[i].tag[b] : fields[i].value >> 8 * b;
            *to++ = (uint8_t)(bits & 0xff);
        }
}

static bool spool_failed(const job *j, const sotto_error *err, api_error *e)
{
    char quoted[600];
    /* The client need not know where our files lie. */
    log_event(LOG_ERROR, "spool", "id=%s error=%s", j->id, log_quote(quoted, sizeof quoted, err->message));
    return api_error_set(e, 500, NULL, NULL, "The audio could not be stored");
}

static bool begin(wyoming_request *r, const server *s, api_error *e)
{
    static const char nothing[WYOMING_WAV_HEAD_BYTES];
    char id[32];
    uint64_t random;
    sotto_error err;
    if (getrandom(&random, sizeof random, 0) != sizeof random) random = (uint64_t)(clock_now_s() * 1e9);
    snprintf(id, sizeof id, "wyo_%016llx", (unsigned long long)random);
    if (!(r->job = job_create(id, ""))) return api_error_set(e, 500, NULL, NULL, "out of memory");
    r->has_chunk = false;
    r->pcm_bytes = 0;
    sotto_status st = upload_open(&r->job->upload, s->spool, "the audio", &err);
    if (st == SOTTO_OK) st = upload_append(&r->job->upload, nothing, sizeof nothing, &err); /* the head comes last */
    return st == SOTTO_OK || spool_failed(r->job, &err, e);
}

bool wyoming_request_start(wyoming_request *r, server *s, const json_t *data, api_error *e)
{
    job_release(r->job); /* audio that did not stop is forgotten, as the reference does */
    r->job = NULL;
    return format_of(data, &r->format, e) && begin(r, s, e);
}

bool wyoming_request_chunk(wyoming_request *r, server *s, const json_t *data, api_error *e)
{
    wyoming_format f;
    if (!format_of(data, &f, e)) return false;
    if (!r->job && !begin(r, s, e)) return false;
    if (r->has_chunk && memcmp(&f, &r->format, sizeof f) != 0)
        return api_error_set(e, 400, NULL, "invalid_value",
                             "an audio-chunk has rate %u, width %u, channels %u, but those before it %u, %u, %u",
                             f.rate, f.width, f.channels, r->format.rate, r->format.width, r->format.channels);
    r->format = f;
    r->has_chunk = true;
    return true;
}

bool wyoming_request_append(wyoming_request *r, const server *s, const char *pcm, size_t n, api_error *e)
{
    sotto_error err;
    uint64_t most = s->config->max_upload < WAV_MOST ? s->config->max_upload : WAV_MOST;
    if (n > most - r->pcm_bytes)
        return api_error_set(e, 413, NULL, "too_large", "The audio is longer than %llu bytes (--max-upload)",
                             (unsigned long long)most);
    r->pcm_bytes += n;
    return upload_append(&r->job->upload, pcm, n, &err) == SOTTO_OK || spool_failed(r->job, &err, e);
}

static bool write_head(const wyoming_request *r, sotto_error *err)
{
    uint8_t head[WYOMING_WAV_HEAD_BYTES];
    wyoming_wav_head(&r->format, (uint32_t)(r->pcm_bytes - r->pcm_bytes % (r->format.width * r->format.channels)),
                     head);
    if (pwrite(r->job->upload.fd, head, sizeof head, 0) == (ssize_t)sizeof head) return true;
    options_fail(err, SOTTO_EIO, "the head of the WAV file could not be written");
    return false;
}

bool wyoming_request_finish(wyoming_request *r, server *s, job **out, api_error *e)
{
    sotto_error err;
    *out = NULL;
    bool sound = r->job && r->has_chunk && r->pcm_bytes >= r->format.width * r->format.channels;
    if (sound) {
        if (!fill_form(&r->job->form, s, r->asked, e)) return false;
        if (!write_head(r, &err)) return spool_failed(r->job, &err, e);
        *out = r->job;
        r->job = NULL;
    }
    wyoming_request_drop(r);
    return true;
}

void wyoming_request_drop(wyoming_request *r)
{
    json_decref(r->asked);
    job_release(r->job);
    *r = (wyoming_request){0};
}

/* ---- info ---------------------------------------------------------------------------------------------------------
 */

static json_t *languages(const pool_facts *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->n_languages; i++) json_array_append_new(list, json_string(m->languages[i]));
    return list;
}

static json_t *models_of(const server *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < pool_count(s->pool); i++) {
        const pool_facts *m = pool_get_facts(s->pool, i);
        json_array_append_new(list, json_pack("{s:o, s:{s:s, s:s}, s:b, s:s, s:n, s:o}", "name",
                                              reply_json_text(m->name), "attribution", "name", "OpenAI", "url",
                                              "https://github.com/openai/whisper", "installed", 1, "description",
                                              "Whisper speech recognition", "version", "languages", languages(m)));
    }
    return list;
}

json_t *wyoming_info(const server *s)
{
    /* Nothing here tells when a speaker has finished: the client ends the audio. */
    json_t *program = json_pack("{s:s, s:{s:s, s:s}, s:b, s:s, s:s, s:o, s:b, s:b, s:b, s:b}", "name", "sotto",
                                "attribution", "name", "sotto", "url", "https://github.com/openai/whisper", "installed",
                                1, "description", "Whisper in C on a CPU", "version", SOTTO_VERSION, "models",
                                models_of(s), "supports_transcript_streaming", 1, "requires_external_vad", 1,
                                "prefers_auto_gain_enabled", 1, "prefers_noise_reduction_enabled", 0);
    return json_pack("{s:[o], s:[], s:[], s:[], s:[], s:[], s:[]}", "asr", program, "tts", "handle", "intent", "wake",
                     "mic", "snd");
}
