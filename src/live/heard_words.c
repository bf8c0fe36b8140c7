/* SPDX-License-Identifier: MIT
 * The walk over tokens and aligned words side by side. */
#include "live/heard_words.h"
#include "base/error.h"

static bool add_word(sotto__hypothesis *out, const sotto__heard_word *w)
{
    if (!sotto__grow(&out->words, &out->cap, out->n + 1, sizeof *out->words)) return false;
    out->words[out->n++] = *w;
    return true;
}

/* Whether a character goes on from the token before into this one: UTF-8's bytes 10xxxxxx begin none. */
static bool goes_on(const sotto__tokenizer *t, int32_t token)
{
    size_t n;
    const char *bytes = sotto__tokenizer_bytes(t, token, &n);
    return n && ((unsigned char)bytes[0] & 0xC0) == 0x80;
}

/* Where the word of tokens first … end-1 loses its closing punctuation: `end` if it has none, or nothing else. A token
 * may hold a part of a character only, and the end of one with the beginning of the next: the tokens behind a place are
 * looked at together. */
static sotto_status end_of_speech(const sotto__tokenizer *t, const int32_t *tokens, size_t first, size_t *end,
                                  sotto_error *err)
{
    const size_t whole = *end;
    size_t speech_end = whole;
    sotto__str tail = {0};
    sotto_status st = SOTTO_OK;
    for (size_t at = whole; at-- > first;) {
        if (goes_on(t, tokens[at])) continue;
        tail.len = 0;
        if ((st = sotto__tokenizer_decode(t, tokens + at, whole - at, &tail, err)) != SOTTO_OK) break;
        if (!sotto__same_word(tail.data, tail.len, "", 0)) { /* holds part of a word */
            *end = speech_end;
            break;
        }
        speech_end = at;
    }
    sotto__str_free(&tail);
    return st;
}

sotto_status sotto__heard_words(const sotto__tokenizer *t, const sotto__drafts *aligned, const sotto__frontier *before,
                                sotto__hypothesis *out, sotto_error *err)
{
    const sotto__draft_word *words = aligned->words;
    const size_t n_words = aligned->n_words;
    size_t n_forced;
    sotto__frontier_forced(before, &n_forced);
    size_t i = 0, aligned_end = n_words ? words[0].n_tokens : 0, at = 0;
    while (at < out->tokens.len) {
        sotto__heard_word w = {.begin = out->text.len};
        const sotto__draft_word *first;
        sotto_status st;
        /* the aligned word that `at` is in; what is left over belongs to the last */
        while (at >= aligned_end && i + 1 < n_words) aligned_end += words[++i].n_tokens;
        first = n_words ? &words[i] : NULL;
        if (out->n < before->confirmed) {
            w.token_end = before->now.words[out->n].token_end;
        } else {
            w.token_end = aligned_end > at && i + 1 < n_words ? aligned_end : out->tokens.len;
            if (at < n_forced && w.token_end > n_forced) w.token_end = n_forced;
            if ((st = end_of_speech(t, out->tokens.data, at, &w.token_end, err)) != SOTTO_OK) return st;
        }
        while (w.token_end > aligned_end && i + 1 < n_words) aligned_end += words[++i].n_tokens;
        if (first) {
            w.start_s = first->start_s;
            w.end_s = words[i].end_s;
            w.probability = words[i].probability;
        }
        st = sotto__tokenizer_decode(t, out->tokens.data + at, w.token_end - at, &out->text, err);
        if (st != SOTTO_OK) return st;
        w.end = out->text.len;
        at = w.token_end;
        if (!add_word(out, &w)) return sotto__fail_nomem(err, "captions");
    }
    return SOTTO_OK;
}
