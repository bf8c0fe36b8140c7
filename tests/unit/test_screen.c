/* SPDX-License-Identifier: MIT
 * Captions on a screen: rows broken by columns, and what a terminal shows in the end, whatever was tentative before. */
#include "cmocka_all.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "captions.h"

/* ---- rows ----------------------------------------------------------------------------------------------------- */

/* The rows of `text`, joined by '|'. */
static const char *rows_of(const char *text, int columns)
{
    static char joined[1024];
    size_t n = strlen(text), used = 0;
    *joined = '\0';
    for (size_t at = 0, next; at < n; at += next) {
        size_t row = screen_row(text + at, n - at, columns, &next);
        assert_true(row > 0 && next >= row && next <= n - at);
        used += (size_t)snprintf(joined + used, sizeof joined - used, "%s%.*s", at ? "|" : "", (int)row, text + at);
    }
    return joined;
}

static void rows(void **state)
{
    (void)state;
    assert_string_equal(rows_of("ask not what", 20), "ask not what");
    assert_string_equal(rows_of("ask not what", 12), "ask not what");
    assert_string_equal(rows_of("ask not what", 11), "ask not|what");
    assert_string_equal(rows_of("ask not what", 7), "ask not|what");
    assert_string_equal(rows_of("ask not what", 6), "ask|not|what");
    assert_string_equal(rows_of("unbreakable", 4), "unbr|eaka|ble");
    assert_string_equal(rows_of("an unbreakable", 4), "an|unbr|eaka|ble");
    assert_string_equal(rows_of("ééé ééé", 5), "ééé|ééé");
    assert_string_equal(rows_of("漢字漢字", 5), "漢字|漢字");
    assert_string_equal(rows_of("ab漢字cd", 5), "ab漢|字cd");
    assert_string_equal(rows_of("e\u0301e\u0301 e\u0301", 2), "e\u0301e\u0301|e\u0301");
    assert_string_equal(rows_of("漢", 1), "漢");
    assert_string_equal(rows_of("\xff\xfe\x80", 2), "\xff\xfe|\x80");
    assert_int_equal(screen_width("a漢e\u0301", strlen("a漢e\u0301")), 4);
    assert_int_equal(screen_width("\xe6\xbc", 2), 2); /* cut off */
}

/* ---- a terminal ----------------------------------------------------------------------------------------------- */

enum { LINES = 600, COLUMNS = 200 };

typedef struct terminal {
    char cells[LINES][COLUMNS]; /* all that was ever shown, ASCII */
    bool dim[LINES][COLUMNS];
    size_t line, column, top; /* cursor; first line on the screen */
    int columns, rows;
    bool is_dim;
} terminal;

static size_t escape(terminal *t, const char *s)
{
    char *end;
    long number = strtol(s + 2, &end, 10);
    if (*end == 'A') {
        for (long i = 0; i < (number ? number : 1) && t->line > t->top; i++) t->line--;
    } else if (*end == 'J' || *end == 'K') {
        memset(t->cells[t->line] + t->column, 0, COLUMNS - t->column);
        if (*end == 'J') memset(t->cells[t->line + 1], 0, sizeof t->cells[0] * (LINES - t->line - 1));
    } else if (*end == 'm') {
        t->is_dim = number == 2;
    } else {
        fail_msg("escape %c", *end);
    }
    return (size_t)(end - s) + 1;
}

static void show(terminal *t, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        if (text[i] == '\033') {
            i += escape(t, text + i);
            continue;
        }
        if (text[i] == '\r') {
            t->column = 0;
        } else if (text[i] == '\n') {
            t->column = 0;
            assert_true(++t->line < LINES - 1);
            if (t->line - t->top >= (size_t)t->rows) t->top++;
        } else {
            assert_true(t->column < (size_t)t->columns); /* rows never reach the edge */
            t->dim[t->line][t->column] = t->is_dim;
            t->cells[t->line][t->column++] = text[i];
        }
        i++;
    }
}

/* A stream of words, some of which are tentative and wrong before they are confirmed. */
static void play(terminal *t, int columns, int rows, int n_words, char *said)
{
    char *text = NULL, words[8][24];
    size_t n = 0, shown = 0;
    unsigned seed = 7;
    int at = 0;
    screen s;
    FILE *to = open_memstream(&text, &n);
    assert_non_null(to);
    screen_open(&s, to, true);
    screen_size(&s, columns, rows);
    *t = (terminal){.columns = columns, .rows = rows};
    while (at < n_words) {
        sotto_word list[8];
        size_t confirmed = (seed = seed * 1103515245 + 12345) >> 16 & 3;
        for (size_t i = 0; i < 8; i++) {
            bool right = i < confirmed;
            snprintf(words[i], sizeof words[i], right ? " w%d" : " WRONG%d", at + (int)i);
            list[i].text = words[i];
            if (right) strcat(said, words[i]);
        }
        at += (int)confirmed;
        sotto_caption c = {.confirmed = list,
                           .n_confirmed = confirmed,
                           .tentative = list + confirmed,
                           .n_tentative = 8 - confirmed,
                           .utterance_end = at % 40 == 39};
        if (c.utterance_end) c.n_tentative = 0;
        if (at > 100 && at < 110) screen_clear(&s); /* as before a message */
        screen_caption(&s, &c);
        screen_status(&s, "[####      ] status");
        fflush(to);
        show(t, text + shown, n - shown);
        shown = n;
        assert_string_equal(t->cells[t->line], "[####      ] status");
    }
    screen_close(&s);
    assert_false(s.failed);
    fclose(to);
    show(t, text + shown, n - shown);
    free(text);
}

static void check_played(int columns, int rows)
{
    static terminal t;
    static char said[8192], shown[8192];
    *said = *shown = '\0';
    play(&t, columns, rows, 400, said);
    for (size_t i = 0; i < LINES; i++) {
        if (!*t.cells[i]) continue;
        strcat(strcat(shown, " "), t.cells[i]);
        for (size_t c = 0; t.cells[i][c]; c++) assert_false(t.dim[i][c]);
    }
    assert_string_equal(shown, said);
}

static void only_what_is_confirmed_stays(void **state)
{
    (void)state;
    check_played(80, 24);
    check_played(40, 10);
    check_played(23, 3);
    check_played(20, 4);
}

static void tentative_is_dim(void **state)
{
    static terminal t;
    char *text = NULL;
    size_t n = 0;
    sotto_word words[] = {{.text = " sure"}, {.text = " may"}, {.text = " be"}};
    sotto_caption c = {.confirmed = words, .n_confirmed = 1, .tentative = words + 1, .n_tentative = 2};
    screen s;
    FILE *to = open_memstream(&text, &n);
    (void)state;
    screen_open(&s, to, true);
    screen_caption(&s, &c);
    fflush(to);
    t = (terminal){.columns = 80, .rows = 24};
    show(&t, text, n);
    assert_string_equal(t.cells[0], "sure may be");
    assert_false(t.dim[0][3]);
    assert_true(t.dim[0][5] && t.dim[0][10]);
    screen_close(&s);
    fclose(to);
    free(text);
}

static void lines_when_there_is_no_terminal(void **state)
{
    char *text = NULL;
    size_t n = 0;
    sotto_word words[] = {{.text = " Hello"}, {.text = " there."}, {.text = " How"}, {.text = " are"}};
    sotto_caption c = {.confirmed = words, .n_confirmed = 3, .tentative = words + 3, .n_tentative = 1};
    screen s;
    FILE *to = open_memstream(&text, &n);
    (void)state;
    screen_open(&s, to, false);
    screen_caption(&s, &c);
    screen_status(&s, "status");
    assert_string_equal(text, "Hello there.\n");
    c = (sotto_caption){.confirmed = words + 3, .n_confirmed = 1, .utterance_end = true};
    screen_caption(&s, &c);
    assert_string_equal(text, "Hello there.\nHow are\n");
    c = (sotto_caption){.confirmed = words, .n_confirmed = 1};
    screen_caption(&s, &c);
    screen_close(&s);
    assert_false(s.failed);
    fclose(to);
    assert_string_equal(text, "Hello there.\nHow are\nHello\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows),
        cmocka_unit_test(only_what_is_confirmed_stays),
        cmocka_unit_test(tentative_is_dim),
        cmocka_unit_test(lines_when_there_is_no_terminal),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests_name("screen", tests, NULL, NULL);
}
