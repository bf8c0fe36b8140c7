/* SPDX-License-Identifier: MIT
 * Transcription -> events (stream.h). */
#include "stream.h"

#include <string.h>

/* Adds a delta of what of the text has not been told yet. */
static bool tell(job *j, const char *text)
{
    const size_t n = strlen(text);
    if (!n) return true;
    if (!events_add(j->events, json_pack("{s:s, s:s}", "type", "transcript.text.delta", "delta", text))) return false;
    j->told += n;
    return true;
}

bool stream_progress(job *j, const sotto_progress *progress) { return tell(j, progress->text); }

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

bool stream_done(job *j, const sotto_result *result, sotto_model *model)
{
    (void)model;
    /* What was held back at the end, for example half a character. */
    if (strlen(result->text) > j->told && !tell(j, result->text + j->told)) return false;
    if (!events_add(j->events, json_pack("{s:s, s:s, s:o}", "type", "transcript.text.done", "text", result->text,
                                         "usage", usage_of(&result->counts))))
        return false;
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
