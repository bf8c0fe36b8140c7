/* SPDX-License-Identifier: MIT
 * Text <-> token ids for one model, its special tokens, and the grouping of tokens into words. Mirrors
 * whisper.tokenizer. */
#include "token/tokenizer.h"

#include "base/error.h"
#include "token/bpe.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { N_TIMESTAMPS = 1501 }; /* 0.00 … 30.00 s in steps of 0.02 s */

struct sotto__tokenizer {
    sotto__specials specials;
    sotto__vocab vocab;
    sotto__bpe bpe;
};

sotto_status sotto__specials_of(sotto__specials *out, size_t n_vocab, sotto_error *err)
{
    /* Model.is_multilingual and num_languages; 51864 (.en), 51865 and 51866 (with yue) exist. */
    const bool multilingual = n_vocab >= 51865;
    sotto__specials s = {.multilingual = multilingual};
    *out = (sotto__specials){0};
    if (n_vocab < 51864 || n_vocab > 51866)
        return sotto__fail(err, SOTTO_EFORMAT, "vocabulary of %zu tokens is not Whisper's, expected 51864 to 51866",
                           n_vocab);
    s.n_vocab = (int32_t)n_vocab;
    s.n_languages = s.n_vocab - 51765 - multilingual;
    /* Order of get_encoding(): the ordinary tokens, then these. */
    s.eot = multilingual ? 50257 : 50256;
    s.sot = s.eot + 1;
    s.language_begin = s.sot + 1;
    s.translate = s.language_begin + s.n_languages;
    s.transcribe = s.translate + 1;
    s.sot_lm = s.translate + 2;
    s.sot_prev = s.translate + 3;
    s.no_speech = s.translate + 4;
    s.no_timestamps = s.translate + 5;
    s.timestamp_begin = s.translate + 6;
    if (s.timestamp_begin + N_TIMESTAMPS != s.n_vocab)
        return sotto__fail(err, SOTTO_EINTERNAL, "special tokens end at %d, expected %d",
                           s.timestamp_begin + N_TIMESTAMPS, s.n_vocab);
    *out = s;
    return SOTTO_OK;
}

sotto_status sotto__tokenizer_create(sotto__tokenizer **out, sotto__vocab *vocab, size_t n_vocab, sotto_error *err)
{
    sotto__tokenizer *t;
    sotto_status status;
    *out = NULL;
    t = calloc(1, sizeof *t);
    if (!t) return sotto__fail_nomem(err, "tokenizer");
    status = sotto__specials_of(&t->specials, n_vocab, err);
    if (status == SOTTO_OK) status = sotto__bpe_init(&t->bpe, vocab, (size_t)t->specials.eot, err);
    if (status != SOTTO_OK) {
        free(t);
        return status;
    }
    t->vocab = *vocab;
    t->bpe.vocab = &t->vocab;
    *vocab = (sotto__vocab){0};
    *out = t;
    return SOTTO_OK;
}

void sotto__tokenizer_free(sotto__tokenizer *t)
{
    if (!t) return;
    sotto__bpe_free(&t->bpe);
    sotto__vocab_free(&t->vocab);
    free(t);
}

const sotto__specials *sotto__tokenizer_specials(const sotto__tokenizer *t) { return &t->specials; }

sotto_status sotto__tokenizer_encode(const sotto__tokenizer *t, const char *text, size_t len, sotto__ids *out,
                                     sotto_error *err)
{
    sotto__str clean = {0};
    sotto_status status;
    if (sotto__utf8_is_valid(text, len)) return sotto__bpe_encode(&t->bpe, text, len, out, err);
    if (!sotto__utf8_replace(&clean, text, len))
        status = sotto__fail_nomem(err, "text to encode");
    else
        status = sotto__bpe_encode(&t->bpe, clean.data, clean.len, out, err);
    sotto__str_free(&clean);
    return status;
}

const char *sotto__tokenizer_bytes(const sotto__tokenizer *t, int32_t id, size_t *len)
{
    size_t begin;
    *len = 0;
    if (id < 0 || id >= t->specials.eot) return "";
    begin = id ? t->vocab.ends[id - 1] : 0;
    *len = t->vocab.ends[id] - begin;
    return *len ? t->vocab.bytes + begin : "";
}

/* Appends the bytes of the ordinary tokens among ids. */
static bool append_bytes(const sotto__tokenizer *t, const int32_t *ids, size_t n, sotto__str *out)
{
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *bytes = sotto__tokenizer_bytes(t, ids[i], &len);
        if (!sotto__str_append(out, bytes, len)) return false;
    }
    return sotto__str_append(out, "", 0);
}

sotto_status sotto__tokenizer_decode(const sotto__tokenizer *t, const int32_t *ids, size_t n, sotto__str *out,
                                     sotto_error *err)
{
    sotto__str raw = {0};
    const bool ok = append_bytes(t, ids, n, &raw) && sotto__utf8_replace(out, raw.data, raw.len);
    sotto__str_free(&raw);
    return ok ? SOTTO_OK : sotto__fail_nomem(err, "text of tokens");
}

const char *sotto__tokenizer_language(const sotto__tokenizer *t, int32_t id)
{
    const sotto__specials *s = &t->specials;
    if (id < s->language_begin || id >= s->language_begin + s->n_languages) return NULL;
    return sotto__languages[id - s->language_begin].code;
}

int32_t sotto__tokenizer_language_id(const sotto__tokenizer *t, const char *code)
{
    for (int32_t i = 0; code && i < t->specials.n_languages; i++)
        if (!strcmp(code, sotto__languages[i].code)) return t->specials.language_begin + i;
    return -1;
}

/* ---- tokens that are no speech ---------------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
    int32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Appends the first token of `prefix` + `symbol`; when it takes several, only if `always`. */
static sotto_status push_first(const sotto__tokenizer *t, const char *prefix, const char *symbol, bool always,
                               sotto__ids *out, sotto_error *err)
{
    sotto__str text = {0};
    sotto__ids ids = {0};
    sotto_status status = SOTTO_ENOMEM;
    if (!sotto__str_puts(&text, prefix) || !sotto__str_puts(&text, symbol)) goto nomem;
    status = sotto__tokenizer_encode(t, text.data, text.len, &ids, err);
    if (status == SOTTO_OK && ids.len && (always || ids.len == 1) && !sotto__ids_push(out, ids.data[0])) goto nomem;
    sotto__str_free(&text);
    sotto__ids_free(&ids);
    return status;
nomem:
    sotto__str_free(&text);
    sotto__ids_free(&ids);
    return sotto__fail_nomem(err, "non-speech tokens");
}

sotto_status sotto__tokenizer_non_speech(const sotto__tokenizer *t, sotto__ids *out, sotto_error *err)
{
    static const char *const symbols[] = {"\"",  "#",  "(",  ")",   "*",   "+",   "/",   ":",  ";",   "<",  "=",  ">",
                                          "@",   "[",  "\\", "]",   "^",   "_",   "`",   "{",  "|",   "}",  "~",  "「",
                                          "」",  "『", "』", "<<",  ">>",  "<<<", ">>>", "--", "---", "-(", "-[", "('",
                                          "(\"", "((", "))", "(((", ")))", "[[",  "]]",  "{{", "}}",  "♪♪", "♪♪♪"};
    /* Of these the first token counts even when they take several: U+2640 … U+267F share two bytes of UTF-8. */
    static const char *const musical[] = {"♩", "♪", "♫", "♬", "♭", "♮", "♯"};
    sotto__ids found = {0};
    /* Hyphens and quotes are allowed between words, but not at the beginning of one. */
    sotto_status status = push_first(t, " ", "-", true, &found, err);
    if (status == SOTTO_OK) status = push_first(t, " ", "'", true, &found, err);
    for (int spaced = 0; spaced < 2; spaced++) {
        const char *const prefix = spaced ? " " : "";
        for (size_t i = 0; status == SOTTO_OK && i < sizeof symbols / sizeof symbols[0]; i++)
            status = push_first(t, prefix, symbols[i], false, &found, err);
        for (size_t i = 0; status == SOTTO_OK && i < sizeof musical / sizeof musical[0]; i++)
            status = push_first(t, prefix, musical[i], true, &found, err);
    }
    if (status == SOTTO_OK) {
        qsort(found.data, found.len, sizeof *found.data, compare_ids);
        for (size_t i = 0; status == SOTTO_OK && i < found.len; i++)
            if ((!i || found.data[i] != found.data[i - 1]) && !sotto__ids_push(out, found.data[i]))
                status = sotto__fail_nomem(err, "non-speech tokens");
    }
    sotto__ids_free(&found);
    return status;
}
