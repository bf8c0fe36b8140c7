/* SPDX-License-Identifier: MIT
 * Segments <-> lines of JSON (checkpoint.h). */
#include "text/checkpoint.h"
#include "base/error.h"
#include "text/transcript.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What must be the same for the segments to be. */
static void describe(const sotto__checkpoint *c, char out[256])
{
    snprintf(out, 256, "sotto %s, %llu parameters of %d, %zu frames, %zu parts", sotto_version(),
             (unsigned long long)c->info->parameters, (int)c->info->precision, c->frames, c->n_parts);
}

/* ---- writing; NULL when memory ran out ---- */

/* JSON has no number for the others. */
static json_t *real(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *numbers_of(const sotto_segment *s)
{
    json_t *tokens = json_array();
    for (size_t i = 0; tokens && i < s->n_tokens; i++)
        if (json_array_append_new(tokens, json_integer(s->tokens[i])) != 0 ||
            json_array_append_new(tokens, real((double)s->token_logprobs[i])) != 0) {
            json_decref(tokens);
            return NULL;
        }
    return tokens;
}

static json_t *words_of(const sotto_segment *s)
{
    json_t *words = json_array();
    for (size_t i = 0; words && i < s->n_words; i++) {
        const sotto_word *w = &s->words[i];
        if (json_array_append_new(
                words, json_pack("[s, o, o, o]", w->text, real(w->start_s), real(w->end_s), real(w->probability))) == 0)
            continue;
        json_decref(words);
        return NULL;
    }
    return words;
}

static json_t *object_of(const sotto_segment *s)
{
    return json_pack("{s:i, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "seek", (int)s->seek_frames, "start",
                     real(s->start_s), "end", real(s->end_s), "text", s->text, "tokens", numbers_of(s), "temperature",
                     real(s->temperature), "avg_logprob", real(s->avg_logprob), "compression_ratio",
                     real(s->compression_ratio), "no_speech_prob", real(s->no_speech_prob), "words", words_of(s));
}

static int append(const char *bytes, size_t n, void *out) { return sotto__str_append(out, bytes, n) ? 0 : -1; }

sotto_status sotto__checkpoint_write(const sotto__checkpoint *c, const sotto_segment *segments, size_t n,
                                     sotto__str *out, sotto_error *err)
{
    char of[256];
    json_t *list = json_array(), *line;
    bool ok = list;
    for (size_t i = 0; ok && i < n; i++) ok = json_array_append_new(list, object_of(&segments[i])) == 0;
    describe(c, of);
    line = json_pack("{s:s, s:I, s:s, s:o, s:I, s:o, s:o}", "of", of, "next", (json_int_t)c->next, "language",
                     c->language, "language_probability", real(c->language_probability), "reset_since",
                     (json_int_t)c->reset_since, "last_speech", real(c->last_speech_s), "segments", list);
    ok = ok && line && json_dump_callback(line, append, out, JSON_COMPACT) == 0;
    json_decref(line);
    return ok ? SOTTO_OK : sotto__fail_nomem(err, "checkpoint");
}

/* ---- reading ---- */

static double real_at(const json_t *o, const char *key)
{
    const json_t *x = json_object_get(o, key);
    return json_is_number(x) ? json_number_value(x) : NAN;
}

/* A token and its log-probability in turn. */
static bool read_tokens(const json_t *pairs, sotto_segment *s, int32_t *tokens, float *logprobs, size_t n_vocab)
{
    for (size_t i = 0; i < s->n_tokens; i++) {
        const json_t *id = json_array_get(pairs, 2 * i), *p = json_array_get(pairs, 2 * i + 1);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || (size_t)json_integer_value(id) >= n_vocab)
            return false;
        tokens[i] = (int32_t)json_integer_value(id);
        logprobs[i] = json_is_number(p) ? (float)json_number_value(p) : -INFINITY;
    }
    s->tokens = tokens;
    s->token_logprobs = logprobs;
    return true;
}

static bool read_words(const json_t *list, sotto_segment *s, sotto_word *words)
{
    for (size_t i = 0; i < s->n_words; i++) {
        const json_t *w = json_array_get(list, i);
        words[i] = (sotto_word){.text = json_string_value(json_array_get(w, 0)),
                                .start_s = json_number_value(json_array_get(w, 1)),
                                .end_s = json_number_value(json_array_get(w, 2)),
                                .probability = json_number_value(json_array_get(w, 3))};
        if (!words[i].text) return false;
    }
    s->words = s->n_words ? words : NULL;
    return true;
}

/* False where it is no segment, or memory ran out: *st tells. */
static bool read_segment(const json_t *o, size_t n_vocab, sotto__transcript *t, sotto_status *st, sotto_error *err)
{
    const json_t *pairs = json_object_get(o, "tokens"), *list = json_object_get(o, "words");
    const json_int_t seek = json_integer_value(json_object_get(o, "seek"));
    sotto_segment s = {.seek_frames = (int32_t)seek,
                       .start_s = real_at(o, "start"),
                       .end_s = real_at(o, "end"),
                       .text = json_string_value(json_object_get(o, "text")),
                       .n_tokens = json_array_size(pairs) / 2,
                       .temperature = real_at(o, "temperature"),
                       .avg_logprob = real_at(o, "avg_logprob"),
                       .compression_ratio = real_at(o, "compression_ratio"),
                       .no_speech_prob = real_at(o, "no_speech_prob"),
                       .n_words = json_array_size(list)};
    int32_t *tokens = calloc(s.n_tokens + 1, sizeof *tokens);
    float *logprobs = calloc(s.n_tokens + 1, sizeof *logprobs);
    sotto_word *words = calloc(s.n_words + 1, sizeof *words);
    bool ok = tokens && logprobs && words;
    if (!ok) *st = sotto__fail_nomem(err, "checkpoint");
    ok = ok && s.text && seek >= 0 && seek <= INT32_MAX && isfinite(s.start_s) && isfinite(s.end_s) &&
         read_tokens(pairs, &s, tokens, logprobs, n_vocab) && read_words(list, &s, words);
    if (ok) *st = sotto__transcript_copy(t, &s, err);
    free(tokens);
    free(logprobs);
    free(words);
    return ok && *st == SOTTO_OK;
}

static bool read_line(sotto__checkpoint *c, const json_t *line, sotto__transcript *t, sotto_status *st,
                      sotto_error *err)
{
    char of[256];
    const char *said = json_string_value(json_object_get(line, "of")),
               *language = json_string_value(json_object_get(line, "language"));
    const json_int_t next = json_integer_value(json_object_get(line, "next")),
                     reset = json_integer_value(json_object_get(line, "reset_since"));
    const json_t *segments = json_object_get(line, "segments"), *one;
    size_t i;
    describe(c, of);
    if (!said || strcmp(said, of) != 0 || !language || !(c->language = sotto_language_code(language))) return false;
    if (!json_is_array(segments) || next <= 0 || (size_t)next < c->next ||
        (size_t)next > (c->n_parts ? c->n_parts : SIZE_MAX / 2) || reset < 0)
        return false;
    c->next = (size_t)next;
    c->reset_since = (size_t)reset;
    c->language_probability = real_at(line, "language_probability");
    c->last_speech_s = real_at(line, "last_speech");
    json_array_foreach(segments, i, one)
        if (!read_segment(one, (size_t)c->info->n_vocab, t, st, err)) return false;
    return true;
}

sotto_status sotto__checkpoint_read(sotto__checkpoint *c, const char *lines, sotto__transcript *t, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    size_t number = 0;
    c->next = 0;
    while (*lines) {
        const char *end = strchr(lines, '\n');
        const size_t n = end ? (size_t)(end - lines) : strlen(lines);
        json_t *line = n ? json_loadb(lines, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
        const bool ok = line && read_line(c, line, t, &st, err);
        json_decref(line);
        number++;
        if (st != SOTTO_OK) return st;
        if (!ok)
            return sotto__fail(err, SOTTO_EINVAL,
                               "resume: line %zu is no checkpoint of this recording with this model and these options",
                               number);
        lines += n + (end ? 1 : 0);
    }
    return number ? SOTTO_OK : sotto__fail(err, SOTTO_EINVAL, "resume holds no checkpoint");
}
