/* SPDX-License-Identifier: MIT
 * Error rates of some utterances of a set, with 95 % intervals, and their difference to the whole model's. Utterances
 * are drawn at random for both; the draws are the same in every run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "study/figures.h"

enum { SEED = 1 };

/* Counts of the utterances that belong to a part, as the library takes them. */
typedef struct counts {
    uint64_t *words, *edits, *whole_edits, *characters, *character_edits; /* [n], one block */
    size_t n;
} counts;

static bool belongs(const report_utterance *u, report_part part)
{
    if (part.condition != REPORT_NONE && u->condition != part.condition) return false;
    return part.half == REPORT_ALL || u->choose == (part.half == REPORT_CHOOSE);
}

static const report_run *finished_run(const report_data *d, size_t configuration, size_t set)
{
    if (configuration == REPORT_NONE) return NULL;
    const report_run *run = &d->configurations[configuration].runs[set];
    return run->there && run->finished && run->results ? run : NULL;
}

double report_wer(const report_data *d, size_t configuration, report_part part)
{
    const report_set *s = &d->sets[part.set];
    const report_run *run = finished_run(d, configuration, part.set);
    double words = 0, edits = 0;
    for (size_t i = 0; run && i < s->n_utterances; i++)
        if (run->results[i].there && belongs(&s->utterances[i], part)) {
            words += (double)run->results[i].words;
            edits += (double)run->results[i].word_edits;
        }
    return words > 0 ? edits / words : NAN;
}

/* ---- one score ------------------------------------------------------------------------------------------------ */

static size_t count_speakers(const report_set *s, const report_run *run, report_part part)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_utterances; i++) {
        size_t k = 0;
        if (!run->results[i].there || !belongs(&s->utterances[i], part)) continue;
        while (k < i && !(run->results[k].there && belongs(&s->utterances[k], part) &&
                          strcmp(s->utterances[k].speaker, s->utterances[i].speaker) == 0))
            k++;
        n += k == i;
    }
    return n;
}

/* False where the whole model did not hear all of it. */
static bool collect(counts *c, const report_set *set, const report_run *run, const report_run *whole, report_part part)
{
    bool paired = whole != NULL;
    for (size_t i = 0; i < set->n_utterances; i++) {
        const report_result *r = &run->results[i];
        if (!r->there || !belongs(&set->utterances[i], part)) continue;
        paired = paired && whole->results[i].there && whole->results[i].words == r->words;
        c->words[c->n] = (uint64_t)r->words;
        c->edits[c->n] = (uint64_t)r->word_edits;
        c->whole_edits[c->n] = paired ? (uint64_t)whole->results[i].word_edits : 0;
        c->characters[c->n] = (uint64_t)r->characters;
        c->character_edits[c->n++] = (uint64_t)r->character_edits;
    }
    return paired;
}

static uint64_t sum_of(const uint64_t *values, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += values[i];
    return sum;
}

static sotto_status interval_of(report_interval *out, const uint64_t *edits, const uint64_t *of, size_t n,
                                sotto_error *err)
{
    sotto_interval v;
    if (sum_of(of, n) == 0) return SOTTO_OK; /* no rate */
    const sotto_status st = sotto_score_interval(edits, of, n, SEED, &v, err);
    if (st == SOTTO_OK) *out = (report_interval){v.value, v.low, v.high};
    return st;
}

static sotto_status rates_of(report_score *s, const counts *c, bool paired, sotto_error *err)
{
    sotto_paired v;
    sotto_status st;
    if ((st = interval_of(&s->wer, c->edits, c->words, c->n, err)) != SOTTO_OK ||
        (st = interval_of(&s->cer, c->character_edits, c->characters, c->n, err)) != SOTTO_OK || !paired ||
        s->words == 0)
        return st;
    if ((st = sotto_score_paired(c->edits, c->whole_edits, c->words, c->n, SEED, &v, err)) != SOTTO_OK) return st;
    s->difference = (report_interval){v.difference, v.low, v.high};
    s->p = v.p;
    return SOTTO_OK;
}

sotto_status report_score_read(report_score *s, const report_data *d, size_t configuration, report_part part,
                               sotto_error *err)
{
    const report_interval none = {NAN, NAN, NAN};
    const report_set *set = &d->sets[part.set];
    const report_run *run = finished_run(d, configuration, part.set);
    *s = (report_score){.wer = none, .cer = none, .difference = none, .p = NAN};
    if (!run || set->n_utterances == 0) return SOTTO_OK;
    const size_t n = set->n_utterances;
    uint64_t *block = calloc(5 * n, sizeof *block);
    if (!block) return options_fail(err, SOTTO_ENOMEM, "out of memory: %s", set->name);
    counts c = {block, block + n, block + 2 * n, block + 3 * n, block + 4 * n, 0};
    const size_t whole_index = d->configurations[configuration].whole;
    const bool paired = collect(&c, set, run, finished_run(d, whole_index, part.set), part);
    s->utterances = (int64_t)c.n;
    s->words = (int64_t)sum_of(c.words, c.n);
    s->speakers = count_speakers(set, run, part);
    sotto_status st = rates_of(s, &c, paired && whole_index != configuration, err);
    if (whole_index == configuration && s->words > 0) s->difference = (report_interval){0, 0, 0};
    free(block);
    return st;
}
