/* SPDX-License-Identifier: MIT
 * sottod: parse, load, start, wait for a signal, drain, stop. */
#include <errno.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "log.h"
#include "server.h"
#include "systemd.h"

static const option table[] = {
#define SECTION OPTION_SECTION
#define OPTION(...) OPTION_ENTRY(config, __VA_ARGS__)
#include "options.def"
#undef OPTION
#undef SECTION
};

/* A library may have threads of its own before main runs (OpenBLAS does), and the system may give them our signals: so
 * a handler, which does its work on whichever thread it lands, and not sigwait. */
static sem_t signals; /* as many as came */
static atomic_int stops, reloads;

static void on_signal(int number)
{
    int saved = errno;
    atomic_fetch_add(number == SIGHUP ? &reloads : &stops, 1);
    sem_post(&signals);
    errno = saved;
}

static void catch_signals(void)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sem_init(&signals, 0, 0);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) sigaction(caught[i], &action, NULL);
}

/* One that has come and was not seen yet? */
static bool take_stop(void)
{
    if (atomic_load(&stops) == 0) return false;
    atomic_fetch_sub(&stops, 1);
    return true;
}

/* Until a signal, or for so many seconds (0: any time). */
static bool wait_for_signal(double seconds)
{
    const struct timespec until = clock_after_s(seconds);
    int failed;
    do failed = seconds > 0 ? sem_clockwait(&signals, CLOCK_MONOTONIC, &until) : sem_wait(&signals);
    while (failed && errno == EINTR);
    return !failed;
}

/* SIGHUP meanwhile: what can be read again is. A service manager that wants signs of life gets them. */
static void await_stop_signal(server *s)
{
    const double watchdog_s = systemd_watchdog_s();
    do {
        if (!wait_for_signal(watchdog_s) && server_lives(s)) systemd_notify("WATCHDOG=1");
        if (atomic_exchange(&reloads, 0) > 0) server_reload(s);
    } while (!take_stop());
}

/* Has one come within 50 ms? */
static bool stop_signal_soon(void) { return wait_for_signal(0.05) && take_stop(); }

/* Lets accepted requests finish, until time is up or a second signal comes. */
static void drain(server *s, const config *c)
{
    double until = clock_now_s() + c->drain_timeout;
    log_event(LOG_INFO, "drain", "requests=%zu timeout_s=%.0f", server_busy(s), c->drain_timeout);
    server_drain(s);
    while (server_busy(s) > 0 && clock_now_s() < until)
        if (stop_signal_soon()) return;
}

int main(int argc, char **argv)
{
    config c;
    static server s; /* what a thread that did not end in time still uses must outlive main() */
    sotto_error err;
    options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &c}};
    options_program program = {.name = "sottod",
                               .usage = "[OPTION]…",
                               .about = "Transcribes recordings sent over HTTP, with OpenAI's audio API.",
                               .groups = groups,
                               .n_groups = 1};
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;

    catch_signals();
    /* Writes fail, the process does not, when a client leaves or a file grows beyond ulimit -f. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
#ifdef __GLIBC__
    /* Every slot's thread allocates from an arena of its own, which would keep the largest windows it ever held: large
     * blocks go back to the system instead. */
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
#endif
    log_open((log_level)c.log, (log_form)c.log_format);
    /* The library spills features of long recordings into $TMPDIR: they belong beside the uploads. Set before any
     * thread starts. */
    if (c.spool && setenv("TMPDIR", c.spool, 1) != 0) {
        fprintf(stderr, "sottod: out of memory: TMPDIR\n");
        options_free(&program);
        return 1;
    }

    status = 1;
    if (server_start(&s, &c, &err) == SOTTO_OK) {
        char quoted[200];
        pool_state state;
        pool_get_state(s.pool, 0, &state);
        const double load_s = state.load_s;
        if (c.log_format == LOG_JSON)
            log_event(LOG_INFO, "ready", "url=%s model=%s load_s=%.3f%s%s", s.url,
                      log_quote(quoted, sizeof quoted, s.model_name), load_s, c.wyoming ? " wyoming=" : "",
                      s.wyoming_url);
        else
            fprintf(stderr, "READY %s model=%s load_s=%.3f%s%s\n", s.url, s.model_name, load_s,
                    c.wyoming ? " wyoming=" : "", s.wyoming_url);
        systemd_notify("READY=1");
        await_stop_signal(&s);
        systemd_notify("STOPPING=1");
        drain(&s, &c);
        size_t cut = server_stop(&s);
        log_event(LOG_INFO, "stop", "cut_short=%zu", cut);
        status = cut > 0;
    } else {
        fprintf(stderr, "sottod: %s\n", err.message);
    }
    options_free(&program);
    return status;
}
