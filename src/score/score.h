/* SPDX-License-Identifier: MIT
 * Scores of transcripts: both texts are normalised, the least edits between them counted, edits summed over utterances
 * and divided by the words of the references, and resampling of utterances says how sure that is.
 *
 * Knows nothing of models or audio. No function keeps a pointer that it was given; all may run on any thread. */
#ifndef SOTTO_SCORE_SCORE_H
#define SOTTO_SCORE_SCORE_H

#include "base/checked.h"
#include "sotto.h"

/* -- Normalising ------------------------------------------------------------------------------------------------------
 * openai-whisper's normalisers, character by character, for n bytes of UTF-8; what is not UTF-8 counts as U+FFFD, as
 * with Python's errors="replace", and so as a blank. The result is appended to *out. Like openai-whisper's, it may
 * begin or end with a blank, and characters that came after Unicode 14 are taken as they are. Python gives up on
 * numbers of more than 4300 digits; these do not. Fails with SOTTO_ENOMEM only; *out may then hold a part. */

/* whisper.normalizers.EnglishTextNormalizer */
sotto_status sotto__normalise_english(sotto__str *out, const char *text, size_t n, sotto_error *err);

/* whisper.normalizers.BasicTextNormalizer(remove_diacritics, split_letters) */
sotto_status sotto__normalise_basic(sotto__str *out, const char *text, size_t n, bool remove_diacritics,
                                    bool split_letters, sotto_error *err);

/* The one that Whisper's evaluation uses for a language, a code such as "en" (Radford et al. 2022, appendix C):
 * English; letters split for zh, ja, th, lo, my and yue, so that "words" are characters; else basic. */
sotto_status sotto__normalise(sotto__str *out, const char *text, size_t n, const char *language, sotto_error *err);

/* -- Counting edits ------------------------------------------------------------------------------------------------ */

/* Edits that turn a reference into a hypothesis: the fewest (Levenshtein), and of several ways with as few, one with
 * the fewest substitutions, so with the most words right. */
typedef struct sotto__edits {
    size_t substitutions, deletions, insertions;
    size_t reference; /* words or characters of the reference */
} sotto__edits;

/* Words between white space (Python's str.split()). Both texts are UTF-8 of the given bytes, already normalised. Memory
 * grows with the texts, time with the product of their words. SOTTO_ENOMEM; SOTTO_EINVAL beyond 2^31 words. */
sotto_status sotto__word_edits(sotto__edits *out, const char *reference, size_t reference_bytes, const char *hypothesis,
                               size_t hypothesis_bytes, sotto_error *err);

/* Characters (code points), where white space between two words is one character and none at the ends. */
sotto_status sotto__character_edits(sotto__edits *out, const char *reference, size_t reference_bytes,
                                    const char *hypothesis, size_t hypothesis_bytes, sotto_error *err);

void sotto__edits_add(sotto__edits *sum, const sotto__edits *more);
size_t sotto__edits_total(const sotto__edits *e); /* substitutions + deletions + insertions */
double sotto__error_rate(const sotto__edits *e);  /* edits / reference, 0.05 is 5 %; NaN without a reference */

/* -- How sure ------------------------------------------------------------------------------------------------------ */

typedef struct sotto__resampling {
    size_t resamples; /* 10000 */
    double level;     /* 0.95: the part of resamples that an interval holds */
    uint64_t seed;    /* the same on every machine: PCG32, no libc */
} sotto__resampling;
sotto__resampling sotto__resampling_default(void);

typedef struct sotto__interval {
    double low, high;
} sotto__interval;

/* Percentile bootstrap of the error rate of n utterances: drawn n at a time with replacement (Bisani and Ney,
 * "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004). SOTTO_EINVAL without
 * utterances, a word of reference or a resample, with a level outside 0 … 1, or beyond 2^31 - 1 utterances, or edits or
 * words of one; SOTTO_ENOMEM. */
sotto_status sotto__rate_interval(sotto__interval *out, const sotto__edits *utterances, size_t n,
                                  const sotto__resampling *how, sotto_error *err);

typedef struct sotto__comparison {
    double difference;        /* error rate of the other minus that of the baseline: below 0 is better */
    sotto__interval interval; /* of that difference: both systems on the same drawn utterances */
    double improvement;       /* part of resamples in which the other makes fewer edits (Bisani and Ney's poi) */
    double p; /* two-sided approximate randomisation: how often systems that are swapped at random, utterance by
               * utterance, differ as much, (1 + times) / (1 + resamples) (Noreen, "Computer-intensive methods for
               * testing hypotheses", 1989) */
} sotto__comparison;

/* Two systems on the same n utterances. Errors as above; SOTTO_EINVAL too where an utterance's references differ. */
sotto_status sotto__compare_systems(sotto__comparison *out, const sotto__edits *baseline, const sotto__edits *other,
                                    size_t n, const sotto__resampling *how, sotto_error *err);

#endif
