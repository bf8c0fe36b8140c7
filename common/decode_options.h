/* SPDX-License-Identifier: MIT
 * Decoding options by name: the daemon's form fields and the client's command line, from one table
 * (decode_options.def). */
#ifndef SOTTO_COMMON_DECODE_OPTIONS_H
#define SOTTO_COMMON_DECODE_OPTIONS_H

#include "options.h"

typedef enum decode_kind {
    DECODE_IS_BOOL,
    DECODE_IS_INT,
    DECODE_IS_REAL,
    DECODE_IS_OPTIONAL,
    DECODE_IS_SEED,
    DECODE_IS_TEXT,
    DECODE_IS_LANGUAGE
} decode_kind;

typedef struct decode_option {
    decode_kind kind;
    size_t offset;    /* in sotto_options */
    const char *name; /* of the command line: "beam-size" */
    const char *form; /* of the form field: "beam_size" */
    const char *default_text;
    double min, max;
} decode_option;

/* Index of each option, for decode_request.given: DECODE_beam_size. */
typedef enum decode_index {
#define DECODE(kind, field, name, form, default_text, min, max, metavar, help) DECODE_##field,
#include "decode_options.def"
#undef DECODE
    DECODE_OPTION_COUNT
} decode_index;

extern const decode_option decode_options[DECODE_OPTION_COUNT];

/* The option whose form field is called so, or NULL. */
const decode_option *decode_option_find(const char *form);

/* Sets the field of `options` from `value`, whole and range-checked. SOTTO_EINVAL with a sentence that begins with
 * `label` ("temperature", "--temperature"). Texts are borrowed: they must outlive the options. Empty TEXT and LANGUAGE
 * mean none. */
sotto_status decode_option_apply(const decode_option *option, sotto_options *options, const char *label,
                                 const char *value, sotto_error *err);

/* Both by form field name; SOTTO_ENOTFOUND when there is no such option. */
sotto_status decode_option_set(sotto_options *options, const char *form, const char *value, sotto_error *err);

/* After all options are set: a temperature above 0 is meant as it stands, so without an increment of its own there is
 * no fallback from it; 0 leaves the choice of temperatures to the fallback. OpenAI's rule, and everybody's here. */
void decode_options_settle(sotto_options *options, bool increment_given);

/* What a command line asked for: the options, and the text of those that were given (to send on), else NULL. */
typedef struct decode_request {
    sotto_options options;
    const char *given[DECODE_OPTION_COUNT];
} decode_request;

void decode_request_default(decode_request *request);

/* The same options as a table for the options engine; the group's base is a decode_request, filled with
 * decode_request_default() before options_read(). A section heading comes first. */
extern const option decode_option_table[DECODE_OPTION_COUNT + 1];

#endif
