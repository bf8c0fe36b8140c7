/* SPDX-License-Identifier: MIT
 * refs.tsv of a set of recordings: what is taken from a line, the sentence for every way it can be wrong, and how the
 * speakers of several sets are halved. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/study.h"
#include "tiny_model.h"

static char dir[512];

static void put(const char *name, const char *text)
{
    char path[640];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static sotto_status read_set(study_set *set, const char *refs, sotto_error *err)
{
    *set = (study_set){.name = strdup("s"), .path = strdup(dir)};
    put("refs.tsv", refs);
    return study_set_read(set, err);
}

static void test_good_lines(void **state)
{
    study_set set;
    sotto_error err;
    (void)state;
    if (read_set(&set,
                 "84-121123-0001\ten\t1.5\tAsk not, please.\r\n\nLJ001-0001\tEnglish\t2\thouse\nlone\tde\t1e1\tZwei\n",
                 &err) != SOTTO_OK)
        fail_msg("%s", err.message);
    assert_int_equal(set.n, 3);
    assert_true(set.seconds == 13.5 && set.words == 5);
    const char *const speakers[] = {"84", "LJ", "lone"}, *const languages[] = {"en", "en", "de"},
                      *const audio[] = {"84-121123-0001.flac", "LJ001-0001.WAV", "lone.opus"};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(set.utterances[i].speaker, speakers[i]);
        assert_string_equal(set.utterances[i].language, languages[i]);
        assert_string_equal(strrchr(set.utterances[i].audio, '/') + 1, audio[i]);
    }
    assert_string_equal(set.utterances[0].reference, "Ask not, please.");
    study_set_free(&set);
}

static void test_bad_lines(void **state)
{
    static const struct {
        const char *refs, *said;
    } cases[] = {
        {"", "refs.tsv is empty"},
        {"lone\ten\t1\n", "refs.tsv:1: 3 fields"},
        {"\n../lone\ten\t1\tone\n", "refs.tsv:2: \"../lone\" is no id"},
        {"\ten\t1\tone\n", "refs.tsv:1: \"\" is no id"},
        {"lone\txx\t1\tone\n", "\"xx\" is no language"},
        {"lone\ten\tlong\tone\n", "\"long\" is no length"},
        {"lone\ten\t0\tone\n", "\"0\" is no length"},
        {"lone\ten\tnan\tone\n", "\"nan\" is no length"},
        {"lone\ten\t1\t?!\n", "the reference of lone has no words"},
        {"lone\ten\t1\tone\nlone\ten\t1\ttwo\n", "refs.tsv:2: a second line of lone"},
        {"away\ten\t1\tone\n", "a recording away.flac or the like was expected"},
        {"twice\ten\t1\tone\n", "both twice.flac and twice.wav are there"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        study_set set;
        sotto_error err = {0};
        if (read_set(&set, cases[i].refs, &err) == SOTTO_OK) fail_msg("taken: %s", cases[i].refs);
        if (!strstr(err.message, cases[i].said)) fail_msg("%s: %s", cases[i].said, err.message);
        study_set_free(&set);
    }
}

static void test_no_folder(void **state)
{
    study_set set = {.name = strdup("s"), .path = strdup("/nowhere/at/all")};
    sotto_error err = {0};
    (void)state;
    assert_int_not_equal(study_set_read(&set, &err), SOTTO_OK);
    assert_non_null(strstr(err.message, "set s: the folder /nowhere/at/all cannot be read"));
    study_set_free(&set);
}

/* Utterances of speakers a, b, … with these seconds. */
static study_set set_of(const char *speakers, const double *seconds)
{
    study_set set = {.n = strlen(speakers)};
    set.utterances = calloc(set.n, sizeof *set.utterances);
    assert_non_null(set.utterances);
    for (size_t i = 0; i < set.n; i++) {
        set.utterances[i].speaker = strndup(speakers + i, 1);
        set.utterances[i].seconds = seconds[i];
        set.seconds += seconds[i];
    }
    return set;
}

static double seconds_of(const study_set *set, study_half half)
{
    double sum = 0;
    for (size_t i = 0; i < set->n; i++) {
        assert_int_not_equal(set->utterances[i].half, STUDY_UNDECIDED);
        if (set->utterances[i].half == half) sum += set->utterances[i].seconds;
    }
    return sum;
}

static void test_halves(void **state)
{
    sotto_error err;
    study_set sets[2] = {set_of("abcd", (const double[]){4, 3, 2, 1}), set_of("aeb", (const double[]){1, 5, 4})};
    (void)state;
    assert_int_equal(study_halve(sets, 1, &err), SOTTO_OK);
    assert_true(seconds_of(sets, STUDY_CHOOSE) == 5 && seconds_of(sets, STUDY_REPORT) == 5);
    const study_half first = sets[0].utterances[0].half;
    /* Who has a half keeps it, in every set; e goes where it evens the second. */
    assert_int_equal(study_halve(sets, 2, &err), SOTTO_OK);
    assert_int_equal(sets[0].utterances[0].half, first);
    assert_int_equal(sets[1].utterances[0].half, first);
    assert_int_equal(sets[1].utterances[2].half, sets[0].utterances[1].half);
    assert_int_equal(sets[1].utterances[1].half, first);
    assert_true(seconds_of(&sets[1], STUDY_CHOOSE) + seconds_of(&sets[1], STUDY_REPORT) == 10);
    assert_string_equal(study_half_name(STUDY_CHOOSE), "choose");
    assert_string_equal(study_half_name(STUDY_REPORT), "report");
    study_set_free(&sets[0]);
    study_set_free(&sets[1]);
}

int main(void)
{
    static const char *const sounds[] = {"84-121123-0001.flac", "LJ001-0001.WAV", "lone.opus", "twice.wav",
                                         "twice.flac",          "lone.txt",       "lone.a.wav"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_lines),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_halves),
    };
    if (tiny_directory(dir, sizeof dir) != 0) return 1;
    for (size_t i = 0; i < sizeof sounds / sizeof *sounds; i++) put(sounds[i], "");
    const int failed = cmocka_run_group_tests_name("refs", tests, NULL, NULL);
    tiny_remove(dir);
    return failed;
}
