/* SPDX-License-Identifier: MIT
 * sotto jobs submit: folders -> recordings -> jobs of bounded size. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "handed.h"
#include "inputs.h"

/* A job is sent in one piece: what a broken connection costs. */
enum { FILES_A_JOB = 250 };
static const uint64_t BYTES_A_JOB = 256u << 20;

typedef struct submit_options {
    bool recursive, resume;
} submit_options;

static const option table[] = {
    // clang-format off
    OPTION_ENTRY(submit_options, FLAG, recursive, "recursive", 'r', "false", 0, 0, NULL, "of folders also what lies in folders below")
    OPTION_ENTRY(submit_options, FLAG, resume, "resume", 0, "false", 0, 0, NULL, "leave out what a job of the daemon has already, by name and size")
    // clang-format on
};

static const option model_table[] = {
    // clang-format off
    OPTION_ENTRY(client_options, STRING, model, "model", 'm', NULL, 0, 0, "NAME", "one of the daemon's; default: its own")
    // clang-format on
};

typedef struct submission {
    const work *w;
    const submit_options *o;
    remote *r;
    json_t *known; /* name -> [sizes], of what the daemon has */
    input inputs[FILES_A_JOB];
    remote_file files[FILES_A_JOB];
    char *names[FILES_A_JOB];
    size_t n, sent, left_out, failed;
    uint64_t bytes;
    progress bar;
} submission;

static void complain(const char *sentence) { fprintf(stderr, "sotto jobs: %s\n", sentence); }

/* "2024/may/a.wav": where in the folder that was named. */
static char *name_of(const input_entry *e)
{
    const char *slash = strrchr(e->path, '/'), *base = strcmp(e->path, "-") == 0 ? "stdin"
                                                       : slash                   ? slash + 1
                                                                                 : e->path;
    char *name;
    return asprintf(&name, "%s%s%s", e->folder, *e->folder ? "/" : "", base) < 0 ? NULL : name;
}

static sotto_status find_known(submission *s, sotto_error *err)
{
    json_t *jobs, *job;
    size_t i, k;
    s->known = json_object();
    sotto_status st = handed_jobs(s->r, NULL, 0, &jobs, err);
    json_array_foreach(jobs, i, job) {
        json_t *whole = NULL, *one;
        if (st == SOTTO_OK) st = handed_recordings(s->r, handed_text(job, "id"), &whole, err);
        json_array_foreach(json_object_get(whole, "data"), k, one) {
            const char *name = handed_text(one, "name");
            if (strcmp(handed_text(one, "state"), "failed") == 0) continue;
            if (!json_object_get(s->known, name)) json_object_set_new(s->known, name, json_array());
            json_array_append(json_object_get(s->known, name), json_object_get(one, "bytes"));
        }
        json_decref(whole);
    }
    json_decref(jobs);
    return st;
}

static bool is_known(const submission *s, const char *name, uint64_t bytes)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(s->known, name), i, one)
        if ((uint64_t)json_integer_value(one) == bytes) return true;
    return false;
}

/* Of what was gathered. */
static void let_go(submission *s)
{
    while (s->n > 0) {
        s->n--;
        input_close(&s->inputs[s->n]);
        free(s->names[s->n]);
    }
    s->bytes = 0;
}

/* One job of what was gathered. */
static sotto_status send(submission *s, sotto_error *err)
{
    json_t *job = NULL;
    sotto_status st = SOTTO_OK;
    if (s->n > 0) {
        progress_begin(&s->bar, s->files[0].name);
        st = remote_submit(s->r, s->w, s->files, s->n, &s->bar, &job, err);
        progress_end(&s->bar);
    }
    if (job) {
        printf("%s\n", handed_text(job, "id"));
        fflush(stdout);
        s->sent += s->n;
    }
    json_decref(job);
    let_go(s);
    return st;
}

/* Gathers a recording; sends what was gathered before when there is no room for it. What cannot be opened is said. */
static sotto_status add(submission *s, const input_entry *e, sotto_error *err)
{
    input in = {.fd = -1};
    sotto_error why = {.message = "a recording cannot be examined"};
    struct stat st;
    sotto_status status = SOTTO_OK;
    if (e->trouble || input_open(&in, e->path, &why) != SOTTO_OK || stat(in.path, &st) != 0) {
        if (!is_interrupted()) complain(e->trouble ? e->trouble : why.message);
        input_close(&in);
        s->failed++;
        return SOTTO_OK;
    }
    char *name = name_of(e);
    const uint64_t bytes = (uint64_t)st.st_size;
    if (!name) {
        input_close(&in);
        return options_fail(err, SOTTO_ENOMEM, "out of memory: names of recordings");
    }
    if (s->known && is_known(s, name, bytes)) {
        s->left_out++;
        input_close(&in);
        free(name);
        return SOTTO_OK;
    }
    if (s->n == FILES_A_JOB || (s->n > 0 && s->bytes + bytes > BYTES_A_JOB)) status = send(s, err);
    if (status != SOTTO_OK) {
        input_close(&in);
        free(name);
        return status;
    }
    s->inputs[s->n] = in;
    if (in.path == in.spooled) s->inputs[s->n].path = s->inputs[s->n].spooled;
    s->names[s->n] = name;
    s->files[s->n] = (remote_file){s->inputs[s->n].path, name};
    s->bytes += bytes;
    s->n++;
    return SOTTO_OK;
}

static int submit_all(submission *s, const char *const *names, size_t n)
{
    input_list in = {0};
    sotto_error err;
    size_t below = 0;
    sotto_status st = inputs_expand(&in, names, n, &err);
    if (st == SOTTO_OK) st = handed_open(&s->r, s->w, &err);
    if (st == SOTTO_OK && s->o->resume) st = find_known(s, &err);
    for (size_t i = 0; i < in.n && st == SOTTO_OK && !is_interrupted(); i++) {
        if (*in.entries[i].folder && !s->o->recursive)
            below++;
        else
            st = add(s, &in.entries[i], &err);
    }
    if (st == SOTTO_OK && !is_interrupted()) st = send(s, &err);
    if (st != SOTTO_OK && !is_interrupted()) complain(err.message);
    if (below) fprintf(stderr, "sotto jobs: %zu recordings lie in folders below; --recursive takes them too\n", below);
    fprintf(stderr, "sotto jobs: %zu recordings were handed over", s->sent);
    if (s->left_out) fprintf(stderr, ", %zu the daemon has already", s->left_out);
    fputs(st != SOTTO_OK || is_interrupted() ? "; --resume goes on from here\n" : "\n", stderr);
    let_go(s);
    json_decref(s->known);
    remote_free(s->r);
    inputs_free(&in);
    return is_interrupted() ? EXIT_INTERRUPTED : st != SOTTO_OK || s->failed ? EXIT_SOME_FAILED : EXIT_FINE;
}

int command_jobs_submit(int argc, char **argv)
{
    work w = {0};
    submit_options o;
    options_group groups[] = {
        {.table = table, .n = sizeof table / sizeof *table, .base = &o},
        {.table = model_table, .n = sizeof model_table / sizeof *model_table, .base = &w.options},
        {.table = handed_access_table, .n = handed_access_count, .base = &w.options},
        {.table = decode_option_table,
         .n = sizeof decode_option_table / sizeof *decode_option_table,
         .base = &w.decode},
    };
    options_program program = {
        .name = "sotto jobs submit",
        .usage = "[OPTION]… FILE|FOLDER…",
        .about = "Hands recordings over to a daemon, which keeps them until they are transcribed, through crashes and\n"
                 "restarts. Prints the names of the jobs, a line each; many recordings become several jobs.",
        .notes =
            "A recording is known by its name, from the folder that was named on.\n"
            "Exit status: 0 all handed over, 1 some could not be read or sent (the others are handed over), 2 wrong\n"
            "usage, 130 interrupted.",
        .groups = groups,
        .n_groups = sizeof groups / sizeof *groups,
        .takes_arguments = true};
    decode_request_default(&w.decode);
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    if (program.n_arguments == 0) {
        fputs("sotto jobs submit: no recording was given\nTry 'sotto jobs submit --help'.\n", stderr);
        status = EXIT_USAGE;
    } else {
        submission *s = calloc(1, sizeof *s);
        interruption_catch();
        if (s) {
            s->w = &w;
            s->o = &o;
            status = submit_all(s, program.arguments, program.n_arguments);
        } else {
            complain("out of memory: recordings");
            status = EXIT_SOME_FAILED;
        }
        free(s);
    }
    options_free(&program);
    return status;
}
