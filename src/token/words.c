/* SPDX-License-Identifier: MIT
 * Grouping of text tokens into words for word timestamps: whisper.tokenizer's split_to_word_tokens. */
#include "token/tokenizer.h"

#include "base/error.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

/* Characters of bytes decoded with replacement; ids keeps them as int32. */
static bool decode_chars(const char *s, size_t n, sotto__ids *out)
{
    out->len = 0;
    for (size_t at = 0; at < n;) {
        int32_t cp;
        at += sotto__utf8_next(s + at, n - at, &cp, NULL);
        if (!sotto__ids_push(out, cp)) return false;
    }
    return true;
}

/* Appends a token's bytes as decode_with_timestamps does. Special tokens only have to end an unfinished character, as
 * the text "<|…|>" would; one '<' does that. */
static bool append_token(const sotto__tokenizer *t, int32_t id, sotto__str *out)
{
    size_t len;
    const char *bytes = sotto__tokenizer_bytes(t, id, &len);
    if (id >= sotto__tokenizer_specials(t)->eot) return sotto__str_append(out, "<", 1);
    return sotto__str_append(out, bytes, len);
}

static bool end_word(sotto__words *w, size_t text_end, size_t token_end)
{
    if (!sotto__grow(&w->text_ends, &w->cap_text, w->n + 1, sizeof *w->text_ends) ||
        !sotto__grow(&w->token_ends, &w->cap_token, w->n + 1, sizeof *w->token_ends))
        return false;
    w->text_ends[w->n] = text_end;
    w->token_ends[w->n++] = token_end;
    return true;
}

/* split_tokens_on_unicode: a unit ends where its tokens decode to whole characters. */
static sotto_status split_on_unicode(const sotto__tokenizer *t, const int32_t *ids, size_t n, sotto__words *out,
                                     sotto_error *err)
{
    sotto__str bytes = {0};
    sotto__ids full = {0}, unit = {0}; /* characters of everything, and of the tokens since the last end */
    size_t begin = 0, offset = 0;      /* first token of the unit; characters before it */
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) ok = append_token(t, ids[i], &bytes);
    ok = ok && decode_chars(bytes.data, bytes.len, &full);
    bytes.len = 0;
    for (size_t i = 0; ok && i < n; i++) {
        size_t bad = 0;
        ok = append_token(t, ids[i], &bytes) && decode_chars(bytes.data, bytes.len, &unit);
        if (!ok) break;
        while (bad < unit.len && unit.data[bad] != SOTTO__REPLACEMENT) bad++;
        /* A replacement that the whole text has at the same place too is no unfinished character. */
        if (bad < unit.len && offset + bad < full.len && full.data[offset + bad] != SOTTO__REPLACEMENT) continue;
        offset += unit.len;
        bytes.len = 0;
        ok = sotto__tokenizer_decode(t, ids + begin, i + 1 - begin, &out->texts, err) == SOTTO_OK &&
             end_word(out, out->texts.len, i + 1);
        begin = i + 1;
    }
    sotto__str_free(&bytes);
    sotto__ids_free(&full);
    sotto__ids_free(&unit);
    return ok ? SOTTO_OK : sotto__fail_nomem(err, "words of tokens");
}

/* Python's `subword.strip() in string.punctuation`: a substring, so "" and "()" are punctuation and ")(" is not. */
static bool is_punctuation(const char *text, size_t n)
{
    static const char punctuation[] = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    sotto__utf8_strip(&text, &n);
    return memmem(punctuation, sizeof punctuation - 1, text, n) != NULL;
}

/* split_tokens_on_spaces: units that begin no word are joined to the one before. */
static void join_at_spaces(const sotto__tokenizer *t, const int32_t *ids, sotto__words *w)
{
    const int32_t eot = sotto__tokenizer_specials(t)->eot;
    size_t words = 0, text = 0, token = 0; /* words made; where the current unit begins */
    for (size_t i = 0; i < w->n; i++) {
        const size_t text_end = w->text_ends[i], token_end = w->token_ends[i];
        const char *const unit = w->texts.data + text;
        const bool special = ids[token] >= eot, with_space = text_end > text && unit[0] == ' ';
        if (special || with_space || !words || is_punctuation(unit, text_end - text)) words++;
        w->text_ends[words - 1] = text_end;
        w->token_ends[words - 1] = token_end;
        text = text_end;
        token = token_end;
    }
    w->n = words;
}

sotto_status sotto__tokenizer_words(const sotto__tokenizer *t, const char *language_code, const int32_t *ids, size_t n,
                                    sotto__words *out, sotto_error *err)
{
    static const char *const unspaced[] = {"zh", "ja", "th", "lo", "my", "yue"};
    sotto_status status;
    bool spaces = true;
    out->n = 0;
    out->texts.len = 0;
    status = split_on_unicode(t, ids, n, out, err);
    if (status != SOTTO_OK) {
        sotto__words_free(out);
        return status;
    }
    /* The English-only tokenizer has no language. */
    if (sotto__tokenizer_specials(t)->multilingual)
        for (size_t i = 0; language_code && i < sizeof unspaced / sizeof unspaced[0]; i++)
            if (!strcmp(language_code, unspaced[i])) spaces = false;
    if (spaces && out->n) join_at_spaces(t, ids, out);
    return SOTTO_OK;
}

void sotto__words_free(sotto__words *w)
{
    sotto__str_free(&w->texts);
    free(w->text_ends);
    free(w->token_ends);
    *w = (sotto__words){0};
}
