/* SPDX-License-Identifier: MIT
 * Glossary and bias (keywords.h). */
#include "text/keywords.h"
#include "base/error.h"
#include "token/unicode.h"

#include <string.h>

/* In logits: enough to win against a common spelling, not against another word. */
static const float BEGIN_BOOST = 1.0F, CONTINUE_BOOST = 4.0F;

void sotto__keywords_free(sotto__keywords *k)
{
    sotto__ids_free(&k->tokens);
    *k = (sotto__keywords){0};
}

static sotto_status add(sotto__keywords *k, const char *word, size_t n, const sotto__tokenizer *tokenizer,
                        sotto__str *glossary, sotto_error *err)
{
    sotto__str spaced = {0};
    sotto_status st = SOTTO_OK;
    if (!sotto__str_puts(&spaced, " ") || !sotto__str_append(&spaced, word, n) ||
        !sotto__str_puts(glossary, k->n ? ", " : " Glossary: ") || !sotto__str_append(glossary, word, n))
        st = sotto__fail_nomem(err, "keywords");
    if (st == SOTTO_OK) st = sotto__tokenizer_encode(tokenizer, spaced.data, spaced.len, &k->tokens, err);
    if (st == SOTTO_OK) k->ends[k->n++] = k->tokens.len;
    sotto__str_free(&spaced);
    return st;
}

sotto_status sotto__keywords_make(sotto__keywords *k, const sotto_options *o, const sotto__tokenizer *tokenizer,
                                  sotto__ids *glossary, sotto_error *err)
{
    const size_t before = glossary->len;
    sotto__str text = {0};
    sotto_status st = SOTTO_OK;
    if (o->n_keywords > SOTTO__KEYWORDS_MOST)
        return sotto__fail(err, SOTTO_EINVAL, "keywords: %zu of them, expected %d at most", o->n_keywords,
                           SOTTO__KEYWORDS_MOST);
    for (size_t i = 0; i < o->n_keywords && st == SOTTO_OK; i++) {
        const char *word = o->keywords[i];
        size_t n = strlen(word);
        if (!sotto__utf8_is_valid(word, n)) {
            st = sotto__fail(err, SOTTO_EINVAL, "keywords: number %zu is not valid UTF-8", i + 1);
            break;
        }
        sotto__utf8_strip(&word, &n);
        if (n > SOTTO__KEYWORD_BYTES)
            st = sotto__fail(err, SOTTO_EINVAL, "keywords: \"%.40s\" is longer than %d bytes", word,
                             SOTTO__KEYWORD_BYTES);
        else if (n)
            st = add(k, word, n, tokenizer, &text, err);
    }
    if (st == SOTTO_OK && k->n) {
        if (!sotto__str_puts(&text, ".")) st = sotto__fail_nomem(err, "keywords");
        if (st == SOTTO_OK) st = sotto__tokenizer_encode(tokenizer, text.data, text.len, glossary, err);
    }
    if (st == SOTTO_OK && glossary->len - before > SOTTO__GLOSSARY_TOKENS)
        st = sotto__fail(err, SOTTO_EINVAL, "keywords: together they have %zu tokens, expected %d at most",
                         glossary->len - before, SOTTO__GLOSSARY_TOKENS);
    sotto__str_free(&text);
    return st;
}

void sotto__keywords_apply(const sotto__keywords *k, const int32_t *sampled, size_t n, float *logits)
{
    for (size_t i = 0; i < k->n; i++) {
        const size_t begin = i ? k->ends[i - 1] : 0, length = k->ends[i] - begin;
        const int32_t *word = k->tokens.data + begin;
        size_t had = length - 1 < n ? length - 1 : n;
        while (had && memcmp(sampled + n - had, word, had * sizeof *word) != 0) had--;
        logits[word[had]] += had ? CONTINUE_BOOST : BEGIN_BOOST;
    }
}
