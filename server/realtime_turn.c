/* SPDX-License-Identifier: MIT
 * Captions -> items of a conversation (realtime_turn.h). An item's deltas are its confirmed words, so they never
 * change, and joined they are its transcript. */
#include "realtime_turn.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double PADDING_S = 0.3;

void realtime_say(realtime_voice *v, const char *type, json_t *event)
{
    char id[40];
    snprintf(id, sizeof id, "event_%08" PRIx64 "_%" PRIu64, v->session & 0xffffffff, ++v->events);
    char *text = NULL;
    if (event && json_object_set_new(event, "type", json_string(type)) == 0 &&
        json_object_set_new(event, "event_id", json_string(id)) == 0)
        text = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(event);
    if (!outbox_put(v->out, OUTBOX_KEEP, text)) v->lost = true;
}

void realtime_say_error(realtime_voice *v, const api_error *e, const char *event_id)
{
    realtime_say(v, "error",
                 json_pack("{s:{s:s, s:s?, s:o, s:o, s:s?}}", "error", "type",
                           e->status >= 500 ? "server_error" : "invalid_request_error", "code", e->code, "message",
                           reply_json_text(e->message), "param", e->param[0] ? reply_json_text(e->param) : json_null(),
                           "event_id", event_id));
}

static const char *or_null(const char *text) { return *text ? text : NULL; }

static json_t *item_of(const realtime_turn *t, const char *status, const char *transcript)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:o}]}", "id", t->item, "object", "realtime.item", "type",
                     "message", "status", status, "role", "user", "content", "type", "input_audio", "transcript",
                     transcript ? reply_json_text(transcript) : json_null());
}

static json_int_t milliseconds(double s) { return (json_int_t)lrint(1000 * s); }

/* The item is there: from now on its deltas go out as they come. */
static void open_item(realtime_turn *t, realtime_voice *v)
{
    if (t->open) return;
    t->open = true;
    memcpy(t->previous, v->last_item, sizeof t->previous);
    snprintf(t->item, sizeof t->item, "item_%08" PRIx64 "_%" PRIu64, v->session & 0xffffffff, ++v->items);
    memcpy(v->last_item, t->item, sizeof v->last_item);
    if (!t->by_client)
        realtime_say(
            v, "input_audio_buffer.speech_started",
            json_pack("{s:I, s:s}", "audio_start_ms", milliseconds(t->base_s + t->start_s), "item_id", t->item));
    else
        realtime_say(v, "input_audio_buffer.committed",
                     json_pack("{s:s, s:s?}", "item_id", t->item, "previous_item_id", or_null(t->previous)));
    realtime_say(v, v->beta ? "conversation.item.created" : "conversation.item.added",
                 json_pack("{s:s?, s:o}", "previous_item_id", or_null(t->previous), "item",
                           item_of(t, t->by_client ? "completed" : "in_progress", NULL)));
}

static void tell_text(realtime_turn *t, realtime_voice *v)
{
    if (!t->open || !t->text || !t->text[t->told]) return;
    realtime_say(v, "conversation.item.input_audio_transcription.delta",
                 json_pack("{s:s, s:i, s:o}", "item_id", t->item, "content_index", 0, "delta",
                           reply_json_text(t->text + t->told)));
    t->told = strlen(t->text);
}

static void add_words(realtime_turn *t, realtime_voice *v, const sotto_caption *c)
{
    for (size_t i = 0; i < c->n_confirmed; i++) {
        char *more = NULL;
        const char *word = c->confirmed[i].text;
        if (!t->text && *word == ' ') word++;
        if (asprintf(&more, "%s%s", t->text ? t->text : "", word) < 0) {
            v->lost = true;
            return;
        }
        free(t->text);
        t->text = more;
    }
    if (c->language && c->n_confirmed) t->language = c->language;
}

/* Nothing more comes: `end_s` in the stream. What follows is another turn. */
static void complete(realtime_turn *t, realtime_voice *v, double end_s)
{
    const char *text = t->text ? t->text : "";
    tell_text(t, v);
    if (!t->by_client) {
        realtime_say(v, "input_audio_buffer.speech_stopped",
                     json_pack("{s:I, s:s}", "audio_end_ms", milliseconds(t->base_s + end_s), "item_id", t->item));
        realtime_say(v, "input_audio_buffer.committed",
                     json_pack("{s:s, s:s?}", "item_id", t->item, "previous_item_id", or_null(t->previous)));
    }
    json_t *done = json_pack("{s:s, s:i, s:o, s:{s:s, s:f}}", "item_id", t->item, "content_index", 0, "transcript",
                             reply_json_text(text), "usage", "type", "duration", "seconds",
                             round(1000 * fmax(0, end_s - t->start_s)) / 1000);
    if (done && t->language) json_object_set_new(done, "languages", json_pack("[{s:s}]", "code", t->language));
    realtime_say(v, "conversation.item.input_audio_transcription.completed", done);
    if (!v->beta)
        realtime_say(
            v, "conversation.item.done",
            json_pack("{s:s?, s:o}", "previous_item_id", or_null(t->previous), "item", item_of(t, "completed", text)));
    free(t->text);
    *t = (realtime_turn){.by_client = t->by_client, .base_s = t->base_s, .start_s = end_s};
}

void realtime_turn_hear(realtime_turn *t, realtime_voice *v, const sotto_caption *c)
{
    const sotto_word *first = c->n_confirmed ? c->confirmed : c->n_tentative ? c->tentative : NULL;
    if (!t->by_client && !t->open && first) {
        t->start_s = fmax(t->start_s, first->start_s - PADDING_S);
        open_item(t, v);
    }
    add_words(t, v, c);
    tell_text(t, v);
    if (t->open && (c->last || (c->utterance_end && !t->by_client)))
        complete(t, v, c->last && t->by_client ? c->pushed_s : c->heard_s);
}

void realtime_turn_commit(realtime_turn *t, realtime_voice *v)
{
    if (!t->open) {
        t->by_client = true;
        open_item(t, v);
    }
    tell_text(t, v);
}

void realtime_turn_fail(realtime_turn *t, realtime_voice *v, const char *message)
{
    if (!t->open) return;
    realtime_say(v, "conversation.item.input_audio_transcription.failed",
                 json_pack("{s:s, s:i, s:{s:s, s:n, s:s, s:n}}", "item_id", t->item, "content_index", 0, "error",
                           "type", "server_error", "code", "message", message, "param"));
    t->open = false;
}

void realtime_turn_free(realtime_turn *t)
{
    free(t->text);
    t->text = NULL;
}
