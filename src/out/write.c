/* SPDX-License-Identifier: MIT
 * A finished transcription -> the bytes of a file or reply: one writer a format, after whisper.utils' writers and
 * OpenAI's JSON. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#include "base/checked.h"
#include "base/error.h"
#include "report/report.h"
#include "report/values.h"

/* What a writer works on. Writers return false when memory ran out; JSON writers fill `err` themselves. */
typedef struct job {
    const sotto_result *result;
    sotto_model *model;
    bool segments, words, logprobs;
    sotto__str text;
    sotto_status status;
    sotto_error *err;
} job;

/* ---- text ----------------------------------------------------------------------------------------------------- */

static bool is_space(utf8proc_int32_t c)
{
    if ((c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) || c == 0x85) return true;
    utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

/* Python's str.strip(): moves *text forward and returns the length left. */
static size_t strip(const char **text)
{
    const utf8proc_uint8_t *s = (const utf8proc_uint8_t *)*text;
    size_t n = strlen(*text), begin = 0, end = 0;
    bool started = false;
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t len = utf8proc_iterate(s + i, (utf8proc_ssize_t)(n - i), &c);
        bool space = len > 0 && is_space(c);
        size_t step = len > 0 ? (size_t)len : 1;
        if (!space && !started) begin = i, started = true;
        i += step;
        if (!space) end = i;
    }
    if (!started) begin = end = 0;
    *text += begin;
    return end - begin;
}

/* Stripped text on one line: line breaks and tabs, which would break the format, become spaces. */
static bool put_line(sotto__str *out, const char *text, bool is_cue)
{
    size_t n = strip(&text);
    for (size_t i = 0; i < n;) {
        if (is_cue && n - i >= 3 && memcmp(text + i, "-->", 3) == 0) { /* whisper: text.replace("-->", "->") */
            if (!sotto__str_puts(out, "->")) return false;
            i += 3;
            continue;
        }
        bool breaks = text[i] == '\n' || text[i] == '\r' || text[i] == '\t' || text[i] == '\v' || text[i] == '\f';
        if (!sotto__str_append(out, breaks ? " " : text + i, 1)) return false;
        i++;
    }
    return true;
}

/* Python's round(seconds * 1000): half to even. Times are never negative in a result; NAN counts as 0. */
static uint64_t milliseconds(double seconds)
{
    double ms = rint(seconds * 1000.0);
    return ms > 0 && ms < 1e15 ? (uint64_t)ms : 0;
}

/* whisper.utils.format_timestamp */
static bool put_time(sotto__str *out, double seconds, bool always_hours, char decimal_mark)
{
    uint64_t ms = milliseconds(seconds), hours = ms / 3600000;
    if ((always_hours || hours > 0) && !sotto__str_printf(out, "%02llu:", (unsigned long long)hours)) return false;
    return sotto__str_printf(out, "%02u:%02u%c%03u", (unsigned)(ms / 60000 % 60), (unsigned)(ms / 1000 % 60),
                             decimal_mark, (unsigned)(ms % 1000));
}

static bool write_txt(job *j)
{
    for (size_t i = 0; i < j->result->n_segments; i++)
        if (!put_line(&j->text, j->result->segments[i].text, false) || !sotto__str_puts(&j->text, "\n")) return false;
    return sotto__str_puts(&j->text, "");
}

static bool write_text(job *j) { return put_line(&j->text, j->result->text, false) && sotto__str_puts(&j->text, "\n"); }

static bool write_tsv(job *j)
{
    if (!sotto__str_puts(&j->text, "start\tend\ttext\n")) return false;
    for (size_t i = 0; i < j->result->n_segments; i++) {
        const sotto_segment *s = &j->result->segments[i];
        if (!sotto__str_printf(&j->text, "%llu\t%llu\t", (unsigned long long)milliseconds(s->start_s),
                               (unsigned long long)milliseconds(s->end_s)) ||
            !put_line(&j->text, s->text, false) || !sotto__str_puts(&j->text, "\n"))
            return false;
    }
    return true;
}

/* ---- subtitles ------------------------------------------------------------------------------------------------ */

/* Where srt and vtt differ. */
typedef struct cue_style {
    const char *head;
    bool numbered, always_hours;
    char decimal_mark;
} cue_style;

static bool put_cue(sotto__str *out, const cue_style *style, size_t *number, double start_s, double end_s,
                    const char *text)
{
    ++*number;
    return (!style->numbered || sotto__str_printf(out, "%zu\n", *number)) &&
           put_time(out, start_s, style->always_hours, style->decimal_mark) && sotto__str_puts(out, " --> ") &&
           put_time(out, end_s, style->always_hours, style->decimal_mark) && sotto__str_puts(out, "\n") &&
           put_line(out, text, true) && sotto__str_puts(out, "\n\n");
}

static bool has_words(const sotto_result *r)
{
    for (size_t i = 0; i < r->n_segments; i++)
        if (r->segments[i].n_words) return true;
    return false;
}

static bool write_cues(job *j, const cue_style *style)
{
    bool by_word = j->words && has_words(j->result);
    size_t number = 0;
    if (!sotto__str_puts(&j->text, style->head)) return false;
    for (size_t i = 0; i < j->result->n_segments; i++) {
        const sotto_segment *s = &j->result->segments[i];
        if (!by_word && !put_cue(&j->text, style, &number, s->start_s, s->end_s, s->text)) return false;
        for (size_t w = 0; by_word && w < s->n_words; w++)
            if (!put_cue(&j->text, style, &number, s->words[w].start_s, s->words[w].end_s, s->words[w].text))
                return false;
    }
    return true;
}

static bool write_srt(job *j) { return write_cues(j, &(cue_style){"", true, true, ','}); }

static bool write_vtt(job *j) { return write_cues(j, &(cue_style){"WEBVTT\n\n", false, false, '.'}); }

/* ---- JSON ----------------------------------------------------------------------------------------------------- */

static json_t *usage_of(const sotto_result *r, bool *ok)
{
    double seconds = ceil(r->duration_s);
    json_t *o = json_object();
    sotto__json_put(o, "type", json_string("duration"), ok);
    sotto__json_put(o, "seconds", json_integer(seconds > 0 && seconds < 1e15 ? (json_int_t)seconds : 0), ok);
    return o;
}

/* What of the speech is in segments, and the stretches that are not. */
static json_t *coverage_of(const sotto_coverage *c, bool *ok)
{
    json_t *o = json_object(), *list = json_array();
    for (size_t i = 0; i < c->n_uncovered; i++) {
        json_t *span = json_object();
        sotto__json_put(span, "start", sotto__json_rounded(c->uncovered[i].start_s, 3), ok);
        sotto__json_put(span, "end", sotto__json_rounded(c->uncovered[i].end_s, 3), ok);
        sotto__json_push(list, span, ok);
    }
    sotto__json_put(o, "speech_seconds", sotto__json_rounded(c->speech_s, 3), ok);
    sotto__json_put(o, "covered_seconds", sotto__json_rounded(c->covered_s, 3), ok);
    sotto__json_put(o, "gaps_decoded", sotto__json_count(c->gaps_decoded), ok);
    sotto__json_put(o, "uncovered", list, ok);
    return o;
}

/* Dumps and drops `document` (NULL is fine). */
static bool finish_json(job *j, json_t *document, bool ok)
{
    char *s = document && ok ? sotto__json_dump(document, false) : NULL;
    json_decref(document);
    if (!s) return false;
    j->text.data = s;
    return true;
}

/* Every token of text: its bytes may be a part of a character, which its string shows as U+FFFD. */
static json_t *logprobs_of(const job *j, bool *ok)
{
    json_t *list = json_array();
    for (size_t i = 0; i < j->result->n_segments; i++) {
        const sotto_segment *s = &j->result->segments[i];
        for (size_t t = 0; t < s->n_tokens; t++) {
            size_t n;
            const char *text = sotto_model_token_bytes(j->model, s->tokens[t], &n);
            if (!n) continue;
            json_t *o = json_object(), *bytes = json_array();
            for (size_t b = 0; b < n; b++) sotto__json_push(bytes, json_integer((unsigned char)text[b]), ok);
            sotto__json_put(o, "token", sotto__json_text(text, n), ok);
            sotto__json_put(o, "logprob", sotto__json_real((double)s->token_logprobs[t]), ok);
            sotto__json_put(o, "bytes", bytes, ok);
            sotto__json_push(list, o, ok);
        }
    }
    return list;
}

static bool write_json(job *j)
{
    bool ok = true;
    json_t *o = json_object();
    sotto__json_put(o, "text", sotto__json_text(j->result->text, strlen(j->result->text)), &ok);
    if (j->logprobs) sotto__json_put(o, "logprobs", logprobs_of(j, &ok), &ok);
    sotto__json_put(o, "usage", usage_of(j->result, &ok), &ok);
    if (j->result->coverage.known) sotto__json_put(o, "coverage", coverage_of(&j->result->coverage, &ok), &ok);
    return finish_json(j, o, ok);
}

static json_t *segment_of(const sotto_segment *s, bool *ok)
{
    json_t *o = json_object(), *tokens = json_array();
    for (size_t i = 0; i < s->n_tokens; i++) sotto__json_push(tokens, json_integer(s->tokens[i]), ok);
    sotto__json_put(o, "id", json_integer(s->id), ok);
    sotto__json_put(o, "seek", json_integer(s->seek_frames), ok);
    sotto__json_put(o, "start", sotto__json_rounded(s->start_s, 3), ok);
    sotto__json_put(o, "end", sotto__json_rounded(s->end_s, 3), ok);
    sotto__json_put(o, "text", sotto__json_text(s->text, strlen(s->text)), ok);
    sotto__json_put(o, "tokens", tokens, ok);
    sotto__json_put(o, "temperature", sotto__json_rounded(s->temperature, 6), ok);
    sotto__json_put(o, "avg_logprob", sotto__json_real(s->avg_logprob), ok);
    sotto__json_put(o, "compression_ratio", sotto__json_real(s->compression_ratio), ok);
    sotto__json_put(o, "no_speech_prob", sotto__json_real(s->no_speech_prob), ok);
    return o;
}

static json_t *word_of(const sotto_word *w, bool *ok)
{
    const char *text = w->text;
    size_t n = strip(&text);
    json_t *o = json_object();
    sotto__json_put(o, "word", sotto__json_text(text, n), ok);
    sotto__json_put(o, "start", sotto__json_rounded(w->start_s, 3), ok);
    sotto__json_put(o, "end", sotto__json_rounded(w->end_s, 3), ok);
    sotto__json_put(o, "probability", sotto__json_rounded(w->probability, 6), ok);
    return o;
}

/* The report, and what OpenAI's schema has no room for. NULL after filling j->err. */
static json_t *sotto_of(job *j, bool *ok)
{
    const sotto_result *r = j->result;
    json_t *o;
    const char *arithmetic;
    const double peak = sotto_model_peak_gops(j->model, &arithmetic);
    j->status = sotto__report_json(&o, sotto_model_get_info(j->model), arithmetic, peak, &r->counts,
                                   r->touched_part_parameters, j->err);
    if (j->status != SOTTO_OK) return NULL;
    const char *code = r->language ? r->language : "";
    sotto__json_put(o, "language_code", sotto__json_text(code, strlen(code)), ok);
    sotto__json_put(o, "language_probability", sotto__json_rounded(r->language_probability, 6), ok);
    return o;
}

static bool write_verbose_json(job *j)
{
    const sotto_result *r = j->result;
    const char *name = r->language ? sotto_language_name(r->language) : NULL;
    const char *language = name ? name : r->language ? r->language : "";
    bool ok = true;
    json_t *o = json_object();
    sotto__json_put(o, "task", json_string(r->task == SOTTO_TASK_TRANSLATE ? "translate" : "transcribe"), &ok);
    sotto__json_put(o, "language", sotto__json_text(language, strlen(language)), &ok);
    sotto__json_put(o, "duration", sotto__json_rounded(r->duration_s, 3), &ok);
    sotto__json_put(o, "text", sotto__json_text(r->text, strlen(r->text)), &ok);
    if (j->segments) {
        json_t *segments = json_array();
        for (size_t i = 0; i < r->n_segments; i++) sotto__json_push(segments, segment_of(&r->segments[i], &ok), &ok);
        sotto__json_put(o, "segments", segments, &ok);
    }
    if (j->words) {
        json_t *words = json_array();
        for (size_t i = 0; i < r->n_segments; i++)
            for (size_t w = 0; w < r->segments[i].n_words; w++)
                sotto__json_push(words, word_of(&r->segments[i].words[w], &ok), &ok);
        sotto__json_put(o, "words", words, &ok);
    }
    sotto__json_put(o, "usage", usage_of(r, &ok), &ok);
    if (r->coverage.known) sotto__json_put(o, "coverage", coverage_of(&r->coverage, &ok), &ok);
    if (j->model) sotto__json_put(o, "sotto", sotto_of(j, &ok), &ok);
    return finish_json(j, o, ok);
}

/* ---- formats -------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool (*write)(job *j);
} formats[] = {
    [SOTTO_FORMAT_TXT] = {"txt", write_txt},    [SOTTO_FORMAT_TEXT] = {"text", write_text},
    [SOTTO_FORMAT_JSON] = {"json", write_json}, [SOTTO_FORMAT_VERBOSE_JSON] = {"verbose_json", write_verbose_json},
    [SOTTO_FORMAT_SRT] = {"srt", write_srt},    [SOTTO_FORMAT_VTT] = {"vtt", write_vtt},
    [SOTTO_FORMAT_TSV] = {"tsv", write_tsv},
};
enum { FORMAT_COUNT = sizeof formats / sizeof *formats };

bool sotto_format_parse(const char *name, sotto_format *out)
{
    for (unsigned i = 0; name && i < FORMAT_COUNT; i++)
        if (strcasecmp(name, formats[i].name) == 0) {
            *out = (sotto_format)i;
            return true;
        }
    return false;
}

const char *sotto_format_name(sotto_format format)
{
    return (unsigned)format < FORMAT_COUNT ? formats[format].name : NULL;
}

void sotto_write_options_default(sotto_write_options *options)
{
    *options = (sotto_write_options){.size = sizeof *options, .segments = true, .words = false};
}

sotto_status sotto_result_write(const sotto_result *result, sotto_model *model, sotto_format format,
                                const sotto_write_options *options, char **out, sotto_error *err)
{
    sotto_write_options o;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_result_write: out is NULL");
    *out = NULL;
    if (!result || !result->text)
        return sotto__fail(err, SOTTO_EINVAL, "sotto_result_write: result or its text is NULL");
    if ((unsigned)format >= FORMAT_COUNT)
        return sotto__fail(err, SOTTO_EINVAL, "sotto_result_write: there is no format %d", (int)format);
    sotto_write_options_default(&o);
    sotto_status st = sotto__take_options(&o, sizeof o, options, "write options", "sotto_write_options_default", err);
    if (st != SOTTO_OK) return st;
    if (o.logprobs && !model) return sotto__fail(err, SOTTO_EINVAL, "sotto_result_write: logprobs need the model");
    job j = {
        .result = result, .model = model, .segments = o.segments, .words = o.words, .logprobs = o.logprobs, .err = err};
    if (!formats[format].write(&j)) {
        sotto__str_free(&j.text);
        return j.status != SOTTO_OK ? j.status : sotto__fail_nomem(err, "written result");
    }
    *out = j.text.data;
    return SOTTO_OK;
}

void sotto_string_free(char *string) { free(string); }
