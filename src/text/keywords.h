/* SPDX-License-Identifier: MIT
 * Words that the caller expects: a glossary before every window, and logits that lean towards the rest of a word that
 * has been begun. Pure but for memory. */
#ifndef SOTTO_TEXT_KEYWORDS_H
#define SOTTO_TEXT_KEYWORDS_H

#include "sotto.h"
#include "token/tokenizer.h"

enum {
    SOTTO__KEYWORDS_MOST = 100,
    SOTTO__KEYWORD_BYTES = 100,
    SOTTO__GLOSSARY_TOKENS = 160 /* of the 223 that fit before a window */
};

/* Zero-initialise; free with sotto__keywords_free. */
typedef struct sotto__keywords {
    sotto__ids tokens; /* of all words, one after the other, each with a blank before it */
    size_t ends[SOTTO__KEYWORDS_MOST];
    size_t n;
} sotto__keywords;

void sotto__keywords_free(sotto__keywords *k);

/* Takes options->keywords, less what is blank. SOTTO_EINVAL names the one that is too long or no UTF-8. Appends the
 * glossary's tokens to `glossary`; none without keywords. */
sotto_status sotto__keywords_make(sotto__keywords *k, const sotto_options *options, const sotto__tokenizer *tokenizer,
                                  sotto__ids *glossary, sotto_error *err);

/* Raises logits of tokens that begin a word a little, and of those that continue one after sampled[n] more. */
void sotto__keywords_apply(const sotto__keywords *k, const int32_t *sampled, size_t n, float *logits);

#endif
