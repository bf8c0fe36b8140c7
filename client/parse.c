/* SPDX-License-Identifier: MIT
 * What a daemon sent -> what the library would have given: verbose_json -> sotto_result, so that one reply can be
 * written in several formats; messages of /v1/captions -> sotto_caption. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : 0;
}

static const char *text(const json_t *o, const char *key)
{
    const char *v = json_string_value(json_object_get(o, key));
    return v ? v : "";
}

static size_t count_tokens(const json_t *segments)
{
    size_t n = 0, i;
    const json_t *s;
    json_array_foreach(segments, i, s) n += json_array_size(json_object_get(s, "tokens"));
    return n;
}

static sotto_word word_of(const json_t *w, const char *name)
{
    return (sotto_word){.text = text(w, name),
                        .start_s = number(w, "start"),
                        .end_s = number(w, "end"),
                        .probability = number(w, "probability")};
}

/* Words are one list in the document; each goes to the segment that it begins in (the last one takes what is left). */
static void deal_words(parsed_result *p, const json_t *words)
{
    size_t at = 0, n = p->n_words;
    for (size_t i = 0; i < n; i++) p->words[i] = word_of(json_array_get(words, i), "word");
    for (size_t i = 0; i < p->result.n_segments; i++) {
        sotto_segment *s = &p->segments[i];
        bool last = i + 1 == p->result.n_segments;
        size_t begin = at;
        while (at < n && (last || p->words[at].start_s < s[1].start_s)) at++;
        s->words = n ? p->words + begin : NULL;
        s->n_words = at - begin;
    }
}

sotto_status parsed_result_read(parsed_result *p, const json_t *document, sotto_error *err)
{
    const json_t *segments = json_object_get(document, "segments"), *words = json_object_get(document, "words");
    const json_t *coverage = json_object_get(document, "coverage"), *uncovered = json_object_get(coverage, "uncovered");
    size_t n = json_array_size(segments), n_tokens = count_tokens(segments), used = 0;
    const size_t n_uncovered = json_array_size(uncovered);
    *p = (parsed_result){.n_words = json_array_size(words)};
    if (!json_is_string(json_object_get(document, "text")) || !json_is_array(segments))
        return options_fail(err, SOTTO_EFORMAT,
                            "the daemon's reply is no verbose_json: \"text\" or \"segments\" is missing");
    p->segments = calloc(n + 1, sizeof *p->segments);
    p->tokens = calloc(n_tokens + 1, sizeof *p->tokens);
    p->words = calloc(p->n_words + 1, sizeof *p->words);
    p->uncovered = calloc(n_uncovered + 1, sizeof *p->uncovered);
    if (!p->segments || !p->tokens || !p->words || !p->uncovered) {
        parsed_result_free(p);
        return options_fail(err, SOTTO_ENOMEM, "out of memory: the daemon's reply");
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *s = json_array_get(segments, i), *tokens = json_object_get(s, "tokens");
        sotto_segment *to = &p->segments[i];
        *to = (sotto_segment){.id = (int32_t)number(s, "id"),
                              .seek_frames = (int32_t)number(s, "seek"),
                              .start_s = number(s, "start"),
                              .end_s = number(s, "end"),
                              .text = text(s, "text"),
                              .tokens = p->tokens + used,
                              .n_tokens = json_array_size(tokens),
                              .temperature = number(s, "temperature"),
                              .avg_logprob = number(s, "avg_logprob"),
                              .compression_ratio = number(s, "compression_ratio"),
                              .no_speech_prob = number(s, "no_speech_prob")};
        for (size_t t = 0; t < to->n_tokens; t++)
            p->tokens[used++] = (int32_t)json_integer_value(json_array_get(tokens, t));
    }
    for (size_t i = 0; i < n_uncovered; i++) {
        const json_t *span = json_array_get(uncovered, i);
        p->uncovered[i] = (sotto_span){.start_s = number(span, "start"), .end_s = number(span, "end")};
    }
    p->result = (sotto_result){.text = text(document, "text"),
                               .language = text(document, "language"),
                               .task = strcmp(text(document, "task"), "translate") == 0 ? SOTTO_TASK_TRANSLATE
                                                                                        : SOTTO_TASK_TRANSCRIBE,
                               .duration_s = number(document, "duration"),
                               .segments = p->segments,
                               .n_segments = n,
                               .coverage = {.known = json_is_object(coverage),
                                            .speech_s = number(coverage, "speech_seconds"),
                                            .covered_s = number(coverage, "covered_seconds"),
                                            .gaps_decoded = (uint64_t)fmax(0, number(coverage, "gaps_decoded")),
                                            .uncovered = p->uncovered,
                                            .n_uncovered = n_uncovered}};
    deal_words(p, words);
    return SOTTO_OK;
}

void parsed_result_free(parsed_result *p)
{
    free(p->uncovered);
    free(p->segments);
    free(p->tokens);
    free(p->words);
    *p = (parsed_result){0};
}

sotto_status parsed_caption_read(parsed_caption *p, const json_t *document, sotto_error *err)
{
    const json_t *confirmed = json_object_get(document, "confirmed"),
                 *tentative = json_object_get(document, "tentative");
    size_t n = json_array_size(confirmed), m = json_array_size(tentative);
    *p = (parsed_caption){.words = calloc(n + m + 1, sizeof *p->words)};
    if (!p->words) return options_fail(err, SOTTO_ENOMEM, "out of memory: words of the daemon");
    for (size_t i = 0; i < n; i++) p->words[i] = word_of(json_array_get(confirmed, i), "text");
    for (size_t i = 0; i < m; i++) p->words[n + i] = word_of(json_array_get(tentative, i), "text");
    p->caption = (sotto_caption){.confirmed = p->words,
                                 .n_confirmed = n,
                                 .tentative = p->words + n,
                                 .n_tentative = m,
                                 .utterance_end = json_is_true(json_object_get(document, "utterance_end")),
                                 .last = json_is_true(json_object_get(document, "last")),
                                 .language = json_string_value(json_object_get(document, "language")),
                                 .heard_s = number(document, "heard"),
                                 .pushed_s = number(document, "pushed"),
                                 .wall_s = number(document, "wall")};
    return SOTTO_OK;
}

void parsed_caption_free(parsed_caption *p)
{
    free(p->words);
    *p = (parsed_caption){0};
}
