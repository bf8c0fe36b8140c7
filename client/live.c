/* SPDX-License-Identifier: MIT
 * sotto live: sound from a microphone or a recording into a sotto_stream, captions to the screen and into files. The
 * main thread hears and draws, feed.c's thread pushes, PortAudio's captures. */
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "captions.h"
#include "client.h"
#include "feed.h"

typedef struct live_options {
#define SECTION(title)
#define OPTION OPTION_FIELD
#include "live_options.def"
#undef OPTION
#undef SECTION
} live_options;

static const option table[] = {
#define SECTION OPTION_SECTION
#define OPTION(...) OPTION_ENTRY(live_options, __VA_ARGS__)
#include "live_options.def"
#undef OPTION
#undef SECTION
};

enum { METER_CELLS = 10, METER_DB = 60, RATES = 32 };
static const double wait_s = 0.1, rate_s = 5; /* rates are those of the last seconds */

typedef struct live {
    const live_options *options;
    FILE *messages; /* stderr, whatever becomes of its descriptor while the sound system is hushed */
    feed *feed;
    sotto_model *model;
    sotto_stream *stream;
    screen screen;
    caption_files files;
    bool has_begun;           /* sound has come */
    uint64_t products[RATES]; /* multiply-adds so far, at … */
    double products_s[RATES];
    size_t n_products; /* ever noted */
    double rtf;
} live;

/* ---- signals and the terminal --------------------------------------------------------------------------------- */

static atomic_bool stop, is_changed, was_away;
static struct termios before;

static void restore_terminal(void)
{
    static const char plain[] = "\033[0m\033[?25h";
    if (!atomic_exchange(&is_changed, false)) return;
    if (write(STDOUT_FILENO, plain, sizeof plain - 1) < 0) return;
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

/* The first signal ends the capture, and what was said so far is confirmed; the second one ends the program. */
static void on_signal(int number)
{
    if (!atomic_exchange(&stop, true)) return;
    restore_terminal();
    signal(number, SIG_DFL);
    raise(number);
}

/* No cursor, and no echo of keys between the captions. Left alone when this runs in the background. */
static void change_terminal(void)
{
    if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() || tcgetattr(STDIN_FILENO, &before) != 0) return;
    struct termios quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
    atomic_store(&is_changed, true);
    tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
    if (write(STDOUT_FILENO, "\033[?25l", 6) < 0) return;
}

/* Ctrl-Z: the shell gets its terminal as it was, and nothing of what it writes there is taken for ours later. */
static void on_suspend(int number)
{
    bool changed = atomic_load(&is_changed);
    (void)number;
    restore_terminal();
    raise(SIGSTOP);
    if (changed) change_terminal();
    atomic_store(&was_away, true);
}

static void catch_signals(bool is_terminal)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    action.sa_handler = on_suspend;
    if (is_terminal) sigaction(SIGTSTP, &action, NULL);
}

/* Asked every time: SIGWINCH needs no handler then. */
static void measure_terminal(screen *s)
{
    struct winsize size;
    if (ioctl(fileno(s->to), TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row)
        screen_size(s, size.ws_col, size.ws_row);
}

static void tell(const char *text, void *user)
{
    live *l = user;
    screen_clear(&l->screen);
    fprintf(l->messages, "sotto live: %s\n", text);
    fflush(l->messages);
}

/* ---- status --------------------------------------------------------------------------------------------------- */

static void note_counts(live *l, const sotto_caption *c)
{
    uint64_t sum = 0;
    for (int p = 0; p < SOTTO_PART_COUNT; p++) sum += c->counts.multiply_adds[p];
    size_t at = l->n_products++ % RATES;
    l->products[at] = sum;
    l->products_s[at] = now_s();
    l->rtf = c->counts.audio_s > 0 ? c->counts.wall_s / c->counts.audio_s : 0;
}

/* Applications of parameters a second, since the first caption of the last seconds. */
static double products_per_second(const live *l)
{
    size_t n = l->n_products < RATES ? l->n_products : RATES, newest = (l->n_products - 1) % RATES, from = newest;
    double now = now_s();
    if (n < 2) return 0;
    for (size_t back = 1; back < n; back++) {
        size_t at = (newest + RATES - back) % RATES;
        if (now - l->products_s[at] > rate_s) break;
        from = at;
    }
    double passed = now - l->products_s[from];
    return passed > 0.2 ? (double)(l->products[newest] - l->products[from]) / passed : 0;
}

static void draw_status(live *l)
{
    static const char full[] = "##########";
    sotto_stream_state s = {.size = sizeof s};
    char text[160];
    sotto_stream_get_state(l->stream, &s);
    int cells = (int)((s.level_db + METER_DB) * METER_CELLS / METER_DB);
    cells = cells < 0 ? 0 : cells > METER_CELLS ? METER_CELLS : cells;
    double lag = s.pushed_s - s.heard_s;
    snprintf(text, sizeof text, " [%.*s%*s] %4.0f dB %s lag %.1f s  rtf %.2f  %.1f G params/s  %llu xruns ", cells,
             full, METER_CELLS - cells, "", s.level_db, s.speech ? "*" : " ", lag > 0 ? lag : 0, l->rtf,
             1e-9 * products_per_second(l), (unsigned long long)feed_losses(l->feed));
    screen_status(&l->screen, text);
}

/* ---- the session ---------------------------------------------------------------------------------------------- */

static void tell_notices(live *l)
{
    char *notice = feed_notice(l->feed), *rest = notice, *line;
    while ((line = strsep(&rest, "\n"))) tell(line, l);
    free(notice);
}

static void show(live *l, const sotto_caption *c)
{
    note_counts(l, c);
    screen_caption(&l->screen, c);
    caption_files_add(&l->files, c);
}

/* Once the first sound has come: some sound systems take seconds to begin. */
static void tell_beginning(live *l)
{
    sotto_stream_state s = {.size = sizeof s};
    char text[400];
    sotto_stream_get_state(l->stream, &s);
    if (l->has_begun || s.pushed_s <= 0) return;
    l->has_begun = true;
    snprintf(text, sizeof text, "listening to %.250s at %d Hz%s", feed_name(l->feed), feed_rate(l->feed),
             l->screen.is_terminal ? "; Ctrl-C ends" : "");
    tell(text, l);
}

static sotto_status hear(live *l, sotto_error *err)
{
    for (bool told = false;;) {
        const sotto_caption *c = NULL;
        sotto_status st = sotto_stream_next(l->stream, wait_s, &c, err);
        if (st != SOTTO_OK) return st;
        if (l->screen.is_terminal) measure_terminal(&l->screen);
        if (atomic_exchange(&was_away, false)) l->screen.drawn = 0;
        if (c) show(l, c);
        tell_beginning(l);
        tell_notices(l);
        if (l->screen.failed && !told) {
            tell("standard output cannot be written; captions go on without it", l);
            told = true;
        }
        if (c && c->last) return SOTTO_OK;
        if (l->screen.is_terminal) draw_status(l);
    }
}

static sotto_status open_model(live *l, sotto_error *err)
{
    const live_options *o = l->options;
    char *path = NULL;
    sotto_model_options mo;
    sotto_status st;
    sotto_model_options_default(&mo);
    mo.threads = (int32_t)o->threads;
    mo.precision = models_precision(o->precision);
    mo.no_cache = !o->cache;
    if ((st = models_resolve(o->model, &path, err)) == SOTTO_OK) st = sotto_model_open(&l->model, path, &mo, err);
    free(path);
    return st;
}

static sotto_status open_stream(live *l, const char *vad_path, sotto_error *err)
{
    const live_options *o = l->options;
    sotto_stream_options so;
    sotto_stream_options_default(&so);
    so.vad_path = vad_path;
    so.sample_rate = feed_rate(l->feed);
    so.task = o->task == 1 ? SOTTO_TASK_TRANSLATE : SOTTO_TASK_TRANSCRIBE;
    so.language = *o->language ? o->language : NULL;
    so.initial_prompt = *o->prompt ? o->prompt : NULL;
    so.interval_s = o->interval;
    so.every_interval = o->file && o->pace == 1;
    return sotto_stream_open(&l->stream, l->model, &so, err);
}

static sotto_status run(live *l, sotto_error *err)
{
    const live_options *o = l->options;
    feed_options from = {.device = o->device, .file = o->file, .is_fast = o->pace == 1, .stop = &stop};
    char *vad_path = NULL, text[400];
    sotto_error second;
    sotto_status st;
    /* the microphone first: what is said while the model is read waits in its ring */
    if ((st = models_resolve(o->vad, &vad_path, err)) == SOTTO_OK &&
        (st = feed_open(&l->feed, &from, err)) == SOTTO_OK && (st = open_model(l, err)) == SOTTO_OK)
        st = open_stream(l, vad_path, err);
    free(vad_path);
    if (st != SOTTO_OK) return st;
    caption_files_open(&l->files, o->srt, o->vtt, o->jsonl, tell, l);
    if ((st = feed_start(l->feed, l->stream, err)) == SOTTO_OK) {
        if (l->screen.is_terminal) change_terminal();
        st = hear(l, err);
        atomic_store(&stop, true);
        sotto_status fed = feed_finish(l->feed, &second);
        if (st == SOTTO_OK && fed != SOTTO_OK) *err = second, st = fed;
    }
    screen_close(&l->screen);
    restore_terminal();
    caption_files_close(&l->files);
    if (feed_losses(l->feed)) {
        snprintf(text, sizeof text, "sound was lost %llu times; silence stands in its place",
                 (unsigned long long)feed_losses(l->feed));
        tell(text, l);
    }
    return st;
}

static sotto_status check(const live_options *o, bool device_named, sotto_error *err)
{
    if (*o->language && !sotto_language_code(o->language))
        return options_fail(err, SOTTO_EINVAL,
                            "--language is \"%s\", but should be a language of Whisper's, as code (\"en\") or English "
                            "name (\"english\")",
                            o->language);
    if (o->file && device_named) return options_fail(err, SOTTO_EINVAL, "--from-file and --device exclude one another");
    if (o->file && !*o->file) return options_fail(err, SOTTO_EINVAL, "--from-file is empty");
    if (!o->vad || !*o->vad || strcmp(o->vad, "none") == 0)
        return options_fail(err, SOTTO_EINVAL, "live captions need a voice detector, but --vad names none");
    if (!o->file && o->pace == 1)
        return options_fail(err, SOTTO_EINVAL, "--pace fast is for recordings: name one with --from-file");
    return SOTTO_OK;
}

/* Widths of characters are told by the locale; where it is none of UTF-8, by the one that Debian always has. */
static void set_locale(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
}

int command_live(int argc, char **argv)
{
    live_options o;
    options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &o}};
    options_program program = {
        .name = "sotto live",
        .usage = "[OPTION]…",
        .about =
            "Writes what is said while it is said. On a terminal, words that may still change are dim; elsewhere a\n"
            "line is printed when a sentence or an utterance is final.",
        .notes = "Ctrl-C ends the recording and prints the rest of what was said; a second one ends at once.\n"
                 "Exit status: 0 all went well, 1 something failed or could not be written, 2 wrong usage.",
        .groups = groups,
        .n_groups = 1};
    live l = {.options = &o};
    sotto_error err;
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    bool device_named = options_origin(&program, "device") == OPTIONS_FROM_COMMAND_LINE;
    if (check(&o, device_named, &err) != SOTTO_OK) {
        fprintf(stderr, "%s: %s\nTry '%s --help'.\n", program.name, err.message, program.name);
        options_free(&program);
        return EXIT_USAGE;
    }
    const char *kind = getenv("TERM");
    int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (!(l.messages = kept >= 0 ? fdopen(kept, "w") : NULL)) l.messages = stderr;
    set_locale();
    screen_open(&l.screen, stdout, isatty(STDOUT_FILENO) == 1 && !(kind && strcmp(kind, "dumb") == 0));
    catch_signals(l.screen.is_terminal);
    sotto_status st = run(&l, &err);
    bool gave_up = st == SOTTO_ECANCELLED && atomic_load(&stop);
    if (st != SOTTO_OK && !gave_up) tell(err.message, &l);
    status = (st == SOTTO_OK || gave_up) && !l.screen.failed && !l.files.failed ? EXIT_FINE : EXIT_SOME_FAILED;
    sotto_stream_free(l.stream);
    feed_free(l.feed);
    sotto_model_free(l.model);
    options_free(&program);
    return status;
}
