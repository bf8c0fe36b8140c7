/* SPDX-License-Identifier: MIT
 * Byte-pair encoding over a vocabulary whose ids are the merge ranks: tiktoken's encode_ordinary with GPT-2's pattern.
 */
#ifndef SOTTO_TOKEN_BPE_H
#define SOTTO_TOKEN_BPE_H

#include "token/vocab.h"

/* Index bytes -> id. Borrows the vocabulary. Zero-initialise; free with sotto__bpe_free. */
typedef struct sotto__bpe {
    const sotto__vocab *vocab;
    int32_t *slots; /* open addressing, -1 = empty */
    size_t mask;
    size_t longest;    /* bytes of the longest token */
    int32_t byte[256]; /* ids of the single bytes */
} sotto__bpe;

/* Indexes ids 0 … n_ordinary-1 of `vocab`; of equal tokens the lowest id counts, empty ones are left out. SOTTO_EFORMAT
 * when one of the 256 single bytes is missing. */
sotto_status sotto__bpe_init(sotto__bpe *b, const sotto__vocab *vocab, size_t n_ordinary, sotto_error *err);
void sotto__bpe_free(sotto__bpe *b);

/* The id whose bytes are exactly these, -1 if there is none. */
int32_t sotto__bpe_find(const sotto__bpe *b, const char *bytes, size_t n);

/* Appends the ids of `text`, which must be valid UTF-8. Time grows as n log n, also for one endless word. */
sotto_status sotto__bpe_encode(const sotto__bpe *b, const char *text, size_t len, sotto__ids *out, sotto_error *err);

#endif
