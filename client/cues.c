/* SPDX-License-Identifier: MIT
 * Where captions are cut, and how a cue is written (cues.h). */
#include "cues.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t characters(const char *text, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

/* ---- sentences ------------------------------------------------------------------------------------------------ */

static bool ends_in(const char *text, size_t *n, const char *const *ends, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(ends[i]);
        if (*n >= len && memcmp(text + *n - len, ends[i], len) == 0) {
            *n -= len;
            return true;
        }
    }
    return false;
}

bool word_ends_sentence(const char *word)
{
    static const char *const closing[] = {"\"", "'", ")", "]", "”", "’", "»", "」", "』", "）", " "};
    static const char *const marks[] = {".", "?", "!", "…", "。", "？", "！", "｡", "؟", "۔", "।"};
    static const char *const short_forms[] = {"mr", "mrs", "ms", "dr", "st", "prof", "vs", "no", "e.g", "i.e"};
    while (*word == ' ') word++;
    size_t n = strlen(word);
    while (ends_in(word, &n, closing, sizeof closing / sizeof *closing)) continue;
    bool dot = n && word[n - 1] == '.';
    if (!ends_in(word, &n, marks, sizeof marks / sizeof *marks)) return false;
    if (!dot) return true;
    while (n && !isalnum((unsigned char)*word) && (unsigned char)*word < 0x80) word++, n--;
    if (n == 1 && isupper((unsigned char)*word) && *word != 'I') return false;
    for (size_t i = 0; i < sizeof short_forms / sizeof *short_forms; i++)
        if (strlen(short_forms[i]) == n && strncasecmp(word, short_forms[i], n) == 0)
            return strcmp(short_forms[i], "no") == 0 && islower((unsigned char)*word);
    return true;
}

/* ---- cutting -------------------------------------------------------------------------------------------------- */

static bool append(cue *c, const char *text, size_t n)
{
    if (c->length + n + 1 > c->room) {
        size_t room = 2 * (c->length + n + 1);
        char *grown = realloc(c->text, room);
        if (!grown) return false;
        c->text = grown;
        c->room = room;
    }
    memcpy(c->text + c->length, text, n);
    c->length += n;
    c->text[c->length] = '\0';
    return true;
}

bool cues_end(cue_cutter *c, cue_taker *take, void *user)
{
    if (c->open.length == 0) return true;
    bool ok = take(&c->open, user);
    c->last_end_s = c->open.end_s;
    c->open.length = 0;
    return ok;
}

static bool is_too_long(const cue_cutter *c, const sotto_word *w, size_t bytes)
{
    return (c->characters && characters(c->open.text, c->open.length) + characters(w->text, bytes) > c->characters) ||
           (c->seconds > 0 && w->end_s - c->open.start_s > c->seconds);
}

bool cues_add(cue_cutter *c, const sotto_word *words, size_t n, cue_taker *take, void *user)
{
    for (size_t i = 0; i < n; i++) {
        const sotto_word *w = &words[i];
        const char *text = w->text;
        size_t bytes = strlen(text);
        if (c->open.length && is_too_long(c, w, bytes) && !cues_end(c, take, user)) return false;
        if (c->open.length == 0) {
            while (*text == ' ') text++, bytes--;
            if (bytes == 0) continue;
            c->open.start_s = w->start_s > c->last_end_s ? w->start_s : c->last_end_s;
            c->open.end_s = c->open.start_s;
        }
        if (!append(&c->open, text, bytes)) return false;
        if (w->end_s > c->open.end_s) c->open.end_s = w->end_s;
        if (word_ends_sentence(w->text) && !cues_end(c, take, user)) return false;
    }
    return true;
}

void cues_free(cue_cutter *c)
{
    free(c->open.text);
    c->open = (cue){0};
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

/* The space where a cue of more than a line is broken in two: the one nearest to the middle, or NULL. */
static const char *middle_space(const cue *c)
{
    size_t all = characters(c->text, c->length), before = 0, best_off = SIZE_MAX;
    const char *best = NULL;
    if (all <= CUE_LINE) return NULL;
    for (const char *p = c->text; *p; p++) {
        size_t off = 2 * before > all ? 2 * before - all : all - 2 * before;
        if (*p == ' ' && p > c->text && p[1] && off < best_off) best = p, best_off = off;
        before += ((unsigned char)*p & 0xC0) != 0x80;
    }
    return best;
}

static void put_time(FILE *to, double seconds, char mark)
{
    uint64_t ms = seconds > 0 && seconds < 1e9 ? (uint64_t)llround(seconds * 1000) : 0;
    fprintf(to, "%02llu:%02llu:%02llu%c%03llu", (unsigned long long)(ms / 3600000),
            (unsigned long long)(ms / 60000 % 60), (unsigned long long)(ms / 1000 % 60), mark,
            (unsigned long long)(ms % 1000));
}

static char *write_cue(const cue *c, size_t number, char mark, bool escape)
{
    char *out = NULL;
    size_t bytes;
    FILE *to = open_memstream(&out, &bytes);
    if (!to) return NULL;
    if (number) fprintf(to, "%zu\n", number);
    put_time(to, c->start_s, mark);
    fputs(" --> ", to);
    put_time(to, c->end_s, mark);
    fputc('\n', to);
    const char *middle = middle_space(c);
    for (const char *p = c->text; *p; p++) {
        if (p == middle || (unsigned char)*p < ' ')
            fputc(p == middle ? '\n' : ' ', to);
        else if (escape && *p == '&')
            fputs("&amp;", to);
        else if (escape && *p == '<')
            fputs("&lt;", to);
        else if (escape && *p == '>')
            fputs("&gt;", to);
        else if (strncmp(p, "-->", 3) == 0)
            fputs("->", to), p += 2;
        else
            fputc(*p, to);
    }
    fputs("\n\n", to);
    if (fclose(to) == 0) return out;
    free(out);
    return NULL;
}

char *cue_srt(const cue *c, size_t number) { return write_cue(c, number, ',', false); }

char *cue_vtt(const cue *c) { return write_cue(c, 0, '.', true); }
