/* SPDX-License-Identifier: MIT
 * Agreement and cuts. */
#include "live/frontier.h"
#include "token/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double DOUBT_S = 5, FIRST_S = 3;

void sotto__hypothesis_clear(sotto__hypothesis *h)
{
    h->tokens.len = 0;
    h->text.len = 0;
    h->n = 0;
}

void sotto__hypothesis_free(sotto__hypothesis *h)
{
    sotto__ids_free(&h->tokens);
    sotto__str_free(&h->text);
    free(h->words);
    *h = (sotto__hypothesis){0};
}

void sotto__frontier_free(sotto__frontier *f) { sotto__hypothesis_free(&f->now); }

void sotto__frontier_reset(sotto__frontier *f)
{
    sotto__hypothesis_clear(&f->now);
    f->confirmed = 0;
}

static size_t tokens_of(const sotto__frontier *f, size_t words)
{
    return words ? f->now.words[words - 1].token_end : 0;
}

const int32_t *sotto__frontier_forced(const sotto__frontier *f, size_t *n)
{
    *n = tokens_of(f, f->confirmed);
    return f->now.tokens.data;
}

const int32_t *sotto__frontier_draft(const sotto__frontier *f, size_t *n)
{
    const size_t skip = tokens_of(f, f->confirmed);
    *n = f->now.tokens.len - skip;
    return f->now.tokens.data ? f->now.tokens.data + skip : NULL;
}

/* ---- agreement ------------------------------------------------------------------------------------------------ */

/* The next letter, mark or number of the word in lower case, 0 at its end. */
static int32_t next_sign(const char **s, size_t *n)
{
    while (*n) {
        int32_t cp;
        const size_t taken = sotto__utf8_next(*s, *n, &cp, NULL);
        *s += taken;
        *n -= taken;
        if (sotto__is_word_sign(cp)) return sotto__lower(cp);
    }
    return 0;
}

bool sotto__same_word(const char *a, size_t n_a, const char *b, size_t n_b)
{
    for (;;) {
        const int32_t x = next_sign(&a, &n_a), y = next_sign(&b, &n_b);
        if (x != y) return false;
        if (!x) return true;
    }
}

static bool is_mark(const sotto__hypothesis *h, size_t i)
{
    return sotto__same_word(h->text.data + h->words[i].begin, h->words[i].end - h->words[i].begin, "", 0);
}

static bool same(const sotto__hypothesis *a, size_t i, const sotto__hypothesis *b, size_t j)
{
    const sotto__heard_word *x = &a->words[i], *y = &b->words[j];
    return sotto__same_word(a->text.data + x->begin, x->end - x->begin, b->text.data + y->begin, y->end - y->begin);
}

double sotto__frontier_wait_s(double sure_s, double probability)
{
    const double doubt = fmin(fmax(1 - probability, 0), 1);
    return sure_s + DOUBT_S * doubt * sqrt(doubt);
}

/* Words near the window's end may be cut off, and the less probable one was in either hearing, the likelier it is heard
 * otherwise with what follows. */
static bool is_settled(const sotto__heard_word *before, const sotto__heard_word *now, double length_s, double sure_s)
{
    return now->end_s <= length_s - sotto__frontier_wait_s(sure_s, fmin(before->probability, now->probability));
}

void sotto__frontier_advance(sotto__frontier *f, sotto__hypothesis *next, double length_s, double sure_s)
{
    const sotto__hypothesis before = f->now;
    const size_t had = f->confirmed;
    size_t i = f->confirmed, j = i; /* places in the one and the other */
    f->confirmed = 0;
    /* beginnings are heard wrong most: nothing before them tells what it is about */
    const bool enough = had || length_s >= FIRST_S;
    while (enough && i < before.n && j < next->n && is_settled(&before.words[i], &next->words[j], length_s, sure_s)) {
        /* punctuation comes and goes */
        if (is_mark(&before, i)) {
            i++;
        } else if (is_mark(next, j)) {
            j++;
        } else if (same(&before, i, next, j)) {
            i++;
            j++;
            f->confirmed = j;
        } else {
            break;
        }
    }
    if (f->confirmed < had) f->confirmed = had;
    f->now = *next;
    *next = before;
}

void sotto__frontier_settle(sotto__frontier *f, double until_s)
{
    while (f->confirmed < f->now.n && f->now.words[f->confirmed].end_s <= until_s) f->confirmed++;
}

void sotto__frontier_finish(sotto__frontier *f) { f->confirmed = f->now.n; }

/* ---- cutting -------------------------------------------------------------------------------------------------- */

static bool ends_sentence(const sotto__hypothesis *h, size_t i)
{
    static const char *const marks[] = {".", "?", "!", "。", "？", "！", "…"};
    const sotto__heard_word *w = &h->words[i];
    for (size_t m = 0; m < sizeof marks / sizeof *marks; m++) {
        const size_t n = strlen(marks[m]);
        if (w->end - w->begin >= n && memcmp(h->text.data + w->end - n, marks[m], n) == 0) return true;
    }
    return false;
}

sotto__cut sotto__frontier_cut(const sotto__frontier *f, bool anywhere)
{
    const sotto__hypothesis *h = &f->now;
    sotto__cut cut = {0};
    double widest = -1;
    for (size_t i = f->confirmed; i-- > 0;) {
        double gap;
        if (i + 1 >= h->n) continue; /* what comes after it is not heard yet */
        gap = h->words[i + 1].start_s - h->words[i].end_s;
        if (ends_sentence(h, i)) {
            cut.words = i + 1;
            break;
        }
        if (anywhere && gap > widest) {
            cut.words = i + 1;
            widest = gap;
        }
    }
    if (cut.words) cut.at_s = (h->words[cut.words - 1].end_s + h->words[cut.words].start_s) / 2;
    return cut;
}

void sotto__frontier_drop(sotto__frontier *f, const sotto__cut *cut)
{
    sotto__hypothesis *h = &f->now;
    const size_t tokens = tokens_of(f, cut->words), bytes = cut->words ? h->words[cut->words - 1].end : 0;
    if (!cut->words) return;
    memmove(h->tokens.data, h->tokens.data + tokens, (h->tokens.len - tokens) * sizeof *h->tokens.data);
    h->tokens.len -= tokens;
    memmove(h->text.data, h->text.data + bytes, h->text.len - bytes);
    h->text.len -= bytes;
    h->n -= cut->words;
    f->confirmed -= cut->words;
    memmove(h->words, h->words + cut->words, h->n * sizeof *h->words);
    for (size_t i = 0; i < h->n; i++) {
        sotto__heard_word *w = &h->words[i];
        w->token_end -= tokens;
        w->begin -= bytes;
        w->end -= bytes;
        w->start_s = w->start_s > cut->at_s ? w->start_s - cut->at_s : 0;
        w->end_s = w->end_s > cut->at_s ? w->end_s - cut->at_s : 0;
    }
}
