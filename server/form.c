/* SPDX-License-Identifier: MIT
 * Form fields -> options (form.h). OpenAI's fields, and as extensions every option of decode_options.def. */
#include "form.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode_options.h"
#include "utf8.h"

/* What is done with a field that is not in decode_options.def. */
typedef enum field_use {
    USE_MODEL,
    USE_FORMAT,
    USE_GRANULARITIES,
    USE_STREAM,
    USE_CHUNKING,
    USE_INCLUDE,
    USE_KEYWORDS,
    USE_IGNORE, /* cannot change the text */
    USE_REFUSE  /* would change the text or its shape, and is not done here */
} field_use;

typedef struct field_rule {
    const char *name;
    field_use use;
} field_rule;

static const field_rule rules[] = {
    {"model", USE_MODEL},
    {"response_format", USE_FORMAT},
    {"timestamp_granularities", USE_GRANULARITIES},
    {"stream", USE_STREAM},
    {"chunking_strategy", USE_CHUNKING},
    {"user", USE_IGNORE},
    {"include", USE_INCLUDE},
    {"languages", USE_REFUSE},
    {"keywords", USE_KEYWORDS},
    {"known_speaker_names", USE_REFUSE},
    {"known_speaker_references", USE_REFUSE},
};

static const field_rule *rule_find(const char *name)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].name, name) == 0) return &rules[i];
    return NULL;
}

void form_init(form *f) { *f = (form){0}; }

void form_free(form *f)
{
    for (size_t i = 0; i < f->n_keywords; i++) free(f->keywords[i]);
    for (size_t i = 0; i < f->n; i++) {
        free(f->fields[i].name);
        free(f->fields[i].value);
    }
    form_init(f);
}

/* Length of `name` without a "[]", "[0]" or "[key]" at its end. */
static size_t base_length(const char *name)
{
    const char *open = strchr(name, '[');
    return open && open > name && name[strlen(name) - 1] == ']' ? (size_t)(open - name) : strlen(name);
}

static bool no_memory(api_error *e)
{
    return api_error_set(e, 500, NULL, NULL, "out of memory while reading the form");
}

static bool field_add(form *f, const char *name, api_error *e)
{
    size_t n = base_length(name);
    char *base = strndup(name, n);
    if (!base) return no_memory(e);
    const field_rule *rule = rule_find(base);
    if (f->dialect ? !f->dialect(base) : !rule && !decode_option_find(base)) {
        free(base);
        return api_error_set(e, 400, name, "unknown_parameter", "unknown field \"%.100s\"", name);
    }
    if (f->n == FORM_FIELDS) {
        free(base);
        return api_error_set(e, 400, name, NULL, "the form has more than %d fields", FORM_FIELDS);
    }
    bool list = !f->dialect && rule && rule->use != USE_MODEL && rule->use != USE_FORMAT && rule->use != USE_STREAM;
    for (size_t i = 0; i < f->n && !list; i++)
        if (strcmp(f->fields[i].name, base) == 0) {
            free(base);
            return api_error_set(e, 400, name, NULL, "field \"%.100s\" is there twice", name);
        }
    form_field *field = &f->fields[f->n++];
    *field = (form_field){.name = base, .list = name[n] != '\0'};
    if (field->list) snprintf(field->key, sizeof field->key, "%.*s", (int)strlen(name + n) - 2, name + n + 1);
    return true;
}

/* A value that a read cut off before its first byte is announced twice: with nothing in it, then from its start. */
static bool is_empty_begun(const form *f, const char *name)
{
    const form_field *last = f->n ? &f->fields[f->n - 1] : NULL;
    size_t n = base_length(name);
    size_t n_key = strlen(last ? last->key : "");
    return last && last->len == 0 && strlen(last->name) == n && strncmp(last->name, name, n) == 0 &&
           (!n_key || (name[n] && strncmp(name + n + 1, last->key, n_key) == 0));
}

bool form_append(form *f, const char *name, uint64_t offset, const char *data, size_t n, api_error *e)
{
    if (offset == 0 && !is_empty_begun(f, name) && !field_add(f, name, e)) return false;
    if (f->n == 0) return api_error_set(e, 400, name, NULL, "the form is malformed");
    form_field *field = &f->fields[f->n - 1];
    if (n > FORM_VALUE_BYTES - field->len)
        return api_error_set(e, 400, name, NULL, "field \"%.100s\" is longer than %d bytes", name, FORM_VALUE_BYTES);
    if (n > FORM_TOTAL_BYTES - f->total)
        return api_error_set(e, 400, name, NULL, "the fields of the form are longer than %d bytes", FORM_TOTAL_BYTES);
    char *value = realloc(field->value, field->len + n + 1);
    if (!value) return no_memory(e);
    if (n) memcpy(value + field->len, data, n);
    field->value = value;
    field->len += n;
    value[field->len] = '\0';
    f->total += n;
    return true;
}

bool form_model_known(const char *name, const char *loaded)
{
    return strcmp(name, loaded) == 0 || strcmp(name, "whisper-1") == 0 || strcmp(name, "default") == 0;
}

static bool check_model(const char *name, const char *loaded, api_error *e)
{
    if (form_model_known(name, loaded)) return true;
    return api_error_set(e, 404, "model", "model_not_found",
                         "The model `%.100s` does not exist here; this server has `%.100s` (also called "
                         "`whisper-1` and `default`)",
                         name, loaded);
}

const char *form_value(const form *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->fields[i].name, name) == 0 && f->fields[i].len) return f->fields[i].value;
    return NULL;
}

bool form_is_text(const form_field *field) { return utf8_is_text(field->value, field->len); }

/* ---- timestamp_granularities ------------------------------------------------------------------------------------ */

typedef struct granularities {
    bool given, word; /* segments are told in any case */
} granularities;

static bool granularity_one(granularities *g, const char *text, size_t n, api_error *e)
{
    while (n && isspace((unsigned char)*text)) text++, n--;
    while (n && isspace((unsigned char)text[n - 1])) n--;
    g->given = true;
    if (n == 4 && strncmp(text, "word", n) == 0)
        g->word = true;
    else if (n != 7 || strncmp(text, "segment", n) != 0)
        return api_error_set(e, 400, "timestamp_granularities", "invalid_value",
                             "timestamp_granularities has \"%.*s\", but should be \"word\" or \"segment\"",
                             (int)(n < 100 ? n : 100), text);
    return true;
}

/* One value: "word", "word,segment" or ["word", "segment"]. */
static bool granularity_add(granularities *g, const form_field *field, api_error *e)
{
    const char *text = field->value + strspn(field->value, " \t\r\n");
    if (*text != '[') {
        for (bool more = true; more;) {
            size_t n = strcspn(text, ",");
            if (!granularity_one(g, text, n, e)) return false;
            more = text[n] == ',';
            text += n + more;
        }
        return true;
    }
    size_t i;
    json_t *item, *list = json_loads(text, 0, NULL);
    bool ok = list != NULL;
    if (!ok)
        api_error_set(e, 400, field->name, "invalid_value", "timestamp_granularities is no JSON list: %.100s", text);
    json_array_foreach(list, i, item) {
        const char *s = json_is_string(item) ? json_string_value(item) : "";
        ok = ok && granularity_one(g, s, strlen(s), e);
    }
    json_decref(list);
    return ok;
}

/* ---- keywords -----------------------------------------------------------------------------------------------------
 */

static bool keyword_one(form *f, const char *text, size_t n, api_error *e)
{
    while (n && isspace((unsigned char)*text)) text++, n--;
    while (n && isspace((unsigned char)text[n - 1])) n--;
    if (!n) return true;
    if (n > FORM_KEYWORD_BYTES)
        return api_error_set(e, 400, "keywords", "invalid_value", "keyword \"%.40s\" is longer than %d bytes", text,
                             FORM_KEYWORD_BYTES);
    if (f->n_keywords == FORM_KEYWORDS)
        return api_error_set(e, 400, "keywords", "invalid_value", "there are more than %d keywords", FORM_KEYWORDS);
    if (!(f->keywords[f->n_keywords] = strndup(text, n))) return no_memory(e);
    f->n_keywords++;
    return true;
}

/* "keywords[]": one; "keywords": a JSON list of them, or some with commas between. */
static bool keywords_add(form *f, const form_field *field, api_error *e)
{
    const char *text = field->value + strspn(field->value, " \t\r\n");
    if (field->list) return keyword_one(f, text, strlen(text), e);
    if (*text != '[') {
        for (bool more = true; more;) {
            const size_t n = strcspn(text, ",");
            if (!keyword_one(f, text, n, e)) return false;
            more = text[n] == ',';
            text += n + more;
        }
        return true;
    }
    size_t i;
    json_t *item, *list = json_loads(text, 0, NULL);
    bool ok = list != NULL;
    json_array_foreach(list, i, item) {
        const char *s = json_string_value(item);
        if (!s) ok = false;
        if (!ok) break;
        if (!keyword_one(f, s, strlen(s), e)) {
            json_decref(list);
            return false;
        }
    }
    json_decref(list);
    return ok ||
           api_error_set(e, 400, "keywords", "invalid_value", "keywords is no JSON list of strings: %.100s", text);
}

/* ---- checks -------------------------------------------------------------------------------------------------------
 */

static bool apply_rule(form *f, const field_rule *rule, const form_field *field, const form_facts *facts,
                       granularities *g, api_error *e)
{
    const char *value = field->value;
    bool flag;
    switch (rule->use) {
    case USE_MODEL:
        return check_model(value, facts->model, e);
    case USE_FORMAT:
        if (sotto_format_parse(value, &f->format)) return true;
        return api_error_set(e, 400, "response_format", "invalid_value",
                             "response_format is \"%.100s\", but should be one of json, text, srt, verbose_json, vtt, "
                             "txt, tsv",
                             value);
    case USE_GRANULARITIES:
        return granularity_add(g, field, e);
    case USE_STREAM:
        if (!options_parse_flag(value, &flag))
            return api_error_set(e, 400, "stream", "invalid_value", "stream is \"%.100s\", but should be true or false",
                                 value);
        f->stream = flag;
        return true;
    case USE_CHUNKING:
        return chunking_add(&f->chunking, field->list ? field->key : NULL, value, e);
    case USE_INCLUDE:
        if (strcmp(value, "logprobs") != 0)
            return api_error_set(e, 400, "include", "invalid_value",
                                 "include has \"%.100s\", but should be \"logprobs\"", value);
        f->write.logprobs = true;
        return true;
    case USE_KEYWORDS:
        return keywords_add(f, field, e);
    case USE_IGNORE:
        return true;
    case USE_REFUSE:
        break;
    }
    return api_error_set(e, 400, rule->name, "unsupported_parameter", "%s is not supported here", rule->name);
}

static bool apply_field(form *f, const form_field *field, const form_facts *facts, granularities *g,
                        bool *increment_given, api_error *e)
{
    sotto_error err;
    const field_rule *rule = rule_find(field->name);
    const decode_option *known = decode_option_find(field->name);
    if (!form_is_text(field))
        return api_error_set(e, 400, field->name, "invalid_value", "field \"%s\" is not UTF-8 text", field->name);
    /* Forms in browsers send what was left empty. */
    if (field->len == 0) return true;
    if (rule) return apply_rule(f, rule, field, facts, g, e);
    if (field->list) return api_error_set(e, 400, field->name, "invalid_value", "field \"%s\" is no list", field->name);
    if (decode_option_apply(known, &f->options, field->name, field->value, &err) != SOTTO_OK)
        return api_error_set(e, 400, field->name, "invalid_value", "%s", err.message);
    if (known == &decode_options[DECODE_temperature_increment]) *increment_given = true;
    return true;
}

static bool has_times(sotto_format format)
{
    return format == SOTTO_FORMAT_VERBOSE_JSON || format == SOTTO_FORMAT_SRT || format == SOTTO_FORMAT_VTT;
}

bool form_check_language(const form_facts *facts, const char *language, api_error *e)
{
    if (facts->multilingual) return true;
    if (facts->task == SOTTO_TASK_TRANSLATE)
        return api_error_set(e, 400, "model", "unsupported_model",
                             "model %s knows English only and cannot translate; serve a multilingual one",
                             facts->model);
    if (language && strcmp(sotto_language_code(language), "en") != 0)
        return api_error_set(e, 400, "language", "invalid_value",
                             "language is \"%.40s\", but model %s knows English only", language, facts->model);
    return true;
}

bool form_finish(form *f, const form_facts *facts, api_error *e)
{
    granularities g = {0};
    bool increment_given = false;
    sotto_options_default(&f->options);
    sotto_write_options_default(&f->write);
    f->format = SOTTO_FORMAT_JSON;
    f->stream = false;
    f->chunking = (chunking){0};
    f->options.task = facts->task;
    for (size_t i = 0; i < f->n; i++)
        if (!apply_field(f, &f->fields[i], facts, &g, &increment_given, e)) return false;

    if (g.given && !has_times(f->format))
        return api_error_set(e, 400, "timestamp_granularities", "invalid_value",
                             "timestamp_granularities needs response_format verbose_json, srt or vtt, not %s",
                             sotto_format_name(f->format));
    if (f->stream && f->format != SOTTO_FORMAT_JSON && f->format != SOTTO_FORMAT_TEXT)
        return api_error_set(e, 400, "stream", "invalid_value",
                             "stream=true needs response_format json or text, not %s", sotto_format_name(f->format));
    f->options.early_segments = f->stream;
    if (f->write.logprobs && f->format != SOTTO_FORMAT_JSON)
        return api_error_set(e, 400, "include", "invalid_value", "include logprobs needs response_format json, not %s",
                             sotto_format_name(f->format));
    if (!chunking_settle(&f->chunking, &f->options, e)) return false;
    f->options.keywords = (const char *const *)f->keywords;
    f->options.n_keywords = f->n_keywords;
    if (g.word) f->options.word_timestamps = true;
    f->write.words = g.word || (f->options.word_timestamps && f->format == SOTTO_FORMAT_VERBOSE_JSON);
    if (!isnan(f->options.hallucination_silence_threshold) && !f->options.word_timestamps)
        return api_error_set(e, 400, "hallucination_silence_threshold", "invalid_value",
                             "hallucination_silence_threshold needs word timestamps: add word_timestamps=true");

    decode_options_settle(&f->options, increment_given);
    return form_check_language(facts, f->options.language, e);
}
