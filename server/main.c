/* SPDX-License-Identifier: MIT
 * sottod: parse, load, start, wait for a signal, drain, stop. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "server.h"

static const option table[] = {
#define SECTION OPTION_SECTION
#define OPTION(...) OPTION_ENTRY(config, __VA_ARGS__)
#include "options.def"
#undef OPTION
#undef SECTION
};

/* Lets accepted requests finish, until time is up or a second signal comes. */
static void drain(server *s, const config *c, const sigset_t *signals)
{
    const struct timespec tick = {.tv_nsec = 50000000};
    double until = clock_now_s() + c->drain_timeout;
    log_event(LOG_INFO, "drain", "requests=%zu timeout_s=%.0f", server_busy(s), c->drain_timeout);
    server_drain(s);
    while (server_busy(s) > 0 && clock_now_s() < until)
        if (sigtimedwait(signals, NULL, &tick) > 0) return;
}

int main(int argc, char **argv)
{
    config c;
    server s;
    sotto_error err;
    sigset_t signals;
    int number;
    options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &c}};
    options_program program = {.name = "sottod",
                               .usage = "[OPTION]…",
                               .about = "Transcribes recordings sent over HTTP, with OpenAI's audio API.",
                               .groups = groups,
                               .n_groups = 1};
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;

    /* Blocked before any thread starts, so that only sigwait sees them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    /* Writes fail, the process does not, when a client leaves or a file grows beyond ulimit -f. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    log_open((log_level)c.log);
    /* The library spills features of long recordings into $TMPDIR: they belong beside the uploads. Set before any
     * thread starts. */
    if (c.spool && setenv("TMPDIR", c.spool, 1) != 0) {
        fprintf(stderr, "sottod: out of memory: TMPDIR\n");
        options_free(&program);
        return 1;
    }

    status = 1;
    if (server_start(&s, &c, &err) == SOTTO_OK) {
        fprintf(stderr, "READY %s model=%s load_s=%.3f\n", s.url, s.model_name, sotto_model_get_info(s.model)->load_s);
        sigwait(&signals, &number);
        drain(&s, &c, &signals);
        size_t cut = server_stop(&s);
        log_event(LOG_INFO, "stop", "cut_short=%zu", cut);
        status = cut > 0;
    } else {
        fprintf(stderr, "sottod: %s\n", err.message);
    }
    options_free(&program);
    return status;
}
