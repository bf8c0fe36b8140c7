/* SPDX-License-Identifier: MIT
 * Characters as Python sees them (str, re, unicodedata, regex), from tables of Unicode 14 that
 * tests/reference/make_score_tables.py writes; and a line of them that rules rewrite. Used by the normalisers. */
#ifndef SOTTO_SCORE_CHARACTERS_H
#define SOTTO_SCORE_CHARACTERS_H

#include "base/checked.h"

bool sotto__is_word(int32_t cp);     /* \w: str.isalnum() or _ */
bool sotto__is_digit(int32_t cp);    /* \d: category Nd */
bool sotto__is_space(int32_t cp);    /* \s: str.isspace() */
bool sotto__is_symbol(int32_t cp);   /* unicodedata.category() begins with M, S or P */
bool sotto__is_mark(int32_t cp);     /* unicodedata.category() is Mn */
int32_t sotto__digit_of(int32_t cp); /* 0 … 9 of a character of \d */
int sotto__combining(int32_t cp);    /* canonical combining class, 0 … 254 */
static inline bool sotto__is_figure(int32_t cp) { return cp >= '0' && cp <= '9'; } /* [0-9] */

/* A line and the line that a rule makes of it: the rule reads `now`, writes `next`, then turns. Memory that runs out is
 * remembered, so that rules need not look at it. Zero-initialise; free with sotto__text_free. */
typedef struct sotto__text {
    sotto__ids now, next; /* code points */
    bool no_memory;
} sotto__text;

void sotto__text_read(sotto__text *t, const char *utf8, size_t n); /* `now`; what is not UTF-8 becomes U+FFFD */
bool sotto__text_write(const sotto__text *t, sotto__str *out);     /* appends `now` as UTF-8; false: no memory */
void sotto__text_put(sotto__text *t, int32_t cp);
void sotto__text_puts(sotto__text *t, const char *ascii);
void sotto__text_copy(sotto__text *t, size_t from, size_t to); /* characters [from, to) of `now` */
void sotto__text_turn(sotto__text *t);                         /* `next` becomes `now` */
void sotto__text_free(sotto__text *t);

/* `now` at `at` is this ASCII text of n characters. */
bool sotto__text_has(const sotto__text *t, size_t at, const char *ascii, size_t n);
/* A character of \w stands at `at`; false outside of the line. `before` is about the character before it. */
bool sotto__text_word_at(const sotto__text *t, size_t at);
bool sotto__text_word_before(const sotto__text *t, size_t at);

/* Whole-line rules. */
void sotto__text_lower(sotto__text *t);     /* str.lower() */
void sotto__text_nfkd(sotto__text *t);      /* NFKD but for the order of marks on one character */
void sotto__text_nfkc(sotto__text *t);      /* unicodedata.normalize("NFKC", …) */
void sotto__text_graphemes(sotto__text *t); /* " ".join(regex.findall(r"\X", …)) */

#endif
