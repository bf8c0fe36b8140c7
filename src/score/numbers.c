/* SPDX-License-Identifier: MIT
 * openai-whisper's EnglishNumberNormalizer (whisper/normalizers/english.py): preprocess, process_words, postprocess.
 *
 * Its `value` is None, an int or a str. Here it is a row of characters and a flag that says "int", which then is plain
 * decimal digits without leading zeros, so that no number is too large. */
#include "score/normalise.h"

#include <string.h>

enum { CENT = 0xA2, POUND = 0xA3, EURO = 0x20AC };

enum kind {
    NO_NUMBER,
    ZERO,
    ONE,
    ONE_SUFFIXED,
    TEN,
    TEN_SUFFIXED,
    MULTIPLIER,
    MULTIPLIER_SUFFIXED,
    SIGN,     /* preceding_prefixers */
    CURRENCY, /* following_prefixers */
    PER,      /* suffixers */
    PERCENT,
    AND, /* specials */
    REPEAT,
    POINT
};

static const struct entry {
    const char *name;
    enum kind kind;
    int32_t number;
    const char *suffix;
} entries[] = {
#include "number_words.inc"
};
static const struct entry no_entry = {"", NO_NUMBER, 0, ""};

struct word {
    size_t begin, end; /* in the line */
    const struct entry *is;
    bool numeric; /* re.match(r"^\d+(\.\d+)?$", word) */
};

struct numbers {
    sotto__text *t;
    sotto__ids value;
    bool has_value, whole; /* whole: Python's int, else its str */
    int32_t prefix;        /* 0 = None */
    bool skip;
};

/* -- Words -- */

static const struct entry *entry_of(const sotto__text *t, size_t begin, size_t end)
{
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (strlen(entries[i].name) == end - begin && sotto__text_has(t, begin, entries[i].name, end - begin))
            return &entries[i];
    return &no_entry;
}

/* re.match(r"^\d+(\.\d+)?$", s[begin:end]); no word has the newline that $ would let pass */
static bool is_numeric(const sotto__text *t, size_t begin, size_t end)
{
    size_t i = begin, dot;
    while (i < end && sotto__is_digit(t->now.data[i])) i++;
    if (i == begin) return false;
    if (i == end) return true;
    if (t->now.data[i] != '.') return false;
    dot = i++;
    while (i < end && sotto__is_digit(t->now.data[i])) i++;
    return i == end && i > dot + 1;
}

/* Next word of the line at or after *at; false at its end. */
static bool next_word(const sotto__text *t, size_t *at, struct word *w)
{
    size_t i = *at;
    while (i < t->now.len && sotto__is_space(t->now.data[i])) i++;
    w->begin = i;
    while (i < t->now.len && !sotto__is_space(t->now.data[i])) i++;
    w->end = *at = i;
    if (w->begin == w->end) return false;
    w->is = entry_of(t, w->begin, w->end);
    w->numeric = is_numeric(t, w->begin, w->end);
    return true;
}

static bool can_be_number(const struct word *w) { return w && (w->is->kind != NO_NUMBER || w->numeric); }
static bool is_kind(const struct word *w, enum kind kind) { return w && w->is->kind == kind; }

/* -- The value -- */

static void push(struct numbers *p, int32_t cp)
{
    if (!sotto__ids_push(&p->value, cp)) p->t->no_memory = true;
}

static void clear(struct numbers *p)
{
    p->has_value = p->whole = false;
    p->value.len = 0;
}

static void push_number(struct numbers *p, int32_t n) /* 0 … 99 */
{
    if (n >= 10) push(p, '0' + n / 10);
    push(p, '0' + n % 10);
}

/* value = int(n) */
static void set_whole(struct numbers *p, int32_t n)
{
    p->value.len = 0;
    push_number(p, n);
    p->has_value = p->whole = true;
}

/* value = 10 ** power */
static void set_power(struct numbers *p, int32_t power)
{
    set_whole(p, 1);
    for (int32_t i = 0; i < power; i++) push(p, '0');
}

/* value = str(value) + str(n) */
static void append_number(struct numbers *p, int32_t n)
{
    push_number(p, n);
    p->has_value = true;
    p->whole = false;
}

static bool is_zero(const struct numbers *p) { return p->whole && p->value.len == 1 && p->value.data[0] == '0'; }

/* value = str(value or ""): of an int, 0 is nothing */
static void as_string(struct numbers *p)
{
    if (is_zero(p)) p->value.len = 0;
    p->has_value = true;
    p->whole = false;
}

static bool ends_in(const struct numbers *p, size_t zeros)
{
    if (is_zero(p)) return true;
    if (p->value.len < zeros) return false;
    for (size_t i = 1; i <= zeros; i++)
        if (p->value.data[p->value.len - i] != '0') return false;
    return true;
}

/* Drops leading zeros, the last one excepted. */
static void strip_zeros(sotto__ids *v)
{
    size_t zeros = 0;
    while (zeros + 1 < v->len && v->data[zeros] == '0') zeros++;
    if (!zeros) return;
    v->len -= zeros;
    memmove(v->data, v->data + zeros, v->len * sizeof *v->data);
}

/* Joins a number below 100 to a value, as "twenty" "five" (25), "nineteen" "eighty" (1980), "five" "five" (55). */
static void join(struct numbers *p, const struct word *prev, int32_t n, bool is_ten)
{
    const size_t digits = n < 10 ? 1 : 2;
    const bool glue = p->has_value && (!p->whole || (!is_ten && is_kind(prev, ONE)));
    if (!p->has_value) {
        set_whole(p, n);
    } else if (glue && is_kind(prev, TEN) && digits == 1 && !is_ten) {
        p->value.len--; /* the last zero makes place for the digit */
        append_number(p, n);
    } else if (!glue && ends_in(p, digits)) {
        p->value.len -= p->value.len < digits ? p->value.len : digits;
        push_number(p, n);
    } else {
        append_number(p, n);
    }
}

/* value = value // 1000 * 1000 + value % 1000 * 10 ** power, of an int */
static void multiply_whole(struct numbers *p, size_t power)
{
    sotto__ids *v = &p->value;
    const size_t low = v->len < 3 ? v->len : 3, old = v->len;
    int32_t rest[3], carry = 0;
    for (size_t i = 0; i < low; i++) { /* the last three digits, the last of them first */
        rest[i] = v->data[old - 1 - i] - '0';
        v->data[old - 1 - i] = '0';
    }
    for (size_t n = power + 4 > old ? power + 4 - old : 0; n > 0; n--) push(p, '0'); /* room at the front */
    if (p->t->no_memory) return;
    memmove(v->data + (v->len - old), v->data, old * sizeof *v->data);
    for (size_t i = 0; i < v->len - old; i++) v->data[i] = '0';
    for (size_t i = power; i < v->len && (i < power + low || carry); i++) {
        int32_t *digit = &v->data[v->len - 1 - i];
        const int32_t sum = *digit - '0' + carry + (i < power + low ? rest[i - power] : 0);
        *digit = '0' + sum % 10;
        carry = sum / 10;
    }
    if (carry) { /* all nines; a digit more */
        push(p, '0');
        if (p->t->no_memory) return;
        memmove(v->data + 1, v->data, (v->len - 1) * sizeof *v->data);
        v->data[0] = '1';
    }
    strip_zeros(v);
}

/* value = Fraction(value) * 10 ** power, as an int; false and unchanged where it is no fraction or the product no int.
 * fractions.Fraction takes digits with a point before, between or after them. */
static bool multiply_string(struct numbers *p, size_t power)
{
    sotto__ids *v = &p->value;
    size_t point = v->len, digits = 0, after, used = 0;
    for (size_t i = 0; i < v->len; i++) {
        if (sotto__is_digit(v->data[i]))
            digits++;
        else if (v->data[i] == '.' && point == v->len)
            point = i;
        else
            return false;
    }
    if (!digits) return false;
    after = digits - point; /* digits behind the point */
    if (point == v->len) after = 0;
    for (size_t i = power; i < after; i++)
        if (sotto__digit_of(v->data[point + 1 + i])) return false;
    for (size_t i = 0; i < v->len && i < point + 1 + power; i++)
        if (i != point) v->data[used++] = '0' + sotto__digit_of(v->data[i]);
    v->len = used;
    for (; after < power; after++) push(p, '0');
    strip_zeros(v);
    p->whole = true;
    return true;
}

/* -- Output: yield output(…) -- */

/* The prefix that waits, before what is written next; words are joined by blanks. */
static void begin_output(struct numbers *p)
{
    if (p->t->next.len) sotto__text_put(p->t, ' ');
    if (p->prefix) sotto__text_put(p->t, p->prefix);
    p->prefix = 0;
}

/* yield output(str(value) + suffix) */
static void put_value(struct numbers *p, const char *suffix)
{
    begin_output(p);
    for (size_t i = 0; i < p->value.len; i++) sotto__text_put(p->t, p->value.data[i]);
    sotto__text_puts(p->t, suffix);
    clear(p);
}

/* if value is not None: yield output(value) */
static void flush(struct numbers *p)
{
    if (p->has_value) put_value(p, "");
}

/* yield output(current) */
static void put_word(struct numbers *p, const struct word *w)
{
    begin_output(p);
    sotto__text_copy(p->t, w->begin, w->end);
    clear(p);
}

/* -- process_words, by kind of word -- */

/* Arabic numbers, perhaps with a sign before. */
static void take_figures(struct numbers *p, const struct word *w, bool has_prefix)
{
    const int32_t *s = p->t->now.data;
    const size_t begin = w->begin + has_prefix;
    size_t point = begin;
    bool is_whole = true;
    if (p->has_value && !p->whole && p->value.len && p->value.data[p->value.len - 1] == '.') {
        for (size_t i = w->begin; i < w->end; i++) push(p, s[i]); /* a decimal, or a part of an IP address */
        return;
    }
    flush(p);
    if (has_prefix) p->prefix = s[w->begin];
    while (point < w->end && s[point] != '.') point++;
    for (size_t i = point + 1; i < w->end; i++) is_whole &= sotto__digit_of(s[i]) == 0;
    p->value.len = 0;
    for (size_t i = begin; i < (is_whole ? point : w->end); i++) push(p, is_whole ? '0' + sotto__digit_of(s[i]) : s[i]);
    if (is_whole) strip_zeros(&p->value);
    p->has_value = true;
    p->whole = is_whole;
}

static void take_multiplier(struct numbers *p, int32_t power)
{
    if (!p->has_value) {
        set_power(p, power);
    } else if (is_zero(p)) {
        return;
    } else if (p->whole) {
        multiply_whole(p, (size_t)power);
    } else if (!multiply_string(p, (size_t)power)) {
        flush(p);
        set_power(p, power);
    }
}

static void take_sign(struct numbers *p, const struct word *w, const struct word *next)
{
    flush(p);
    if (can_be_number(next))
        p->prefix = w->is->number;
    else
        put_word(p, w);
}

static void take_currency(struct numbers *p, const struct word *w)
{
    if (!p->has_value) {
        put_word(p, w);
        return;
    }
    p->prefix = w->is->number;
    put_value(p, "");
}

static void take_percent(struct numbers *p, const struct word *w, const struct word *next)
{
    const bool per_cent =
        w->is->kind == PER && next && next->end - next->begin == 4 && sotto__text_has(p->t, next->begin, "cent", 4);
    if (p->has_value && (per_cent || w->is->kind == PERCENT)) {
        put_value(p, "%");
        p->skip = per_cent;
        return;
    }
    flush(p);
    put_word(p, w);
}

static void put_both(struct numbers *p, const struct word *w)
{
    flush(p);
    put_word(p, w);
}

static void take_special(struct numbers *p, const struct word *prev, const struct word *w, const struct word *next)
{
    if (!can_be_number(next)) { /* special only if the next word can be a number */
        put_both(p, w);
    } else if (w->is->kind == AND) { /* left out after hundreds, thousands, … */
        if (!is_kind(prev, MULTIPLIER)) put_both(p, w);
    } else if (w->is->kind == REPEAT) {
        if (!is_kind(next, ONE) && !is_kind(next, ZERO)) {
            put_both(p, w);
            return;
        }
        as_string(p);
        for (int32_t i = 0; i < w->is->number; i++) push_number(p, next->is->number);
        p->skip = true;
    } else if (is_kind(next, ONE) || is_kind(next, TEN) || is_kind(next, ZERO) || next->numeric) {
        as_string(p);
        push(p, '.');
    }
}

static void take_word(struct numbers *p, const struct word *prev, const struct word *w, const struct word *next)
{
    const int32_t first = p->t->now.data[w->begin], n = w->is->number;
    const bool has_prefix =
        first == '-' || first == '+' || first == '$' || first == CENT || first == POUND || first == EURO;
    if (is_numeric(p->t, w->begin + has_prefix, w->end)) {
        take_figures(p, w, has_prefix);
        return;
    }
    switch (w->is->kind) {
    case NO_NUMBER:
        put_both(p, w);
        break;
    case ZERO:
        as_string(p);
        push(p, '0');
        break;
    case ONE:
    case TEN:
        join(p, prev, n, w->is->kind == TEN);
        break;
    case ONE_SUFFIXED: /* ordinals and plurals end a number */
    case TEN_SUFFIXED:
        join(p, prev, n, w->is->kind == TEN_SUFFIXED);
        put_value(p, w->is->suffix);
        break;
    case MULTIPLIER:
        take_multiplier(p, n);
        break;
    case MULTIPLIER_SUFFIXED:
        take_multiplier(p, n);
        put_value(p, w->is->suffix);
        break;
    case SIGN:
        take_sign(p, w, next);
        break;
    case CURRENCY:
        take_currency(p, w);
        break;
    case PER:
    case PERCENT:
        take_percent(p, w, next);
        break;
    case AND:
    case REPEAT:
    case POINT:
        take_special(p, prev, w, next);
        break;
    }
}

/* " ".join(process_words(s.split())) */
static void process_words(sotto__text *t)
{
    struct numbers p = {.t = t};
    struct word three[3]; /* a ring: the word before, this one, the next one */
    size_t at = 0, n = 0;
    bool more = next_word(t, &at, &three[0]);
    while (more && !t->no_memory) {
        const struct word *w = &three[n % 3], *prev = n ? &three[(n + 2) % 3] : NULL, *next = &three[(n + 1) % 3];
        more = next_word(t, &at, &three[(n + 1) % 3]);
        if (p.skip)
            p.skip = false;
        else
            take_word(&p, prev, w, more ? next : NULL);
        n++;
    }
    flush(&p);
    sotto__ids_free(&p.value);
    sotto__text_turn(t);
}

/* -- preprocess -- */

static size_t skip_spaces(const sotto__text *t, size_t at)
{
    while (at < t->now.len && sotto__is_space(t->now.data[at])) at++;
    return at;
}

/* End of a match of r"\band\s+a\s+half\b" at `at`, 0 = none. */
static size_t and_a_half(const sotto__text *t, size_t at)
{
    size_t a, half;
    if (!sotto__text_has(t, at, "and", 3) || sotto__text_word_before(t, at)) return 0;
    a = skip_spaces(t, at + 3);
    if (a == at + 3 || !sotto__text_has(t, a, "a", 1)) return 0;
    half = skip_spaces(t, a + 1);
    if (half == a + 1 || !sotto__text_has(t, half, "half", 4) || sotto__text_word_at(t, half + 4)) return 0;
    return half + 4;
}

/* The last word of [begin, end) is one of decimals or multipliers. Sets *blank when there is no word at all. */
static bool ends_in_number(const sotto__text *t, size_t begin, size_t end, bool *blank)
{
    enum kind kind;
    size_t first;
    while (end > begin && sotto__is_space(t->now.data[end - 1])) end--;
    *blank = end == begin;
    for (first = end; first > begin && !sotto__is_space(t->now.data[first - 1]);) first--;
    kind = entry_of(t, first, end)->kind;
    return kind == ZERO || kind == ONE || kind == TEN || kind == MULTIPLIER;
}

/* One segment of re.split(), with what comes after it if it is not the last one. */
static void put_segment(sotto__text *t, size_t begin, size_t end, bool last)
{
    bool blank;
    const bool number = ends_in_number(t, begin, end, &blank);
    if (blank) return;
    if (t->next.len) sotto__text_put(t, ' ');
    sotto__text_copy(t, begin, end);
    if (!last) sotto__text_puts(t, number ? " point five" : " and a half");
}

/* "<number> and a half" becomes "<number> point five" */
static void replace_halves(sotto__text *t)
{
    size_t begin = 0, i = 0;
    while (i < t->now.len) {
        const size_t end = and_a_half(t, i);
        if (!end) {
            i++;
            continue;
        }
        put_segment(t, begin, i, false);
        begin = i = end;
    }
    put_segment(t, begin, t->now.len, true);
    sotto__text_turn(t);
}

static bool is_small(int32_t cp) { return cp >= 'a' && cp <= 'z'; }

/* re.sub(r"([a-z])([0-9])", r"\1 \2", s), then re.sub(r"([0-9])([a-z])", r"\1 \2", s) */
static void part_letters_and_figures(sotto__text *t)
{
    for (size_t i = 0; i < t->now.len; i++) {
        const int32_t a = i ? t->now.data[i - 1] : 0, b = t->now.data[i];
        if ((is_small(a) && sotto__is_figure(b)) || (sotto__is_figure(a) && is_small(b))) sotto__text_put(t, ' ');
        sotto__text_put(t, b);
    }
    sotto__text_turn(t);
}

/* Length of (st|nd|rd|th|s)\b at `at`, 0 = none. */
static size_t suffix_at(const sotto__text *t, size_t at)
{
    static const char *const suffixes[] = {"st", "nd", "rd", "th", "s"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        const size_t n = strlen(suffixes[i]);
        if (sotto__text_has(t, at, suffixes[i], n) && !sotto__text_word_at(t, at + n)) return n;
    }
    return 0;
}

/* re.sub(r"([0-9])\s+(st|nd|rd|th|s)\b", r"\1\2", s) */
static void join_suffixes(sotto__text *t)
{
    size_t i = 0;
    while (i < t->now.len) {
        const size_t after = sotto__is_figure(t->now.data[i]) ? skip_spaces(t, i + 1) : i + 1;
        const size_t n = after > i + 1 ? suffix_at(t, after) : 0;
        sotto__text_put(t, t->now.data[i]);
        sotto__text_copy(t, after, after + n);
        i = n ? after + n : i + 1;
    }
    sotto__text_turn(t);
}

/* -- postprocess -- */

static bool is_currency(int32_t cp) { return cp == EURO || cp == POUND || cp == '$'; }

/* Figures from `at` on. */
static size_t figures_at(const sotto__text *t, size_t at)
{
    size_t i = at;
    while (i < t->now.len && sotto__is_figure(t->now.data[i])) i++;
    return i - at;
}

/* [0-9]{1,2}\b at `at`: how many, 0 = none. A third figure, or a letter, stands against the \b. */
static size_t cents_at(const sotto__text *t, size_t at)
{
    const size_t n = figures_at(t, at);
    return n <= 2 && !sotto__text_word_at(t, at + n) ? n : 0;
}

/* re.sub(r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b", combine_cents, s): "$2 and ¢7" becomes "$2.07" */
static void combine_cents(sotto__text *t)
{
    size_t i = 0;
    while (i < t->now.len) {
        const size_t whole = is_currency(t->now.data[i]) ? figures_at(t, i + 1) : 0;
        size_t at = i + 1 + whole, n = 0;
        if (whole && sotto__text_has(t, at, " ", 1)) {
            at += sotto__text_has(t, at, " and ", 5) ? 5 : 1;
            if (at < t->now.len && t->now.data[at] == CENT) n = cents_at(t, at + 1);
        }
        sotto__text_copy(t, i, i + 1 + whole);
        i += 1 + whole;
        if (!n) continue;
        sotto__text_puts(t, n == 1 ? ".0" : ".");
        sotto__text_copy(t, at + 1, at + 1 + n);
        i = at + 1 + n;
    }
    sotto__text_turn(t);
}

/* re.sub(r"[€£$]0.([0-9]{1,2})\b", extract_cents, s): "$0.05" becomes "¢5"; the point is any character but a newline,
 * of which there is none */
static void extract_cents(sotto__text *t)
{
    size_t i = 0;
    while (i < t->now.len) {
        const bool zero = is_currency(t->now.data[i]) && sotto__text_has(t, i + 1, "0", 1);
        const size_t n = zero ? cents_at(t, i + 3) : 0;
        if (!n) {
            sotto__text_put(t, t->now.data[i++]);
            continue;
        }
        sotto__text_put(t, CENT);
        sotto__text_copy(t, i + 3 + (n == 2 && t->now.data[i + 3] == '0'), i + 3 + n); /* int(): "05" is 5 */
        i += 3 + n;
    }
    sotto__text_turn(t);
}

/* re.sub(r"\b1(s?)\b", r"one\1", s) */
static void spell_one(sotto__text *t)
{
    size_t i = 0;
    while (i < t->now.len) {
        const size_t end = i + (sotto__text_has(t, i, "1s", 2) ? 2 : 1);
        if (t->now.data[i] == '1' && !sotto__text_word_before(t, i) && !sotto__text_word_at(t, end))
            sotto__text_puts(t, "one");
        else
            sotto__text_put(t, t->now.data[i]);
        i++;
    }
    sotto__text_turn(t);
}

void sotto__normalise_numbers(sotto__text *t)
{
    replace_halves(t);
    part_letters_and_figures(t);
    join_suffixes(t);
    process_words(t);
    combine_cents(t);
    extract_cents(t);
    spell_one(t);
}
