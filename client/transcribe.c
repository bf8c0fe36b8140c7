/* SPDX-License-Identifier: MIT
 * sotto transcribe: files in, by a daemon or in this process, texts out; one file after the other, or several at a
 * time. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"
#include "inputs.h"
#include "workers.h"

static const option table[] = {
#define SECTION OPTION_SECTION
#define OPTION(...) OPTION_ENTRY(client_options, __VA_ARGS__)
#include "options.def"
#undef OPTION
#undef SECTION
};

/* ---- interruption --------------------------------------------------------------------------------------------- */

static atomic_bool interrupted;
static _Atomic(sotto_session *) targets[JOBS_MAX];
static _Thread_local size_t own_slot;

void interruption_note(void) { atomic_store(&interrupted, true); }

static void on_interrupt(int number)
{
    (void)number;
    interruption_note();
    for (size_t i = 0; i < JOBS_MAX; i++) {
        sotto_session *session = atomic_load(&targets[i]);
        if (session) sotto_session_cancel(session);
    }
}

void interruption_catch(void)
{
    /* SA_RESETHAND: the second Ctrl-C ends the program at once. No SA_RESTART: a read from a terminal returns. */
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool is_interrupted(void) { return atomic_load(&interrupted); }

void interruption_target(sotto_session *session) { atomic_store(&targets[own_slot], session); }

void interruption_slot(size_t slot) { own_slot = slot; }

/* ---- texts ---------------------------------------------------------------------------------------------------- */

void transcripts_free(transcripts *t)
{
    for (size_t i = 0; i < MAX_FORMATS; i++) sotto_string_free(t->texts[i]);
    sotto_string_free(t->report);
    free(t->told);
    *t = (transcripts){0};
}

sotto_status transcripts_write(transcripts *t, const work *w, const sotto_result *result, sotto_model *model,
                               sotto_error *err)
{
    sotto_write_options how;
    sotto_write_options_default(&how);
    how.words = w->decode.options.word_timestamps;
    for (size_t i = 0; i < w->n_formats; i++) {
        sotto_status st = sotto_result_write(result, model, w->formats[i], &how, &t->texts[i], err);
        if (st != SOTTO_OK) return st;
    }
    return SOTTO_OK;
}

static sotto_status print_text(const char *text, sotto_error *err)
{
    if (fputs(text, stdout) != EOF && fflush(stdout) == 0) return SOTTO_OK;
    return options_fail(err, SOTTO_EIO, "standard output cannot be written: %s", strerror(errno));
}

sotto_status transcripts_tell(transcripts *t, const char *text, sotto_error *err)
{
    const size_t before = t->told ? strlen(t->told) : 0, n = strlen(text);
    char *told = realloc(t->told, before + n + 1);
    if (!told) return options_fail(err, SOTTO_ENOMEM, "out of memory: text");
    memcpy(told + before, text, n + 1);
    t->told = told;
    return print_text(text, err);
}

static void end_told_line(const transcripts *t)
{
    const size_t n = t->told ? strlen(t->told) : 0;
    if (n && t->told[n - 1] != '\n' && fputs("\n", stdout) != EOF) fflush(stdout);
}

/* Of what was told while it was decoded the rest, or all again where the text came out otherwise. */
static sotto_status print_rest(const transcripts *t, sotto_error *err)
{
    const size_t n = strlen(t->told);
    if (strncmp(t->texts[0], t->told, n) == 0) return print_text(t->texts[0] + n, err);
    fputs("sotto transcribe: what was printed has changed since; the whole text follows\n", stderr);
    end_told_line(t);
    return print_text(t->texts[0], err);
}

static sotto_status print_texts(const work *w, const transcripts *t, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    if (t->told) return print_rest(t, err);
    for (size_t i = 0; i < w->n_formats && st == SOTTO_OK; i++) st = print_text(t->texts[i], err);
    return st;
}

/* ---- engine --------------------------------------------------------------------------------------------------- */

/* One of the two is open. */
typedef struct engine {
    remote *remote;
    local *local;
} engine;

static sotto_status engine_open(engine *e, const work *w, bool server_named, sotto_error *err)
{
    *e = (engine){0};
    if (!w->options.local && !w->options.shrink) {
        const remote_access access = {.api_key = w->options.api_key, .ca_file = w->options.cacert};
        sotto_status st = remote_open(&e->remote, w->options.server, &access, err);
        if (st == SOTTO_OK || server_named || is_interrupted()) return st;
        char *shown = remote_without_credentials(w->options.server);
        fprintf(stderr, "sotto transcribe: no daemon answers at %s; transcribing in this process\n",
                shown ? shown : "?");
        free(shown);
    }
    return local_open(&e->local, w, err);
}

static void engine_close(engine *e)
{
    remote_free(e->remote);
    local_free(e->local);
}

/* For another worker beside the one that has `first`. */
static sotto_status engine_join(engine *e, const engine *first, const work *w, sotto_error *err)
{
    *e = (engine){0};
    return first->local ? local_join(&e->local, first->local, err) : engine_open(e, w, true, err);
}

static void complain(const char *name, const sotto_error *err)
{
    if (!name || strstr(err->message, name))
        fprintf(stderr, "sotto transcribe: %s\n", err->message);
    else
        fprintf(stderr, "sotto transcribe: %s: %s\n", strcmp(name, "-") == 0 ? "standard input" : name, err->message);
}

/* ---- all files ------------------------------------------------------------------------------------------------ */

typedef struct outcome {
    transcripts texts;
    sotto_status status;
    sotto_error err;
    bool left_out; /* its outputs were there */
} outcome;

typedef struct run {
    const work *w;
    const input_list *in;
    char **stems;
    outcome *outcomes;
    engine engines[JOBS_MAX];
    progress all;
    size_t left_out;
    int status;
} run;

static bool join_run(size_t worker, void *user)
{
    run *r = user;
    sotto_error err;
    interruption_slot(worker);
    /* The others do the work of one that does not get an engine. */
    return worker == 0 || engine_join(&r->engines[worker], &r->engines[0], r->w, &err) == SOTTO_OK;
}

static void transcribe_entry(size_t worker, size_t i, void *user)
{
    run *r = user;
    const work *w = r->w;
    const input_entry *entry = &r->in->entries[i];
    const engine *e = &r->engines[worker];
    outcome *o = &r->outcomes[i];
    input in;
    if (entry->trouble) {
        o->status = options_fail(&o->err, SOTTO_EIO, "%s", entry->trouble);
        return;
    }
    o->left_out = w->options.resume && outputs_are_there(w, entry->path, r->stems[i]);
    if (o->left_out || (o->status = input_open(&in, entry->path, &o->err)) != SOTTO_OK) return;
    o->status = e->remote ? remote_transcribe(e->remote, w, in.path, entry->path, &o->texts, &o->err)
                          : local_transcribe(e->local, w, in.path, entry->path, &o->texts, &o->err);
    input_close(&in);
    if (o->status == SOTTO_OK && w->options.directory) o->status = outputs_write(w, &o->texts, r->stems[i], &o->err);
}

static void finish_entry(size_t i, void *user)
{
    run *r = user;
    const work *w = r->w;
    const char *name = r->in->entries[i].path;
    outcome *o = &r->outcomes[i];
    progress_end(&r->all);
    if (o->left_out)
        r->left_out++;
    else if (o->status == SOTTO_OK && !w->options.directory)
        o->status = print_texts(w, &o->texts, &o->err);
    if (o->status == SOTTO_OK && o->texts.report) print_report(stderr, name, o->texts.report);
    if (o->status == SOTTO_OK && w->options.report && !o->texts.report && !o->left_out)
        fprintf(stderr, "sotto transcribe: the daemon sent no report for %s\n", name);
    if (o->status != SOTTO_OK) end_told_line(&o->texts);
    if (o->status != SOTTO_OK && !is_interrupted()) {
        complain(name, &o->err);
        r->status = EXIT_SOME_FAILED;
    }
    transcripts_free(&o->texts);
    progress_draw(&r->all, "transcribing", (double)(i + 1), (double)r->in->n);
}

static sotto_status run_prepare(run *r, const char *const *names, size_t n, input_list *in, sotto_error *err)
{
    const char *directory = r->w->options.directory;
    sotto_status st = inputs_expand(in, names, n, err);
    if (st != SOTTO_OK) return st;
    if (!(r->stems = output_stems(in)) || !(r->outcomes = calloc(in->n + 1, sizeof *r->outcomes)))
        return options_fail(err, SOTTO_ENOMEM, "out of memory: names of outputs");
    if (directory && mkdir(directory, 0777) != 0 && errno != EEXIST)
        return options_fail(err, SOTTO_EIO, "the directory %s cannot be made: %s", directory, strerror(errno));
    return SOTTO_OK;
}

static int transcribe_all(const work *w, bool server_named, const char *const *names, size_t n)
{
    run r = {.w = w, .status = EXIT_FINE};
    input_list in = {0};
    sotto_error err;
    sotto_status st = run_prepare(&r, names, n, &in, &err);
    if (st == SOTTO_OK) st = engine_open(&r.engines[0], w, server_named, &err);
    if (st != SOTTO_OK) {
        complain(NULL, &err);
        r.status = EXIT_SOME_FAILED;
    }
    if (r.engines[0].remote || r.engines[0].local) {
        const size_t wanted = (size_t)w->options.jobs;
        r.in = &in;
        if (wanted > 1) {
            progress_begin(&r.all, "all recordings");
            progress_silence();
        }
        workers_run(&(workers){.n = in.n,
                               .workers = wanted < in.n ? wanted
                                          : in.n        ? in.n
                                                        : 1,
                               .open = join_run,
                               .run = transcribe_entry,
                               .taken = finish_entry,
                               .stopped = is_interrupted,
                               .user = &r});
        progress_end(&r.all);
    }
    if (r.left_out)
        fprintf(stderr, "sotto transcribe: %zu of %zu recordings had their outputs already\n", r.left_out, in.n);
    for (size_t i = JOBS_MAX; i-- > 0;) engine_close(&r.engines[i]);
    for (size_t i = 0; r.outcomes && i < in.n; i++) transcripts_free(&r.outcomes[i].texts);
    free(r.outcomes);
    if (r.stems) output_stems_free(r.stems, in.n);
    inputs_free(&in);
    return is_interrupted() ? EXIT_INTERRUPTED : r.status;
}

/* ---- command -------------------------------------------------------------------------------------------------- */

int command_transcribe(int argc, char **argv)
{
    work w = {0};
    sotto_error err;
    options_group groups[] = {
        {.table = table, .n = sizeof table / sizeof *table, .base = &w.options},
        {.table = decode_option_table,
         .n = sizeof decode_option_table / sizeof *decode_option_table,
         .base = &w.decode},
    };
    options_program program = {
        .name = "sotto transcribe",
        .usage = "[OPTION]… FILE|FOLDER…",
        .about = "Turns recordings (wav, flac, ogg, opus, mp3, m4a, mp4, webm, …) into text. Of a folder, all "
                 "recordings in\n"
                 "it and below are taken. `-` is standard input.",
        .notes =
            "Results go to standard output in the order of the files, or to DIR with -o, where what was in a folder "
            "below\n"
            "the one that was named is in such a folder again. Inputs that differ in\n"
            "their extension only keep it (a.wav.txt, a.mp3.txt), and inputs of one name are numbered (a.wav.2.txt).\n"
            "Exit status: 0 all files done, 1 some file failed (the others are done), 2 wrong usage, 130 interrupted.",
        .groups = groups,
        .n_groups = 2,
        .takes_arguments = true,
    };
    decode_request_default(&w.decode);
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    w.decode.options.task = w.options.task == 1 ? SOTTO_TASK_TRANSLATE : SOTTO_TASK_TRANSCRIBE;
    bool server_named = options_origin(&program, "server") == OPTIONS_FROM_COMMAND_LINE;
    sotto_status st = work_read_formats(&w, &err);
    if (st == SOTTO_OK && program.n_arguments == 0)
        st = options_fail(&err, SOTTO_EINVAL, "no file was given; `-` is standard input");
    if (st == SOTTO_OK && w.options.shrink && server_named)
        st = options_fail(&err, SOTTO_EINVAL,
                          "--shrink and --server exclude one another: the daemon has its own --shrink");
    if (st == SOTTO_OK && w.options.local && server_named)
        st = options_fail(&err, SOTTO_EINVAL, "--local and --server exclude one another");
    if (st == SOTTO_OK && w.options.stream &&
        (w.options.directory || w.options.jobs > 1 || w.n_formats != 1 || w.formats[0] != SOTTO_FORMAT_TXT))
        st = options_fail(&err, SOTTO_EINVAL,
                          "--stream prints txt of one recording after the other: it excludes --output-dir, --jobs and "
                          "other formats");
    if (st == SOTTO_OK && w.options.resume && !w.options.directory)
        st = options_fail(&err, SOTTO_EINVAL, "--resume needs --output-dir: it looks there for what is done");
    if (st != SOTTO_OK) {
        fprintf(stderr, "%s: %s\nTry '%s --help'.\n", program.name, err.message, program.name);
        status = EXIT_USAGE;
    } else {
        interruption_catch();
        status = transcribe_all(&w, server_named, program.arguments, program.n_arguments);
    }
    options_free(&program);
    return status;
}
