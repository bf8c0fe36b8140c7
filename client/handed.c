/* SPDX-License-Identifier: MIT
 * sotto jobs: its commands, what they share, and `cancel`. */
#include "handed.h"

#include <stdlib.h>
#include <string.h>

const option handed_access_table[] = {
    // clang-format off
    OPTION_SECTION("Daemon")
    OPTION_ENTRY(client_options, STRING, server, "server", 0, "http://127.0.0.1:8177", 0, 0, "URL", "the daemon; one that was started with --state-dir")
    OPTION_ENTRY(client_options, STRING, api_key, "api-key", 0, NULL, 0, 0, "KEY", "for a daemon that wants one; better in the environment, as other users see the command line")
    OPTION_ENTRY(client_options, STRING, cacert, "cacert", 0, NULL, 0, 0, "FILE", "certificates (PEM) that may vouch for an https daemon, instead of the system's")
    // clang-format on
};
const size_t handed_access_count = sizeof handed_access_table / sizeof *handed_access_table;

const char *handed_text(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

int64_t handed_number(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }

sotto_status handed_open(remote **out, const work *w, sotto_error *err)
{
    const remote_access access = {.api_key = w->options.api_key, .ca_file = w->options.cacert};
    return remote_open(out, w->options.server, &access, err);
}

static json_t *find(json_t *list, const char *id)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
        if (strcmp(handed_text(one, "id"), id) == 0) return one;
    return NULL;
}

sotto_status handed_jobs(remote *r, const char *const *ids, size_t n, json_t **out, sotto_error *err)
{
    json_t *whole;
    sotto_status st = remote_ask(r, "GET", "/v1/jobs", &whole, err);
    *out = json_array();
    if (st != SOTTO_OK) return st;
    json_t *list = json_object_get(whole, "data");
    for (size_t i = n ? 0 : json_array_size(list); i-- > 0;) json_array_append(*out, json_array_get(list, i));
    for (size_t i = 0; i < n && st == SOTTO_OK; i++) {
        json_t *one = find(list, ids[i]);
        if (one)
            json_array_append(*out, one);
        else
            st = options_fail(err, SOTTO_ENOTFOUND, "%s has no job \"%.100s\": it never had, or it has expired",
                              remote_url(r), ids[i]);
    }
    json_decref(whole);
    return st;
}

/* Ids go into paths; what is none is asked for by nobody. */
static bool is_id(const char *id)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return *id && strspn(id, allowed) == strlen(id) && strlen(id) < 100;
}

static sotto_status ask_of(remote *r, const char *method, const char *id, json_t **out, sotto_error *err)
{
    char path[128];
    *out = NULL;
    if (!is_id(id)) return options_fail(err, SOTTO_ENOTFOUND, "\"%.100s\" is no name of a job", id);
    snprintf(path, sizeof path, "/v1/jobs/%s", id);
    return remote_ask(r, method, path, out, err);
}

sotto_status handed_recordings(remote *r, const char *id, json_t **out, sotto_error *err)
{
    return ask_of(r, "GET", id, out, err);
}

/* ---- cancel ----------------------------------------------------------------------------------------------------- */

int command_jobs_cancel(int argc, char **argv)
{
    work w = {0};
    sotto_error err;
    remote *r = NULL;
    options_group groups[] = {{.table = handed_access_table, .n = handed_access_count, .base = &w.options}};
    options_program program = {.name = "sotto jobs cancel",
                               .usage = "[OPTION]… JOB…",
                               .about = "Ends jobs, and deletes their recordings and results at the daemon.",
                               .notes = "Exit status: 0 all of them, 1 not all, 2 wrong usage.",
                               .groups = groups,
                               .n_groups = 1,
                               .takes_arguments = true};
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    if (program.n_arguments == 0) {
        fputs("sotto jobs cancel: no job was named\nTry 'sotto jobs cancel --help'.\n", stderr);
        status = EXIT_USAGE;
    } else if (handed_open(&r, &w, &err) != SOTTO_OK) {
        fprintf(stderr, "sotto jobs: %s\n", err.message);
        status = EXIT_SOME_FAILED;
    } else {
        status = EXIT_FINE;
        for (size_t i = 0; i < program.n_arguments; i++) {
            json_t *reply;
            if (ask_of(r, "DELETE", program.arguments[i], &reply, &err) != SOTTO_OK) {
                fprintf(stderr, "sotto jobs: %s\n", err.message);
                status = EXIT_SOME_FAILED;
            }
            json_decref(reply);
        }
    }
    remote_free(r);
    options_free(&program);
    return status;
}

/* ---- command ---------------------------------------------------------------------------------------------------- */

static const client_command commands[] = {
    {"submit", command_jobs_submit, "hand over recordings and folders"},
    {"status", command_jobs_status, "how far they are"},
    {"results", command_jobs_results, "write what they became"},
    {"cancel", command_jobs_cancel, "end jobs and delete what the daemon has of them"},
};

int command_jobs(int argc, char **argv)
{
    return command_group("sotto jobs", commands, sizeof commands / sizeof *commands,
                         "Example:\n"
                         "  sotto jobs submit --recursive recordings/\n"
                         "  sotto jobs status --watch\n"
                         "  sotto jobs results -o texts -f srt,json\n\n",
                         argc, argv);
}
