/* SPDX-License-Identifier: MIT
 * What a study found, as JSON: the smallest files and what they cost, error rates by kind of speech, and what changing
 * one part of a model alone costs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "study/figures.h"

/* Transcribers of Amodei et al. 2015, "Deep Speech 2", arXiv:1512.02595 (read speech of LibriSpeech, both test sets).
 */
static const struct {
    const char *test_set;
    double wer;
} human[] = {{"test-clean", 0.0583}, {"test-other", 0.1269}};

double report_human_wer(const char *test_set)
{
    for (size_t i = 0; test_set && i < sizeof human / sizeof *human; i++)
        if (strcmp(human[i].test_set, test_set) == 0) return human[i].wer;
    return NAN;
}

bool report_is_first_of_model(const report_data *d, size_t c)
{
    return c == 0 || strcmp(d->configurations[c].model, d->configurations[c - 1].model) != 0;
}

/* ---- sets ----------------------------------------------------------------------------------------------------- */

static json_t *half_of(const report_set *s, report_half half, bool *ok)
{
    json_t *o = json_object();
    int64_t utterances = 0, speakers = 0;
    double seconds = 0;
    for (size_t i = 0; i < s->n_utterances; i++) {
        const report_utterance *u = &s->utterances[i];
        size_t k = 0;
        if (half != REPORT_ALL && u->choose != (half == REPORT_CHOOSE)) continue;
        utterances++;
        seconds += u->seconds;
        while (k < i && strcmp(s->utterances[k].speaker, u->speaker) != 0) k++;
        speakers += k == i; /* a speaker is of one half */
    }
    report_put(o, "utterances", json_integer(utterances), ok);
    report_put(o, "speakers", json_integer(speakers), ok);
    report_put(o, "audio_seconds", report_real(seconds), ok);
    return o;
}

json_t *report_sets(const report_table *t, bool *ok)
{
    json_t *sets = json_array();
    for (size_t i = 0; i < t->d->n_sets; i++) {
        json_t *o = json_object();
        report_put(o, "name", report_text(t->d->sets[i].name), ok);
        report_put(o, "reference_words", report_known(t->d->sets[i].reference_words), ok);
        report_put(o, "main", json_boolean(i == t->main_set), ok);
        for (int half = 0; half < REPORT_HALVES; half++)
            report_put(o, report_half_names[half], half_of(&t->d->sets[i], (report_half)half, ok), ok);
        report_append(sets, o, ok);
    }
    return sets;
}

/* ---- the smallest files --------------------------------------------------------------------------------------- */

/* "within": at most so much above the whole model's error rate; "human": at most that of people. */
typedef struct criterion {
    const char *name;
    bool human;
    double margin; /* share */
} criterion;

static const criterion criteria[] = {
    {"within 0.5 points", false, 0.005},
    {"within 1 point", false, 0.01},
    {"within 2 points", false, 0.02},
    {"human", true, 0},
};

/* Rounding of shares must not decide: a difference of exactly the margin is within it. */
static const double tolerance = 1e-12;

/* The error rate on the choosing half that is still allowed; NAN where nothing can be compared. */
static double allowed(const report_table *t, size_t whole, report_part part, const criterion *k)
{
    if (k->human)
        return part.condition == REPORT_NONE
                   ? NAN
                   : report_human_wer(t->d->sets[part.set].conditions[part.condition].human_of);
    return report_wer(t->d, whole, part) + k->margin;
}

/* The next configuration of the model of `c` that has an error rate, which becomes *wer, and a file; or REPORT_NONE. */
static size_t next_measured(const report_data *d, size_t c, report_part part, double *wer)
{
    for (; c < d->n_configurations; c++) {
        *wer = report_wer(d, c, part);
        if (!isnan(*wer) && d->configurations[c].file_bytes > 0) return c;
        if (c + 1 < d->n_configurations && report_is_first_of_model(d, c + 1)) break;
    }
    return REPORT_NONE;
}

static size_t after(const report_data *d, size_t c, report_part part, double *wer)
{
    return c + 1 < d->n_configurations && !report_is_first_of_model(d, c + 1) ? next_measured(d, c + 1, part, wer)
                                                                              : REPORT_NONE;
}

size_t report_smallest_within(const report_data *d, size_t first, report_part part, double limit)
{
    size_t best = REPORT_NONE;
    double wer;
    for (size_t c = next_measured(d, first, part, &wer); c != REPORT_NONE; c = after(d, c, part, &wer))
        if (wer <= limit + tolerance &&
            (best == REPORT_NONE || d->configurations[c].file_bytes < d->configurations[best].file_bytes))
            best = c;
    return best;
}

size_t report_best_of_size(const report_data *d, size_t first, report_part part, int64_t most_bytes)
{
    size_t best = REPORT_NONE;
    double wer, least = INFINITY;
    for (size_t c = next_measured(d, first, part, &wer); c != REPORT_NONE; c = after(d, c, part, &wer)) {
        const int64_t bytes = d->configurations[c].file_bytes;
        if (bytes > most_bytes || wer > least) continue;
        if (wer == least && bytes >= d->configurations[best].file_bytes) continue;
        best = c;
        least = wer;
    }
    return best;
}

json_t *report_score_json(const report_score *s, bool *ok)
{
    json_t *o = json_object();
    report_put(o, "utterances", json_integer(s->utterances), ok);
    report_put(o, "speakers", json_integer((json_int_t)s->speakers), ok);
    report_put(o, "words", json_integer(s->words), ok);
    report_put(o, "wer", report_interval_json(s->wer), ok);
    report_put(o, "cer", report_interval_json(s->cer), ok);
    report_put(o, "difference", report_interval_json(s->difference), ok);
    report_put(o, "p", report_real(s->p), ok);
    return o;
}

static json_t *scored(const report_table *t, size_t c, report_part part, report_half half, bool *ok)
{
    report_score s;
    part.half = half;
    if (c == REPORT_NONE || report_score_read(&s, t->d, c, part, NULL) != SOTTO_OK) return json_null();
    return report_score_json(&s, ok);
}

static void put_chosen(json_t *o, const report_data *d, size_t c, const report_configuration *whole, bool *ok)
{
    const report_configuration *one = c == REPORT_NONE ? NULL : &d->configurations[c];
    report_put(o, "configuration", one ? json_integer(one->id) : json_null(), ok);
    report_put(o, "spec", report_text(one ? one->spec : NULL), ok);
    report_put(o, "file_bytes", one ? report_known(one->file_bytes) : json_null(), ok);
    report_put(o, "times_smaller",
               report_real(one && one->file_bytes > 0 && whole->file_bytes > 0
                               ? report_ratio((double)whole->file_bytes, (double)one->file_bytes)
                               : NAN),
               ok);
}

static json_t *finding(const report_table *t, size_t whole, report_part part, const criterion *k, bool *ok)
{
    const report_data *d = t->d;
    const report_set *set = &d->sets[part.set];
    const double limit = allowed(t, whole, part, k);
    const size_t chosen = report_smallest_within(d, whole, part, limit);
    const size_t nearest = report_best_of_size(d, whole, part, INT64_MAX);
    json_t *o = json_object();
    report_put(o, "model", report_text(d->configurations[whole].model), ok);
    report_put(o, "set", report_text(set->name), ok);
    report_put(o, "criterion", report_text(k->name), ok);
    report_put(o, "margin", k->human ? json_null() : report_real(k->margin), ok);
    report_put(o, "condition", report_text(k->human ? set->conditions[part.condition].name : NULL), ok);
    report_put(o, "human_wer", report_real(k->human ? limit : NAN), ok);
    report_put(o, "allowed_wer", report_real(limit), ok);
    put_chosen(o, d, chosen, &d->configurations[whole], ok);
    report_put(o, "whole_file_bytes", report_known(d->configurations[whole].file_bytes), ok);
    report_put(o, "nearest_spec", report_text(nearest == REPORT_NONE ? NULL : d->configurations[nearest].spec), ok);
    report_put(o, "nearest_wer", report_real(nearest == REPORT_NONE ? NAN : report_wer(d, nearest, part)), ok);
    report_put(o, "choose", scored(t, chosen, part, REPORT_CHOOSE, ok), ok);
    report_put(o, "report", scored(t, chosen, part, REPORT_TELL, ok), ok);
    report_put(o, "whole_choose", scored(t, whole, part, REPORT_CHOOSE, ok), ok);
    report_put(o, "whole_report", scored(t, whole, part, REPORT_TELL, ok), ok);
    return o;
}

static void put_findings(json_t *list, const report_table *t, size_t whole, size_t s, bool *ok)
{
    const report_set *set = &t->d->sets[s];
    for (size_t k = 0; k < sizeof criteria / sizeof *criteria; k++) {
        if (!criteria[k].human) {
            const report_part part = {s, REPORT_CHOOSE, REPORT_NONE};
            report_append(list, finding(t, whole, part, &criteria[k], ok), ok);
            continue;
        }
        for (size_t condition = 0; condition < set->n_conditions; condition++) {
            const report_part part = {s, REPORT_CHOOSE, condition};
            if (isnan(allowed(t, whole, part, &criteria[k]))) continue;
            report_append(list, finding(t, whole, part, &criteria[k], ok), ok);
        }
    }
}

json_t *report_headline(const report_table *t, bool *ok)
{
    json_t *list = json_array();
    for (size_t s = 0; s < t->d->n_sets; s++)
        for (size_t c = 0; c < t->d->n_configurations; c++)
            if (t->d->configurations[c].whole == c && report_run_at(t->d, c, s)) put_findings(list, t, c, s, ok);
    return list;
}

/* ---- kinds of speech ------------------------------------------------------------------------------------------ */

json_t *report_conditions(const report_table *t, bool *ok)
{
    const report_data *d = t->d;
    json_t *list = json_array();
    for (size_t c = 0; c < d->n_configurations; c++)
        for (size_t s = 0; d->configurations[c].whole == c && s < d->n_sets; s++)
            for (size_t k = 0; report_run_at(d, c, s) && k < d->sets[s].n_conditions; k++) {
                const report_condition *condition = &d->sets[s].conditions[k];
                const report_part part = {s, REPORT_ALL, k};
                json_t *o = json_object();
                report_put(o, "model", report_text(d->configurations[c].model), ok);
                report_put(o, "spec", report_text(d->configurations[c].spec), ok);
                report_put(o, "set", report_text(d->sets[s].name), ok);
                report_put(o, "condition", report_text(condition->name), ok);
                report_put(o, "human_of", report_text(condition->human_of), ok);
                report_put(o, "human_wer", report_real(report_human_wer(condition->human_of)), ok);
                report_put(o, "score", scored(t, c, part, REPORT_ALL, ok), ok);
                report_append(list, o, ok);
            }
    return list;
}

/* ---- one part alone ------------------------------------------------------------------------------------------- */

static void put_cells(json_t *cells, const report_table *t, size_t c, bool *ok)
{
    const report_configuration *one = &t->d->configurations[c];
    char *method, *scope;
    if (!report_spec_single(one->spec, &method, &scope)) return;
    for (size_t s = 0; s < t->d->n_sets; s++) {
        const report_score *score = report_score_at(t, c, s, REPORT_ALL);
        if (isnan(score->difference.value)) continue;
        json_t *o = json_object();
        report_put(o, "model", report_text(one->model), ok);
        report_put(o, "set", report_text(t->d->sets[s].name), ok);
        report_put(o, "scope", report_text(scope), ok);
        report_put(o, "method", report_text(method), ok);
        report_put(o, "configuration", json_integer(one->id), ok);
        report_put(o, "spec", report_text(one->spec), ok);
        report_put(o, "file_bytes", report_known(one->file_bytes), ok);
        report_put(o, "wer", report_real(score->wer.value), ok);
        report_put(o, "difference", report_interval_json(score->difference), ok);
        report_put(o, "p", report_real(score->p), ok);
        report_append(cells, o, ok);
    }
    free(method);
    free(scope);
}

json_t *report_sensitivity(const report_table *t, bool *ok)
{
    json_t *cells = json_array();
    for (size_t c = 0; c < t->d->n_configurations; c++) put_cells(cells, t, c, ok);
    return cells;
}
