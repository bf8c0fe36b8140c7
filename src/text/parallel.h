/* SPDX-License-Identifier: MIT
 * A recording in parts that do not depend on each other, several at once: their decoder steps share passes (model/
 * batch.h), and what comes out is put together in order. */
#ifndef SOTTO_TEXT_PARALLEL_H
#define SOTTO_TEXT_PARALLEL_H

#include "text/transcribe.h"

/* Fills `t` from n >= 1 parts, at most `width` of them at a time, each with a history of its own that begins with the
 * initial prompt. The language is the first part's, where it has to be found out. Calls options->on_progress from the
 * calling thread, in the order of the parts; counts and what was touched go to `rt`, whose cancellation ends all. */
sotto_status sotto__transcribe_parts(sotto__runtime *rt, const sotto__features *f, const sotto_options *options,
                                     const sotto__part *parts, size_t n, size_t width, sotto__transcript *t,
                                     sotto_error *err);

#endif
