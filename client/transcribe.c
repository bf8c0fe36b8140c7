/* SPDX-License-Identifier: MIT
 * sotto transcribe: files in, by a daemon or in this process, texts out; file by file. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"

static const option table[] = {
#define SECTION OPTION_SECTION
#define OPTION(...) OPTION_ENTRY(client_options, __VA_ARGS__)
#include "options.def"
#undef OPTION
#undef SECTION
};

/* ---- interruption --------------------------------------------------------------------------------------------- */

static atomic_bool interrupted;
static _Atomic(sotto_session *) target;

void interruption_note(void) { atomic_store(&interrupted, true); }

static void on_interrupt(int number)
{
    (void)number;
    interruption_note();
    sotto_session *session = atomic_load(&target);
    if (session) sotto_session_cancel(session);
}

void interruption_catch(void)
{
    /* SA_RESETHAND: the second Ctrl-C ends the program at once. No SA_RESTART: a read from a terminal returns. */
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool is_interrupted(void) { return atomic_load(&interrupted); }

void interruption_target(sotto_session *session) { atomic_store(&target, session); }

/* ---- texts ---------------------------------------------------------------------------------------------------- */

void transcripts_free(transcripts *t)
{
    for (size_t i = 0; i < MAX_FORMATS; i++) sotto_string_free(t->texts[i]);
    sotto_string_free(t->report);
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

static sotto_status deliver(const work *w, const transcripts *t, const char *stem, sotto_error *err)
{
    const char *directory = w->options.directory;
    for (size_t i = 0; i < w->n_formats; i++) {
        sotto_status st = SOTTO_OK;
        if (directory)
            st = output_write_file(directory, stem, output_extension(w, w->formats[i]), t->texts[i], err);
        else if (fputs(t->texts[i], stdout) == EOF || fflush(stdout) != 0)
            st = options_fail(err, SOTTO_EIO, "standard output cannot be written: %s", strerror(errno));
        if (st != SOTTO_OK) return st;
    }
    return SOTTO_OK;
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
        fprintf(stderr, "sotto transcribe: no daemon answers at %s; transcribing in this process\n", w->options.server);
    }
    return local_open(&e->local, w, err);
}

static void engine_close(engine *e)
{
    remote_free(e->remote);
    local_free(e->local);
}

static sotto_status transcribe_one(const engine *e, const work *w, const char *name, const char *stem, sotto_error *err)
{
    input in;
    transcripts t = {0};
    sotto_status st = input_open(&in, name, err);
    if (st != SOTTO_OK) return st;
    st = e->remote ? remote_transcribe(e->remote, w, in.path, name, &t, err)
                   : local_transcribe(e->local, w, in.path, name, &t, err);
    if (st == SOTTO_OK) st = deliver(w, &t, stem, err);
    if (st == SOTTO_OK && t.report) print_report(stderr, name, t.report);
    if (st == SOTTO_OK && w->options.report && !t.report)
        fprintf(stderr, "sotto transcribe: the daemon sent no report for %s\n", name);
    transcripts_free(&t);
    input_close(&in);
    return st;
}

static void complain(const char *name, const sotto_error *err)
{
    if (!name || strstr(err->message, name))
        fprintf(stderr, "sotto transcribe: %s\n", err->message);
    else
        fprintf(stderr, "sotto transcribe: %s: %s\n", strcmp(name, "-") == 0 ? "standard input" : name, err->message);
}

static int transcribe_all(const work *w, bool server_named, const char *const *names, size_t n)
{
    engine e;
    sotto_error err;
    int status = EXIT_FINE;
    char **stems = output_stems(names, n);
    if (!stems) options_fail(&err, SOTTO_ENOMEM, "out of memory: names of outputs");
    if (stems && w->options.directory && mkdir(w->options.directory, 0777) != 0 && errno != EEXIST) {
        options_fail(&err, SOTTO_EIO, "the directory %s cannot be made: %s", w->options.directory, strerror(errno));
        output_stems_free(stems, n);
        stems = NULL;
    }
    if (!stems) {
        complain(NULL, &err);
        return EXIT_SOME_FAILED;
    }
    if (engine_open(&e, w, server_named, &err) != SOTTO_OK) {
        complain(NULL, &err);
        status = EXIT_SOME_FAILED;
    }
    bool is_open = e.remote || e.local;
    for (size_t i = 0; i < n && is_open && !is_interrupted(); i++)
        if (transcribe_one(&e, w, names[i], stems[i], &err) != SOTTO_OK && !is_interrupted()) {
            complain(names[i], &err);
            status = EXIT_SOME_FAILED;
        }
    engine_close(&e);
    output_stems_free(stems, n);
    return is_interrupted() ? EXIT_INTERRUPTED : status;
}

/* ---- command -------------------------------------------------------------------------------------------------- */

static sotto_status read_formats(work *w, sotto_error *err)
{
    for (size_t i = 0; i < w->options.formats.n; i++) {
        const char *name = w->options.formats.items[i];
        sotto_format format;
        bool again = false;
        if (!sotto_format_parse(name, &format))
            return options_fail(err, SOTTO_EINVAL,
                                "there is no format \"%s\"; choose among txt, text, json, verbose_json, srt, vtt, tsv",
                                name);
        for (size_t k = 0; k < w->n_formats; k++) again |= w->formats[k] == format;
        if (!again) w->formats[w->n_formats++] = format;
    }
    return SOTTO_OK;
}

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
        .usage = "[OPTION]… FILE…",
        .about = "Turns recordings (wav, flac, ogg, opus, mp3, m4a, mp4, webm, …) into text. `-` is standard input.",
        .notes =
            "Results go to standard output in the order of the files, or to DIR with -o. There, inputs that differ in\n"
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
    sotto_status st = read_formats(&w, &err);
    if (st == SOTTO_OK && program.n_arguments == 0)
        st = options_fail(&err, SOTTO_EINVAL, "no file was given; `-` is standard input");
    if (st == SOTTO_OK && w.options.shrink && server_named)
        st = options_fail(&err, SOTTO_EINVAL,
                          "--shrink and --server exclude one another: the daemon has its own --shrink");
    if (st == SOTTO_OK && w.options.local && server_named)
        st = options_fail(&err, SOTTO_EINVAL, "--local and --server exclude one another");
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
