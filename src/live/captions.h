/* SPDX-License-Identifier: MIT
 * The caption that a hearing is shown as: words of the frontier, with owned text and times of the stream. */
#ifndef SOTTO_LIVE_CAPTIONS_H
#define SOTTO_LIVE_CAPTIONS_H

#include "live/frontier.h"

/* Zero-initialise; free with sotto__captions_free. */
typedef struct sotto__captions {
    sotto_caption caption;
    const char *language;
    size_t published; /* confirmed words of the window that captions have shown */
    double end_s;     /* of the last of them: times never go back */
    sotto_word *words;
    size_t n, cap, n_confirmed;
    sotto__str text;
} sotto__captions;

void sotto__captions_free(sotto__captions *c);

/* An empty caption. */
void sotto__captions_begin(sotto__captions *c);

/* Adds the frontier's confirmed words from c->published on; the window starts at `start_s`. Before a cut, and before
 * sotto__captions_finish. */
sotto_status sotto__captions_confirm(sotto__captions *c, const sotto__frontier *f, double start_s, sotto_error *err);

/* Adds the words that are not confirmed, and completes c->caption's arrays. */
sotto_status sotto__captions_finish(sotto__captions *c, const sotto__frontier *f, double start_s, sotto_error *err);

#endif
