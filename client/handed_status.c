/* SPDX-License-Identifier: MIT
 * sotto jobs status: a row a job, once or until all have ended. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "handed.h"

typedef struct status_options {
    bool watch, json;
} status_options;

static const option table[] = {
    // clang-format off
    OPTION_ENTRY(status_options, FLAG, watch, "watch", 'w', "false", 0, 0, NULL, "until all have ended; a daemon that is restarted meanwhile is waited for")
    OPTION_ENTRY(status_options, FLAG, json, "json", 0, "false", 0, 0, NULL, "print a JSON array")
    // clang-format on
};

/* "[######    ]  60 %": recordings that are done or failed. */
static void print_row(const json_t *job)
{
    static const char full[] = "####################";
    enum { WIDTH = sizeof full - 1 };
    const json_t *r = json_object_get(job, "recordings");
    const int64_t total = handed_number(r, "total"), failed = handed_number(r, "failed"),
                  ended = handed_number(r, "done") + failed;
    const int filled = total > 0 ? (int)(ended * WIDTH / total) : 0;
    const time_t created = (time_t)handed_number(job, "created");
    struct tm at;
    char when[32] = "";
    if (localtime_r(&created, &at)) strftime(when, sizeof when, "%Y-%m-%d %H:%M", &at);
    printf("%-36.36s  %-7.7s  [%.*s%*s] %6lld of %-6lld %6lld failed  %6lld running  %s\n", handed_text(job, "id"),
           handed_text(job, "state"), filled, full, WIDTH - filled, "", (long long)ended, (long long)total,
           (long long)failed, (long long)handed_number(r, "running"), when);
}

typedef struct tally {
    size_t going, failed;
} tally;

static tally count(const json_t *jobs)
{
    tally t = {0};
    size_t i;
    json_t *job;
    json_array_foreach(jobs, i, job) {
        t.going += !json_object_get(job, "ended");
        t.failed += (size_t)handed_number(json_object_get(job, "recordings"), "failed");
    }
    return t;
}

/* Rows that differ from the last time; on a terminal all of them, over the old ones. */
static void print_rows(const json_t *jobs, const json_t *before)
{
    const bool terminal = isatty(STDOUT_FILENO) == 1;
    size_t i;
    json_t *job;
    if (terminal && json_array_size(before) > 0) printf("\033[%zuA\033[J", json_array_size(before));
    json_array_foreach(jobs, i, job)
        if (terminal || !json_equal(job, json_array_get(before, i))) print_row(job);
    fflush(stdout);
}

static void wait_a_second(void)
{
    for (int i = 0; i < 10 && !is_interrupted(); i++) nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

/* SOTTO_EIO: no answer, which a restart explains. */
static sotto_status look(remote **r, const work *w, const options_program *p, json_t **jobs, sotto_error *err)
{
    sotto_status st = *r ? SOTTO_OK : handed_open(r, w, err);
    *jobs = NULL;
    return st == SOTTO_OK ? handed_jobs(*r, p->arguments, p->n_arguments, jobs, err) : st;
}

static int report(const work *w, const status_options *o, const options_program *p)
{
    json_t *jobs = NULL, *before = NULL;
    remote *r = NULL;
    sotto_error err;
    tally t = {0};
    sotto_status st;
    bool waiting = false;
    do {
        st = look(&r, w, p, &jobs, &err);
        if (st == SOTTO_OK) {
            t = count(jobs);
            if (!o->json) print_rows(jobs, before);
            if (waiting) fputs("sotto jobs: the daemon is back\n", stderr);
            waiting = false;
            json_decref(before);
            before = jobs;
        } else {
            json_decref(jobs);
            /* the first answer has to come: who named a wrong address waits for nothing */
            if (!before || (st != SOTTO_EIO && st != SOTTO_ELIMIT)) break;
            if (!waiting && !is_interrupted()) fprintf(stderr, "sotto jobs: %s; waiting for it\n", err.message);
            waiting = true;
        }
        if (o->watch && (t.going || waiting)) wait_a_second();
    } while (o->watch && (t.going || waiting) && !is_interrupted());
    if (st != SOTTO_OK && !is_interrupted()) fprintf(stderr, "sotto jobs: %s\n", err.message);
    if (st == SOTTO_OK && o->json) {
        json_dumpf(before, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (st == SOTTO_OK && json_array_size(before) == 0) {
        fputs("sotto jobs: the daemon has no jobs\n", stderr);
    }
    json_decref(before);
    remote_free(r);
    return is_interrupted()             ? EXIT_INTERRUPTED
           : st != SOTTO_OK || t.failed ? EXIT_SOME_FAILED
           : t.going                    ? EXIT_NOT_DONE
                                        : EXIT_FINE;
}

int command_jobs_status(int argc, char **argv)
{
    work w = {0};
    status_options o;
    options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &o},
                              {.table = handed_access_table, .n = handed_access_count, .base = &w.options}};
    options_program program = {
        .name = "sotto jobs status",
        .usage = "[OPTION]… [JOB]…",
        .about = "Prints how far jobs are, a row each; all of them where none is named, oldest first.",
        .notes =
            "With --watch, rows are drawn over on a terminal, and printed again when they change elsewhere.\n"
            "Exit status: 0 all done, 1 some recording failed or the daemon does not answer, 2 wrong usage, 3 some\n"
            "are not done yet, 130 interrupted.",
        .groups = groups,
        .n_groups = 2,
        .takes_arguments = true};
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    interruption_catch();
    status = report(&w, &o, &program);
    options_free(&program);
    return status;
}
