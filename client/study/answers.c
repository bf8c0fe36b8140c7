/* SPDX-License-Identifier: MIT
 * The question's five hypotheses, each with the figures that a study has on it. Every figure is taken from the members
 * of results.json that were computed before; nothing here is typed in but what people published. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/figures.h"

static bool is(const json_t *o, const char *key, const char *value)
{
    return strcmp(report_string(o, key), value) == 0;
}

static report_interval interval(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return (report_interval){report_number(v, "value"), report_number(v, "low"), report_number(v, "high")};
}

static report_interval plain(double v) { return (report_interval){v, NAN, NAN}; }

/* `unit` tells the page how to write it: "share", "points" (of a share), "count", "times", "bytes", "bits". */
static void put_figure(json_t *figures, const json_t *of, const char *label, report_interval v, const char *unit,
                       bool *ok)
{
    json_t *o = json_object();
    if (isnan(v.value)) {
        json_decref(o);
        return;
    }
    report_put(o, "model", report_text(report_string(of, "model")), ok);
    report_put(o, "set", report_text(report_string(of, "set")), ok);
    report_put(o, "label", report_text(label), ok);
    report_put(o, "value", report_real(v.value), ok);
    report_put(o, "low", report_real(v.low), ok);
    report_put(o, "high", report_real(v.high), ok);
    report_put(o, "unit", report_text(unit), ok);
    report_append(figures, o, ok);
}

typedef struct evidence {
    const report_table *t;
    const json_t *parts, *headline, *conditions, *sensitivity;
    const char *main_set;
} evidence;

/* ---- 1: what one set of weights does, beside people ------------------------------------------------------------ */

/* Rows of the token embedding tell: 51864 or fewer are English only (openai-whisper's tokenizer). NAN: not told. */
static double vocabulary_of(const report_configuration *c)
{
    const json_t *tensor;
    size_t i;
    json_array_foreach(json_object_get(c->shrink, "tensors"), i, tensor)
        if (is(tensor, "part", "token_embedding"))
            return json_number_value(json_array_get(json_object_get(tensor, "shape"), 0));
    return NAN;
}

static void put_tasks(json_t *figures, const evidence *e, bool *ok)
{
    for (size_t c = 0; c < e->t->d->n_configurations; c++) {
        const report_configuration *one = &e->t->d->configurations[c];
        const double vocabulary = vocabulary_of(one);
        if (one->whole != c || isnan(vocabulary)) continue;
        json_t *of = json_pack("{s:s, s:s}", "model", one->model, "set", "");
        const bool many = vocabulary > 51864;
        put_figure(figures, of,
                   many ? "tasks of one set of weights: transcribe, translate, tell the language, time words, tell "
                          "speech from none"
                        : "tasks of one set of weights: transcribe, time words, tell speech from none",
                   plain(many ? 5 : 3), "count", ok);
        json_decref(of);
    }
}

static void answer_1(json_t *figures, const evidence *e, bool *ok)
{
    const json_t *one;
    size_t i;
    char label[160];
    put_tasks(figures, e, ok);
    json_array_foreach(e->conditions, i, one) {
        const double people = report_number(one, "human_wer");
        const report_interval wer = interval(json_object_get(one, "score"), "wer");
        if (isnan(people) || isnan(wer.value)) continue;
        snprintf(label, sizeof label, "word error rate on %s, with openai-whisper's rules of normalising",
                 report_string(one, "condition"));
        put_figure(figures, one, label, wer, "share", ok);
        put_figure(figures, one, "people on the whole of that test set (published)", plain(people), "share", ok);
        put_figure(figures, one, "the model's error rate over that of people",
                   (report_interval){wer.value / people, wer.low / people, wer.high / people}, "times", ok);
    }
}

/* ---- 2: sharing weights ---------------------------------------------------------------------------------------- */

static void answer_2(json_t *figures, const evidence *e, bool *ok)
{
    const json_t *one, *part;
    size_t i, k;
    json_array_foreach(e->parts, i, one) {
        if (!is(one, "set", e->main_set)) continue;
        json_array_foreach(json_object_get(one, "parts"), k, part) {
            if (!is(part, "part", "conv")) continue;
            put_figure(figures, one, "parameters of the conv block", plain(report_number(part, "parameters")), "count",
                       ok);
            put_figure(figures, one, "the same with own weights at each output position",
                       plain(report_number(part, "unshared_parameters")), "count", ok);
            put_figure(figures, one, "times as many", plain(report_number(part, "unshared_ratio")), "times", ok);
            put_figure(figures, one, "share of all parameters in the conv block",
                       plain(report_number(part, "share_of_parameters")), "share", ok);
            put_figure(figures, one, "share of all multiply-adds in the conv block",
                       plain(report_number(part, "share_of_multiply_adds")), "share", ok);
        }
        const json_t *all = json_object_get(one, "all");
        put_figure(figures, one, "all parameters, if no layer shared weights between positions",
                   plain(report_number(all, "unshared_parameters")), "count", ok);
        put_figure(figures, one, "times as many as there are", plain(report_number(all, "unshared_ratio")), "times",
                   ok);
    }
}

/* ---- 3: one sweep and many steps ------------------------------------------------------------------------------- */

static void answer_3(json_t *figures, const evidence *e, bool *ok)
{
    static const char *const halves[] = {"encoder", "decoder"};
    const json_t *one;
    char label[200];
    size_t i;
    json_array_foreach(e->parts, i, one) {
        if (!is(one, "set", e->main_set)) continue;
        for (size_t k = 0; k < 2; k++) {
            char key[64];
            snprintf(label, sizeof label, "%s: applications of a parameter per second of audio", halves[k]);
            put_figure(figures, one, label,
                       plain(report_number(json_object_get(one, halves[k]), "applications_per_audio_second")), "count",
                       ok);
            snprintf(label, sizeof label, "%s: multiply-adds per second of audio", halves[k]);
            snprintf(key, sizeof key, "%s_multiply_adds_per_audio_second", halves[k]);
            put_figure(figures, one, label, plain(report_number(one, key)), "count", ok);
        }
        put_figure(figures, one, "decoder steps per second of audio",
                   plain(report_number(one, "decoder_steps_per_audio_second")), "count", ok);
    }
    json_array_foreach(e->sensitivity, i, one) {
        if (strncmp(report_string(one, "spec"), "layers=", 7) != 0 || !is(one, "set", e->main_set)) continue;
        snprintf(label, sizeof label, "cost of fewer layers, %.80s: word error rate less the whole model's",
                 report_string(one, "spec"));
        put_figure(figures, one, label, interval(one, "difference"), "points", ok);
    }
}

/* ---- 4: error rates by kind of speech --------------------------------------------------------------------------- */

static void answer_4(json_t *figures, const evidence *e, bool *ok)
{
    const json_t *one;
    char label[160];
    size_t i;
    json_array_foreach(e->conditions, i, one) {
        snprintf(label, sizeof label, "word error rate, %s", report_string(one, "condition"));
        put_figure(figures, one, label, interval(json_object_get(one, "score"), "wer"), "share", ok);
    }
}

/* ---- 5: how much smaller ---------------------------------------------------------------------------------------- */

static const report_configuration *with_id(const report_data *d, const json_t *id)
{
    for (size_t i = 0; json_is_integer(id) && i < d->n_configurations; i++)
        if (d->configurations[i].id == json_integer_value(id)) return &d->configurations[i];
    return NULL;
}

static report_interval times(int64_t whole, int64_t part)
{
    return plain(whole > 0 && part > 0 ? (double)whole / (double)part : NAN);
}

static void put_smaller(json_t *figures, const evidence *e, const json_t *finding, bool *ok)
{
    const report_data *d = e->t->d;
    const report_configuration *c = with_id(d, json_object_get(finding, "configuration"));
    if (!c || c->whole == REPORT_NONE) return;
    const report_configuration *whole = &d->configurations[c->whole];
    put_figure(figures, finding, "smallest file within 1 point (chosen on one half of the speakers)",
               plain((double)c->file_bytes), "bytes", ok);
    put_figure(figures, finding, "file: times smaller", times(whole->file_bytes, c->file_bytes), "times", ok);
    put_figure(figures, finding, "parameters: times fewer", times(whole->parameters, c->parameters), "times", ok);
    put_figure(figures, finding, "non-zero parameters: times fewer", times(whole->nonzero, c->nonzero), "times", ok);
    put_figure(figures, finding, "bits: times fewer", times(whole->bits, c->bits), "times", ok);
    put_figure(figures, finding, "its word error rate less the whole model's (other half of the speakers)",
               interval(json_object_get(finding, "report"), "difference"), "points", ok);
}

/* Of each method that was tried on several parts alone, the part that it costs most: what refuses to shrink. */
static void put_refusals(json_t *figures, const evidence *e, const char *model, bool *ok)
{
    const json_t *one, *other;
    char label[240];
    size_t i, k;
    json_array_foreach(e->sensitivity, i, one) {
        size_t tried = 0;
        bool worst = true;
        if (!is(one, "model", model) || !is(one, "set", e->main_set) || is(one, "scope", "whole model")) continue;
        json_array_foreach(e->sensitivity, k, other) {
            if (!is(other, "model", model) || !is(other, "set", e->main_set) || is(other, "scope", "whole model") ||
                !is(other, "method", report_string(one, "method")))
                continue;
            const double more = interval(other, "difference").value - interval(one, "difference").value;
            tried++;
            if (more > 0 || (more == 0 && k < i)) worst = false;
        }
        if (tried < 2 || !worst) continue;
        snprintf(label, sizeof label, "the part that refuses %.90s most, of those changed alone",
                 report_string(one, "method"));
        put_figure(figures, one, label, interval(one, "difference"), "points", ok);
        report_put(json_array_get(figures, json_array_size(figures) - 1), "note",
                   report_text(report_string(one, "scope")), ok);
    }
}

static void answer_5(json_t *figures, const evidence *e, bool *ok)
{
    const json_t *one;
    size_t i;
    json_array_foreach(e->headline, i, one) {
        if (!is(one, "set", e->main_set) || !is(one, "criterion", "within 1 point")) continue;
        put_smaller(figures, e, one, ok);
        put_refusals(figures, e, report_string(one, "model"), ok);
    }
}

/* ---- all -------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *claim, *measure;
    void (*answer)(json_t *figures, const evidence *e, bool *ok);
} hypotheses[] = {
    {"The comparison is unfair: the cortex does far more than the model.",
     "Tasks that one set of weights does, and its word error rate beside that of people on the same kind of speech.",
     answer_1},
    {"Convolution shares weights that a brain must copy; but Whisper has one conv block only.",
     "Parameters shared and with own weights at each position, and the share of the work in the conv block.", answer_2},
    {"Iterative inference saves parameters; amortised sweeps are cheaper in compute.",
     "The encoder is one sweep over the audio, the decoder iterates token by token: how often each applies its "
     "parameters, what that costs, and what fewer layers cost in error rate.",
     answer_3},
    {"The assessment of abilities is off.", "Word error rates with intervals on labelled speech, by kind.", answer_4},
    {"Models are inefficient and can be made 10 to 100 times smaller.",
     "The smallest file within 1 point of the whole model's error rate, and which part refuses to shrink.", answer_5},
};

json_t *report_hypotheses(const report_table *t, const json_t *parts, const json_t *headline, const json_t *conditions,
                          const json_t *sensitivity, bool *ok)
{
    const evidence e = {t, parts, headline, conditions, sensitivity, t->d->n_sets ? t->d->sets[t->main_set].name : ""};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof hypotheses / sizeof *hypotheses; i++) {
        json_t *o = json_object(), *figures = json_array();
        hypotheses[i].answer(figures, &e, ok);
        report_put(o, "number", json_integer((json_int_t)i + 1), ok);
        report_put(o, "claim", report_text(hypotheses[i].claim), ok);
        report_put(o, "measure", report_text(hypotheses[i].measure), ok);
        report_put(o, "figures", figures, ok);
        report_append(list, o, ok);
    }
    return list;
}
