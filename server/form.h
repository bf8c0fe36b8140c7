/* SPDX-License-Identifier: MIT
 * The fields of a transcription request: text as it comes in, bounded; then sotto_options, format and model. Pure: no
 * HTTP, no files. */
#ifndef SOTTOD_FORM_H
#define SOTTOD_FORM_H

#include <stdint.h>

#include "chunking.h"
#include "reply.h"
#include "sotto.h"

enum {
    FORM_VALUE_BYTES = 64 << 10,
    FORM_TOTAL_BYTES = 1 << 20,
    FORM_FIELDS = 160,
    FORM_KEYWORDS = 100,
    FORM_KEYWORD_BYTES = 100
};

typedef struct form_field {
    char *name;   /* without its "[]" or "[0]" */
    bool list;    /* had one */
    char key[32]; /* what was in it: "type" of "chunking_strategy[type]" */
    char *value;  /* NUL-terminated */
    size_t len;
} form_field;

typedef struct form {
    form_field fields[FORM_FIELDS];
    size_t n;
    size_t total;                      /* bytes of all values */
    bool (*dialect)(const char *name); /* knows the names of another contract's fields; NULL = OpenAI's and our own */
    size_t model;                      /* which of the daemon's is asked for; the caller's */
    /* what form_finish makes of them; texts are borrowed from the fields */
    sotto_options options;
    sotto_format format;
    sotto_write_options write;
    chunking chunking;
    char *keywords[FORM_KEYWORDS]; /* [n_keywords] */
    size_t n_keywords;
    bool whisper_cpp; /* verbose_json as whisper.cpp's server has it */
    bool stream;      /* answer with events */
} form;

/* What the fields are checked against. */
typedef struct form_facts {
    const char *model; /* the loaded one's name */
    bool multilingual;
    sotto_task task;
} form_facts;

void form_init(form *f);
void form_free(form *f);

/* `n` bytes of the value of field `name`, which begins at offset 0. False with *e filled for an unknown name or when a
 * bound is passed. */
bool form_append(form *f, const char *name, uint64_t offset, const char *data, size_t n, api_error *e);

/* The value of a field that is there once; NULL when it is not, or is empty. */
const char *form_value(const form *f, const char *name);
bool form_is_text(const form_field *field); /* UTF-8 without NUL */

/* All fields are there: checks them and fills options, format and write. */
bool form_finish(form *f, const form_facts *facts, api_error *e);

/* The check that other routes share: the language fits the model (NULL: any). */
bool form_check_language(const form_facts *facts, const char *language, api_error *e);

/* Is `name` what a client may call the loaded model: its own name, "whisper-1" or "default"? */
bool form_model_known(const char *name, const char *loaded);

#endif
