/* SPDX-License-Identifier: MIT
 * Confirmed words -> cues of subtitles and lines of text: cut at the end of utterances and sentences, and before they
 * grow too long to be read. Pure: nothing is written here. */
#ifndef SOTTO_CLIENT_CUES_H
#define SOTTO_CLIENT_CUES_H

#include <stdbool.h>
#include <stddef.h>

#include "sotto.h"

enum { CUE_CHARACTERS = 84, CUE_SECONDS = 7, CUE_LINE = 42 };

/* A piece of text with its times; `text` begins without a space. */
typedef struct cue {
    char *text;
    size_t length, room;
    double start_s, end_s;
} cue;

typedef struct cue_cutter {
    size_t characters; /* most in a cue; 0: no bound */
    double seconds;    /* longest; 0: no bound */
    cue open;          /* the cue that words are added to; length 0: none */
    double last_end_s; /* of the cue before: times never go back */
} cue_cutter;

/* Hands a complete cue out; false: stop. */
typedef bool cue_taker(const cue *c, void *user);

/* Adds words in order and hands out the cues that they complete. False when memory ran out or the taker said so. */
bool cues_add(cue_cutter *c, const sotto_word *words, size_t n, cue_taker *take, void *user);
/* The words so far are a cue: the utterance or the stream is over. */
bool cues_end(cue_cutter *c, cue_taker *take, void *user);
void cues_free(cue_cutter *c);

/* The word closes a sentence: . ? ! … and their like, also before closing quotes; not "Mr.", "J." and other
 * abbreviations. */
bool word_ends_sentence(const char *word);

/* The cue as it stands in a file; `number` counts from 1. For free(); NULL when memory ran out. */
char *cue_srt(const cue *c, size_t number);
char *cue_vtt(const cue *c);

#endif
