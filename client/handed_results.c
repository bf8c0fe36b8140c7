/* SPDX-License-Identifier: MIT
 * sotto jobs results: the daemon's answers -> files in every format. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "handed.h"
#include "inputs.h"

static const option table[] = {
    // clang-format off
    OPTION_ENTRY(client_options, STRING, directory, "output-dir", 'o', NULL, 0, 0, "DIR", "where DIR/<name of the recording>.<format> are written")
    OPTION_ENTRY(client_options, LIST, formats, "format", 'f', "txt", 0, 0, "FORMAT,…", "txt (a line a segment), text (one line), json, verbose_json, srt, vtt, tsv; several with commas")
    // clang-format on
};

/* Every recording of the jobs, and what its files are called. */
typedef struct harvest {
    json_t *rows;
    input_list names;
} harvest;

/* "a/../../b/c.wav" -> "a/b", "c.wav": what a daemon calls a recording stays in the folder of the outputs. */
static bool add_name(input_list *list, const char *name)
{
    char *clean = malloc(strlen(name) + 16);
    size_t n = 0;
    if (!clean) return false;
    for (const char *part = name; *part;) {
        const size_t length = strcspn(part, "/");
        const bool keep = length && !(length == 1 && part[0] == '.') && !(length == 2 && memcmp(part, "..", 2) == 0);
        if (keep) {
            if (n) clean[n++] = '/';
            memcpy(clean + n, part, length);
            n += length;
        }
        part += length + (part[length] == '/');
    }
    clean[n] = '\0';
    if (!n) strcpy(clean, "recording");
    if (list->n == list->cap) {
        const size_t cap = list->cap ? 2 * list->cap : 64;
        input_entry *more = reallocarray(list->entries, cap, sizeof *more);
        if (!more) {
            free(clean);
            return false;
        }
        list->entries = more;
        list->cap = cap;
    }
    const char *slash = strrchr(clean, '/');
    char *folder = strndup(clean, slash ? (size_t)(slash - clean) : 0);
    list->entries[list->n++] = (input_entry){.path = clean, .folder = folder};
    return folder;
}

static sotto_status gather(harvest *h, remote *r, const char *const *ids, size_t n, sotto_error *err)
{
    json_t *jobs, *job;
    size_t i, k;
    sotto_status st = handed_jobs(r, ids, n, &jobs, err);
    h->rows = json_array();
    json_array_foreach(jobs, i, job) {
        json_t *whole = NULL, *row;
        if (st == SOTTO_OK && !is_interrupted()) st = handed_recordings(r, handed_text(job, "id"), &whole, err);
        json_array_foreach(json_object_get(whole, "data"), k, row) {
            json_array_append(h->rows, row);
            if (!add_name(&h->names, handed_text(row, "name")))
                st = options_fail(err, SOTTO_ENOMEM, "out of memory: names of recordings");
        }
        json_decref(whole);
    }
    json_decref(jobs);
    return st;
}

/* An answer in another format than verbose_json, which others than `sotto jobs submit` ask for, is only its text. */
static sotto_status text_only(work *w, const json_t *answer, transcripts *t, sotto_error *err)
{
    const char *text =
        json_is_string(answer) ? json_string_value(answer) : json_string_value(json_object_get(answer, "text"));
    for (size_t i = 0; i < w->n_formats; i++) {
        if (!text || (w->formats[i] != SOTTO_FORMAT_TXT && w->formats[i] != SOTTO_FORMAT_TEXT))
            return options_fail(err, SOTTO_EFORMAT,
                                "the job was not asked for verbose_json, which %s is made of; txt can be had",
                                sotto_format_name(w->formats[i]));
        const size_t n = strlen(text);
        if (asprintf(&t->texts[i], "%s%s", text, n && text[n - 1] == '\n' ? "" : "\n") < 0) {
            t->texts[i] = NULL;
            return options_fail(err, SOTTO_ENOMEM, "out of memory: text");
        }
    }
    return SOTTO_OK;
}

static sotto_status write_one(work *w, const json_t *row, const char *stem, sotto_error *err)
{
    const json_t *answer = json_object_get(row, "result");
    parsed_result parsed;
    transcripts t = {0};
    sotto_error why;
    sotto_status st;
    if (parsed_result_read(&parsed, answer, &why) == SOTTO_OK) {
        w->decode.options.word_timestamps = parsed.n_words > 0;
        st = transcripts_write(&t, w, &parsed.result, NULL, err);
        parsed_result_free(&parsed);
    } else {
        st = text_only(w, answer, &t, err);
    }
    for (size_t i = 0; i < w->n_formats && st == SOTTO_OK; i++) {
        if (w->formats[i] != SOTTO_FORMAT_VERBOSE_JSON) continue;
        sotto_string_free(t.texts[i]); /* the daemon's own document says more than can be made of it */
        if (!(t.texts[i] = json_dumps(answer, JSON_COMPACT)))
            st = options_fail(err, SOTTO_ENOMEM, "out of memory: reply");
    }
    if (st == SOTTO_OK) st = outputs_write(w, &t, stem, err);
    transcripts_free(&t);
    return st;
}

static int write_all(work *w, const harvest *h)
{
    char **stems = output_stems(&h->names);
    size_t i, failed = 0, waiting = 0, wrote = 0;
    json_t *row;
    sotto_error err;
    if (!stems) {
        fputs("sotto jobs: out of memory: names of outputs\n", stderr);
        return EXIT_SOME_FAILED;
    }
    json_array_foreach(h->rows, i, row) {
        const char *state = handed_text(row, "state"), *name = handed_text(row, "name");
        if (is_interrupted()) break;
        if (strcmp(state, "failed") == 0) {
            const char *why = handed_text(json_object_get(row, "error"), "message");
            fprintf(stderr, "sotto jobs: %s: %s\n", name, *why ? why : "the daemon gave no reason");
            failed++;
        } else if (strcmp(state, "done") != 0) {
            waiting++;
        } else if (write_one(w, row, stems[i], &err) != SOTTO_OK) {
            fprintf(stderr, "sotto jobs: %s: %s\n", name, err.message);
            failed++;
        } else {
            wrote++;
        }
    }
    fprintf(stderr, "sotto jobs: %zu of %zu recordings written", wrote, json_array_size(h->rows));
    if (waiting) fprintf(stderr, ", %zu not done yet", waiting);
    if (failed) fprintf(stderr, ", %zu failed", failed);
    fputc('\n', stderr);
    output_stems_free(stems, h->names.n);
    return is_interrupted() ? EXIT_INTERRUPTED : failed ? EXIT_SOME_FAILED : waiting ? EXIT_NOT_DONE : EXIT_FINE;
}

static int results(work *w, const char *const *ids, size_t n)
{
    harvest h = {0};
    remote *r = NULL;
    sotto_error err;
    int status = EXIT_SOME_FAILED;
    sotto_status st = handed_open(&r, w, &err);
    if (st == SOTTO_OK) st = gather(&h, r, ids, n, &err);
    if (st == SOTTO_OK && mkdir(w->options.directory, 0777) != 0 && errno != EEXIST)
        st =
            options_fail(&err, SOTTO_EIO, "the directory %s cannot be made: %s", w->options.directory, strerror(errno));
    if (st == SOTTO_OK)
        status = write_all(w, &h);
    else if (!is_interrupted())
        fprintf(stderr, "sotto jobs: %s\n", err.message);
    json_decref(h.rows);
    inputs_free(&h.names);
    remote_free(r);
    return is_interrupted() ? EXIT_INTERRUPTED : status;
}

int command_jobs_results(int argc, char **argv)
{
    work w = {0};
    sotto_error err;
    options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &w.options},
                              {.table = handed_access_table, .n = handed_access_count, .base = &w.options}};
    options_program program = {
        .name = "sotto jobs results",
        .usage = "[OPTION]… -o DIR [JOB]…",
        .about =
            "Writes what recordings became, in any format; of all jobs where none is named. Files are called as\n"
            "those of `sotto transcribe` and replaced as a whole, so that it may be run while the jobs go on, and\n"
            "again after it was interrupted. Why a recording failed goes to standard error.",
        .notes =
            "Exit status: 0 all written, 1 some recording failed, 2 wrong usage, 3 some are not done yet (the rest\n"
            "is written), 130 interrupted.",
        .groups = groups,
        .n_groups = 2,
        .takes_arguments = true};
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    sotto_status st = work_read_formats(&w, &err);
    if (st == SOTTO_OK && !w.options.directory)
        st = options_fail(&err, SOTTO_EINVAL, "--output-dir DIR was expected: where the results go");
    if (st != SOTTO_OK) {
        fprintf(stderr, "sotto jobs results: %s\nTry 'sotto jobs results --help'.\n", err.message);
        status = EXIT_USAGE;
    } else {
        interruption_catch();
        status = results(&w, program.arguments, program.n_arguments);
    }
    options_free(&program);
    return status;
}
