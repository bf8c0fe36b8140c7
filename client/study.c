/* SPDX-License-Identifier: MIT
 * sotto study: `run` measures what a plan asks for, `list` prints what was measured, `smallest` which spec that picks,
 * `report` makes a page and tables of it. */
#include <inttypes.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "study/study.h"
#include "study/store.h"

typedef struct study_options {
    const char *database;
    int64_t threads, slots;
    bool dry_run;
} study_options;

static const option run_table[] = {
    // clang-format off
    OPTION_ENTRY(study_options, STRING, database, "database", 'd', NULL, 0, 0, "FILE", "where results go; default: the plan's name with .sqlite for its extension")
    OPTION_ENTRY(study_options, INT, threads, "threads", 't', "0", 0, 256, "N", "0: one a processor")
    OPTION_ENTRY(study_options, INT, slots, "slots", 0, "8", 1, 64, "N", "utterances heard at the same time; their decoder steps are computed together")
    OPTION_ENTRY(study_options, FLAG, dry_run, "dry-run", 'n', "false", 0, 0, NULL, "list the configurations and measure nothing")
    // clang-format on
};

static const option list_table[] = {
    // clang-format off
    OPTION_ENTRY(study_options, STRING, database, "database", 'd', NULL, 0, 0, "FILE", "what `sotto study run` wrote")
    // clang-format on
};

/* ---- run -------------------------------------------------------------------------------------------------------- */

/* The option, or the plan's path with another extension. */
static char *database_path(const study_options *o, const char *plan)
{
    const char *slash = strrchr(plan, '/'), *dot = strrchr(slash ? slash : plan, '.');
    const size_t stem = dot ? (size_t)(dot - plan) : strlen(plan);
    char *path = NULL;
    if (o->database) return strdup(o->database);
    return asprintf(&path, "%.*s.sqlite", (int)stem, plan) < 0 ? NULL : path;
}

static void list_configurations(const study_plan *plan)
{
    for (size_t i = 0; i < plan->n; i++) {
        const study_configuration *c = &plan->configurations[i];
        printf("%zu of %zu  %s %s on", i + 1, plan->n, plan->models[c->model].name, c->spec);
        for (size_t k = 0; k < plan->n_sets; k++)
            if (c->sets >> k & 1) printf(" %s", plan->sets[k].name);
        putchar('\n');
    }
}

static sotto_status read_sets(study_plan *plan, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    for (size_t k = 0; k < plan->n_sets && st == SOTTO_OK; k++) st = study_set_read(&plan->sets[k], err);
    return st;
}

static sotto_status measure(study_plan *plan, const study_options *o, const char *database, size_t *failed,
                            sotto_error *err)
{
    study_store *store = NULL;
    char machine[200], *scratch = NULL;
    sotto_status st;
    study_machine(machine, (int)o->threads, (int)o->slots);
    if (asprintf(&scratch, "%s.sotto", database) < 0) return options_fail(err, SOTTO_ENOMEM, "out of memory: study");
    if ((st = study_store_open(&store, database, false, err)) == SOTTO_OK &&
        (st = study_store_halves(store, plan->sets, plan->n_sets, err)) == SOTTO_OK &&
        (st = study_halve(plan->sets, plan->n_sets, err)) == SOTTO_OK &&
        (st = study_store_begin(store, plan, machine, err)) == SOTTO_OK) {
        const study_work asked = {.plan = plan,
                                  .store = store,
                                  .scratch = scratch,
                                  .threads = (int32_t)o->threads,
                                  .slots = (int32_t)o->slots};
        st = study_run(&asked, failed, err);
    }
    study_store_close(store);
    free(scratch);
    return st;
}

static int run(const study_options *o, const char *path)
{
    study_plan plan;
    sotto_error err;
    size_t failed = 0;
    char *database = database_path(o, path);
    sotto_status st = database ? study_plan_read(&plan, path, &err) : SOTTO_ENOMEM;
    if (!database) {
        fputs("sotto study: out of memory: study\n", stderr);
        return EXIT_SOME_FAILED;
    }
    if (st == SOTTO_OK) st = read_sets(&plan, &err);
    if (st == SOTTO_OK && o->dry_run) {
        list_configurations(&plan);
    } else if (st == SOTTO_OK) {
        interruption_catch();
#ifdef __GLIBC__
        /* Each pass has threads and arenas of its own, which would keep the largest blocks that they ever held. */
        mallopt(M_MMAP_THRESHOLD, 256 << 10);
#endif
        st = measure(&plan, o, database, &failed, &err);
    }
    if (st != SOTTO_OK) fprintf(stderr, "sotto study: %s\n", err.message);
    if (st == SOTTO_OK && is_interrupted())
        fprintf(stderr, "sotto study: interrupted; the same command goes on where this one stopped\n");
    else if (st == SOTTO_OK && failed)
        fprintf(stderr, "sotto study: %zu configurations or sets failed\n", failed);
    study_plan_free(&plan);
    free(database);
    return is_interrupted() ? EXIT_INTERRUPTED : st != SOTTO_OK || failed ? EXIT_SOME_FAILED : EXIT_FINE;
}

static int command_run(int argc, char **argv)
{
    study_options o = {0};
    options_group groups[] = {{.table = run_table, .n = sizeof run_table / sizeof *run_table, .base = &o}};
    options_program program = {
        .name = "sotto study run",
        .usage = "[OPTION]… PLAN",
        .about =
            "Shrinks models as the plan says, transcribes labelled speech with each, and writes what it finds into a\n"
            "database. The same command goes on where an interrupted or killed one stopped.",
        .notes = "A plan has a keyword and its words on each line, `#` begins a comment:\n"
                 "  seed 1                     of random numbers; 0 when not given\n"
                 "  set dev speech/dev         a name, and a folder with refs.tsv: id, language, seconds, text\n"
                 "  calibration speech/some    recordings for specs that calibrate\n"
                 "  precision f32              that models are computed with; default auto\n"
                 "  decode fallback            allow higher temperatures; default greedy\n"
                 "  model tiny.en base         the specs below are for these models\n"
                 "  on dev                     and on these sets; all when not given\n"
                 "  spec none int8:g64         one or more specs; none: the model as it is\n"
                 "Paths are relative to the working directory.\n"
                 "Exit status: 0 all done, 1 something failed (the rest is done), 2 wrong usage, 130 interrupted.",
        .groups = groups,
        .n_groups = 1,
        .takes_arguments = true};
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    if (program.n_arguments == 1) {
        status = run(&o, program.arguments[0]);
    } else {
        fprintf(stderr, "sotto study run: %zu arguments; one PLAN was expected\nTry 'sotto study run --help'.\n",
                program.n_arguments);
        status = EXIT_USAGE;
    }
    options_free(&program);
    return status;
}

/* ---- list ------------------------------------------------------------------------------------------------------- */

static int command_list(int argc, char **argv)
{
    study_options o = {0};
    options_group groups[] = {{.table = list_table, .n = sizeof list_table / sizeof *list_table, .base = &o}};
    options_program program = {.name = "sotto study list",
                               .usage = "--database FILE",
                               .about =
                                   "Prints the configurations of a study and their word error rates, with 95 % "
                                   "intervals over the\nutterances, and the difference to the same model as it is.",
                               .groups = groups,
                               .n_groups = 1};
    study_store *store = NULL;
    sotto_error err;
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    if (!o.database) {
        fputs("sotto study list: --database FILE was expected\nTry 'sotto study list --help'.\n", stderr);
        options_free(&program);
        return EXIT_USAGE;
    }
    sotto_status st = study_store_open(&store, o.database, true, &err);
    if (st == SOTTO_OK) st = study_list(store, &err);
    study_store_close(store);
    options_free(&program);
    if (st != SOTTO_OK) fprintf(stderr, "sotto study: %s\n", err.message);
    return st == SOTTO_OK && fflush(stdout) == 0 ? EXIT_FINE : EXIT_SOME_FAILED;
}

/* ---- command ---------------------------------------------------------------------------------------------------- */

static const client_command commands[] = {
    {"run", command_run, "measure what a plan asks for"},
    {"list", command_list, "print what was measured"},
    {"smallest", command_study_smallest, "print the spec of the smallest or best file"},
    {"report", command_study_report, "make a page and tables of what was measured"},
};

int command_study(int argc, char **argv)
{
    return command_group("sotto study", commands, sizeof commands / sizeof *commands, "", argc, argv);
}
