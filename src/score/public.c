/* SPDX-License-Identifier: MIT
 * The public scoring functions of sotto.h: check arguments, call down (score.h). */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "score/score.h"

sotto_status sotto_score_normalise(const char *text, const char *language, char **out, sotto_error *err)
{
    sotto__str s = {0};
    sotto_status st;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_score_normalise: out is NULL");
    *out = NULL;
    if (!text || !language) return sotto__fail(err, SOTTO_EINVAL, "sotto_score_normalise: text or language is NULL");
    if ((st = sotto__normalise(&s, text, strlen(text), language, err)) == SOTTO_OK) {
        *out = strndup(s.data ? s.data : "", s.len);
        if (!*out) st = sotto__fail_nomem(err, "normalised text");
    }
    sotto__str_free(&s);
    return st;
}

static sotto_status count_edits(const sotto__str *reference, const sotto__str *hypothesis, sotto_edits *out,
                                sotto_error *err)
{
    const char *r = reference->data ? reference->data : "", *h = hypothesis->data ? hypothesis->data : "";
    sotto__edits words, characters;
    sotto_status st;
    if ((st = sotto__word_edits(&words, r, reference->len, h, hypothesis->len, err)) != SOTTO_OK ||
        (st = sotto__character_edits(&characters, r, reference->len, h, hypothesis->len, err)) != SOTTO_OK)
        return st;
    *out = (sotto_edits){.words = words.reference,
                         .substitutions = words.substitutions,
                         .deletions = words.deletions,
                         .insertions = words.insertions,
                         .characters = characters.reference,
                         .character_edits = sotto__edits_total(&characters)};
    return SOTTO_OK;
}

sotto_status sotto_score_edits(const char *reference, const char *hypothesis, const char *language, sotto_edits *out,
                               sotto_error *err)
{
    sotto__str r = {0}, h = {0};
    sotto_status st;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_score_edits: out is NULL");
    *out = (sotto_edits){0};
    if (!reference || !hypothesis || !language)
        return sotto__fail(err, SOTTO_EINVAL, "sotto_score_edits: reference, hypothesis or language is NULL");
    if ((st = sotto__normalise(&r, reference, strlen(reference), language, err)) == SOTTO_OK &&
        (st = sotto__normalise(&h, hypothesis, strlen(hypothesis), language, err)) == SOTTO_OK)
        st = count_edits(&r, &h, out, err);
    sotto__str_free(&r);
    sotto__str_free(&h);
    return st;
}

/* Edits of utterances as score.h takes them: it sums the kinds, so all are called substitutions. NULL: no memory. */
static sotto__edits *utterances(const uint64_t *edits, const uint64_t *words, size_t n)
{
    sotto__edits *all = calloc(n ? n : 1, sizeof *all);
    for (size_t i = 0; all && i < n; i++)
        all[i] = (sotto__edits){.substitutions = (size_t)edits[i], .reference = (size_t)words[i]};
    return all;
}

sotto_status sotto_score_interval(const uint64_t *edits, const uint64_t *words, size_t n, uint64_t seed,
                                  sotto_interval *out, sotto_error *err)
{
    sotto__resampling how = sotto__resampling_default();
    sotto__interval interval;
    sotto__edits sum = {0};
    sotto_status st;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_score_interval: out is NULL");
    *out = (sotto_interval){0};
    if (!edits || !words) return sotto__fail(err, SOTTO_EINVAL, "sotto_score_interval: edits or words is NULL");
    sotto__edits *all = utterances(edits, words, n);
    if (!all) return sotto__fail_nomem(err, "edits of utterances");
    how.seed = seed;
    if ((st = sotto__rate_interval(&interval, all, n, &how, err)) == SOTTO_OK) {
        for (size_t i = 0; i < n; i++) sotto__edits_add(&sum, &all[i]);
        *out = (sotto_interval){sotto__error_rate(&sum), interval.low, interval.high};
    }
    free(all);
    return st;
}

sotto_status sotto_score_paired(const uint64_t *edits, const uint64_t *base_edits, const uint64_t *words, size_t n,
                                uint64_t seed, sotto_paired *out, sotto_error *err)
{
    sotto__resampling how = sotto__resampling_default();
    sotto__comparison c;
    sotto_status st;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_score_paired: out is NULL");
    *out = (sotto_paired){0};
    if (!edits || !base_edits || !words)
        return sotto__fail(err, SOTTO_EINVAL, "sotto_score_paired: edits, base_edits or words is NULL");
    sotto__edits *own = utterances(edits, words, n), *base = utterances(base_edits, words, n);
    how.seed = seed;
    if (!own || !base)
        st = sotto__fail_nomem(err, "edits of utterances");
    else if ((st = sotto__compare_systems(&c, base, own, n, &how, err)) == SOTTO_OK)
        *out = (sotto_paired){c.difference, c.interval.low, c.interval.high, c.p};
    free(own);
    free(base);
    return st;
}
