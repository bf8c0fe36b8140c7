/* SPDX-License-Identifier: MIT
 * A row a configuration and set, as JSON and as CSV: sizes, work, speed, and error rates on all speakers and on either
 * half of them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/figures.h"

/* ---- scores --------------------------------------------------------------------------------------------------- */

static size_t place(const report_table *t, size_t configuration, size_t set, report_half half)
{
    return (configuration * t->d->n_sets + set) * REPORT_HALVES + half;
}

const report_score *report_score_at(const report_table *t, size_t configuration, size_t set, report_half half)
{
    return &t->scores[place(t, configuration, set, half)];
}

const report_run *report_run_at(const report_data *d, size_t configuration, size_t set)
{
    const report_run *run = configuration == REPORT_NONE ? NULL : &d->configurations[configuration].runs[set];
    return run && run->there && run->finished ? run : NULL;
}

sotto_status report_table_make(report_table *t, const report_data *d, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    *t = (report_table){.d = d};
    t->scores = calloc(d->n_configurations * d->n_sets * REPORT_HALVES + 1, sizeof *t->scores);
    if (!t->scores) return options_fail(err, SOTTO_ENOMEM, "out of memory: scores");
    for (size_t s = 0; s < d->n_sets; s++)
        if (d->sets[s].reference_words > d->sets[t->main_set].reference_words) t->main_set = s;
    for (size_t c = 0; c < d->n_configurations; c++)
        for (size_t s = 0; s < d->n_sets; s++)
            for (int half = 0; st == SOTTO_OK && half < REPORT_HALVES; half++) {
                const report_part part = {s, (report_half)half, REPORT_NONE};
                st = report_score_read(&t->scores[place(t, c, s, part.half)], d, c, part, err);
            }
    return st;
}

void report_table_free(report_table *t)
{
    free(t->scores);
    t->scores = NULL;
}

/* ---- fronts --------------------------------------------------------------------------------------------------- */

/* What a file costs; less is better. NAN: unknown. */
typedef double cost(const report_table *t, size_t configuration, size_t set);

static double known(int64_t n) { return n > 0 ? (double)n : NAN; }

static double bytes_of(const report_table *t, size_t c, size_t set)
{
    (void)set;
    return known(t->d->configurations[c].file_bytes);
}

static double nonzero_of(const report_table *t, size_t c, size_t set)
{
    (void)set;
    return known(t->d->configurations[c].nonzero);
}

static double multiply_adds_of(const report_table *t, size_t c, size_t set)
{
    const report_run *run = report_run_at(t->d, c, set);
    return run ? report_ratio(known(run->multiply_adds), run->audio_s) : NAN;
}

/* Is no configuration of the same model better in one of cost and error rate, and at least as good in the other? */
static bool is_on_front(const report_table *t, size_t c, size_t set, cost *of)
{
    const double x = of(t, c, set), y = report_score_at(t, c, set, REPORT_ALL)->wer.value;
    if (isnan(x) || isnan(y)) return false;
    for (size_t i = 0; i < t->d->n_configurations; i++) {
        const double other_x = of(t, i, set), other_y = report_score_at(t, i, set, REPORT_ALL)->wer.value;
        if (i == c || strcmp(t->d->configurations[i].model, t->d->configurations[c].model) != 0) continue;
        if (other_x <= x && other_y <= y && (other_x < x || other_y < y)) return false; /* NAN compares false */
    }
    return true;
}

/* ---- one row -------------------------------------------------------------------------------------------------- */

static void put_interval(json_t *o, const char *half, const char *what, report_interval v, bool *ok)
{
    const struct {
        const char *suffix;
        double value;
    } bounds[] = {{"", v.value}, {"_low", v.low}, {"_high", v.high}};
    char key[64];
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        snprintf(key, sizeof key, "%s_%s%s", half, what, bounds[i].suffix);
        report_put(o, key, report_real(bounds[i].value), ok);
    }
}

static void put_scores(json_t *o, const report_table *t, size_t c, size_t set, bool *ok)
{
    char key[64];
    for (int half = 0; half < REPORT_HALVES; half++) {
        const report_score *s = report_score_at(t, c, set, (report_half)half);
        const char *name = report_half_names[half];
        snprintf(key, sizeof key, "%s_utterances", name);
        report_put(o, key, report_known(s->utterances), ok);
        snprintf(key, sizeof key, "%s_words", name);
        report_put(o, key, report_known(s->words), ok);
        put_interval(o, name, "wer", s->wer, ok);
        put_interval(o, name, "cer", s->cer, ok);
        put_interval(o, name, "difference", s->difference, ok);
        snprintf(key, sizeof key, "%s_p", name);
        report_put(o, key, report_real(s->p), ok);
    }
}

/* A sentence where weights were set to zero and the work is what it was: that makes a file smaller, and nothing
 * faster. */
static const char *speed_note(const report_table *t, size_t c, size_t set)
{
    const report_configuration *one = &t->d->configurations[c];
    const report_run *run = report_run_at(t->d, c, set), *whole = report_run_at(t->d, one->whole, set);
    if (!run || !whole || !report_spec_has(one->spec, "prune=")) return NULL;
    const double encoder = report_ratio(report_ratio((double)run->encoder_multiply_adds, run->audio_s),
                                        report_ratio((double)whole->encoder_multiply_adds, whole->audio_s));
    const double decoder =
        report_ratio(report_ratio((double)run->decoder_multiply_adds, (double)run->decoder_steps),
                     report_ratio((double)whole->decoder_multiply_adds, (double)whole->decoder_steps));
    if (encoder < 0.98 || decoder < 0.98) return NULL;
    return "No speed gained: weights that were set to zero are multiplied like the others.";
}

static void put_sizes(json_t *o, const report_configuration *c, bool *ok)
{
    report_put(o, "error", report_text(c->error), ok);
    report_put(o, "parameters", report_known(c->parameters), ok);
    report_put(o, "nonzero", report_known(c->nonzero), ok);
    report_put(o, "bits", report_known(c->bits), ok);
    report_put(o, "bits_per_parameter", report_real(report_ratio(known(c->bits), (double)c->parameters)), ok);
    report_put(o, "file_bytes", report_known(c->file_bytes), ok);
    report_put(o, "resident_bytes", report_known(c->resident_bytes), ok);
    report_put(o, "shrink_seconds", report_real(c->shrink_s), ok);
    report_put(o, "load_seconds", report_real(c->load_s), ok);
}

report_speed report_whole_speed(const report_data *d, size_t whole, size_t set, const char *machine)
{
    const report_run *run = report_run_at(d, whole, set);
    if (run && strcmp(run->machine, machine) == 0 && !isnan(run->wall_s))
        return (report_speed){run->wall_s, run->cpu_s, run->audio_s};
    for (size_t i = 0; run && i < d->n_again; i++) {
        const report_again *a = &d->again[i];
        if (a->configuration == d->configurations[whole].id && a->set == set && strcmp(a->machine, machine) == 0)
            return a->speed;
    }
    return (report_speed){NAN, NAN, NAN};
}

/* Where and how fast. Ratios are to the unshrunken model on the same machine. */
static void put_speed(json_t *o, const report_table *t, size_t c, size_t set, bool *ok)
{
    const report_run *run = report_run_at(t->d, c, set);
    const report_speed none = {NAN, NAN, NAN}, own = run ? (report_speed){run->wall_s, run->cpu_s, run->audio_s} : none;
    const report_speed whole = run ? report_whole_speed(t->d, t->d->configurations[c].whole, set, run->machine) : none;
    const double wall = report_ratio(own.audio_s, own.wall_s), cpu = report_ratio(own.audio_s, own.cpu_s);
    report_put(o, "machine", report_text(run && *run->machine ? run->machine : NULL), ok);
    report_put(o, "build", report_text(run && *run->build ? run->build : NULL), ok);
    report_put(o, "wall_seconds", report_real(own.wall_s), ok);
    report_put(o, "cpu_seconds", report_real(own.cpu_s), ok);
    report_put(o, "audio_seconds_per_second", report_real(wall), ok);
    report_put(o, "audio_seconds_per_core_second", report_real(cpu), ok);
    report_put(o, "speed_ratio", report_real(report_ratio(wall, report_ratio(whole.audio_s, whole.wall_s))), ok);
    report_put(o, "core_speed_ratio", report_real(report_ratio(cpu, report_ratio(whole.audio_s, whole.cpu_s))), ok);
}

static void put_run(json_t *o, const report_table *t, size_t c, size_t set, bool *ok)
{
    static const report_run unknown = {
        .wall_s = NAN, .encoder_s = NAN, .decoder_s = NAN, .audio_s = NAN, .energy_j = NAN};
    const report_run *run = report_run_at(t->d, c, set);
    report_put(o, "finished", json_boolean(run != NULL), ok);
    if (!run) run = &unknown;
    report_put(o, "audio_seconds", report_real(run->audio_s), ok);
    put_speed(o, t, c, set, ok);
    report_put(o, "encoder_seconds", report_real(run->encoder_s), ok);
    report_put(o, "decoder_seconds", report_real(run->decoder_s), ok);
    report_put(o, "speed_note", report_text(speed_note(t, c, set)), ok);
    report_put(o, "multiply_adds_per_audio_second", report_real(multiply_adds_of(t, c, set)), ok);
    report_put(o, "encoder_multiply_adds_per_audio_second",
               report_real(report_ratio(known(run->encoder_multiply_adds), run->audio_s)), ok);
    report_put(o, "decoder_multiply_adds_per_audio_second",
               report_real(report_ratio(known(run->decoder_multiply_adds), run->audio_s)), ok);
    report_put(o, "decoder_steps", report_known(run->decoder_steps), ok);
    report_put(o, "tokens", report_known(run->tokens), ok);
    report_put(o, "windows", report_known(run->windows), ok);
    report_put(o, "peak_rss_bytes", report_known(run->peak_rss), ok);
    report_put(o, "energy_joules", report_real(run->energy_j), ok);
    report_put(o, "energy_joules_per_audio_second", report_real(report_ratio(run->energy_j, run->audio_s)), ok);
}

static json_t *row(const report_table *t, size_t c, size_t set, bool *ok)
{
    const report_configuration *one = &t->d->configurations[c];
    json_t *o = json_object();
    report_put(o, "configuration", json_integer(one->id), ok);
    report_put(o, "model", report_text(one->model), ok);
    report_put(o, "spec", report_text(one->spec), ok);
    report_put(o, "set", report_text(t->d->sets[set].name), ok);
    put_sizes(o, one, ok);
    put_run(o, t, c, set, ok);
    put_scores(o, t, c, set, ok);
    report_put(o, "front_file_bytes", json_boolean(is_on_front(t, c, set, bytes_of)), ok);
    report_put(o, "front_nonzero", json_boolean(is_on_front(t, c, set, nonzero_of)), ok);
    report_put(o, "front_multiply_adds", json_boolean(is_on_front(t, c, set, multiply_adds_of)), ok);
    return o;
}

json_t *report_rows(const report_table *t, bool *ok)
{
    json_t *rows = json_array();
    for (size_t c = 0; c < t->d->n_configurations; c++)
        for (size_t s = 0; s < t->d->n_sets; s++) /* one that could not be made has no runs, but stays visible */
            if (t->d->configurations[c].runs[s].there || t->d->configurations[c].error)
                report_append(rows, row(t, c, s, ok), ok);
    return rows;
}

/* ---- CSV ------------------------------------------------------------------------------------------------------ */

static void print_text(FILE *to, const char *s)
{
    if (!s[strcspn(s, ",\"\r\n")]) {
        fputs(s, to);
        return;
    }
    putc('"', to);
    for (; *s; s++) {
        if (*s == '"') putc('"', to);
        putc(*s, to);
    }
    putc('"', to);
}

/* Numbers as in the JSON file; nothing for null. */
static void print_value(FILE *to, const json_t *v)
{
    if (json_is_string(v)) print_text(to, json_string_value(v));
    if (json_is_boolean(v)) putc(json_is_true(v) ? '1' : '0', to);
    if (json_is_number(v)) json_dumpf(v, to, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
}

char *report_csv(const json_t *rows)
{
    char *text = NULL;
    size_t size, i;
    const char *key, *comma = "";
    json_t *one, *value;
    FILE *to = open_memstream(&text, &size);
    if (!to) return NULL;
    json_object_foreach(json_array_get(rows, 0), key, value) {
        fprintf(to, "%s%s", comma, key);
        comma = ",";
    }
    putc('\n', to);
    json_array_foreach(rows, i, one) {
        comma = "";
        json_object_foreach(one, key, value) {
            fputs(comma, to);
            print_value(to, value);
            comma = ",";
        }
        putc('\n', to);
    }
    const bool failed = ferror(to);
    if (fclose(to) == 0 && !failed) return text;
    free(text);
    return NULL;
}
