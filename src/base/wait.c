/* SPDX-License-Identifier: MIT
 * pthread conditions on the monotonic clock. */
#include "base/wait.h"

#include <time.h>

void sotto__cond_open(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool sotto__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, double when_s)
{
    const double furthest_s = 4e9; /* beyond any uptime */
    const double until_s = when_s < furthest_s ? when_s : furthest_s;
    struct timespec until = {.tv_sec = (time_t)until_s};
    until.tv_nsec = (long)((until_s - (double)until.tv_sec) * 1e9);
    return pthread_cond_timedwait(cond, lock, &until) == 0;
}
