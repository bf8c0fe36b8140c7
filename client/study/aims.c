/* SPDX-License-Identifier: MIT
 * Files of a size that was aimed at, and what stands in the way: how few bits each part bears when it alone is rounded,
 * what it holds in a file then, and what fewer cost. Scopes are those that the study has, whatever they are called:
 * what a spec rounds is read from its tensors. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/figures.h"

/* English, and at most so much above the whole model's word error rate. */
static const struct {
    const char *model;
    int64_t most_bytes;
} aims[] = {{"tiny.en", 12000000}, {"base", 30000000}};
static const double margin = 0.01, tolerance = 1e-12;

/* A spec of one term that rounds. */
typedef struct candidate {
    const report_configuration *of;
    const report_score *score; /* all speakers */
    const json_t *tensors;
    char *method, *scope;
    bool is_borne; /* costs at most the margin */
} candidate;

typedef struct candidates {
    candidate *items;
    size_t n;
} candidates;

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

/* In the file; 0 for what is computed when the model is opened. */
static double bytes_of(const json_t *tensor)
{
    const double bytes = report_number(tensor, "bytes");
    return isnan(bytes) ? report_number(tensor, "bits") / 8 : bytes;
}

static double whole_bytes_of(const json_t *tensor) { return 2 * report_number(tensor, "parameters"); }

static bool is_rounded(const json_t *tensor)
{
    const double bits = report_number(tensor, "bits");
    return bits > 0 && bits < 16 * report_number(tensor, "parameters");
}

/* ---- candidates ------------------------------------------------------------------------------------------------- */

static bool is_rounding(const char *method) { return strncmp(method, "int", 3) == 0 || strncmp(method, "f16", 3) == 0; }

static bool rounds_any(const candidate *k)
{
    const json_t *tensor;
    size_t i;
    json_array_foreach(k->tensors, i, tensor)
        if (is_rounded(tensor)) return true;
    return false;
}

static void find(candidates *all, const report_table *t, size_t whole, size_t set, bool *ok)
{
    const report_data *d = t->d;
    *all = (candidates){.items = calloc(d->n_configurations + 1, sizeof *all->items)};
    if (!all->items) *ok = false;
    for (size_t c = whole; all->items && c < d->n_configurations && d->configurations[c].whole == whole; c++) {
        candidate k = {.of = &d->configurations[c], .score = report_score_at(t, c, set, REPORT_ALL)};
        k.tensors = json_object_get(k.of->shrink, "tensors");
        if (!json_array_size(k.tensors) || isnan(k.score->difference.value)) continue;
        if (!report_spec_single(k.of->spec, &k.method, &k.scope)) continue;
        if (is_rounding(k.method) && rounds_any(&k)) { /* f16 rounds nothing of a model of 16 bits */
            k.is_borne = k.score->difference.value <= margin + tolerance;
            all->items[all->n++] = k;
        } else {
            free(k.method);
            free(k.scope);
        }
    }
}

static void release(candidates *all)
{
    for (size_t i = 0; i < all->n; i++) {
        free(all->items[i].method);
        free(all->items[i].scope);
    }
    free(all->items);
}

static json_t *candidate_json(const candidate *k, bool *ok)
{
    double parameters = 0, bits = 0, bytes = 0, whole = 0;
    const json_t *tensor;
    size_t i;
    json_array_foreach(k->tensors, i, tensor) {
        if (!is_rounded(tensor)) continue;
        parameters += report_number(tensor, "parameters");
        bits += report_number(tensor, "bits");
        bytes += bytes_of(tensor);
        whole += whole_bytes_of(tensor);
    }
    json_t *o = json_object();
    report_put(o, "spec", report_text(k->of->spec), ok);
    report_put(o, "scope", report_text(k->scope), ok);
    report_put(o, "method", report_text(k->method), ok);
    report_put(o, "parameters", report_real(parameters), ok);
    report_put(o, "bits_per_parameter", report_real(report_ratio(bits, parameters)), ok);
    report_put(o, "whole_bytes", report_real(whole), ok);
    report_put(o, "bytes", report_real(bytes), ok);
    report_put(o, "difference", report_interval_json(k->score->difference), ok);
    report_put(o, "p", report_real(k->score->p), ok);
    report_put(o, "borne", json_boolean(k->is_borne), ok);
    return o;
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static bool is_of(const json_t *tensor, const char *part) { return strcmp(report_string(tensor, "part"), part) == 0; }

/* What a spec leaves of a part of whose matrices it rounds all that any spec does; NAN: it does not. */
static double part_bytes(const candidates *all, const candidate *k, const char *part)
{
    const json_t *tensor;
    double bytes = 0;
    size_t i, rounded = 0, most = 0;
    json_array_foreach(k->tensors, i, tensor) {
        if (!is_of(tensor, part)) continue;
        bytes += bytes_of(tensor);
        rounded += is_rounded(tensor);
    }
    for (size_t c = 0; c < all->n; c++) {
        size_t n = 0;
        json_array_foreach(all->items[c].tensors, i, tensor) n += is_of(tensor, part) && is_rounded(tensor);
        if (n > most) most = n;
    }
    return rounded > 0 && rounded == most ? bytes : NAN;
}

/* What a part takes in a file when nothing rounds it. */
static double unrounded_bytes(const candidates *all, const char *part)
{
    const json_t *tensor;
    double least = INFINITY, whole = 0;
    size_t i;
    for (size_t c = 0; c < all->n; c++) {
        double bytes = 0;
        bool is_any = false;
        json_array_foreach(all->items[c].tensors, i, tensor) {
            if (!is_of(tensor, part)) continue;
            bytes += bytes_of(tensor);
            is_any |= is_rounded(tensor);
        }
        if (!is_any && bytes < least) least = bytes;
    }
    json_array_foreach(all->items[0].tensors, i, tensor)
        if (is_of(tensor, part)) whole += whole_bytes_of(tensor);
    return least < whole ? least : whole;
}

static double rounded_parameters(const candidate *k)
{
    const json_t *tensor;
    double sum = 0;
    size_t i;
    json_array_foreach(k->tensors, i, tensor)
        if (is_rounded(tensor)) sum += report_number(tensor, "parameters");
    return sum;
}

/* The spec that a part bears and that leaves fewest bytes of it, *bytes of them; NULL: nothing rounds it. */
static const candidate *borne(const candidates *all, const char *part, double *bytes)
{
    const candidate *found = NULL;
    *bytes = unrounded_bytes(all, part);
    for (size_t i = 0; i < all->n; i++) {
        const double left = part_bytes(all, &all->items[i], part);
        if (!all->items[i].is_borne || !(left < *bytes)) continue;
        found = &all->items[i];
        *bytes = left;
    }
    return found;
}

/* Of the specs that leave less of a part than `bytes`, by 1 % at least, and that it does not bear, the one that rounds
 * least beside it; of two alike the one that costs less. NULL: there is none. */
static const candidate *refused(const candidates *all, const char *part, double bytes)
{
    const candidate *found = NULL;
    double least = INFINITY;
    for (size_t i = 0; i < all->n; i++) {
        const candidate *k = &all->items[i];
        const double beside = rounded_parameters(k);
        if (k->is_borne || !(part_bytes(all, k, part) < 0.99 * bytes) || beside > least) continue;
        if (found && beside == least && k->score->difference.value >= found->score->difference.value) continue;
        found = k;
        least = beside;
    }
    return found;
}

/* Names a spec once. */
static void note(json_t *specs, const candidate *k, bool *ok)
{
    const json_t *one;
    size_t i;
    json_array_foreach(specs, i, one)
        if (strcmp(json_string_value(one), k->of->spec) == 0) return;
    report_append(specs, report_text(k->of->spec), ok);
}

static void put_spec(json_t *o, const char *kind, const candidate *k, double bytes, bool *ok)
{
    static const report_interval unknown = {NAN, NAN, NAN};
    char key[32];
    snprintf(key, sizeof key, "%sspec", kind);
    report_put(o, key, report_text(k ? k->of->spec : NULL), ok);
    snprintf(key, sizeof key, "%sbytes", kind);
    report_put(o, key, report_real(bytes), ok);
    snprintf(key, sizeof key, "%sdifference", kind);
    report_put(o, key, report_interval_json(k ? k->score->difference : unknown), ok);
}

static json_t *part_json(const candidates *all, const char *part, json_t *specs, double *sum, bool *ok)
{
    json_t *o = json_object();
    const json_t *tensor;
    double bytes, whole = 0, parameters = 0;
    size_t i;
    json_array_foreach(all->items[0].tensors, i, tensor) {
        if (!is_of(tensor, part)) continue;
        parameters += report_number(tensor, "parameters");
        whole += whole_bytes_of(tensor);
    }
    const candidate *yes = borne(all, part, &bytes), *no = refused(all, part, bytes);
    if (yes) note(specs, yes, ok);
    *sum += bytes;
    report_put(o, "part", report_text(part), ok);
    report_put(o, "parameters", report_real(parameters), ok);
    report_put(o, "whole_bytes", report_real(whole), ok);
    put_spec(o, "", yes, bytes, ok);
    report_put(o, "bits_per_parameter", report_real(report_ratio(8 * bytes, parameters)), ok);
    put_spec(o, "refused_", no, no ? part_bytes(all, no, part) : NAN, ok);
    return o;
}

static bool is_first_of_part(const json_t *tensors, size_t at)
{
    const char *part = report_string(json_array_get(tensors, at), "part");
    for (size_t i = 0; i < at; i++)
        if (strcmp(report_string(json_array_get(tensors, i), "part"), part) == 0) return false;
    return true;
}

/* What a file has beside its tensors: vocabulary, dimensions. */
static double rest_bytes(const candidate *k)
{
    const json_t *tensor;
    double rest = (double)k->of->file_bytes;
    size_t i;
    json_array_foreach(k->tensors, i, tensor) rest -= bytes_of(tensor);
    return rest;
}

/* Of the specs that `specs` names. */
static double sum_of_differences(const candidates *all, const json_t *specs)
{
    const json_t *one;
    double sum = 0;
    size_t i;
    json_array_foreach(specs, i, one)
        for (size_t k = 0; k < all->n; k++)
            if (strcmp(all->items[k].of->spec, json_string_value(one)) == 0)
                sum += all->items[k].score->difference.value;
    return sum;
}

static void put_parts(json_t *o, const candidates *all, bool *ok)
{
    json_t *parts = json_array(), *tried = json_array(), *specs = json_array();
    const json_t *tensors = all->n ? all->items[0].tensors : NULL, *tensor;
    double sum = all->n ? rest_bytes(&all->items[0]) : NAN;
    size_t i;
    report_put(o, "rest_bytes", report_real(sum), ok);
    json_array_foreach(tensors, i, tensor)
        if (is_first_of_part(tensors, i))
            report_append(parts, part_json(all, report_string(tensor, "part"), specs, &sum, ok), ok);
    for (i = 0; i < all->n; i++) report_append(tried, candidate_json(&all->items[i], ok), ok);
    report_put(o, "sum_bytes", report_real(sum), ok);
    report_put(o, "sum_specs", specs, ok);
    report_put(o, "sum_difference", report_real(sum_of_differences(all, specs)), ok);
    report_put(o, "parts", parts, ok);
    report_put(o, "tried", tried, ok);
}

/* ---- aims ------------------------------------------------------------------------------------------------------- */

static json_t *file_json(const report_table *t, size_t c, size_t set, bool *ok)
{
    if (c == REPORT_NONE) return json_null();
    json_t *o = json_object();
    report_put(o, "configuration", json_integer(t->d->configurations[c].id), ok);
    report_put(o, "spec", report_text(t->d->configurations[c].spec), ok);
    report_put(o, "file_bytes", report_known(t->d->configurations[c].file_bytes), ok);
    report_put(o, "choose", report_score_json(report_score_at(t, c, set, REPORT_CHOOSE), ok), ok);
    report_put(o, "report", report_score_json(report_score_at(t, c, set, REPORT_TELL), ok), ok);
    return o;
}

static bool is_within(const report_table *t, size_t c, size_t set, report_half half)
{
    return c != REPORT_NONE && report_score_at(t, c, set, half)->difference.value <= margin + tolerance;
}

static json_t *aim_json(const report_table *t, size_t whole, size_t set, int64_t most_bytes, bool *ok)
{
    const report_part part = {set, REPORT_CHOOSE, REPORT_NONE};
    const size_t best = report_best_of_size(t->d, whole, part, most_bytes);
    const size_t smallest = report_smallest_within(t->d, whole, part, report_wer(t->d, whole, part) + margin);
    candidates all;
    json_t *o = json_object();
    report_put(o, "model", report_text(t->d->configurations[whole].model), ok);
    report_put(o, "set", report_text(t->d->sets[set].name), ok);
    report_put(o, "most_bytes", json_integer(most_bytes), ok);
    report_put(o, "margin", report_real(margin), ok);
    report_put(o, "met_on_choose", json_boolean(is_within(t, best, set, REPORT_CHOOSE)), ok);
    report_put(o, "met", json_boolean(is_within(t, best, set, REPORT_CHOOSE) && is_within(t, best, set, REPORT_TELL)),
               ok);
    report_put(o, "best", file_json(t, best, set, ok), ok);
    report_put(o, "smallest", file_json(t, smallest, set, ok), ok);
    find(&all, t, whole, set, ok);
    put_parts(o, &all, ok);
    release(&all);
    return o;
}

json_t *report_aims(const report_table *t, bool *ok)
{
    json_t *list = json_array();
    for (size_t c = 0; c < t->d->n_configurations; c++)
        for (size_t i = 0; t->d->configurations[c].whole == c && i < sizeof aims / sizeof *aims; i++) {
            const char *model = t->d->configurations[c].model, *slash = strrchr(model, '/');
            if (strcmp(slash ? slash + 1 : model, aims[i].model) != 0) continue;
            for (size_t s = 0; s < t->d->n_sets; s++)
                if (report_run_at(t->d, c, s)) report_append(list, aim_json(t, c, s, aims[i].most_bytes, ok), ok);
        }
    return list;
}
