/* SPDX-License-Identifier: MIT
 * sotto study report: a study's database -> results.json, results.csv and index.html, the same numbers in each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"
#include "pages.h"
#include "study/figures.h"

/* Where the page has its data. */
static const char placeholder[] = "@RESULTS@";

enum { SCHEMA = 1, DIGITS = 10 };

typedef struct report_options {
    const char *database, *directory;
} report_options;

static const option table[] = {
    // clang-format off
    OPTION_ENTRY(report_options, STRING, database, "database", 'd', NULL, 0, 0, "FILE", "what `sotto study run` wrote")
    OPTION_ENTRY(report_options, STRING, directory, "output-dir", 'o', NULL, 0, 0, "DIR", "where index.html, results.csv and results.json go; made if it is not there")
    // clang-format on
};

static sotto_status no_memory(sotto_error *err) { return options_fail(err, SOTTO_ENOMEM, "out of memory: the report"); }

/* Everything that the page shows. */
static json_t *results_of(const report_table *t)
{
    bool ok = true;
    json_t *o = json_object(), *parts = report_parts(t, &ok), *headline = report_headline(t, &ok),
           *conditions = report_conditions(t, &ok), *sensitivity = report_sensitivity(t, &ok);
    report_put(o, "schema", json_integer(SCHEMA), &ok);
    report_put(o, "meta", json_incref(t->d->meta), &ok);
    report_put(o, "sets", report_sets(t, &ok), &ok);
    report_put(o, "rows", report_rows(t, &ok), &ok);
    report_put(o, "hypotheses", report_hypotheses(t, parts, headline, conditions, sensitivity, &ok), &ok);
    report_put(o, "question", report_question(t, parts, headline, &ok), &ok);
    report_put(o, "headline", headline, &ok);
    report_put(o, "aims", report_aims(t, &ok), &ok);
    report_put(o, "conditions", conditions, &ok);
    report_put(o, "sensitivity", sensitivity, &ok);
    report_put(o, "parts", parts, &ok);
    if (ok) return o;
    json_decref(o);
    return NULL;
}

/* JSON inside a script element: "<" could end the element, and only occurs within texts. */
static void print_inside_script(FILE *to, const char *json)
{
    for (; *json; json++)
        if (*json == '<')
            fputs("\\u003c", to);
        else
            putc(*json, to);
}

/* For free(); NULL: out of memory. */
static char *page_of(const json_t *results)
{
    const char *page = (const char *)page_study_report, *at = strstr(page, placeholder);
    char *json = json_dumps(results, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS)), *text = NULL;
    size_t size;
    FILE *to = json && at ? open_memstream(&text, &size) : NULL;
    if (to) {
        fwrite(page, 1, (size_t)(at - page), to);
        print_inside_script(to, json);
        fputs(at + sizeof placeholder - 1, to);
        const bool failed = ferror(to);
        if (fclose(to) != 0 || failed) {
            free(text);
            text = NULL;
        }
    }
    free(json);
    return text;
}

static sotto_status write_files(const json_t *results, const char *directory, sotto_error *err)
{
    char *json = json_dumps(results, JSON_INDENT(1) | JSON_REAL_PRECISION(DIGITS));
    char *csv = report_csv(json_object_get(results, "rows")), *page = page_of(results);
    sotto_status st = SOTTO_OK;
    if (!json || !csv || !page)
        st = no_memory(err);
    else if ((st = output_write_file(directory, "results", "json", json, err)) == SOTTO_OK &&
             (st = output_write_file(directory, "results", "csv", csv, err)) == SOTTO_OK)
        st = output_write_file(directory, "index", "html", page, err);
    free(json);
    free(csv);
    free(page);
    return st;
}

static sotto_status make_report(const report_options *o, sotto_error *err)
{
    report_data data;
    report_table t = {0};
    json_t *results = NULL;
    sotto_status st = report_data_read(&data, o->database, err);
    if (st == SOTTO_OK && data.n_configurations == 0)
        st = options_fail(err, SOTTO_EFORMAT, "%s has no configurations yet; `sotto study run` adds them", o->database);
    if (st == SOTTO_OK) st = report_table_make(&t, &data, err);
    if (st == SOTTO_OK && !(results = results_of(&t))) st = no_memory(err);
    if (st == SOTTO_OK && mkdir(o->directory, 0777) != 0 && errno != EEXIST)
        st = options_fail(err, SOTTO_EIO, "the directory %s cannot be made: %s", o->directory, strerror(errno));
    if (st == SOTTO_OK) st = write_files(results, o->directory, err);
    json_decref(results);
    report_table_free(&t);
    report_data_free(&data);
    return st;
}

int command_study_report(int argc, char **argv)
{
    report_options o;
    options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &o}};
    options_program program = {.name = "sotto study report",
                               .usage = "--database FILE -o DIR",
                               .about = "Makes of a study's results a page (index.html) and tables (results.csv, "
                                        "results.json).",
                               .groups = groups,
                               .n_groups = 1};
    sotto_error err;
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    if (!o.database || !o.directory) {
        fprintf(stderr, "sotto study report: %s is missing\nTry 'sotto study report --help'.\n",
                o.database ? "-o DIR" : "--database FILE");
        options_free(&program);
        return EXIT_USAGE;
    }
    const sotto_status st = make_report(&o, &err);
    options_free(&program);
    if (st == SOTTO_OK) return EXIT_FINE;
    fprintf(stderr, "sotto study report: %s\n", err.message);
    return EXIT_SOME_FAILED;
}
