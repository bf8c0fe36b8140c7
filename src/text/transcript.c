/* SPDX-License-Identifier: MIT
 * Storage of segments. Each owns four blocks: text, tokens, their log-probabilities, and words followed by their texts.
 */
#include "text/transcript.h"
#include "base/error.h"
#include "token/tokenizer.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

struct sotto__transcript {
    sotto_segment *segments;
    size_t n, cap;
    sotto__str text;
    const char *language;
    double language_probability;
    struct {                /* what sotto__transcript_tell has told */
        size_t n;           /* segments that it has seen */
        sotto__ids pending; /* their tokens that end in half a character */
        sotto__str held;    /* white space at the end, then the text being told */
        bool begun;
    } told;
};

sotto_status sotto__transcript_create(sotto__transcript **out, sotto_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return sotto__fail_nomem(err, "transcript");
    (*out)->language = "en";
    return SOTTO_OK;
}

static void free_segment(sotto_segment *s)
{
    void *blocks[4];
    memcpy(&blocks[0], &s->text, sizeof s->text); /* const only for those who read the transcript */
    memcpy(&blocks[1], &s->tokens, sizeof s->tokens);
    memcpy(&blocks[2], &s->words, sizeof s->words);
    memcpy(&blocks[3], &s->token_logprobs, sizeof s->token_logprobs);
    for (size_t i = 0; i < 4; i++) free(blocks[i]);
}

void sotto__transcript_clear(sotto__transcript *t)
{
    for (size_t i = 0; i < t->n; i++) free_segment(&t->segments[i]);
    t->n = 0;
    t->text.len = 0;
    if (t->text.data) t->text.data[0] = '\0';
    t->language = "en";
    t->language_probability = 0;
    t->told.n = t->told.pending.len = t->told.held.len = 0;
    t->told.begun = false;
}

void sotto__transcript_free(sotto__transcript *t)
{
    if (!t) return;
    sotto__transcript_clear(t);
    free(t->segments);
    sotto__str_free(&t->text);
    sotto__ids_free(&t->told.pending);
    sotto__str_free(&t->told.held);
    free(t);
}

/* The words of a draft in one block: [n_words] structs, then their NUL-terminated texts. NULL for none, or when memory
 * ran out. */
static sotto_word *copy_words(const sotto__finished *one)
{
    const sotto__draft *s = one->draft;
    const sotto__draft_word *w = s->n_words ? one->drafts->words + s->first_word : NULL;
    size_t bytes = 0, room;
    for (size_t i = 0; i < s->n_words; i++) bytes += w[i].end - w[i].begin + 1;
    sotto_word *words = s->n_words && sotto__mul_add(s->n_words, sizeof *words, bytes, &room) ? malloc(room) : NULL;
    char *text = words ? (char *)(words + s->n_words) : NULL;
    for (size_t i = 0; words && i < s->n_words; i++) {
        const size_t n = w[i].end - w[i].begin;
        memcpy(text, one->drafts->text.data + w[i].begin, n);
        text[n] = '\0';
        words[i] =
            (sotto_word){.text = text, .start_s = w[i].start_s, .end_s = w[i].end_s, .probability = w[i].probability};
        text += n + 1;
    }
    return words;
}

/* Adds a segment with copies of `s`'s text (n bytes), tokens and their log-probabilities, and with `words`, which it
 * takes over, from malloc. */
static sotto_status append(sotto__transcript *t, const sotto_segment *s, size_t n, sotto_word *words, sotto_error *err)
{
    char *text = malloc(n + 1);
    int32_t *tokens = calloc(s->n_tokens + 1, sizeof *tokens);
    float *logprobs = calloc(s->n_tokens + 1, sizeof *logprobs);
    if (!text || !tokens || !logprobs || (s->n_words && !words) ||
        !sotto__grow(&t->segments, &t->cap, t->n + 1, sizeof *t->segments)) {
        free(text);
        free(tokens);
        free(logprobs);
        free(words);
        return sotto__fail_nomem(err, "transcript");
    }
    memcpy(text, s->text, n);
    text[n] = '\0';
    memcpy(tokens, s->tokens, s->n_tokens * sizeof *tokens);
    memcpy(logprobs, s->token_logprobs, s->n_tokens * sizeof *logprobs);
    sotto_segment *copy = &t->segments[t->n];
    *copy = *s;
    copy->id = (int32_t)t->n++;
    copy->text = text;
    copy->tokens = tokens;
    copy->token_logprobs = logprobs;
    copy->words = words;
    return SOTTO_OK;
}

sotto_status sotto__transcript_add(sotto__transcript *t, const sotto__finished *one, sotto_error *err)
{
    const sotto_segment s = {.seek_frames = (int32_t)one->seek,
                             .start_s = one->draft->start_s,
                             .end_s = one->draft->end_s,
                             .text = one->text,
                             .tokens = one->tokens,
                             .n_tokens = one->draft->n,
                             .temperature = one->temperature,
                             .avg_logprob = one->avg_logprob,
                             .compression_ratio = one->compression_ratio,
                             .no_speech_prob = one->no_speech_prob,
                             .token_logprobs = one->logprobs,
                             .n_words = one->draft->n_words};
    return append(t, &s, one->text_len, copy_words(one), err);
}

/* [n] structs in one block with their texts behind them; NULL for none, or when memory ran out. */
static sotto_word *words_copy(const sotto_word *w, size_t n)
{
    size_t bytes = 0, room;
    for (size_t i = 0; i < n; i++) bytes += strlen(w[i].text) + 1;
    sotto_word *words = n && sotto__mul_add(n, sizeof *words, bytes, &room) ? malloc(room) : NULL;
    char *text = words ? (char *)(words + n) : NULL;
    for (size_t i = 0; words && i < n; i++) {
        words[i] = w[i];
        words[i].text = text;
        text = stpcpy(text, w[i].text) + 1;
    }
    return words;
}

sotto_status sotto__transcript_copy(sotto__transcript *t, const sotto_segment *s, sotto_error *err)
{
    return append(t, s, strlen(s->text), words_copy(s->words, s->n_words), err);
}

sotto_status sotto__transcript_move(sotto__transcript *t, sotto__transcript *from, sotto_error *err)
{
    if (from->n == 0) return SOTTO_OK;
    if (!sotto__grow(&t->segments, &t->cap, t->n + from->n, sizeof *t->segments))
        return sotto__fail_nomem(err, "transcript");
    for (size_t i = 0; i < from->n; i++) {
        t->segments[t->n] = from->segments[i];
        t->segments[t->n].id = (int32_t)t->n;
        t->n++;
    }
    from->n = 0;
    return SOTTO_OK;
}

sotto_status sotto__transcript_insert(sotto__transcript *t, sotto__transcript *from, size_t i, sotto_error *err)
{
    size_t at = t->n;
    if (!sotto__grow(&t->segments, &t->cap, t->n + 1, sizeof *t->segments)) return sotto__fail_nomem(err, "transcript");
    for (; at > 0 && t->segments[at - 1].start_s > from->segments[i].start_s; at--) {
        t->segments[at] = t->segments[at - 1];
        t->segments[at].id = (int32_t)at;
    }
    t->segments[at] = from->segments[i];
    t->segments[at].id = (int32_t)at;
    t->n++;
    from->segments[i] = (sotto_segment){0};
    return SOTTO_OK;
}

const char *sotto__transcript_language(const sotto__transcript *t, double *probability)
{
    *probability = t->language_probability;
    return t->language;
}

const sotto_segment *sotto__transcript_segments(const sotto__transcript *t, size_t *n)
{
    *n = t->n;
    return t->segments;
}

void sotto__transcript_set_language(sotto__transcript *t, const char *code, double probability)
{
    t->language = code;
    t->language_probability = probability;
}

sotto_status sotto__transcript_set_text(sotto__transcript *t, const char *text, size_t n, sotto_error *err)
{
    t->text.len = 0;
    return sotto__str_append(&t->text, text, n) ? SOTTO_OK : sotto__fail_nomem(err, "transcript");
}

sotto_status sotto__transcript_join(sotto__transcript *t, const sotto__tokenizer *tokenizer, sotto_error *err)
{
    sotto__ids ids = {0};
    sotto__str text = {0};
    sotto_status st = SOTTO_OK;
    for (size_t i = 0; i < t->n && st == SOTTO_OK; i++)
        if (!sotto__ids_append(&ids, t->segments[i].tokens, t->segments[i].n_tokens))
            st = sotto__fail_nomem(err, "transcript");
    if (st == SOTTO_OK && ids.len) st = sotto__tokenizer_decode(tokenizer, ids.data, ids.len, &text, err);
    if (st == SOTTO_OK) {
        const char *from = text.len ? text.data : "";
        size_t n = text.len;
        sotto__utf8_strip(&from, &n);
        st = sotto__transcript_set_text(t, from, n, err);
    }
    sotto__ids_free(&ids);
    sotto__str_free(&text);
    return st;
}

sotto_status sotto__transcript_tell(sotto__transcript *t, const sotto__tokenizer *tokenizer, const char **text,
                                    sotto_error *err)
{
    static const char replacement[] = "\xEF\xBF\xBD";
    sotto__str fresh = {0};
    sotto_status st = SOTTO_OK;
    *text = "";
    for (; t->told.n < t->n; t->told.n++) {
        const sotto_segment *s = &t->segments[t->told.n];
        if (!sotto__ids_append(&t->told.pending, s->tokens, s->n_tokens)) return sotto__fail_nomem(err, "transcript");
    }
    if (!t->told.pending.len) return SOTTO_OK;
    st = sotto__tokenizer_decode(tokenizer, t->told.pending.data, t->told.pending.len, &fresh, err);
    const bool half = fresh.len >= 3 && memcmp(fresh.data + fresh.len - 3, replacement, 3) == 0;
    if (st != SOTTO_OK || half || !fresh.len) goto done;
    if (!sotto__str_append(&t->told.held, fresh.data, fresh.len)) {
        st = sotto__fail_nomem(err, "transcript");
        goto done;
    }
    t->told.pending.len = 0;
    /* Now `held` is what has not been told. Its white space at the end stays there. */
    const char *from = t->told.held.data;
    size_t n = t->told.held.len;
    sotto__utf8_strip(&from, &n);
    if (!n) goto done;
    const char *begin = t->told.begun ? t->told.held.data : from;
    const size_t told = (size_t)(from - begin) + n, space = t->told.held.len - (size_t)(from - t->told.held.data) - n;
    t->text.len = 0; /* free until the join */
    if (!sotto__str_append(&t->text, begin, told)) {
        st = sotto__fail_nomem(err, "transcript");
        goto done;
    }
    memmove(t->told.held.data, t->told.held.data + t->told.held.len - space, space);
    t->told.held.len = space;
    t->told.begun = true;
    *text = t->text.data;
done:
    sotto__str_free(&fresh);
    return st;
}

void sotto__transcript_view(const sotto__transcript *t, sotto_result *result)
{
    result->text = t->text.data ? t->text.data : "";
    result->language = t->language;
    result->language_probability = t->language_probability;
    result->segments = t->segments;
    result->n_segments = t->n;
}
