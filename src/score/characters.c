/* SPDX-License-Identifier: MIT
 * Properties of characters, lines of them, lower case and grapheme clusters. */
#include "score/characters.h"
#include "token/unicode.h"

enum { MN = 1, SYMBOL = 2, WORD = 4, DIGIT = 8, SPACE = 16, CASED = 32, IGNORABLE = 64 };

/* Grapheme_Cluster_Break (UAX #29); PICTURE is Extended_Pictographic, none of which has a break property. */
enum cluster {
    GCB_OTHER,
    GCB_CR,
    GCB_LF,
    GCB_CONTROL,
    GCB_EXTEND,
    GCB_ZWJ,
    GCB_RI,
    GCB_PREPEND,
    GCB_SPACINGMARK,
    GCB_L,
    GCB_V,
    GCB_T,
    GCB_LV,
    GCB_LVT,
    GCB_PICTURE
};

static const struct kind {
    uint8_t flags, cluster, combining;
} kinds[] = {
#include "kinds.inc"
};
static const struct {
    int32_t first;
    uint8_t kind;
} ranges[] = {
#include "characters.inc"
};
static const int32_t zeros[] = {
#include "digits.inc"
};
static const struct {
    int32_t first, last, delta, step;
} lowers[] = {
#include "lower.inc"
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct kind *kind_of(int32_t cp)
{
    size_t low = 0, high = COUNT(ranges); /* the last range that begins at cp or before */
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (ranges[middle].first <= cp)
            low = middle;
        else
            high = middle;
    }
    return &kinds[ranges[low].kind];
}

bool sotto__is_word(int32_t cp)
{
    if (cp < 0x80) return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || sotto__is_figure(cp) || cp == '_';
    return kind_of(cp)->flags & WORD;
}

bool sotto__is_space(int32_t cp)
{
    if (cp < 0x80) return cp == ' ' || (cp >= 0x09 && cp <= 0x0D) || (cp >= 0x1C && cp <= 0x1F);
    return kind_of(cp)->flags & SPACE;
}

bool sotto__is_digit(int32_t cp) { return cp < 0x80 ? sotto__is_figure(cp) : (kind_of(cp)->flags & DIGIT) != 0; }
bool sotto__is_symbol(int32_t cp) { return kind_of(cp)->flags & SYMBOL; }
bool sotto__is_mark(int32_t cp) { return kind_of(cp)->flags & MN; }
int sotto__combining(int32_t cp) { return cp < 0x300 ? 0 : kind_of(cp)->combining; }

int32_t sotto__digit_of(int32_t cp)
{
    size_t i = COUNT(zeros) - 1;
    while (i > 0 && zeros[i] > cp) i--;
    return cp - zeros[i];
}

void sotto__text_read(sotto__text *t, const char *utf8, size_t n)
{
    size_t at = 0;
    t->now.len = 0;
    while (at < n && !t->no_memory) {
        int32_t cp;
        at += sotto__utf8_next(utf8 + at, n - at, &cp, NULL);
        t->no_memory = !sotto__ids_push(&t->now, cp);
    }
}

bool sotto__text_write(const sotto__text *t, sotto__str *out)
{
    if (t->no_memory || !sotto__str_append(out, "", 0)) return false;
    for (size_t i = 0; i < t->now.len; i++) {
        const uint32_t c = (uint32_t)t->now.data[i];
        const unsigned more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3; /* bytes after the first */
        static const unsigned lead[] = {0, 0xC0, 0xE0, 0xF0};
        char u[4];
        u[0] = (char)(lead[more] | c >> 6 * more);
        for (unsigned b = 1; b <= more; b++) u[b] = (char)(0x80 | (c >> 6 * (more - b) & 0x3F));
        if (!sotto__str_append(out, u, more + 1)) return false;
    }
    return true;
}

void sotto__text_put(sotto__text *t, int32_t cp)
{
    if (!t->no_memory && !sotto__ids_push(&t->next, cp)) t->no_memory = true;
}

void sotto__text_puts(sotto__text *t, const char *ascii)
{
    for (; *ascii; ascii++) sotto__text_put(t, (unsigned char)*ascii);
}

void sotto__text_copy(sotto__text *t, size_t from, size_t to)
{
    if (from < to && !t->no_memory && !sotto__ids_append(&t->next, t->now.data + from, to - from)) t->no_memory = true;
}

void sotto__text_turn(sotto__text *t)
{
    const sotto__ids made = t->next;
    t->next = t->now;
    t->now = made;
    t->next.len = 0;
}

void sotto__text_free(sotto__text *t)
{
    sotto__ids_free(&t->now);
    sotto__ids_free(&t->next);
}

bool sotto__text_has(const sotto__text *t, size_t at, const char *ascii, size_t n)
{
    if (at > t->now.len || n > t->now.len - at) return false;
    for (size_t i = 0; i < n; i++)
        if (t->now.data[at + i] != (unsigned char)ascii[i]) return false;
    return true;
}

bool sotto__text_word_at(const sotto__text *t, size_t at) { return at < t->now.len && sotto__is_word(t->now.data[at]); }
bool sotto__text_word_before(const sotto__text *t, size_t at) { return at > 0 && sotto__text_word_at(t, at - 1); }

static int32_t lower_of(int32_t cp)
{
    size_t low = 0, high = COUNT(lowers);
    if (cp < 0x80) return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (lowers[middle].first <= cp)
            low = middle;
        else
            high = middle;
    }
    if (cp < lowers[low].first || cp > lowers[low].last || (cp - lowers[low].first) % lowers[low].step) return cp;
    return cp + lowers[low].delta;
}

/* A capital sigma ends a word: a cased character before it and none after, case-ignorable ones left aside
 * (CPython's handle_capital_sigma). */
static bool is_final_sigma(const sotto__ids *s, size_t at)
{
    size_t before = at, after = at + 1;
    while (before > 0 && kind_of(s->data[before - 1])->flags & IGNORABLE) before--;
    if (!before || !(kind_of(s->data[before - 1])->flags & CASED)) return false;
    while (after < s->len && kind_of(s->data[after])->flags & IGNORABLE) after++;
    return after == s->len || !(kind_of(s->data[after])->flags & CASED);
}

void sotto__text_lower(sotto__text *t)
{
    for (size_t i = 0; i < t->now.len; i++) {
        const int32_t cp = t->now.data[i];
        if (cp == 0x130) { /* capital I with a dot, the only one whose lower case is two characters */
            sotto__text_put(t, 'i');
            sotto__text_put(t, 0x307);
        } else if (cp == 0x3A3) {
            sotto__text_put(t, is_final_sigma(&t->now, i) ? 0x3C2 : 0x3C3);
        } else {
            sotto__text_put(t, lower_of(cp));
        }
    }
    sotto__text_turn(t);
}

/* Hangul syllables stay together (UAX #29, GB6 to GB8). */
static bool is_one_syllable(enum cluster a, enum cluster b)
{
    if (a == GCB_L) return b == GCB_L || b == GCB_V || b == GCB_LV || b == GCB_LVT;
    if (a == GCB_LV || a == GCB_V) return b == GCB_V || b == GCB_T;
    return (a == GCB_LVT || a == GCB_T) && b == GCB_T;
}

static bool is_control(enum cluster c) { return c == GCB_CR || c == GCB_LF || c == GCB_CONTROL; }

/* What came before a boundary and is not seen in the two characters beside it. */
struct context {
    bool picture;     /* Extended_Pictographic Extend* */
    bool picture_zwj; /* the same and then ZWJ */
};

static void look_at(struct context *c, enum cluster one)
{
    c->picture_zwj = one == GCB_ZWJ && c->picture;
    c->picture = one == GCB_PICTURE || (one == GCB_EXTEND && c->picture);
}

/* UAX #29, GB3 to GB11, but for GB9c (Indic conjuncts). What that and GB12 and GB13 (flags) are about are marks and
 * symbols, which are blanks by then. */
static bool is_boundary(enum cluster a, enum cluster b, const struct context *c)
{
    if (a == GCB_CR && b == GCB_LF) return false;
    if (is_control(a) || is_control(b)) return true;
    if (is_one_syllable(a, b)) return false;
    if (b == GCB_EXTEND || b == GCB_ZWJ || b == GCB_SPACINGMARK || a == GCB_PREPEND) return false;
    return !(c->picture_zwj && b == GCB_PICTURE);
}

void sotto__text_graphemes(sotto__text *t)
{
    struct context context = {0};
    enum cluster last = GCB_OTHER;
    for (size_t i = 0; i < t->now.len; i++) {
        const enum cluster one = (enum cluster)kind_of(t->now.data[i])->cluster;
        if (i && is_boundary(last, one, &context)) sotto__text_put(t, ' ');
        look_at(&context, one);
        last = one;
        sotto__text_put(t, t->now.data[i]);
    }
    sotto__text_turn(t);
}
