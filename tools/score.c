/* SPDX-License-Identifier: MIT
 * sotto-score: src/score by itself, for comparing with the reference. Reads records that end in a NUL byte.
 *
 *   sotto-score english | basic | plain | split | plain-split    texts; out: each normalised, ending in NUL. "plain" is
 *                                                                 BasicTextNormalizer(remove_diacritics=True)
 *   sotto-score words | characters    reference and hypothesis in turn, already normalised; out, a line a pair:
 *                                     substitutions, deletions, insertions, length of the reference
 *   sotto-score interval              as many lines of such numbers as there are, NUL after each; out: low and high
 *   sotto-score compare               such lines in turn, of the baseline and of the other; out: difference, low, high,
 *                                     improvement, p
 * The last two take RESAMPLES and SEED as further arguments. */
#include "score/score.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record {
    size_t begin, n;
};
struct input {
    sotto__str bytes;
    struct record *records;
    size_t n, cap;
};

static bool read_all(struct input *in)
{
    char block[65536];
    size_t got, begin = 0;
    while ((got = fread(block, 1, sizeof block, stdin)))
        if (!sotto__str_append(&in->bytes, block, got)) return false;
    for (size_t i = 0; i < in->bytes.len; i++) {
        if (in->bytes.data[i]) continue;
        if (!sotto__grow(&in->records, &in->cap, in->n + 1, sizeof *in->records)) return false;
        in->records[in->n++] = (struct record){begin, i - begin};
        begin = i + 1;
    }
    return !ferror(stdin) && begin == in->bytes.len;
}

static const char *text_of(const struct input *in, size_t i) { return in->bytes.data + in->records[i].begin; }

static sotto_status normalise(const struct input *in, const char *kind, sotto_error *err)
{
    const bool plain = !strncmp(kind, "plain", 5), split = strstr(kind, "split");
    sotto_status st = SOTTO_OK;
    sotto__str out = {0};
    for (size_t i = 0; i < in->n && st == SOTTO_OK; i++) {
        out.len = 0;
        st = !strcmp(kind, "english")
                 ? sotto__normalise_english(&out, text_of(in, i), in->records[i].n, err)
                 : sotto__normalise_basic(&out, text_of(in, i), in->records[i].n, plain, split, err);
        if (st == SOTTO_OK) fwrite(out.data, 1, out.len + 1, stdout);
    }
    sotto__str_free(&out);
    return st;
}

static sotto_status edits(const struct input *in, const char *kind, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    for (size_t i = 0; i + 1 < in->n && st == SOTTO_OK; i += 2) {
        sotto__edits e;
        st = (!strcmp(kind, "words") ? sotto__word_edits : sotto__character_edits)(
            &e, text_of(in, i), in->records[i].n, text_of(in, i + 1), in->records[i + 1].n, err);
        printf("%zu %zu %zu %zu\n", e.substitutions, e.deletions, e.insertions, e.reference);
    }
    return st;
}

/* Record first, first + step, … as edits; NULL where one is none. */
static sotto__edits *read_edits(const struct input *in, size_t first, size_t step)
{
    sotto__edits *all = calloc(in->n + 1, sizeof *all), *e = all;
    for (size_t i = first; all && i < in->n; i += step, e++) {
        if (sscanf(text_of(in, i), "%zu %zu %zu %zu", &e->substitutions, &e->deletions, &e->insertions,
                   &e->reference) == 4)
            continue;
        free(all);
        return NULL;
    }
    return all;
}

static sotto_status interval(const struct input *in, const sotto__resampling *how, sotto_error *err)
{
    sotto__edits *all = read_edits(in, 0, 1);
    sotto__interval out;
    const sotto_status st = all ? sotto__rate_interval(&out, all, in->n, how, err) : SOTTO_EINVAL;
    if (st == SOTTO_OK) printf("%.17g %.17g\n", out.low, out.high);
    free(all);
    return st;
}

static sotto_status compare(const struct input *in, const sotto__resampling *how, sotto_error *err)
{
    sotto__edits *a = read_edits(in, 0, 2), *b = read_edits(in, 1, 2);
    sotto__comparison c;
    const sotto_status st = a && b ? sotto__compare_systems(&c, a, b, in->n / 2, how, err) : SOTTO_EINVAL;
    if (st == SOTTO_OK)
        printf("%.17g %.17g %.17g %.17g %.17g\n", c.difference, c.interval.low, c.interval.high, c.improvement, c.p);
    free(a);
    free(b);
    return st;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    sotto__resampling how = sotto__resampling_default();
    struct input in = {0};
    sotto_error err = {0};
    sotto_status st;
    if (argc > 2) how.resamples = strtoul(argv[2], NULL, 10);
    if (argc > 3) how.seed = strtoull(argv[3], NULL, 10);
    if (!read_all(&in)) {
        fprintf(stderr, "sotto-score: cannot read standard input, or its last record has no NUL\n");
        return 1;
    }
    if (strstr(" english basic plain split plain-split ", kind) && *kind)
        st = normalise(&in, kind, &err);
    else if (!strcmp(kind, "words") || !strcmp(kind, "characters"))
        st = edits(&in, kind, &err);
    else if (!strcmp(kind, "interval"))
        st = interval(&in, &how, &err);
    else if (!strcmp(kind, "compare"))
        st = compare(&in, &how, &err);
    else
        st = SOTTO_EINVAL;
    if (st != SOTTO_OK)
        fprintf(stderr, "sotto-score: %s\n", err.message[0] ? err.message : "what is asked is in its source");
    free(in.records);
    sotto__str_free(&in.bytes);
    return st == SOTTO_OK && !fflush(stdout) ? 0 : 1;
}
