/* SPDX-License-Identifier: MIT
 * The two large steps of the English normaliser, each over a whole line of Unicode characters. */
#ifndef SOTTO_SCORE_NORMALISE_H
#define SOTTO_SCORE_NORMALISE_H

#include "score/characters.h"

/* EnglishNumberNormalizer: "one hundred and twenty dollars" becomes "$120". Words come out with one blank between. */
void sotto__normalise_numbers(sotto__text *t);

/* EnglishSpellingNormalizer: " ".join(mapping.get(word, word) for word in s.split()) */
void sotto__normalise_spellings(sotto__text *t);

#endif
