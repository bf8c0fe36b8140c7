/* SPDX-License-Identifier: MIT
 * Texts are kept one after the other, NUL-terminated; words point to them once all are there. */
#include "live/captions.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

void sotto__captions_free(sotto__captions *c)
{
    free(c->words);
    sotto__str_free(&c->text);
    *c = (sotto__captions){0};
}

void sotto__captions_begin(sotto__captions *c)
{
    c->caption = (sotto_caption){0};
    c->n = c->n_confirmed = 0;
    c->text.len = 0;
}

static double larger(double a, double b) { return a > b ? a : b; }

/* Words first … end-1 of the frontier, from *after_s on. */
static sotto_status add(sotto__captions *c, const sotto__frontier *f, size_t first, size_t end, double start_s,
                        double *after_s, sotto_error *err)
{
    const sotto__hypothesis *h = &f->now;
    if (!sotto__grow(&c->words, &c->cap, c->n + (end - first), sizeof *c->words)) goto no_memory;
    for (size_t i = first; i < end; i++) {
        const sotto__heard_word *from = &h->words[i];
        const char *text = h->text.data + from->begin;
        const size_t n_text = from->end - from->begin;
        sotto_word *w = &c->words[c->n];
        if (i > first && n_text && text[0] != ' ' && sotto__same_word(text, n_text, "", 0)) {
            c->text.len--; /* punctuation goes to the word before it */
            if (!sotto__str_append(&c->text, text, n_text) || !sotto__str_append(&c->text, "", 1)) goto no_memory;
            continue;
        }
        w->start_s = larger(start_s + from->start_s, *after_s);
        w->end_s = *after_s = larger(start_s + from->end_s, w->start_s);
        w->probability = from->probability;
        if (!sotto__str_append(&c->text, text, n_text) || !sotto__str_append(&c->text, "", 1)) goto no_memory;
        c->n++;
    }
    return SOTTO_OK;
no_memory:
    return sotto__fail_nomem(err, "captions");
}

sotto_status sotto__captions_confirm(sotto__captions *c, const sotto__frontier *f, double start_s, sotto_error *err)
{
    sotto_status st = add(c, f, c->published, f->confirmed, start_s, &c->end_s, err);
    c->published = f->confirmed;
    c->n_confirmed = c->n;
    return st;
}

sotto_status sotto__captions_finish(sotto__captions *c, const sotto__frontier *f, double start_s, sotto_error *err)
{
    double after_s = c->end_s;
    const char *text;
    sotto_status st = add(c, f, f->confirmed, f->now.n, start_s, &after_s, err);
    if (st != SOTTO_OK) return st;
    text = c->text.data;
    for (size_t i = 0; i < c->n; i++) {
        c->words[i].text = text;
        text += strlen(text) + 1;
    }
    c->caption.confirmed = c->words;
    c->caption.n_confirmed = c->n_confirmed;
    c->caption.tentative = c->words ? c->words + c->n_confirmed : NULL;
    c->caption.n_tentative = c->n - c->n_confirmed;
    c->caption.language = c->language;
    return SOTTO_OK;
}
