/* SPDX-License-Identifier: MIT
 * Words of a live hypothesis (live/heard_words.h), on a made-up vocabulary: a token for each byte, and a few longer. */
#include "cmocka_all.h"

#include "live/heard_words.h"

#include <stdio.h>
#include <string.h>

enum { EOT = 50256, N_VOCAB = 51864, LONGER = 256, MOST = 16 };

static const char *const longer[] = {" And", " so", " my", ",", "...", "\xE3\x83\xB3\xE3\x83", "\xE3\x80"};
enum { AND = LONGER, SO, MY, COMMA, DOTS, N_KANA_AND_HALF, STOP_HALF };

static sotto__tokenizer *tokenizer;

/* An aligned word of so many tokens; word i of a case lasts from i to i + 0.8 s with probability 0.9 - i / 10. */
typedef struct word_case {
    const char *what;
    const int32_t tokens[MOST];
    const size_t n, aligned[MOST]; /* tokens of each aligned word, 0 ends */
    const size_t confirmed[MOST];  /* token ends of the confirmed words, 0 ends */
    const char *expected;          /* words, each followed by '|' */
    const int times[MOST];         /* aligned word that each word's start is of */
    const int ends[MOST];          /* and its end and probability */
} word_case;

static const word_case cases[] = {
    {.what = "plain",
     .tokens = {AND, SO, MY},
     .n = 3,
     .aligned = {1, 1, 1},
     .expected = " And| so| my|",
     .times = {0, 1, 2},
     .ends = {0, 1, 2}},
    {.what = "closing punctuation",
     .tokens = {AND, COMMA, SO, DOTS},
     .n = 4,
     .aligned = {2, 2},
     .expected = " And|,| so|...|",
     .times = {0, 0, 1, 1},
     .ends = {0, 0, 1, 1}},
    {.what = "several signs stay together",
     .tokens = {SO, COMMA, '"', MY},
     .n = 4,
     .aligned = {3, 1},
     .expected = " so|,\"| my|",
     .times = {0, 0, 1},
     .ends = {0, 0, 1}},
    {.what = "signs in a word and before it",
     .tokens = {'"', 'd', 'o', 'n', '\'', 't', '!'},
     .n = 7,
     .aligned = {7},
     .expected = "\"don't|!|",
     .times = {0, 0},
     .ends = {0, 0}},
    {.what = "signs alone",
     .tokens = {DOTS, COMMA},
     .n = 2,
     .aligned = {2},
     .expected = "...,|",
     .times = {0},
     .ends = {0}},
    {.what = "more tokens than were aligned",
     .tokens = {AND, SO, MY},
     .n = 3,
     .aligned = {1, 1},
     .expected = " And| so my|",
     .times = {0, 1},
     .ends = {0, 1}},
    {.what = "nothing aligned", .tokens = {AND, SO, COMMA}, .n = 3, .expected = " And so|,|"},
    {.what = "confirmed words end where they ended",
     .tokens = {AND, SO, MY, COMMA},
     .n = 4,
     .aligned = {1, 1, 2},
     .confirmed = {2},
     .expected = " And so| my|,|",
     .times = {0, 2, 2},
     .ends = {1, 2, 2}},
    {.what = "a confirmed sign",
     .tokens = {AND, COMMA, SO, MY},
     .n = 4,
     .aligned = {2, 1, 1},
     .confirmed = {1, 2},
     .expected = " And|,| so| my|",
     .times = {0, 0, 1, 2},
     .ends = {0, 0, 1, 2}},
    {.what = "a word that goes on behind the confirmed ones",
     .tokens = {SO, 'm', 'e', MY},
     .n = 4,
     .aligned = {3, 1},
     .confirmed = {1},
     .expected = " so|me| my|",
     .times = {0, 0, 1},
     .ends = {0, 0, 1}},
    {.what = "two bytes of a letter",
     .tokens = {SO, 0xC3, 0xA9, COMMA},
     .n = 4,
     .aligned = {4},
     .expected = " so\xC3\xA9|,|",
     .times = {0, 0},
     .ends = {0, 0}},
    {.what = "a letter and a half, then the other half",
     .tokens = {N_KANA_AND_HALF, 0x89, MY},
     .n = 3,
     .aligned = {2, 1},
     .expected = "\xE3\x83\xB3\xE3\x83\x89| my|",
     .times = {0, 1},
     .ends = {0, 1}},
    {.what = "a full stop of two tokens",
     .tokens = {N_KANA_AND_HALF, 0x89, STOP_HALF, 0x82},
     .n = 4,
     .aligned = {4},
     .expected = "\xE3\x83\xB3\xE3\x83\x89|\xE3\x80\x82|",
     .times = {0, 0},
     .ends = {0, 0}},
    {.what = "bytes that are no text",
     .tokens = {SO, 0xFF, COMMA},
     .n = 3,
     .aligned = {3},
     .expected = " so\xEF\xBF\xBD|,|",
     .times = {0, 0},
     .ends = {0, 0}},
    {.what = "nothing", .n = 0, .expected = ""},
};

static void confirm(sotto__frontier *f, const word_case *c)
{
    for (size_t i = 0; i < MOST && c->confirmed[i]; i++) {
        assert_true(sotto__grow(&f->now.words, &f->now.cap, i + 1, sizeof *f->now.words));
        f->now.words[i] = (sotto__heard_word){.token_end = c->confirmed[i]};
        f->now.n = f->confirmed = i + 1;
    }
    assert_true(c->n == 0 || sotto__ids_append(&f->now.tokens, c->tokens, c->n));
}

static void align(sotto__drafts *d, const word_case *c)
{
    for (size_t i = 0; i < MOST && c->aligned[i]; i++) {
        const double at = (double)i;
        assert_true(sotto__grow(&d->words, &d->cap_words, i + 1, sizeof *d->words));
        d->words[d->n_words++] = (sotto__draft_word){
            .start_s = at, .end_s = at + 0.8, .probability = 0.9 - at / 10, .n_tokens = c->aligned[i]};
    }
}

static void check_word(const word_case *c, const sotto__hypothesis *h, size_t i, const char *text, size_t n)
{
    const sotto__heard_word *w = &h->words[i];
    const double end = c->ends[i], expected_end_s = c->aligned[0] ? end + 0.8 : 0,
                 expected_probability = c->aligned[0] ? 0.9 - end / 10 : 0;
    if (w->end - w->begin != n || memcmp(h->text.data + w->begin, text, n) != 0)
        fail_msg("%s: word %zu is \"%.*s\"", c->what, i, (int)(w->end - w->begin), h->text.data + w->begin);
    if (w->start_s != c->times[i] || w->end_s != expected_end_s || w->probability != expected_probability)
        fail_msg("%s: word %zu: %g to %g s, probability %g", c->what, i, w->start_s, w->end_s, w->probability);
    assert_int_equal(w->begin, i ? h->words[i - 1].end : 0);
    assert_true(w->token_end > (i ? h->words[i - 1].token_end : 0));
}

static void words_of_a_hypothesis(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const word_case *c = &cases[k];
        sotto__frontier before = {0};
        sotto__drafts aligned = {0};
        sotto__hypothesis h = {0};
        sotto_error err;
        size_t i = 0;
        confirm(&before, c);
        align(&aligned, c);
        assert_true(c->n == 0 || sotto__ids_append(&h.tokens, c->tokens, c->n));
        assert_int_equal(sotto__heard_words(tokenizer, &aligned, &before, &h, &err), SOTTO_OK);
        for (const char *text = c->expected; *text; i++) {
            const size_t n = strcspn(text, "|");
            if (i == h.n) fail_msg("%s: %zu words", c->what, h.n);
            check_word(c, &h, i, text, n);
            text += n + 1;
        }
        if (i != h.n) fail_msg("%s: %zu words, the last \"%s\"", c->what, h.n, h.text.data + h.words[h.n - 1].begin);
        if (h.n) assert_int_equal(h.words[h.n - 1].token_end, c->n);
        sotto__hypothesis_free(&h);
        sotto__drafts_free(&aligned);
        sotto__frontier_free(&before);
    }
}

static int make_tokenizer(void **state)
{
    sotto__vocab v = {0};
    (void)state;
    for (size_t i = 0; i < EOT; i++) {
        char text[32];
        size_t n = 1;
        if (i < LONGER)
            text[0] = (char)(unsigned char)i;
        else if (i - LONGER < sizeof longer / sizeof *longer)
            n = (size_t)snprintf(text, sizeof text, "%s", longer[i - LONGER]);
        else
            n = (size_t)snprintf(text, sizeof text, "\xFF#%zu", i);
        if (sotto__vocab_add(&v, text, n, NULL) != SOTTO_OK) return -1;
    }
    return sotto__tokenizer_create(&tokenizer, &v, N_VOCAB, NULL) == SOTTO_OK ? 0 : -1;
}

static int free_tokenizer(void **state)
{
    (void)state;
    sotto__tokenizer_free(tokenizer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_of_a_hypothesis)};
    return cmocka_run_group_tests(tests, make_tokenizer, free_tokenizer);
}
