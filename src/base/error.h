/* SPDX-License-Identifier: MIT
 * Filling sotto_error: every failure in the library leaves through sotto__fail, so that it names its object. */
#ifndef SOTTO_BASE_ERROR_H
#define SOTTO_BASE_ERROR_H

#include "sotto.h"

/* Fills `err` (may be NULL) with `code` and the formatted sentence; returns `code`. */
sotto_status sotto__fail(sotto_error *err, sotto_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* SOTTO_ENOMEM with the sentence "out of memory: <what>". */
sotto_status sotto__fail_nomem(sotto_error *err, const char *what);

/* Copies a caller's options struct over `to`, which holds the defaults. `from` (may be NULL) begins with its own size_t
 * size: a caller built against an older header has a shorter struct. SOTTO_EINVAL when the size is none that
 * `made_by`, the name of its *_default function, sets; `what` names the struct in the message. */
sotto_status sotto__take_options(void *to, size_t bytes, const void *from, const char *what, const char *made_by,
                                 sotto_error *err);

#endif
