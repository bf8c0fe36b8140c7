/* SPDX-License-Identifier: MIT
 * Byte-level BPE in both directions, and the ids of Whisper's special tokens. Mirrors whisper.tokenizer.Tokenizer. */
#ifndef SOTTO_TOKEN_TOKENIZER_H
#define SOTTO_TOKEN_TOKENIZER_H

#include "base/checked.h"
#include "token/vocab.h"

typedef struct sotto__tokenizer sotto__tokenizer;

/* Ids of special tokens, derived from the size of the vocabulary alone. */
typedef struct sotto__specials {
    bool multilingual;
    int32_t n_vocab;
    int32_t n_languages;
    int32_t eot, sot, language_begin, translate, transcribe, sot_lm, sot_prev, no_speech, no_timestamps,
        timestamp_begin;
} sotto__specials;

/* n_vocab is the model's (rows of the token embedding). Fails with SOTTO_EFORMAT when it is no Whisper vocabulary. */
sotto_status sotto__specials_of(sotto__specials *out, size_t n_vocab, sotto_error *err);

/* Takes the contents of `vocab` (zeroed on success). The vocabulary needs at least the ids below eot. */
sotto_status sotto__tokenizer_create(sotto__tokenizer **out, sotto__vocab *vocab, size_t n_vocab, sotto_error *err);
void sotto__tokenizer_free(sotto__tokenizer *t);
const sotto__specials *sotto__tokenizer_specials(const sotto__tokenizer *t);

/* Appends the ids of UTF-8 `text` (ordinary tokens only, as tiktoken's encode with GPT-2's pattern; ranks = ids). */
sotto_status sotto__tokenizer_encode(const sotto__tokenizer *t, const char *text, size_t len, sotto__ids *out,
                                     sotto_error *err);

/* Raw bytes of one ordinary token (id < eot); *len = 0 and "" for others. Borrowed from the tokenizer. */
const char *sotto__tokenizer_bytes(const sotto__tokenizer *t, int32_t id, size_t *len);

/* Appends the text of the ids below eot-or-timestamps (whisper's Tokenizer.decode: ids >= timestamp_begin are dropped;
 * other special tokens are dropped too, which the reference filters earlier), invalid UTF-8 replaced by U+FFFD exactly
 * as Python's bytes.decode("utf-8", errors="replace") does. */
sotto_status sotto__tokenizer_decode(const sotto__tokenizer *t, const int32_t *ids, size_t n, sotto__str *out,
                                     sotto_error *err);

/* Language token's code for an id in language_begin … ; NULL outside. And the id of a code, -1 if the model lacks it.
 */
const char *sotto__tokenizer_language(const sotto__tokenizer *t, int32_t id);
int32_t sotto__tokenizer_language_id(const sotto__tokenizer *t, const char *code);

/* Appends whisper's non_speech_tokens (the set that "-1" suppresses), ascending. */
sotto_status sotto__tokenizer_non_speech(const sotto__tokenizer *t, sotto__ids *out, sotto_error *err);

/* Words of a token sequence: whisper's split_to_word_tokens. Word i is the text texts[text_ends[i-1]..text_ends[i]) and
 * the tokens [token_ends[i-1], token_ends[i]) of the input. Languages zh, ja, th, lo, my, yue split at every whole
 * character, others at spaces and punctuation. `ids` holds text tokens and may end with eot (its own word, empty text
 * "" as its decode). Zero-initialise; free with sotto__words_free. */
typedef struct sotto__words {
    sotto__str texts;
    size_t *text_ends, *token_ends;
    size_t n, cap_text, cap_token;
} sotto__words;

sotto_status sotto__tokenizer_words(const sotto__tokenizer *t, const char *language_code, const int32_t *ids, size_t n,
                                    sotto__words *out, sotto_error *err);
void sotto__words_free(sotto__words *w);

/* Whisper's list, for sotto_language_code/name and the tokenizer: index = offset from language_begin. */
typedef struct sotto__language {
    const char *code, *name;
} sotto__language;
extern const sotto__language sotto__languages[];
extern const size_t sotto__languages_count; /* 100 */

#endif
