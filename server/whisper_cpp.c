/* SPDX-License-Identifier: MIT
 * whisper.cpp's fields -> options (whisper_cpp.h), one line a field. What could not be kept to is refused, unless it
 * asks for what is done anyway. */
#include "whisper_cpp.h"

#include <stdlib.h>
#include <string.h>

#include "decode_options.h"
#include "options.h"

typedef enum field_use {
    USE_OPTION,   /* an option of decode_options.def, under its name in `arg` */
    USE_NUMBER,   /* a number times `scale` into the double at `offset` */
    USE_FORMAT,   /* response_format */
    USE_LANGUAGE, /* "auto": detect */
    USE_TASK,     /* translate */
    USE_WIDTH,    /* best_of, beam_size: -1 is the default */
    USE_SUPPRESS, /* symbols that are no speech */
    USE_CONTEXT,  /* max_context: 0 = no text before */
    USE_ONLY,     /* nothing but the value in `arg`, which is what is done */
    USE_IGNORE    /* cannot change the text */
} field_use;

typedef struct field_rule {
    const char *name;
    field_use use;
    const char *arg;
    size_t offset;
    double scale;
} field_rule;

#define OPTION_FIELD_OF(name, option)                                                                                  \
    {                                                                                                                  \
        name, USE_OPTION, option, 0, 0                                                                                 \
    }
#define NUMBER_FIELD(name, field, scale)                                                                               \
    {                                                                                                                  \
        name, USE_NUMBER, NULL, offsetof(sotto_options, field), scale                                                  \
    }

static const field_rule rules[] = {
    {"response_format", USE_FORMAT, NULL, 0, 0},
    {"language", USE_LANGUAGE, NULL, 0, 0},
    {"translate", USE_TASK, NULL, 0, 0},
    OPTION_FIELD_OF("prompt", "prompt"),
    OPTION_FIELD_OF("carry_initial_prompt", "carry_initial_prompt"),
    OPTION_FIELD_OF("temperature", "temperature"),
    OPTION_FIELD_OF("temperature_inc", "temperature_inc"),
    OPTION_FIELD_OF("no_timestamps", "without_timestamps"),
    OPTION_FIELD_OF("token_timestamps", "word_timestamps"),
    OPTION_FIELD_OF("logprob_thold", "logprob_threshold"),
    OPTION_FIELD_OF("no_speech_thold", "no_speech_threshold"),
    {"best_of", USE_WIDTH, "best_of", 0, 0},
    {"beam_size", USE_WIDTH, "beam_size", 0, 0},
    {"max_context", USE_CONTEXT, NULL, 0, 0},
    {"suppress_non_speech", USE_SUPPRESS, NULL, 0, 0},
    {"suppress_nst", USE_SUPPRESS, NULL, 0, 0},
    NUMBER_FIELD("offset_t", offset_s, 1e-3),
    NUMBER_FIELD("duration", duration_s, 1e-3),
    NUMBER_FIELD("vad_threshold", vad_threshold, 1),
    NUMBER_FIELD("vad_min_silence_duration_ms", vad_min_silence_ms, 1),
    NUMBER_FIELD("vad_speech_pad_ms", vad_speech_pad_ms, 1),
    {"diarize", USE_ONLY, "false", 0, 0},
    {"tinydiarize", USE_ONLY, "false", 0, 0},
    {"detect_language", USE_ONLY, "false", 0, 0},
    {"max_len", USE_ONLY, "0", 0, 0},
    {"audio_ctx", USE_ONLY, "0", 0, 0},
    {"model", USE_IGNORE, NULL, 0, 0},
    {"offset_n", USE_IGNORE, NULL, 0, 0},
    {"split_on_word", USE_IGNORE, NULL, 0, 0}, /* of max_len */
    {"word_thold", USE_IGNORE, NULL, 0, 0},    /* of its way to time words */
    {"entropy_thold", USE_IGNORE, NULL, 0, 0}, /* the compression ratio tells repetition here */
    {"debug_mode", USE_IGNORE, NULL, 0, 0},
    {"no_language_probabilities", USE_IGNORE, NULL, 0, 0},
    {"vad", USE_IGNORE, NULL, 0, 0}, /* the daemon's --vad decides */
    {"vad_min_speech_duration_ms", USE_IGNORE, NULL, 0, 0},
    {"vad_max_speech_duration_s", USE_IGNORE, NULL, 0, 0},
    {"vad_samples_overlap", USE_IGNORE, NULL, 0, 0},
};

static const field_rule *find(const char *name)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].name, name) == 0) return &rules[i];
    return NULL;
}

bool whisper_cpp_field(const char *name) { return find(name) != NULL; }

static bool refuse(const field_rule *rule, const char *value, const char *expected, api_error *e)
{
    return api_error_set(e, 400, rule->name, "invalid_value", "%s is \"%.100s\", but should be %s", rule->name, value,
                         expected);
}

static bool take_flag(const field_rule *rule, const char *value, bool *flag, api_error *e)
{
    return options_parse_flag(value, flag) || refuse(rule, value, "true or false", e);
}

static bool take_option(form *f, const field_rule *rule, const char *name, const char *value, api_error *e)
{
    sotto_error err;
    if (decode_option_apply(decode_option_find(name), &f->options, rule->name, value, &err) == SOTTO_OK) return true;
    return api_error_set(e, 400, rule->name, "invalid_value", "%s", err.message);
}

static bool take_number(form *f, const field_rule *rule, const char *value, api_error *e)
{
    char *end;
    double x = strtod(value, &end);
    if (end == value || *end || !(x >= 0 && x <= 1e12)) return refuse(rule, value, "a number from 0 on", e);
    /* no duration is all of it */
    if (rule->offset == offsetof(sotto_options, duration_s) && x == 0) return true;
    x *= rule->scale;
    memcpy((char *)&f->options + rule->offset, &x, sizeof x);
    return true;
}

static bool take(form *f, const field_rule *rule, const char *value, api_error *e)
{
    static const int32_t nothing[1];
    bool flag;
    char *end;
    switch (rule->use) {
    case USE_OPTION:
        return take_option(f, rule, rule->arg, value, e);
    case USE_NUMBER:
        return take_number(f, rule, value, e);
    case USE_FORMAT:
        if (!sotto_format_parse(value, &f->format) || f->format == SOTTO_FORMAT_TSV || f->format == SOTTO_FORMAT_TXT)
            return refuse(rule, value, "one of json, text, srt, verbose_json, vtt", e);
        return true;
    case USE_LANGUAGE:
        return strcmp(value, "auto") == 0 || take_option(f, rule, "language", value, e);
    case USE_TASK:
        if (!take_flag(rule, value, &flag, e)) return false;
        f->options.task = flag ? SOTTO_TASK_TRANSLATE : SOTTO_TASK_TRANSCRIBE;
        return true;
    case USE_WIDTH:
        return strcmp(value, "-1") == 0 || take_option(f, rule, rule->arg, value, e);
    case USE_SUPPRESS:
        if (!take_flag(rule, value, &flag, e)) return false;
        if (!flag) f->options.suppress_tokens = nothing;
        return true;
    case USE_CONTEXT: {
        const long n = strtol(value, &end, 10);
        if (end == value || *end || n < -1) return refuse(rule, value, "a whole number from -1 on", e);
        if (n == 0) f->options.condition_on_previous_text = false;
        return true;
    }
    case USE_ONLY:
        if (strcmp(value, rule->arg) == 0) return true;
        return api_error_set(e, 400, rule->name, "unsupported_parameter", "%s can only be %s here", rule->name,
                             rule->arg);
    case USE_IGNORE:
        break;
    }
    return true;
}

bool whisper_cpp_finish(form *f, const form_facts *facts, api_error *e)
{
    bool increment_given = false;
    sotto_options_default(&f->options);
    sotto_write_options_default(&f->write);
    f->format = SOTTO_FORMAT_JSON;
    f->whisper_cpp = true;
    for (size_t i = 0; i < f->n; i++) {
        const form_field *field = &f->fields[i];
        if (!form_is_text(field))
            return api_error_set(e, 400, field->name, "invalid_value", "field \"%s\" is not UTF-8 text", field->name);
        if (field->len == 0) continue;
        if (field->list)
            return api_error_set(e, 400, field->name, "invalid_value", "field \"%s\" is no list", field->name);
        if (!take(f, find(field->name), field->value, e)) return false;
        increment_given |= strcmp(field->name, "temperature_inc") == 0;
    }
    /* Its texts are the segments, one a line. */
    if (f->format == SOTTO_FORMAT_TEXT) f->format = SOTTO_FORMAT_TXT;
    if (f->format == SOTTO_FORMAT_VERBOSE_JSON && !f->options.without_timestamps) f->options.word_timestamps = true;
    decode_options_settle(&f->options, increment_given);
    const form_facts asked = {facts->model, facts->multilingual, f->options.task};
    return form_check_language(&asked, f->options.language, e);
}

static json_t *words_of(const sotto_segment *s)
{
    json_t *words = json_array();
    for (size_t i = 0; i < s->n_words; i++)
        json_array_append_new(words, json_pack("{s:o, s:f, s:f, s:f, s:f}", "word", reply_json_text(s->words[i].text),
                                               "start", s->words[i].start_s, "end", s->words[i].end_s, "t_dtw",
                                               s->words[i].start_s, "probability", s->words[i].probability));
    return words;
}

sotto_status whisper_cpp_rewrite(const sotto_result *result, sotto_format format, char **body, sotto_error *err)
{
    if (format != SOTTO_FORMAT_VERBOSE_JSON) return SOTTO_OK;
    json_t *o = json_loads(*body, 0, NULL);
    const char *name = sotto_language_name(result->language);
    bool ok = o != NULL;
    for (size_t i = 0; i < result->n_segments; i++)
        ok = json_object_set_new(json_array_get(json_object_get(o, "segments"), i), "words",
                                 words_of(&result->segments[i])) == 0 &&
             ok;
    ok = json_object_set_new(o, "detected_language", reply_json_text(name ? name : result->language)) == 0 && ok;
    ok = json_object_set_new(o, "detected_language_probability", json_real(result->language_probability)) == 0 && ok;
    sotto_string_free(*body);
    *body = ok ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return *body ? SOTTO_OK : options_fail(err, SOTTO_ENOMEM, "out of memory: reply");
}
