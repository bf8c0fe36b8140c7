/* SPDX-License-Identifier: MIT
 * sotto study smallest: which spec a study picks, by the half of the speakers that specs are chosen on. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "study/figures.h"

typedef struct smallest_options {
    const char *database, *model, *set, *directory;
    int64_t most_bytes;
    double within; /* points; below 0: not asked */
} smallest_options;

static const option table[] = {
    // clang-format off
    OPTION_ENTRY(smallest_options, STRING, database, "database", 'd', NULL, 0, 0, "FILE", "what `sotto study run` wrote")
    OPTION_ENTRY(smallest_options, STRING, model, "model", 'm', NULL, 0, 0, "NAME", "one of the study's models; default: each")
    OPTION_ENTRY(smallest_options, STRING, set, "set", 's', NULL, 0, 0, "NAME", "the set to judge by; default: the one with most words")
    OPTION_ENTRY(smallest_options, INT, most_bytes, "max-bytes", 'b', "0", 0, 1e15, "N", "the least word error rate of all files of at most N bytes")
    OPTION_ENTRY(smallest_options, DOUBLE, within, "within", 'w', "-1", -1, 100, "POINTS", "the smallest file at most so far above the unshrunken model's word error rate")
    OPTION_ENTRY(smallest_options, STRING, directory, "write", 'o', NULL, 0, 0, "DIR", "also write DIR/MODEL.spec or DIR/MODEL.within-POINTS-point.spec")
    // clang-format on
};

/* Terms that measure on audio, as docs/SHRINKING.md marks them: the file that they make depends on it. */
static bool is_calibrated(const char *spec)
{
    static const char *const within[] = {":gptq", ":awq", ":wanda"}, *const first[] = {"heads=", "mlp=", "layers=-"};
    for (size_t i = 0; i < sizeof within / sizeof *within; i++)
        if (strstr(spec, within[i])) return true;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (report_spec_has(spec, first[i])) return true;
    return false;
}

/* The spec that makes the file again, with what the study calibrated on. For free(). */
static char *whole_spec(const report_data *d, const char *spec)
{
    const char *calibration = report_string(d->meta, "calibration");
    char *text = NULL;
    if (!*calibration || strcmp(calibration, "none") == 0 || !is_calibrated(spec) ||
        report_spec_has(spec, "calibration="))
        return strdup(spec);
    return asprintf(&text, "%s,calibration=%s", spec, calibration) < 0 ? NULL : text;
}

static sotto_status find_set(const report_data *d, const smallest_options *o, size_t *set, sotto_error *err)
{
    *set = 0;
    for (size_t s = 0; s < d->n_sets; s++) {
        if (o->set && strcmp(o->set, d->sets[s].name) == 0) return *set = s, SOTTO_OK;
        if (!o->set && d->sets[s].reference_words > d->sets[*set].reference_words) *set = s;
    }
    return o->set || !d->n_sets
               ? options_fail(err, SOTTO_ENOTFOUND, "%s has no set %s", o->database, o->set ? o->set : "yet")
               : SOTTO_OK;
}

static sotto_status write_spec(const smallest_options *o, const char *model, const char *spec, sotto_error *err)
{
    const char *slash = strrchr(model, '/');
    char *line = NULL, *name = NULL;
    sotto_status st = SOTTO_OK;
    model = slash ? slash + 1 : model;
    if (o->most_bytes ? asprintf(&name, "%s", model) < 0
                      : asprintf(&name, "%s.within-%g-point%s", model, o->within, o->within == 1 ? "" : "s") < 0)
        name = NULL;
    if (asprintf(&line, "%s\n", spec) < 0) line = NULL;
    if (name && line)
        st = output_write_file(o->directory, name, "spec", line, err);
    else
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: spec");
    free(name);
    free(line);
    return st;
}

/* Of the model whose configurations begin at `first`. */
static sotto_status pick(const report_data *d, const smallest_options *o, size_t first, size_t set, sotto_error *err)
{
    const char *model = d->configurations[first].model;
    const size_t whole = d->configurations[first].whole;
    const report_part part = {set, REPORT_CHOOSE, REPORT_NONE};
    const double base = whole == REPORT_NONE ? NAN : report_wer(d, whole, part);
    const size_t c = o->most_bytes ? report_best_of_size(d, first, part, o->most_bytes)
                                   : report_smallest_within(d, first, part, base + o->within / 100);
    if (c == REPORT_NONE && o->most_bytes)
        return options_fail(err, SOTTO_ENOTFOUND, "%s: no file of at most %lld bytes was measured on %s", model,
                            (long long)o->most_bytes, d->sets[set].name);
    if (c == REPORT_NONE)
        return options_fail(err, SOTTO_ENOTFOUND, "%s: none of its files on %s can be set beside the unshrunken model",
                            model, d->sets[set].name);
    char *spec = whole_spec(d, d->configurations[c].spec);
    if (!spec) return options_fail(err, SOTTO_ENOMEM, "out of memory: spec");
    if (o->model)
        printf("%s\n", spec);
    else
        printf("%s\t%s\n", model, spec);
    fflush(stdout);
    fprintf(stderr, "%s: %lld bytes, WER %.2f %% on the choosing half of %s; unshrunken %.2f %%\n", model,
            (long long)d->configurations[c].file_bytes, 100 * report_wer(d, c, part), d->sets[set].name, 100 * base);
    const sotto_status st = o->directory ? write_spec(o, model, spec, err) : SOTTO_OK;
    free(spec);
    return st;
}

static sotto_status pick_all(const smallest_options *o, sotto_error *err)
{
    report_data d;
    size_t set = 0, picked = 0;
    sotto_status st = report_data_read(&d, o->database, err);
    if (st == SOTTO_OK) st = find_set(&d, o, &set, err);
    for (size_t c = 0; c < d.n_configurations && st == SOTTO_OK; c++) {
        if (!report_is_first_of_model(&d, c)) continue;
        if (o->model && strcmp(o->model, d.configurations[c].model) != 0) continue;
        st = pick(&d, o, c, set, err);
        picked++;
    }
    if (st == SOTTO_OK && !picked)
        st = options_fail(err, SOTTO_ENOTFOUND, "%s has no model %s", o->database, o->model ? o->model : "yet");
    report_data_free(&d);
    return st;
}

/* What is missing or too much; NULL when nothing is. */
static const char *wrong(const smallest_options *o)
{
    if (!o->database) return "--database FILE was expected";
    if (!o->most_bytes == (o->within < 0)) return "one of --max-bytes N and --within POINTS was expected";
    return NULL;
}

int command_study_smallest(int argc, char **argv)
{
    smallest_options o;
    options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &o}};
    options_program program = {
        .name = "sotto study smallest",
        .usage = "--database FILE (--max-bytes N | --within POINTS) [OPTION]…",
        .about = "Prints the spec that a study picks, by the half of the speakers that specs are "
                 "chosen on; with\nseveral models, a line each: name, tab, spec. Bytes and word error "
                 "rate there go to stderr.",
        .groups = groups,
        .n_groups = 1};
    sotto_error err;
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    if (wrong(&o)) {
        fprintf(stderr, "sotto study smallest: %s\nTry 'sotto study smallest --help'.\n", wrong(&o));
        options_free(&program);
        return EXIT_USAGE;
    }
    const sotto_status st = pick_all(&o, &err);
    options_free(&program);
    if (st == SOTTO_OK) return EXIT_FINE;
    fprintf(stderr, "sotto study: %s\n", err.message);
    return EXIT_SOME_FAILED;
}
