/* SPDX-License-Identifier: MIT
 * openai-whisper's BasicTextNormalizer and EnglishTextNormalizer (whisper/normalizers/basic.py, english.py): one
 * function a rule, the Python that it mirrors above it, called in the same order. */
#include "score/normalise.h"
#include "score/score.h"
#include "base/error.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* re.sub(r"[<\[][^>\]]*[>\]]", "", s) */
static void remove_brackets(sotto__text *t)
{
    const sotto__ids *s = &t->now;
    size_t i = 0, close = 0; /* the first > or ] after i */
    while (i < s->len) {
        if (s->data[i] == '<' || s->data[i] == '[') {
            if (close <= i) close = i + 1;
            while (close < s->len && s->data[close] != '>' && s->data[close] != ']') close++;
            if (close < s->len) {
                i = close + 1;
                continue;
            }
        }
        sotto__text_put(t, s->data[i++]);
    }
    sotto__text_turn(t);
}

/* re.sub(r"\(([^)]+?)\)", "", s): there must be something in the parentheses */
static void remove_parentheses(sotto__text *t)
{
    const sotto__ids *s = &t->now;
    size_t i = 0, close = 0; /* the first ) after i */
    while (i < s->len) {
        if (s->data[i] == '(') {
            if (close <= i) close = i + 1;
            while (close < s->len && s->data[close] != ')') close++;
            if (close < s->len && close > i + 1) {
                i = close + 1;
                continue;
            }
        }
        sotto__text_put(t, s->data[i++]);
    }
    sotto__text_turn(t);
}

/* re.sub(r"\s+", " ", s) */
static void join_spaces(sotto__text *t)
{
    for (size_t i = 0; i < t->now.len; i++) {
        if (!sotto__is_space(t->now.data[i]))
            sotto__text_put(t, t->now.data[i]);
        else if (!i || !sotto__is_space(t->now.data[i - 1]))
            sotto__text_put(t, ' ');
    }
    sotto__text_turn(t);
}

/* re.sub(r"\s+'", "'", s) */
static void join_apostrophes(sotto__text *t)
{
    size_t i = 0;
    while (i < t->now.len) {
        size_t end = i;
        while (end < t->now.len && sotto__is_space(t->now.data[end])) end++;
        if (end == t->now.len || t->now.data[end] != '\'') sotto__text_copy(t, i, end);
        if (end < t->now.len) sotto__text_put(t, t->now.data[end]);
        i = end + 1;
    }
    sotto__text_turn(t);
}

/* ADDITIONAL_DIACRITICS; only these, as they come, a capital thorn in small letters among them. */
static const struct {
    int32_t cp;
    const char *as;
} letters[] = {
    {0x153, "oe"}, {0x152, "OE"}, {0xF8, "o"}, {0xD8, "O"}, {0xE6, "ae"}, {0xC6, "AE"}, {0xDF, "ss"}, {0x1E9E, "SS"},
    {0x111, "d"},  {0x110, "D"},  {0xF0, "d"}, {0xD0, "D"}, {0xFE, "th"}, {0xDE, "th"}, {0x142, "l"}, {0x141, "L"},
};

static const char *letter_of(int32_t cp)
{
    for (size_t i = 0; i < COUNT(letters); i++)
        if (letters[i].cp == cp) return letters[i].as;
    return NULL;
}

enum { CENT = 0xA2, POUND = 0xA3, EURO = 0x20AC };
static bool is_kept(int32_t cp)
{
    return cp == '.' || cp == '%' || cp == '$' || cp == CENT || cp == POUND || cp == EURO;
}

/* remove_symbols_and_diacritics(s, keep): marks go, other symbols become blanks. The order of NFKD's marks does not
 * matter, as every one of them goes or becomes a blank; keep is ".%$¢€£" or nothing. */
static void remove_symbols_and_diacritics(sotto__text *t, bool keep)
{
    sotto__text_nfkd(t);
    for (size_t i = 0; i < t->now.len; i++) {
        const int32_t cp = t->now.data[i];
        const char *as = cp < 0x80 ? NULL : letter_of(cp);
        if (as)
            sotto__text_puts(t, as);
        else if (!sotto__is_symbol(cp) || (keep && is_kept(cp)))
            sotto__text_put(t, cp);
        else if (!sotto__is_mark(cp))
            sotto__text_put(t, ' ');
    }
    sotto__text_turn(t);
}

/* remove_symbols(s) */
static void remove_symbols(sotto__text *t)
{
    sotto__text_nfkc(t);
    for (size_t i = 0; i < t->now.len; i++)
        if (sotto__is_symbol(t->now.data[i])) t->now.data[i] = ' ';
}

/* One pass of re.sub(pattern, to, s). Every pattern is a literal that ends in \b after a letter; those with `whole`
 * begin with \b before a letter too. */
struct replacement {
    bool whole;
    const char *from, *to;
};

/* EnglishTextNormalizer: ignore_patterns. One pass a word gives the same as one for all: no word stands in another, and
 * taking one away brings no letters together. */
static const struct replacement fillers[] = {
    {true, "hmm", ""}, {true, "mm", ""}, {true, "mhm", ""}, {true, "mmm", ""}, {true, "uh", ""}, {true, "um", ""},
};

/* EnglishTextNormalizer: replacers, in their order. */
static const struct replacement contractions[] = {
    {true, "won't", "will not"},
    {true, "can't", "can not"},
    {true, "let's", "let us"},
    {true, "ain't", "aint"},
    {true, "y'all", "you all"},
    {true, "wanna", "want to"},
    {true, "gotta", "got to"},
    {true, "gonna", "going to"},
    {true, "i'ma", "i am going to"},
    {true, "imma", "i am going to"},
    {true, "woulda", "would have"},
    {true, "coulda", "could have"},
    {true, "shoulda", "should have"},
    {true, "ma'am", "madam"},
    {true, "mr", "mister "},
    {true, "mrs", "missus "},
    {true, "st", "saint "},
    {true, "dr", "doctor "},
    {true, "prof", "professor "},
    {true, "capt", "captain "},
    {true, "gov", "governor "},
    {true, "ald", "alderman "},
    {true, "gen", "general "},
    {true, "sen", "senator "},
    {true, "rep", "representative "},
    {true, "pres", "president "},
    {true, "rev", "reverend "},
    {true, "hon", "honorable "},
    {true, "asst", "assistant "},
    {true, "assoc", "associate "},
    {true, "lt", "lieutenant "},
    {true, "col", "colonel "},
    {true, "jr", "junior "},
    {true, "sr", "senior "},
    {true, "esq", "esquire "},
    {false, "'d been", " had been"},
    {false, "'s been", " has been"},
    {false, "'d gone", " had gone"},
    {false, "'s gone", " has gone"},
    {false, "'d done", " had done"},
    {false, "'s got", " has got"},
    {false, "n't", " not"},
    {false, "'re", " are"},
    {false, "'s", " is"},
    {false, "'d", " would"},
    {false, "'ll", " will"},
    {false, "'t", " not"},
    {false, "'ve", " have"},
    {false, "'m", " am"},
};

static void replace(sotto__text *t, const struct replacement *r)
{
    const size_t n = strlen(r->from);
    size_t done = 0, i = 0; /* characters before `done` are written */
    while (i < t->now.len) {
        if (sotto__text_has(t, i, r->from, n) && !sotto__text_word_at(t, i + n) &&
            !(r->whole && sotto__text_word_before(t, i))) {
            sotto__text_copy(t, done, i);
            sotto__text_puts(t, r->to);
            done = i += n;
        } else {
            i++;
        }
    }
    if (!done) return;
    sotto__text_copy(t, done, t->now.len);
    sotto__text_turn(t);
}

/* re.sub(r"(\d),(\d)", r"\1\2", s): both digits are taken, so the second comma of 1,2,3 stays */
static void remove_digit_commas(sotto__text *t)
{
    const sotto__ids *s = &t->now;
    size_t i = 0;
    while (i < s->len) {
        const size_t left = s->len - i;
        sotto__text_put(t, s->data[i]);
        if (left > 2 && s->data[i + 1] == ',' && sotto__is_digit(s->data[i]) && sotto__is_digit(s->data[i + 2])) {
            sotto__text_put(t, s->data[i + 2]);
            i += 2;
        }
        i++;
    }
    sotto__text_turn(t);
}

/* re.sub(r"\.([^0-9]|$)", r" \1", s): the character after a period is taken, another period too */
static void remove_periods(sotto__text *t)
{
    const sotto__ids *s = &t->now;
    size_t i = 0;
    while (i < s->len) {
        const bool last = i + 1 == s->len;
        if (s->data[i] == '.' && (last || !sotto__is_figure(s->data[i + 1]))) {
            sotto__text_put(t, ' ');
            if (!last) sotto__text_put(t, s->data[i + 1]);
            i += 2;
        } else {
            sotto__text_put(t, s->data[i++]);
        }
    }
    sotto__text_turn(t);
}

/* re.sub(r"[.$¢€£]([^0-9])", r" \1", s) */
static void remove_prefix_symbols(sotto__text *t)
{
    const sotto__ids *s = &t->now;
    size_t i = 0;
    while (i < s->len) {
        const bool prefix = is_kept(s->data[i]) && s->data[i] != '%';
        if (prefix && i + 1 < s->len && !sotto__is_figure(s->data[i + 1])) {
            sotto__text_put(t, ' ');
            sotto__text_put(t, s->data[i + 1]);
            i += 2;
        } else {
            sotto__text_put(t, s->data[i++]);
        }
    }
    sotto__text_turn(t);
}

/* re.sub(r"([^0-9])%", r"\1 ", s) */
static void remove_suffix_symbols(sotto__text *t)
{
    const sotto__ids *s = &t->now;
    size_t i = 0;
    while (i < s->len) {
        sotto__text_put(t, s->data[i]);
        if (i + 1 < s->len && s->data[i + 1] == '%' && !sotto__is_figure(s->data[i])) {
            sotto__text_put(t, ' ');
            i++;
        }
        i++;
    }
    sotto__text_turn(t);
}

/* EnglishTextNormalizer.__call__ */
static void english(sotto__text *t)
{
    sotto__text_lower(t);
    remove_brackets(t);
    remove_parentheses(t);
    for (size_t i = 0; i < COUNT(fillers); i++) replace(t, &fillers[i]);
    join_apostrophes(t);
    for (size_t i = 0; i < COUNT(contractions); i++) replace(t, &contractions[i]);
    remove_digit_commas(t);
    remove_periods(t);
    remove_symbols_and_diacritics(t, true);
    sotto__normalise_numbers(t);
    sotto__normalise_spellings(t);
    remove_prefix_symbols(t);
    remove_suffix_symbols(t);
    join_spaces(t);
}

/* BasicTextNormalizer.__call__ */
static void basic(sotto__text *t, bool remove_diacritics, bool split_letters)
{
    sotto__text_lower(t);
    remove_brackets(t);
    remove_parentheses(t);
    if (remove_diacritics)
        remove_symbols_and_diacritics(t, false);
    else
        remove_symbols(t);
    sotto__text_lower(t);
    if (split_letters) sotto__text_graphemes(t);
    join_spaces(t);
}

static sotto_status finish(sotto__text *t, sotto__str *out, sotto_error *err)
{
    const bool written = sotto__text_write(t, out);
    sotto__text_free(t);
    return written ? SOTTO_OK : sotto__fail_nomem(err, "a line to be normalised");
}

sotto_status sotto__normalise_english(sotto__str *out, const char *text, size_t n, sotto_error *err)
{
    sotto__text t = {0};
    sotto__text_read(&t, text, n);
    english(&t);
    return finish(&t, out, err);
}

sotto_status sotto__normalise_basic(sotto__str *out, const char *text, size_t n, bool remove_diacritics,
                                    bool split_letters, sotto_error *err)
{
    sotto__text t = {0};
    sotto__text_read(&t, text, n);
    basic(&t, remove_diacritics, split_letters);
    return finish(&t, out, err);
}

sotto_status sotto__normalise(sotto__str *out, const char *text, size_t n, const char *language, sotto_error *err)
{
    static const char *const unspaced[] = {"zh", "ja", "th", "lo", "my", "yue"};
    bool split = false;
    if (!strcmp(language, "en")) return sotto__normalise_english(out, text, n, err);
    for (size_t i = 0; i < COUNT(unspaced); i++) split |= !strcmp(language, unspaced[i]);
    return sotto__normalise_basic(out, text, n, false, split, err);
}
