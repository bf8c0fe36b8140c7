/* SPDX-License-Identifier: MIT
 * Transcription -> events (stream.h). */
#include "stream.h"

#include <string.h>

/* The reply without a stream, for what events have in common with it; NULL when memory ran out. */
static json_t *reply_of(const job *j, const sotto_result *result)
{
    char *text;
    if (sotto_result_write(result, j->model, SOTTO_FORMAT_JSON, &j->form.write, &text, NULL) != SOTTO_OK) return NULL;
    json_t *whole = json_loads(text, 0, NULL);
    sotto_string_free(text);
    return whole;
}

static json_t *logprobs_of(const job *j, const sotto_segment *segments, size_t n)
{
    const sotto_result view = {.text = "", .segments = segments, .n_segments = n};
    json_t *whole = reply_of(j, &view), *logprobs = json_incref(json_object_get(whole, "logprobs"));
    json_decref(whole);
    return logprobs;
}

/* Adds a delta of what of the text has not been told yet. */
static bool tell(job *j, const char *text)
{
    const size_t n = strlen(text);
    if (!n) return true;
    json_t *event = json_pack("{s:s, s:s}", "type", "transcript.text.delta", "delta", text);
    if (j->logprobs) json_object_set_new(event, "logprobs", j->logprobs);
    j->logprobs = NULL;
    if (!events_add(j->events, event)) return false;
    j->told += n;
    return true;
}

bool stream_progress(job *j, const sotto_progress *progress)
{
    if (j->form.write.logprobs && progress->n_segments) {
        json_t *more = logprobs_of(j, progress->segments, progress->n_segments);
        if (!more) return false;
        if (!j->logprobs) {
            j->logprobs = more; /* they wait where the text does */
        } else {
            json_array_extend(j->logprobs, more);
            json_decref(more);
        }
    }
    return tell(j, progress->text);
}

/* OpenAI's count of tokens: in, positions that the encoder computed and tokens of prompts; out, tokens of the
 * segments. */
static json_t *usage_of(const sotto_counts *c)
{
    const json_int_t audio = (json_int_t)c->encoder_positions, text = (json_int_t)c->tokens_prefilled,
                     out = (json_int_t)c->tokens_kept;
    return json_pack("{s:s, s:I, s:{s:I, s:I}, s:I, s:I}", "type", "tokens", "input_tokens", audio + text,
                     "input_token_details", "text_tokens", text, "audio_tokens", audio, "output_tokens", out,
                     "total_tokens", audio + text + out);
}

bool stream_done(job *j, const sotto_result *result)
{
    static const char *const shared[] = {"logprobs", "coverage"};
    /* What was held back at the end, for example half a character. */
    if (strlen(result->text) > j->told && !tell(j, result->text + j->told)) return false;
    json_t *event = json_pack("{s:s, s:s, s:o}", "type", "transcript.text.done", "text", result->text, "usage",
                              usage_of(&result->counts));
    json_t *whole = reply_of(j, result);
    bool ok = event && whole;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
        json_t *value = json_object_get(whole, shared[i]);
        ok = ok && (!value || json_object_set(event, shared[i], value) == 0);
    }
    json_decref(whole);
    if (!ok) {
        json_decref(event);
        return false;
    }
    if (!events_add(j->events, event)) return false;
    events_end(j->events, "[DONE]");
    return true;
}

bool stream_failed(job *j, const api_error *e)
{
    if (!j->events || !events_begun(j->events)) return false;
    json_t *error = reply_error_json(e);
    if (error) json_object_set_new(error, "type", json_string("error"));
    events_add(j->events, error);
    events_end(j->events, "[DONE]");
    return true;
}
