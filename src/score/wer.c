/* SPDX-License-Identifier: MIT
 * Edits between two normalised texts, by words or characters (Levenshtein's distance). */
#include "score/score.h"
#include "score/characters.h"
#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The numbers of words: the same for the same word. An open hash table over words of one line of characters. */
struct words {
    const sotto__ids *line;
    struct slot {
        size_t begin, length; /* length 0: free */
        int32_t id;
    } *slots;
    size_t n_slots; /* a power of two, at least twice the words */
    int32_t used;
};

static uint64_t hash_of(const int32_t *s, size_t n)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ (uint32_t)s[i]) * 1099511628211u;
    return h ^ h >> 32;
}

static int32_t id_of(struct words *w, size_t begin, size_t length)
{
    const int32_t *s = w->line->data;
    size_t at = hash_of(s + begin, length) & (w->n_slots - 1);
    while (w->slots[at].length) {
        const struct slot *other = &w->slots[at];
        if (other->length == length && !memcmp(s + other->begin, s + begin, length * sizeof *s)) return other->id;
        at = (at + 1) & (w->n_slots - 1);
    }
    w->slots[at] = (struct slot){begin, length, w->used};
    return w->used++;
}

/* Next word of the line in [*at, end): its begin; *at is its end. They are equal when there is none. */
static size_t find_word(const sotto__ids *line, size_t *at, size_t end)
{
    size_t i = *at, begin;
    while (i < end && sotto__is_space(line->data[i])) i++;
    begin = i;
    while (i < end && !sotto__is_space(line->data[i])) i++;
    *at = i;
    return begin;
}

/* Appends the words of characters [at, end), as numbers. */
static bool number_words(struct words *w, size_t at, size_t end, sotto__ids *out)
{
    for (;;) {
        const size_t begin = find_word(w->line, &at, end);
        if (begin == at) return true;
        if (!sotto__ids_push(out, id_of(w, begin, at - begin))) return false;
    }
}

/* Appends the characters [at, end) with single blanks between words. */
static bool take_characters(const sotto__ids *line, size_t at, size_t end, sotto__ids *out)
{
    const size_t first = out->len;
    for (;;) {
        const size_t begin = find_word(line, &at, end);
        if (begin == at) return true;
        if (out->len > first && !sotto__ids_push(out, ' ')) return false;
        if (!sotto__ids_append(out, line->data + begin, at - begin)) return false;
    }
}

/* A cell of the table: edits in the upper half, substitutions among them in the lower, so that the least cell is the
 * one with the fewest edits and, of those, the fewest substitutions. */
static const uint64_t ONE_EDIT = (uint64_t)1 << 32;

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* The last cell of the table for two rows of numbers, n <= m; `row` has n + 1 cells. */
static uint64_t fill_table(const int32_t *a, size_t n, const int32_t *b, size_t m, uint64_t *row)
{
    for (size_t i = 0; i <= n; i++) row[i] = i * ONE_EDIT;
    for (size_t j = 0; j < m; j++) {
        uint64_t corner = row[0]; /* the cell above and to the left */
        row[0] += ONE_EDIT;
        for (size_t i = 0; i < n; i++) {
            const uint64_t above = row[i + 1], changed = corner + (a[i] == b[j] ? 0 : ONE_EDIT + 1);
            row[i + 1] = least(changed, least(above, row[i]) + ONE_EDIT);
            corner = above;
        }
    }
    return row[n];
}

/* Edits from `a` (n) to `b` (m). What both begin and end with costs nothing and is left out of the table. Deletions and
 * insertions follow from the substitutions: their sum is known, and their difference is n - m. */
static sotto_status count_edits(sotto__edits *out, const int32_t *a, size_t n, const int32_t *b, size_t m,
                                sotto_error *err)
{
    const size_t reference = n;
    size_t edits;
    uint64_t *row, last;
    if (n > INT32_MAX || m > INT32_MAX)
        return sotto__fail(err, SOTTO_EINVAL, "texts of %zu and %zu words are too long to compare: 2^31 are the most",
                           n, m);
    while (n && m && *a == *b) a++, b++, n--, m--;
    while (n && m && a[n - 1] == b[m - 1]) n--, m--;
    row = malloc(((n < m ? n : m) + 1) * sizeof *row);
    if (!row) return sotto__fail_nomem(err, "a row of edits");
    last = n < m ? fill_table(a, n, b, m, row) : fill_table(b, m, a, n, row);
    free(row);
    edits = (size_t)(last >> 32);
    out->substitutions = (size_t)(last & 0xFFFFFFFFu);
    out->deletions = (edits - out->substitutions + n - m) / 2;
    out->insertions = edits - out->substitutions - out->deletions;
    out->reference = reference;
    return SOTTO_OK;
}

/* Both texts as one line of characters; the reference is the first *split of them. */
static bool read_both(sotto__text *t, const char *reference, size_t n, const char *hypothesis, size_t m, size_t *split)
{
    sotto__text other = {0};
    sotto__text_read(t, reference, n);
    sotto__text_read(&other, hypothesis, m);
    *split = t->now.len;
    if (other.no_memory || !sotto__ids_append(&t->now, other.now.data, other.now.len)) t->no_memory = true;
    sotto__text_free(&other);
    return !t->no_memory;
}

static bool open_words(struct words *w, const sotto__ids *line)
{
    size_t need;
    *w = (struct words){.line = line, .n_slots = 16};
    if (!sotto__add(line->len, 2, &need))
        return false; /* at most every second character is a word: a slot each is plenty */
    while (w->n_slots < need)
        if (!sotto__mul(w->n_slots, 2, &w->n_slots)) return false;
    w->slots = calloc(w->n_slots, sizeof *w->slots);
    return w->slots;
}

sotto_status sotto__word_edits(sotto__edits *out, const char *reference, size_t reference_bytes, const char *hypothesis,
                               size_t hypothesis_bytes, sotto_error *err)
{
    sotto__text t = {0};
    sotto__ids a = {0}, b = {0};
    struct words words = {0};
    size_t split;
    sotto_status st;
    *out = (sotto__edits){0};
    if (!read_both(&t, reference, reference_bytes, hypothesis, hypothesis_bytes, &split) ||
        !open_words(&words, &t.now) || !number_words(&words, 0, split, &a) ||
        !number_words(&words, split, t.now.len, &b))
        st = sotto__fail_nomem(err, "words to compare");
    else
        st = count_edits(out, a.data, a.len, b.data, b.len, err);
    free(words.slots);
    sotto__ids_free(&a);
    sotto__ids_free(&b);
    sotto__text_free(&t);
    return st;
}

sotto_status sotto__character_edits(sotto__edits *out, const char *reference, size_t reference_bytes,
                                    const char *hypothesis, size_t hypothesis_bytes, sotto_error *err)
{
    sotto__text t = {0};
    sotto__ids a = {0}, b = {0};
    size_t split;
    sotto_status st;
    *out = (sotto__edits){0};
    if (!read_both(&t, reference, reference_bytes, hypothesis, hypothesis_bytes, &split) ||
        !take_characters(&t.now, 0, split, &a) || !take_characters(&t.now, split, t.now.len, &b))
        st = sotto__fail_nomem(err, "characters to compare");
    else
        st = count_edits(out, a.data, a.len, b.data, b.len, err);
    sotto__ids_free(&a);
    sotto__ids_free(&b);
    sotto__text_free(&t);
    return st;
}

void sotto__edits_add(sotto__edits *sum, const sotto__edits *more)
{
    sum->substitutions += more->substitutions;
    sum->deletions += more->deletions;
    sum->insertions += more->insertions;
    sum->reference += more->reference;
}

size_t sotto__edits_total(const sotto__edits *e) { return e->substitutions + e->deletions + e->insertions; }

double sotto__error_rate(const sotto__edits *e)
{
    return e->reference ? (double)sotto__edits_total(e) / (double)e->reference : (double)NAN;
}
