/* SPDX-License-Identifier: MIT
 * The rules that make words out of alignments. */
#include "text/words.h"
#include "audio/features.h"
#include "base/error.h"
#include "token/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char prepended[] = "\"'“¿([{-";
static const char appended[] = "\"'.。,，!！?？:：”)]}、";
static const char sentence_ends[] = ".。!！?？";

static double max_of(double a, double b) { return a > b ? a : b; }
static double min_of(double a, double b) { return a < b ? a : b; }
static double duration_of(const sotto__draft_word *w) { return w->end_s - w->start_s; }

bool sotto__is_within(const char *needle, size_t n, const char *haystack)
{
    return n == 0 || memmem(haystack, strlen(haystack), needle, n) != NULL;
}

/* numpy's round(x, 2) */
static double round_2(double x) { return rint(x * 100) / 100; }

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

sotto_status sotto__timings_trim(sotto__timing *t, size_t n, const char *text, double *median_s, sotto_error *err)
{
    double *durations = calloc(n + 1, sizeof *durations), max_s;
    size_t m = 0;
    if (!durations) return sotto__fail_nomem(err, "words");
    for (size_t i = 0; i < n; i++) {
        double d = t[i].end_s - t[i].start_s;
        if (d != 0) durations[m++] = d;
    }
    qsort(durations, m, sizeof *durations, compare);
    *median_s = !m ? 0 : m % 2 ? durations[m / 2] : (durations[m / 2 - 1] + durations[m / 2]) / 2;
    *median_s = min_of(0.7, *median_s);
    max_s = *median_s * 2;
    free(durations);
    for (size_t i = 1; m && i < n; i++) {
        if (!(t[i].end_s - t[i].start_s > max_s)) continue;
        if (sotto__is_within(text + t[i].begin, t[i].end - t[i].begin, sentence_ends))
            t[i].end_s = t[i].start_s + max_s;
        else if (sotto__is_within(text + t[i - 1].begin, t[i - 1].end - t[i - 1].begin, sentence_ends))
            t[i].start_s = t[i].end_s - max_s;
    }
    return SOTTO_OK;
}

static bool is_empty(const sotto__timing *t) { return t->begin == t->end; }

/* into.text = its text and one's, or the other way round: they are neighbours, so the two ranges become one. */
static void merge(sotto__timing *into, sotto__timing *one)
{
    if (is_empty(into)) {
        into->begin = one->begin;
        into->end = one->end;
    } else if (!is_empty(one)) {
        if (one->begin < into->begin) into->begin = one->begin;
        if (one->end > into->end) into->end = one->end;
    }
    into->n_tokens += one->n_tokens;
    one->end = one->begin;
    one->n_tokens = 0;
}

void sotto__timings_merge(sotto__timing *t, size_t n, const char *text)
{
    /* opening marks (" (") join the word after them */
    for (size_t i = n - 1, j = n - 1; n && i-- > 0;) {
        const char *word = text + t[i].begin;
        size_t len = t[i].end - t[i].begin;
        bool spaced = len > 0 && word[0] == ' ';
        sotto__utf8_strip(&word, &len);
        if (spaced && sotto__is_within(word, len, prepended))
            merge(&t[j], &t[i]);
        else
            j = i;
    }
    /* closing marks join the word before them */
    for (size_t i = 0, j = 1; j < n; j++) {
        bool ends_in_space = !is_empty(&t[i]) && text[t[i].end - 1] == ' ';
        if (!ends_in_space && sotto__is_within(text + t[j].begin, t[j].end - t[j].begin, appended))
            merge(&t[i], &t[j]);
        else
            i = j;
    }
}

/* add_word_timestamps: "truncate long words at segment boundaries" */
static void settle(sotto__draft *s, sotto__draft_word *w, size_t n, double median_s, double last_speech_s)
{
    double max_s = median_s * 2;
    sotto__draft_word *first = &w[0], *second = n > 1 ? &w[1] : NULL, *last = &w[n - 1];
    /* the first words after a pause */
    if (first->end_s - last_speech_s > median_s * 4 &&
        (duration_of(first) > max_s || (second && second->end_s - first->start_s > max_s * 2))) {
        if (second && duration_of(second) > max_s)
            first->end_s = second->start_s = max_of(second->end_s / 2, second->end_s - max_s);
        first->start_s = max_of(0, first->end_s - max_s);
    }
    /* the segment's own times win over a first or last word that is too long */
    if (s->start_s < first->end_s && s->start_s - 0.5 > first->start_s)
        first->start_s = max_of(0, min_of(first->end_s - median_s, s->start_s));
    else
        s->start_s = first->start_s;
    if (s->end_s > last->start_s && s->end_s + 0.5 < last->end_s)
        last->end_s = max_of(last->start_s + median_s, s->end_s);
    else
        s->end_s = last->end_s;
}

sotto_status sotto__timings_place(const sotto__timing *t, size_t n, const char *text, double median_s, size_t seek,
                                  const size_t *n_text_tokens, double last_speech_s, sotto__drafts *d, sotto_error *err)
{
    double offset = (double)(seek * SOTTO__HOP) / (double)SOTTO__SAMPLE_RATE;
    size_t at = 0;
    d->n_words = 0;
    d->text.len = 0;
    for (size_t i = 0; i < d->n; i++) {
        sotto__draft *s = &d->items[i];
        s->first_word = d->n_words;
        for (size_t saved = 0; at < n && saved < n_text_tokens[i]; at++) {
            saved += t[at].n_tokens;
            if (is_empty(&t[at])) continue;
            if (!sotto__grow(&d->words, &d->cap_words, d->n_words + 1, sizeof *d->words))
                return sotto__fail_nomem(err, "words");
            d->words[d->n_words] = (sotto__draft_word){.begin = d->text.len,
                                                       .start_s = round_2(offset + t[at].start_s),
                                                       .end_s = round_2(offset + t[at].end_s),
                                                       .probability = t[at].probability,
                                                       .n_tokens = t[at].n_tokens};
            if (!sotto__str_append(&d->text, text + t[at].begin, t[at].end - t[at].begin))
                return sotto__fail_nomem(err, "words");
            d->words[d->n_words++].end = d->text.len;
        }
        s->n_words = d->n_words - s->first_word;
        if (!s->n_words) continue;
        settle(s, d->words + s->first_word, s->n_words, median_s, last_speech_s);
        last_speech_s = s->end_s;
    }
    return SOTTO_OK;
}
