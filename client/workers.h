/* SPDX-License-Identifier: MIT
 * Numbered work on several threads whose results are taken in order. */
#ifndef SOTTO_CLIENT_WORKERS_H
#define SOTTO_CLIENT_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct workers {
    size_t n, workers;                                /* worker 0 is the calling thread */
    bool (*open)(size_t worker, void *user);          /* once a worker, on its thread; false: it takes no work */
    void (*run)(size_t worker, size_t i, void *user); /* several at the same time */
    void (*taken)(size_t i, void *user);              /* after run(i) and taken(i - 1); one at a time, on any thread */
    bool (*stopped)(void);                            /* no further work is begun */
    void *user;
} workers;

/* Returns when everything begun has been run. What comes after a gap that was left by stopping is not taken. */
void workers_run(const workers *w);

#endif
