/* SPDX-License-Identifier: MIT
 * Vocabulary: token id -> raw bytes, from whichever form the model carries. */
#ifndef SOTTO_TOKEN_VOCAB_H
#define SOTTO_TOKEN_VOCAB_H

#include "base/checked.h"
#include "sotto.h"

/* Tokens in id order. Only ordinary byte-level BPE tokens carry bytes that matter; special tokens are told by id. */
typedef struct sotto__vocab {
    char *bytes;
    size_t bytes_len, bytes_cap;
    size_t *ends; /* ends[i]: end of token i in bytes */
    size_t n, ends_cap;
} sotto__vocab;

sotto_status sotto__vocab_add(sotto__vocab *v, const char *bytes, size_t n, sotto_error *err);
void sotto__vocab_free(sotto__vocab *v);

/* Reads the vocabulary of a CTranslate2 or Hugging Face model directory: vocabulary.txt, vocabulary.json, vocab.json or
 * tokenizer.json, the first that exists, undoing GPT-2's byte-to-unicode mapping. Names the file in errors. */
sotto_status sotto__vocab_read_dir(sotto__vocab *v, const char *dir, sotto_error *err);

#endif
