/* SPDX-License-Identifier: MIT
 * What becomes of captions: subtitle files that grow as words are confirmed, and the screen or lines of text. */
#ifndef SOTTO_CLIENT_CAPTIONS_H
#define SOTTO_CLIENT_CAPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "cues.h"
#include "sotto.h"

/* A message for people, one sentence. */
typedef void captions_tell(const char *text, void *user);

/* ---- files (caption_files.c) ---------------------------------------------------------------------------------- */

/* A file that only ever grows by whole pieces, each on the disk before the next is written. */
typedef struct growing_file {
    const char *path; /* NULL: not asked for, or given up */
    int fd;
    long long whole; /* bytes up to the end of the last piece */
} growing_file;

typedef struct caption_files {
    growing_file srt, vtt, jsonl;
    cue_cutter cutter;
    size_t n_cues;
    bool failed; /* some file could not be written; `tell` was told, the others go on */
    captions_tell *tell;
    void *user;
} caption_files;

void caption_files_open(caption_files *f, const char *srt, const char *vtt, const char *jsonl, captions_tell *tell,
                        void *user);
void caption_files_add(caption_files *f, const sotto_caption *c);
/* Writes the cue begun, closes the files. */
void caption_files_close(caption_files *f);

/* ---- screen (screen.c) ---------------------------------------------------------------------------------------- */

/* Bytes of `text` that fit in a row of so many columns, broken at a space or beside a wide character where there is
 * one; *next is where the next row begins. All of a text that fits. Never 0 for a text that is not empty. */
size_t screen_row(const char *text, size_t n, int columns, size_t *next);
/* Columns that the text takes. */
int screen_width(const char *text, size_t n);

/* On a terminal, rows that are full or over scroll up and are never touched again; below them stands the row begun,
 * what is tentative in dim, and a line of status. Elsewhere: a line for each sentence or utterance once confirmed. */
typedef struct screen {
    FILE *to;
    bool is_terminal, failed; /* failed: something could not be written, or kept in memory */
    int columns, rows;        /* of the terminal */
    char *live;               /* what follows the last finished row: confirmed, then tentative */
    size_t n_live, n_solid;   /* bytes in all; of them confirmed */
    char status[160];
    int drawn; /* rows on the terminal below the last finished one, the status line included; 0: none */
    cue_cutter lines;
} screen;

void screen_open(screen *s, FILE *to, bool is_terminal);
void screen_size(screen *s, int columns, int rows);
void screen_caption(screen *s, const sotto_caption *c);
void screen_status(screen *s, const char *status);
/* Takes away what is not final, so that something else can be printed there. */
void screen_clear(screen *s);
/* The row or line begun is finished, the rest taken away. */
void screen_close(screen *s);

#endif
