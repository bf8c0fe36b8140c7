/* SPDX-License-Identifier: MIT
 * Conditions that are waited for until a time of sotto__now_s()'s clock. */
#ifndef SOTTO_BASE_WAIT_H
#define SOTTO_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>

/* To be destroyed with pthread_cond_destroy. */
void sotto__cond_open(pthread_cond_t *cond);

/* pthread_cond_wait, but no longer than until `when_s`, monotonic seconds; false when that time came first. */
bool sotto__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, double when_s);

#endif
