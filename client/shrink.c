/* SPDX-License-Identifier: MIT
 * sotto shrink: a smaller model, as one file, and what is in it. */
#include <stdlib.h>
#include <string.h>

#include "client.h"

typedef struct shrink_options {
    const char *model, *spec, *output, *calibration;
    int64_t threads, seconds;
    bool json;
} shrink_options;

static const option table[] = {
    // clang-format off
    OPTION_ENTRY(shrink_options, STRING, model, "model", 'm', MODELS_DEFAULT, 0, 0, "NAME", "name or path of the model")
    OPTION_ENTRY(shrink_options, STRING, spec, "spec", 's', "none", 0, 0, "SPEC", "what is to be done, as in int4:g32,vocab=en:20000; see docs/SHRINKING.md")
    OPTION_ENTRY(shrink_options, STRING, output, "output", 'o', "", 0, 0, "FILE", "the file to write")
    OPTION_ENTRY(shrink_options, STRING, calibration, "calibration", 'c', "", 0, 0, "PATH", "audio, or a folder of it, for terms that measure what goes through the model")
    OPTION_ENTRY(shrink_options, INT, seconds, "calibration-seconds", 0, "300", 1, 36000, "N", "of that audio at most")
    OPTION_ENTRY(shrink_options, INT, threads, "threads", 't', "0", 0, 256, "N", "0: one a processor")
    OPTION_ENTRY(shrink_options, FLAG, json, "json", 0, "false", 0, 0, NULL, "print the report as JSON, tensor by tensor")
    // clang-format on
};

static void print_row(const char *name, const json_t *o)
{
    const double parameters = (double)json_integer_value(json_object_get(o, "parameters"));
    const double nonzero = (double)json_integer_value(json_object_get(o, "nonzero"));
    const double bits = (double)json_integer_value(json_object_get(o, "bits"));
    const json_t *bytes = json_object_get(o, "file_bytes");
    if (!bytes) bytes = json_object_get(o, "bytes");
    if (parameters > 0)
        printf("  %-24s  %11.0f  %11.0f  %6.2f  %11.0f\n", name, parameters, nonzero, bits / parameters,
               (double)json_integer_value(bytes));
}

static void print_table(const json_t *report)
{
    const char *name;
    json_t *part;
    printf("  %-24s  %11s  %11s  %6s  %11s\n", "part", "parameters", "not zero", "bits", "bytes");
    json_object_foreach(json_object_get(report, "parts"), name, part) print_row(name, part);
    print_row("all, and the file", report);
}

static sotto_status shrink(const shrink_options *o, char **report, sotto_error *err)
{
    char *path = NULL;
    sotto_shrink_options so;
    sotto_shrink_options_default(&so);
    so.threads = (int32_t)o->threads;
    so.calibration_s = (double)o->seconds;
    if (*o->calibration) so.calibration = o->calibration;
    sotto_status st = models_resolve(o->model, &path, err);
    if (st == SOTTO_OK) st = sotto_shrink(path, o->spec, &so, o->output, report, err);
    free(path);
    return st;
}

int command_shrink(int argc, char **argv)
{
    shrink_options o;
    options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &o}};
    options_program program = {.name = "sotto shrink",
                               .usage = "--spec SPEC -o FILE [OPTION]…",
                               .about =
                                   "Writes a smaller model as one file, which daemon and client open like any other "
                                   "(--model FILE), and\nprints what is left of its parameters, bits and bytes.",
                               .groups = groups,
                               .n_groups = 1};
    char *json = NULL;
    sotto_error err;
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    if (!*o.output) {
        fputs("sotto shrink: no file to write: expected -o FILE\n", stderr);
        options_free(&program);
        return EXIT_USAGE;
    }
    if (shrink(&o, &json, &err) != SOTTO_OK) {
        fprintf(stderr, "sotto shrink: %s\n", err.message);
        options_free(&program);
        return EXIT_SOME_FAILED;
    }
    options_free(&program);
    if (o.json) {
        puts(json);
    } else {
        json_t *report = json_loads(json, 0, NULL);
        if (report) print_table(report);
        json_decref(report);
    }
    sotto_string_free(json);
    return EXIT_SUCCESS;
}
