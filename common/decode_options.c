/* SPDX-License-Identifier: MIT
 * decode_options.def -> fields of sotto_options. */
#include "decode_options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const decode_option decode_options[DECODE_OPTION_COUNT] = {
#define DECODE(kind, field, name, form, default_text, min, max, metavar, help)                                         \
    {DECODE_IS_##kind, offsetof(sotto_options, field), name, form, default_text, min, max},
#include "decode_options.def"
#undef DECODE
};

const decode_option *decode_option_find(const char *form)
{
    for (size_t i = 0; i < DECODE_OPTION_COUNT; i++)
        if (strcmp(decode_options[i].form, form) == 0) return &decode_options[i];
    return NULL;
}

static bool parse_seed(const char *text, uint64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)text[0])) return false;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || *end) return false;
    *out = v;
    return true;
}

sotto_status decode_option_apply(const decode_option *o, sotto_options *options, const char *label, const char *value,
                                 sotto_error *err)
{
    void *field = (char *)options + o->offset;
    const char *expected = NULL;
    int64_t whole = 0;
    double real = 0;
    bool flag = false;
    switch (o->kind) {
    case DECODE_IS_BOOL:
        if (!options_parse_flag(value, &flag))
            expected = "true or false";
        else
            *(bool *)field = flag;
        break;
    case DECODE_IS_INT:
        if (!options_parse_int(value, &whole)) {
            expected = "a whole number";
            break;
        }
        if ((double)whole < o->min || (double)whole > o->max) goto outside;
        *(int32_t *)field = (int32_t)whole;
        break;
    case DECODE_IS_OPTIONAL:
        if (strcasecmp(value, "none") == 0 || strcasecmp(value, "off") == 0) {
            *(double *)field = NAN;
            break;
        }
        /* fall through */
    case DECODE_IS_REAL:
        if (!options_parse_double(value, &real)) {
            expected = o->kind == DECODE_IS_OPTIONAL ? "a number or \"none\"" : "a number";
            break;
        }
        if (real < o->min || real > o->max) goto outside;
        *(double *)field = real;
        break;
    case DECODE_IS_SEED:
        if (!parse_seed(value, (uint64_t *)field)) expected = "a whole number from 0 to 18446744073709551615";
        break;
    case DECODE_IS_TEXT:
        *(const char **)field = *value ? value : NULL;
        break;
    case DECODE_IS_LANGUAGE:
        if (!*value)
            *(const char **)field = NULL;
        else if (!sotto_language_code(value))
            expected = "a language of Whisper's, as code (\"en\") or English name (\"english\")";
        else
            *(const char **)field = value;
        break;
    }
    if (expected) return options_fail(err, SOTTO_EINVAL, "%s is \"%.100s\", but should be %s", label, value, expected);
    return SOTTO_OK;
outside:
    return options_fail(err, SOTTO_EINVAL, "%s is %.100s, which is outside %.15g to %.15g", label, value, o->min,
                        o->max);
}

sotto_status decode_option_set(sotto_options *options, const char *form, const char *value, sotto_error *err)
{
    const decode_option *o = decode_option_find(form);
    if (!o) return options_fail(err, SOTTO_ENOTFOUND, "there is no decoding option \"%.100s\"", form);
    return decode_option_apply(o, options, form, value, err);
}

void decode_options_settle(sotto_options *options, bool increment_given)
{
    if (options->temperature > 0 && !increment_given) options->temperature_increment = 0;
}

void decode_request_default(decode_request *request)
{
    *request = (decode_request){0};
    sotto_options_default(&request->options);
}

/* decode_option_table[i + 1] is decode_options[i]. */
static sotto_status store_request(const option *self, void *base, const char *label, const char *value,
                                  sotto_error *err)
{
    decode_request *request = base;
    size_t i = (size_t)(self - decode_option_table) - 1;
    request->given[i] = value;
    return decode_option_apply(&decode_options[i], &request->options, label, value, err);
}

#define ENGINE_KIND_BOOL OPTION_IS_FLAG
#define ENGINE_KIND_INT OPTION_IS_STRING
#define ENGINE_KIND_REAL OPTION_IS_STRING
#define ENGINE_KIND_OPTIONAL OPTION_IS_STRING
#define ENGINE_KIND_SEED OPTION_IS_STRING
#define ENGINE_KIND_TEXT OPTION_IS_STRING
#define ENGINE_KIND_LANGUAGE OPTION_IS_STRING

const option decode_option_table[DECODE_OPTION_COUNT + 1] = {OPTION_SECTION("Decoding")
#define DECODE(kind, field, name, form, default_text, min, max, metavar, help)                                         \
    {ENGINE_KIND_##kind, name, 0, 0, default_text, min, max, metavar, help, store_request},
#include "decode_options.def"
#undef DECODE
};
