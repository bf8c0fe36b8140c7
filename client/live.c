/* SPDX-License-Identifier: MIT
 * sotto live: sound from a microphone or a recording into a captioner, captions to the screen and into files. The main
 * thread takes captions and draws, feed.c's thread pushes, PortAudio's captures. */
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

#include "captioner.h"
#include "captions.h"
#include "client.h"
#include "feed.h"

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
    bool server_named;
    FILE *messages; /* stderr, whatever becomes of its descriptor while the sound system is hushed */
    feed *feed;
    captioner *captioner;
    screen screen;
    caption_files files;
    bool has_begun;           /* sound has come */
    uint64_t products[RATES]; /* multiply-adds so far, at … */
    double products_s[RATES];
    size_t n_products; /* ever noted */
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
    interruption_note(); /* requests end too */
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

static captioner_state state_of(live *l)
{
    captioner_state s;
    l->captioner->kind->get_state(l->captioner, &s);
    return s;
}

static void note_products(live *l)
{
    size_t at = l->n_products++ % RATES;
    l->products[at] = state_of(l).multiply_adds;
    l->products_s[at] = now_s();
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
    const captioner_state s = state_of(l);
    char text[160];
    int cells = (int)((s.level_db + METER_DB) * METER_CELLS / METER_DB);
    cells = cells < 0 ? 0 : cells > METER_CELLS ? METER_CELLS : cells;
    double lag = s.pushed_s - s.heard_s;
    snprintf(text, sizeof text, " [%.*s%*s] %4.0f dB %s lag %.1f s  rtf %.2f  %.1f G params/s  %llu xruns ", cells,
             full, METER_CELLS - cells, "", s.level_db, s.speech ? "*" : " ", lag > 0 ? lag : 0,
             s.pushed_s > 0 ? s.hearing_s / s.pushed_s : 0, 1e-9 * products_per_second(l),
             (unsigned long long)feed_losses(l->feed));
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
    note_products(l);
    screen_caption(&l->screen, c);
    caption_files_add(&l->files, c);
}

/* Once the first sound has come: some sound systems take seconds to begin. */
static void tell_beginning(live *l)
{
    char text[400];
    if (l->has_begun || state_of(l).pushed_s <= 0) return;
    l->has_begun = true;
    snprintf(text, sizeof text, "listening to %.250s at %d Hz%s", feed_name(l->feed), feed_rate(l->feed),
             l->screen.is_terminal ? "; Ctrl-C ends" : "");
    tell(text, l);
}

static sotto_status hear(live *l, sotto_error *err)
{
    for (bool told = false;;) {
        const sotto_caption *c = NULL;
        sotto_status st = l->captioner->kind->next(l->captioner, wait_s, &c, err);
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

static sotto_status open_captioner(live *l, sotto_error *err)
{
    const live_options *o = l->options;
    char text[300];
    if (!o->local && !o->shrink) {
        sotto_status st = captioner_open_remote(&l->captioner, o, err);
        if (st == SOTTO_OK || l->server_named || st == SOTTO_ECANCELLED) return st;
        char *shown = remote_without_credentials(o->server);
        snprintf(text, sizeof text, "no daemon answers at %.200s; captioning in this process", shown ? shown : "?");
        free(shown);
        tell(text, l);
    }
    return captioner_open_local(&l->captioner, o, err);
}

/* The microphone before the model: what is said while that is read waits in its ring. */
static sotto_status open_all(live *l, sotto_error *err)
{
    const live_options *o = l->options;
    const feed_options from = {
        .device = o->device, .file = o->file, .is_fast = o->pace == LIVE_PACE_FAST, .stop = &stop};
    sotto_status st = open_captioner(l, err);
    if (st == SOTTO_OK) st = feed_open(&l->feed, &from, err);
    if (st == SOTTO_OK) st = l->captioner->kind->begin(l->captioner, feed_rate(l->feed), err);
    return st;
}

/* Sound in, captions out, until both are at their ends; of several errors the first. */
static sotto_status caption(live *l, sotto_error *err)
{
    sotto_error second;
    sotto_status st = feed_start(l->feed, l->captioner, err);
    if (st != SOTTO_OK) return st;
    if (l->screen.is_terminal) change_terminal();
    st = hear(l, err);
    atomic_store(&stop, true);
    sotto_status fed = feed_finish(l->feed, &second);
    if (st == SOTTO_OK && fed != SOTTO_OK) *err = second, st = fed;
    sotto_status finished = l->captioner->kind->finish(l->captioner, &second);
    if (st == SOTTO_OK && finished != SOTTO_OK) *err = second, st = finished;
    return st;
}

static sotto_status run(live *l, sotto_error *err)
{
    const live_options *o = l->options;
    char text[100];
    sotto_status st = open_all(l, err);
    if (st != SOTTO_OK) return st;
    caption_files_open(&l->files, o->srt, o->vtt, o->jsonl, tell, l);
    st = caption(l, err);
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

static sotto_status check(const live_options *o, bool server_named, bool device_named, sotto_error *err)
{
    if (o->shrink && server_named)
        return options_fail(err, SOTTO_EINVAL,
                            "--shrink and --server exclude one another: the daemon has its own --shrink");
    if (o->local && server_named) return options_fail(err, SOTTO_EINVAL, "--local and --server exclude one another");
    if (*o->language && !sotto_language_code(o->language))
        return options_fail(err, SOTTO_EINVAL,
                            "--language is \"%s\", but should be a language of Whisper's, as code (\"en\") or English "
                            "name (\"english\")",
                            o->language);
    if (o->file && device_named) return options_fail(err, SOTTO_EINVAL, "--from-file and --device exclude one another");
    if (o->file && !*o->file) return options_fail(err, SOTTO_EINVAL, "--from-file is empty");
    if (!o->vad || !*o->vad || strcmp(o->vad, "none") == 0)
        return options_fail(err, SOTTO_EINVAL, "live captions need a voice detector, but --vad names none");
    if (!o->file && o->pace == LIVE_PACE_FAST)
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
                 "A daemon that goes away ends it too, with status 1; what was confirmed until then is written.\n"
                 "Exit status: 0 all went well, 1 something failed or could not be written, 2 wrong usage.",
        .groups = groups,
        .n_groups = 1};
    live l = {.options = &o};
    sotto_error err;
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    bool device_named = options_origin(&program, "device") == OPTIONS_FROM_COMMAND_LINE;
    l.server_named = options_origin(&program, "server") == OPTIONS_FROM_COMMAND_LINE;
    if (check(&o, l.server_named, device_named, &err) != SOTTO_OK) {
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
    if (l.captioner) l.captioner->kind->free(l.captioner);
    feed_free(l.feed);
    options_free(&program);
    return status;
}
