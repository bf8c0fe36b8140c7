/* SPDX-License-Identifier: MIT
 * Captions on a terminal, or as plain lines (captions.h). The cursor rests at the end of the status line; what is not
 * final is found from there by counting the rows drawn. */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "captions.h"

/* ---- rows ----------------------------------------------------------------------------------------------------- */

/* The character at the start of `s` and its bytes; what is no UTF-8 is a byte of its own. */
static size_t read_character(const char *s, size_t n, wchar_t *out)
{
    unsigned char head = (unsigned char)*s;
    size_t length = head < 0x80 ? 1 : head >= 0xF0 ? 4 : head >= 0xE0 ? 3 : head >= 0xC0 ? 2 : 0;
    *out = head < 0x80 ? head : 0xFFFD;
    if (length < 2 || length > n) return 1;
    wchar_t c = head & (0xFF >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)s[i] & 0xC0) != 0x80) return 1;
        c = c << 6 | (s[i] & 0x3F);
    }
    *out = c;
    return length;
}

static int columns_of(wchar_t c)
{
    int w = wcwidth(c);
    return w < 0 ? 1 : w;
}

int screen_width(const char *text, size_t n)
{
    int width = 0;
    wchar_t c;
    for (size_t at = 0; at < n;) {
        at += read_character(text + at, n - at, &c);
        width += columns_of(c);
    }
    return width;
}

size_t screen_row(const char *text, size_t n, int columns, size_t *next)
{
    size_t fits = 0, resume = 0; /* the last place to break at; 0: none yet */
    int width = 0;
    bool was_wide = false;
    for (size_t at = 0; at < n;) {
        wchar_t c;
        size_t bytes = read_character(text + at, n - at, &c);
        int w = columns_of(c);
        if (c == ' ' && at) fits = at, resume = at + 1;
        if (at && w && (w > 1 || was_wide) && c != ' ' && text[at - 1] != ' ') fits = resume = at;
        if (width + w > columns && at) {
            if (c == ' ') break;
            if (!fits) fits = resume = at;
            *next = resume;
            return fits;
        }
        width += w;
        if (w) was_wide = w > 1;
        at += bytes;
        if (at >= n) {
            *next = n;
            return n;
        }
    }
    *next = n ? resume : 0;
    return n ? fits : 0;
}

/* ---- terminal ------------------------------------------------------------------------------------------------- */

/* Moves the cursor to where the live rows begin and takes them away. */
static void put_clear(screen *s, FILE *out)
{
    if (s->drawn == 0) return;
    if (s->drawn > 1) fprintf(out, "\033[%dA", s->drawn - 1);
    fputs("\r\033[J", out);
    s->drawn = 0;
}

static void put_status(const screen *s, FILE *out)
{
    size_t next, n = strlen(s->status);
    if (screen_width(s->status, n) >= s->columns) n = screen_row(s->status, n, s->columns - 1, &next);
    fprintf(out, "\033[7m%.*s\033[0m", (int)n, s->status);
}

static void put_live(screen *s, FILE *out)
{
    for (size_t at = 0, next; at < s->n_live && s->drawn < s->rows - 2; at += next) {
        size_t n = screen_row(s->live + at, s->n_live - at, s->columns - 1, &next);
        size_t solid = s->n_solid > at ? (s->n_solid - at < n ? s->n_solid - at : n) : 0;
        fprintf(out, "%.*s", (int)solid, s->live + at);
        if (n > solid) fprintf(out, "\033[2m%.*s\033[0m", (int)(n - solid), s->live + at + solid);
        fputc('\n', out);
        s->drawn++;
    }
    put_status(s, out);
    s->drawn++;
}

/* Writes what a caller put into a memory stream, as one piece. */
static void show(screen *s, FILE *memory, char **text, size_t *n)
{
    bool ok = memory && fclose(memory) == 0;
    if (ok) ok = fwrite(*text, 1, *n, s->to) == *n && fflush(s->to) == 0;
    if (!ok) s->failed = true;
    free(*text);
}

/* Adds a word to the live text, in which control characters have no place. */
static void add_live(screen *s, const char *word)
{
    size_t n = strlen(word);
    if (s->n_live == 0)
        while (*word == ' ') word++, n--;
    char *grown = realloc(s->live, s->n_live + n + 1);
    if (!grown) {
        s->failed = true;
        return;
    }
    s->live = grown;
    for (size_t i = 0; i <= n; i++) {
        unsigned char c = (unsigned char)word[i];
        s->live[s->n_live + i] = i < n && (c < ' ' || c == 0x7F) ? ' ' : word[i];
    }
    s->n_live += n;
}

/* Finished rows of confirmed text; all of it when the utterance is over. */
static void put_finished(screen *s, FILE *out, bool all)
{
    while (s->n_live) {
        size_t next, n = screen_row(s->live, s->n_live, s->columns - 1, &next);
        if (next >= s->n_live && !all) break;
        fprintf(out, "%.*s\n", (int)n, s->live);
        s->n_live -= next;
        memmove(s->live, s->live + next, s->n_live);
        while (s->n_live && s->live[0] == ' ') memmove(s->live, s->live + 1, --s->n_live);
    }
}

static void show_caption(screen *s, const sotto_caption *c)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out) {
        s->failed = true;
        return;
    }
    put_clear(s, out);
    s->n_live = s->n_solid; /* the tentative words before are replaced */
    for (size_t i = 0; i < c->n_confirmed; i++) add_live(s, c->confirmed[i].text);
    put_finished(s, out, c->utterance_end || c->last);
    s->n_solid = s->n_live;
    for (size_t i = 0; i < c->n_tentative; i++) add_live(s, c->tentative[i].text);
    put_live(s, out);
    show(s, out, &text, &n);
}

/* ---- lines ---------------------------------------------------------------------------------------------------- */

static bool print_line(const cue *c, void *user)
{
    screen *s = user;
    for (size_t i = 0; i < c->length; i++)
        if ((unsigned char)c->text[i] < ' ') c->text[i] = ' ';
    if (fprintf(s->to, "%s\n", c->text) < 0 || fflush(s->to) != 0) s->failed = true;
    return true;
}

/* ---- both ----------------------------------------------------------------------------------------------------- */

void screen_open(screen *s, FILE *to, bool is_terminal)
{
    *s = (screen){.to = to, .is_terminal = is_terminal, .columns = 80, .rows = 24};
    if (is_terminal) setvbuf(to, NULL, _IOFBF, 1 << 16);
}

void screen_size(screen *s, int columns, int rows)
{
    s->columns = columns > 2 ? columns : 2;
    s->rows = rows > 3 ? rows : 3;
}

void screen_caption(screen *s, const sotto_caption *c)
{
    if (s->is_terminal)
        show_caption(s, c);
    else if (!cues_add(&s->lines, c->confirmed, c->n_confirmed, print_line, s) ||
             ((c->utterance_end || c->last) && !cues_end(&s->lines, print_line, s)))
        s->failed = true;
}

void screen_status(screen *s, const char *status)
{
    char *text = NULL;
    size_t n = 0;
    if (!s->is_terminal) return;
    FILE *out = open_memstream(&text, &n);
    if (!out) return;
    snprintf(s->status, sizeof s->status, "%s", status);
    if (s->drawn) {
        fputs("\r\033[K", out);
        put_status(s, out);
    } else {
        put_live(s, out);
    }
    show(s, out, &text, &n);
}

void screen_clear(screen *s)
{
    if (!s->is_terminal) return;
    put_clear(s, s->to);
    fflush(s->to);
}

void screen_close(screen *s)
{
    if (s->is_terminal) {
        put_clear(s, s->to);
        s->n_live = s->n_solid;
        put_finished(s, s->to, true);
    } else {
        cues_end(&s->lines, print_line, s);
    }
    if (fflush(s->to) != 0) s->failed = true;
    free(s->live);
    s->live = NULL;
    cues_free(&s->lines);
}
