/* SPDX-License-Identifier: MIT
 * UTF-8 and character classes as the tokenizer's references see them: CPython's decoder with errors="replace", the
 * classes of GPT-2's splitting pattern, str.strip(). Used between raw bytes and BPE, in both directions. */
#ifndef SOTTO_TOKEN_UNICODE_H
#define SOTTO_TOKEN_UNICODE_H

#include "base/checked.h"

enum { SOTTO__REPLACEMENT = 0xFFFD };

/* Next character of n >= 1 bytes of would-be UTF-8: sets *cp and returns the bytes it took. What is not UTF-8 gives
 * U+FFFD for each maximal subpart (Unicode 15, table 3-8), as CPython does; *valid (may be NULL) tells it from a U+FFFD
 * that was really written. */
size_t sotto__utf8_next(const char *s, size_t n, int32_t *cp, bool *valid);

/* Appends the n bytes, invalid ones replaced by U+FFFD. False when memory ran out. */
bool sotto__utf8_replace(sotto__str *out, const char *s, size_t n);
bool sotto__utf8_is_valid(const char *s, size_t n);

/* Classes of the splitting pattern: \p{L}, \p{N}, and \s as Rust's regex has it (property White_Space). */
typedef enum sotto__char_class {
    SOTTO__CHAR_OTHER,
    SOTTO__CHAR_LETTER,
    SOTTO__CHAR_NUMBER,
    SOTTO__CHAR_SPACE
} sotto__char_class;
sotto__char_class sotto__char_class_of(int32_t cp);

/* A letter, a number, a mark on one (\p{M}: vowel signs of Hindi, Thai, …), or U+FFFD, a part of a character. */
bool sotto__is_word_sign(int32_t cp);

/* The character's lower case (one to one), itself if it has none. */
int32_t sotto__lower(int32_t cp);

/* Python's str.strip() over valid UTF-8: narrows [*s, *s + *n). */
void sotto__utf8_strip(const char **s, size_t *n);

#endif
