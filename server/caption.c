/* SPDX-License-Identifier: MIT
 * Messages of the caption stream (caption.h). */
#include "caption.h"

#include <math.h>

#include "reply.h"

/* Milliseconds are enough, and shorter. */
static json_t *number(double x) { return json_real(round(x * 1000) / 1000); }

static char *dump(json_t *root)
{
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(root);
    return text;
}

static json_t *words(const sotto_word *w, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *one =
            json_pack("{s:o, s:o, s:o, s:o}", "text", reply_json_text(w[i].text), "start", number(w[i].start_s), "end",
                      number(w[i].end_s), "probability", number(w[i].probability));
        if (json_array_append_new(list, one) == 0) continue;
        json_decref(list);
        return NULL;
    }
    return list;
}

char *caption_ready(const char *model, int32_t rate)
{
    return dump(json_pack("{s:s, s:o, s:i}", "type", "ready", "model", reply_json_text(model), "rate", (int)rate));
}

char *caption_words(const sotto_caption *c, double interval_s)
{
    return dump(json_pack(
        "{s:s, s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:s?, s:o, s:I}", "type", "caption", "confirmed",
        words(c->confirmed, c->n_confirmed), "tentative", words(c->tentative, c->n_tentative), "utterance_end",
        c->utterance_end, "last", c->last, "heard", number(c->heard_s), "pushed", number(c->pushed_s), "lag",
        number(c->pushed_s - c->heard_s), "interval", number(interval_s), "language", c->language, "wall",
        number(c->wall_s), "multiply_adds", (json_int_t)sotto_counts_multiply_adds(&c->counts)));
}

char *caption_status(const sotto_stream_state *s)
{
    return dump(json_pack("{s:s, s:o, s:b, s:o, s:o, s:o, s:o}", "type", "status", "level_db", number(s->level_db),
                          "speech", s->speech, "lag", number(s->pushed_s - s->heard_s), "interval",
                          number(s->interval_s), "pushed", number(s->pushed_s), "heard", number(s->heard_s)));
}

char *caption_error(const char *message)
{
    return dump(json_pack("{s:s, s:o}", "type", "error", "message", reply_json_text(message)));
}

char *caption_done(const char *report)
{
    return dump(json_pack("{s:s, s:o}", "type", "done", "report", json_loads(report, 0, NULL)));
}
