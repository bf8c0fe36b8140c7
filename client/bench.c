/* SPDX-License-Identifier: MIT
 * sotto bench: a model's encoder and decoder stage by stage beside what this machine can do, as a table or JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

typedef struct bench_options {
    const char *model;
    int precision;
    int64_t threads, rounds;
    bool cache, json;
} bench_options;

static const option table[] = {
    // clang-format off
    OPTION_ENTRY(bench_options, STRING, model, "model", 'm', MODELS_DEFAULT, 0, 0, "NAME", "name or path of the model")
    OPTION_ENTRY(bench_options, ENUM, precision, "precision", 0, "auto", 0, 0, MODELS_PRECISIONS, "of the weights; auto: int8")
    OPTION_ENTRY(bench_options, INT, threads, "threads", 't', "0", 0, 256, "N", "0: one a processor")
    OPTION_ENTRY(bench_options, INT, rounds, "rounds", 0, "16", 1, 1000, "N", "windows that are encoded; four times as many decoder passes. A batch of as many sequences needs as many windows")
    OPTION_ENTRY(bench_options, FLAG, cache, "cache", 0, "true", 0, 0, NULL, "keep the prepacked weights in a file beside the model")
    OPTION_ENTRY(bench_options, FLAG, json, "json", 0, "false", 0, 0, NULL, "print JSON")
    // clang-format on
};

/* The number at a path of keys, or NAN. */
static double number(const json_t *o, const char *a, const char *b)
{
    const json_t *v = json_object_get(o, a);
    if (b) v = json_object_get(v, b);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static const char *text(const json_t *o, const char *a, const char *b)
{
    const char *s = json_string_value(json_object_get(json_object_get(o, a), b));
    return s ? s : "?";
}

static void print_value(double v, int width, const char *format)
{
    char s[32] = "-";
    if (!isnan(v) && v > 0) snprintf(s, sizeof s, format, v);
    printf("  %*s", width, s);
}

static void print_row(const char *name, const json_t *o)
{
    printf("  %-16s", name);
    print_value(number(o, "calls", NULL), 5, "%.0f");
    print_value(1e3 * number(o, "seconds", NULL), 9, "%.3f");
    print_value(number(o, "gops", NULL), 7, "%.1f");
    print_value(100 * number(o, "of_peak", NULL), 6, "%.0f %%");
    print_value(1e-6 * number(o, "weight_bytes", NULL), 8, "%.2f");
    print_value(number(o, "gb_per_s", NULL), 7, "%.1f");
    print_value(100 * number(o, "of_bandwidth", NULL), 6, "%.0f %%");
    print_value(100 * number(o, "of_roofline", NULL), 8, "%.0f %%");
    putchar('\n');
}

static void print_pass(const json_t *pass)
{
    const json_t *stage;
    size_t i;
    printf(
        "\n%s: %.0f rows, best of %.0f, %.0f %% of the processors; reads of as many bytes as its weights: %.1f GB/s\n",
        json_string_value(json_object_get(pass, "name")), number(pass, "rows", NULL), number(pass, "rounds", NULL),
        100 * number(pass, "processor_share", NULL), number(pass, "bandwidth_gb_per_s", NULL));
    printf("  %-16s  %5s  %9s  %7s  %6s  %8s  %7s  %6s  %8s\n", "stage", "calls", "ms", "GOP/s", "peak", "MB", "GB/s",
           "reads", "roofline");
    json_array_foreach(json_object_get(pass, "stages"), i, stage)
        print_row(json_string_value(json_object_get(stage, "name")), stage);
    print_row("whole", pass);
}

static void print_table(const json_t *o)
{
    const json_t *ceilings = json_object_get(o, "ceilings"), *read = json_object_get(ceilings, "read"), *pass;
    size_t i;
    printf("sotto %s (%s)\n%s, %.0f threads; %s, %s, %.1f million parameters\n",
           json_string_value(json_object_get(o, "version")), json_string_value(json_object_get(o, "build")),
           text(o, "machine", "cpu"), number(json_object_get(o, "machine"), "threads", NULL), text(o, "model", "path"),
           text(o, "model", "precision"), 1e-6 * number(o, "model", "parameters"));
    printf("ceilings: f32 %.1f GOP/s on registers, %.1f in products; integers on registers: 16-bit %.1f, 8-bit "
           "%.1f; 8-bit weights %.1f in products\n",
           number(ceilings, "gops", "f32"), number(ceilings, "gops", "f32_product"), number(ceilings, "gops", "int16"),
           number(ceilings, "gops", "int8"), number(ceilings, "gops", "packed_product"));
    fputs("reads:", stdout);
    const char *key;
    json_t *one;
    json_object_foreach((json_t *)(uintptr_t)read, key, one)
        printf(" %s (%.1f MB) %.1f GB/s", key, 1e-6 * number(one, "bytes", NULL), number(one, "gb_per_s", NULL));
    putchar('\n');
    json_array_foreach(json_object_get(o, "passes"), i, pass) print_pass(pass);
    fputs("\nA multiply-add is two operations. MB: weights, keys and values; GB/s: these and activations, each value\n"
          "once a call. roofline: time at the peak or at the bandwidth, the longer one, over the time taken.\n",
          stdout);
}

static sotto_status measure(const bench_options *o, char **out, sotto_error *err)
{
    char *path = NULL;
    sotto_model *model = NULL;
    sotto_model_options mo;
    sotto_status st;
    sotto_model_options_default(&mo);
    mo.threads = (int32_t)o->threads;
    mo.precision = models_precision(o->precision);
    mo.no_cache = !o->cache;
    if ((st = models_resolve(o->model, &path, err)) == SOTTO_OK &&
        (st = sotto_model_open(&model, path, &mo, err)) == SOTTO_OK)
        st = sotto_bench_write(model, (int32_t)o->rounds, out, err);
    sotto_model_free(model);
    free(path);
    return st;
}

int command_bench(int argc, char **argv)
{
    bench_options o;
    options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &o}};
    options_program program = {.name = "sotto bench",
                               .usage = "[OPTION]…",
                               .about = "Times a model's encoder and decoder stage by stage on made-up input, beside "
                                        "the peaks and the\nbandwidth of this machine, measured on the same threads.",
                               .groups = groups,
                               .n_groups = 1};
    char *json = NULL;
    sotto_error err;
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    if (measure(&o, &json, &err) != SOTTO_OK) {
        fprintf(stderr, "sotto bench: %s\n", err.message);
        options_free(&program);
        return EXIT_SOME_FAILED;
    }
    options_free(&program);
    if (o.json) {
        fputs(json, stdout);
    } else {
        json_t *document = json_loads(json, 0, NULL);
        if (document) print_table(document);
        json_decref(document);
    }
    sotto_string_free(json);
    return fflush(stdout) == 0 ? EXIT_FINE : EXIT_SOME_FAILED;
}
