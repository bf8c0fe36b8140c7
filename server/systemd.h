/* SPDX-License-Identifier: MIT
 * What a service manager and the daemon say to each other: sockets handed over (sd_listen_fds), readiness and signs of
 * life (sd_notify). The protocols alone, without libsystemd; silent where there is no such manager. */
#ifndef SOTTOD_SYSTEMD_H
#define SOTTOD_SYSTEMD_H

#include "sotto.h"

/* *fd: the listening TCP socket that this process was started with, -1 when there is none. Errors: several, or another
 * kind. Before threads start: it takes the variables out of the environment. */
sotto_status systemd_listener(int *fd, sotto_error *err);

/* "READY=1", "STOPPING=1", "WATCHDOG=1". */
void systemd_notify(const char *state);

/* Seconds between two signs of life, half of what the manager waits; 0: it does not wait for any. */
double systemd_watchdog_s(void);

#endif
