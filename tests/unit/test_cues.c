/* SPDX-License-Identifier: MIT
 * Where captions are cut into cues and lines, and how cues are written. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cues.h"

static char got[4096];

/* "start-end text|" */
static bool collect(const cue *c, void *user)
{
    size_t used = strlen(got);
    (void)user;
    snprintf(got + used, sizeof got - used, "%.1f-%.1f %s|", c->start_s, c->end_s, c->text);
    return true;
}

/* Each word lasts 0.4 s of half a second. */
static void add(cue_cutter *c, const char *text, double start_s)
{
    char copy[512], *rest = copy, *word;
    snprintf(copy, sizeof copy, "%s", text);
    while ((word = strsep(&rest, " "))) {
        char spaced[64];
        snprintf(spaced, sizeof spaced, " %s", word);
        sotto_word w = {.text = spaced, .start_s = start_s, .end_s = start_s + 0.4};
        assert_true(cues_add(c, &w, 1, collect, NULL));
        start_s += 0.5;
    }
}

static void sentences(void **state)
{
    static const struct {
        const char *word;
        bool ends;
    } cases[] = {{" country.", true}, {" you?", true},   {" no!\"", true},  {"。", true},       {" 好。", true},
                 {" so…", true},      {" Mr.", false},   {" (Dr.", false},  {" J.", false},     {" I.", true},
                 {" No.", false},     {" no.", true},    {" done.”", true}, {" e.g.", false},   {" well,", false},
                 {" 3.5", false},     {"", false},       {" ", false},      {" wait...", true}, {" a.", true},
                 {".", true},         {" said.' ", true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (word_ends_sentence(cases[i].word) != cases[i].ends) fail_msg("\"%s\"", cases[i].word);
}

static void cuts(void **state)
{
    cue_cutter c = {.characters = CUE_CHARACTERS, .seconds = CUE_SECONDS};
    (void)state;
    *got = '\0';
    add(&c, "Ask not. What your", 1);
    assert_string_equal(got, "1.0-1.9 Ask not.|");
    assert_true(cues_end(&c, collect, NULL));
    assert_true(cues_end(&c, collect, NULL)); /* nothing is open */
    assert_string_equal(got, "1.0-1.9 Ask not.|2.0-2.9 What your|");
    /* 7 s are 14 words */
    *got = '\0';
    add(&c, "a b c d e f g h i j k l m n o p", 10);
    assert_string_equal(got, "10.0-16.9 a b c d e f g h i j k l m n|");
    cues_end(&c, collect, NULL);
    /* 84 characters, not bytes */
    *got = '\0';
    add(&c, "éééééééééééééééééééé éééééééééééééééééééé éééééééééééééééééééé ééééééééééééééééééééé five", 20);
    assert_int_equal(strlen(got), strlen("20.0-21.9 |") + 2 * 81 + 3);
    cues_end(&c, collect, NULL);
    /* a word that begins before the cue before has ended */
    *got = '\0';
    add(&c, "early.", 22.2);
    assert_string_equal(got, "22.4-22.6 early.|");
    cues_free(&c);
}

static void no_bounds(void **state)
{
    cue_cutter c = {0};
    char word[16];
    (void)state;
    *got = '\0';
    for (int i = 0; i < 200; i++) {
        snprintf(word, sizeof word, "w%d", i);
        add(&c, word, i);
    }
    assert_string_equal(got, "");
    cues_end(&c, collect, NULL);
    assert_non_null(strstr(got, "0.0-199.4 w0 w1 "));
    cues_free(&c);
}

static void check_text(char *text, const char *expected)
{
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void writing(void **state)
{
    cue c = {.text = (char[]){"A < B & C --> D\n"}, .length = 16, .start_s = 3599.9996, .end_s = 36610.25};
    (void)state;
    check_text(cue_srt(&c, 12), "12\n01:00:00,000 --> 10:10:10,250\nA < B & C -> D \n\n");
    check_text(cue_vtt(&c), "01:00:00.000 --> 10:10:10.250\nA &lt; B &amp; C -> D \n\n");
    c = (cue){.text = (char[]){"Ask not what your country can do for you, ask what you can do for it."}, .end_s = 5};
    c.length = strlen(c.text);
    check_text(cue_srt(&c, 1), "1\n00:00:00,000 --> 00:00:05,000\nAsk not what your country can do for\nyou, ask what "
                               "you can do for it.\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences),
        cmocka_unit_test(cuts),
        cmocka_unit_test(no_bounds),
        cmocka_unit_test(writing),
    };
    return cmocka_run_group_tests_name("cues", tests, NULL, NULL);
}
