/* SPDX-License-Identifier: MIT
 * A folder of labelled speech in, utterances out (study.h). refs.tsv has a line an utterance: id, language, seconds,
 * reference, separated by tabs; the recording is <id>.flac, .wav, … beside it. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "study/study.h"

static sotto_status out_of_memory(const study_set *set, sotto_error *err)
{
    return options_fail(err, SOTTO_ENOMEM, "out of memory: set %.100s", set->name);
}

/* ---- recordings ------------------------------------------------------------------------------------------------ */

static bool is_sound(const char *extension)
{
    static const char *const known[] = {"flac", "wav", "mp3", "ogg", "opus", "m4a", "aiff", "webm", "mp4"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcasecmp(extension, known[i]) == 0) return true;
    return false;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* File names of recordings in a folder, sorted. */
typedef struct folder {
    char **names;
    size_t n;
} folder;

static void folder_free(folder *f)
{
    for (size_t i = 0; i < f->n; i++) free(f->names[i]);
    free(f->names);
}

static sotto_status folder_read(folder *f, const study_set *set, sotto_error *err)
{
    DIR *dir = opendir(set->path);
    sotto_status st = SOTTO_OK;
    *f = (folder){0};
    if (!dir)
        return options_fail(err, SOTTO_EIO, "set %.100s: the folder %.300s cannot be read: %s", set->name, set->path,
                            strerror(errno));
    for (const struct dirent *d; st == SOTTO_OK && (d = readdir(dir));) {
        const char *dot = strrchr(d->d_name, '.');
        char **more;
        if (!dot || !is_sound(dot + 1)) continue;
        more = study_grow(f->names, f->n, sizeof *more);
        if (more) f->names = more;
        if (!more || !(f->names[f->n] = strdup(d->d_name)))
            st = out_of_memory(set, err);
        else
            f->n++;
    }
    closedir(dir);
    if (f->n) qsort(f->names, f->n, sizeof *f->names, by_name);
    return st;
}

static bool is_of(const char *name, const char *id)
{
    const size_t n = strlen(id);
    return strncmp(name, id, n) == 0 && name[n] == '.' && !strchr(name + n + 1, '.');
}

static sotto_status find_audio(study_utterance *u, const folder *f, const study_set *set, size_t line, sotto_error *err)
{
    const char *found = NULL;
    for (size_t i = 0; i < f->n; i++) {
        if (!is_of(f->names[i], u->id)) continue;
        if (found)
            return options_fail(err, SOTTO_EFORMAT,
                                "%.200s/refs.tsv:%zu: both %.80s and %.80s are there; one recording was expected",
                                set->path, line, found, f->names[i]);
        found = f->names[i];
    }
    if (!found)
        return options_fail(err, SOTTO_ENOTFOUND,
                            "%.200s/refs.tsv:%zu: a recording %.100s.flac or the like was expected beside it",
                            set->path, line, u->id);
    if (asprintf(&u->audio, "%s/%s", set->path, found) < 0) {
        u->audio = NULL;
        return out_of_memory(set, err);
    }
    return SOTTO_OK;
}

/* ---- lines ------------------------------------------------------------------------------------------------------ */

/* LibriSpeech's ids are SPEAKER-CHAPTER-UTTERANCE, in digits; all of LJ Speech (LJ001-0001) is one person. Others do
 * not tell, so each utterance counts as a speaker of its own. */
static char *speaker_of(const char *id)
{
    const size_t digits = strspn(id, "0123456789");
    if (digits && id[digits] == '-' && strspn(id + digits + 1, "0123456789")) return strndup(id, digits);
    if (strncmp(id, "LJ", 2) == 0 && strspn(id + 2, "0123456789")) return strdup("LJ");
    return strdup(id);
}

static sotto_status fill(study_utterance *u, char **fields, const study_set *set, size_t line, sotto_error *err)
{
    sotto_edits edits;
    sotto_status st;
    const char *code = sotto_language_code(fields[1]);
    if (!*fields[0] || strchr(fields[0], '/'))
        return options_fail(
            err, SOTTO_EFORMAT,
            "%.200s/refs.tsv:%zu: \"%.100s\" is no id; the name of a recording without its extension was expected",
            set->path, line, fields[0]);
    if (!code)
        return options_fail(
            err, SOTTO_EFORMAT,
            "%.200s/refs.tsv:%zu: \"%.40s\" is no language of Whisper's; a code like \"en\" was expected", set->path,
            line, fields[1]);
    if (!options_parse_double(fields[2], &u->seconds) || u->seconds <= 0)
        return options_fail(err, SOTTO_EFORMAT,
                            "%.200s/refs.tsv:%zu: \"%.40s\" is no length; seconds above 0 were expected", set->path,
                            line, fields[2]);
    u->id = strdup(fields[0]);
    u->speaker = speaker_of(fields[0]);
    u->language = strdup(code);
    u->reference = strdup(fields[3]);
    if (!u->id || !u->speaker || !u->language || !u->reference) return out_of_memory(set, err);
    if ((st = sotto_score_edits(u->reference, "", u->language, &edits, err)) != SOTTO_OK) return st;
    if (!edits.words)
        return options_fail(err, SOTTO_EFORMAT,
                            "%.200s/refs.tsv:%zu: the reference of %.100s has no words; leave the line out", set->path,
                            line, u->id);
    u->words = edits.words;
    u->characters = edits.characters;
    return SOTTO_OK;
}

static sotto_status take_line(study_set *set, char *text, size_t line, const folder *f, sotto_error *err)
{
    enum { FIELDS = 4 };
    char *fields[FIELDS], *rest = text;
    size_t n = 0, length = strlen(text);
    if (length && text[length - 1] == '\r') text[--length] = '\0';
    if (!length) return SOTTO_OK;
    while (n < FIELDS && (fields[n] = strsep(&rest, "\t"))) n++;
    if (n < FIELDS)
        return options_fail(
            err, SOTTO_EFORMAT,
            "%.200s/refs.tsv:%zu: %zu fields; id, language, seconds and text, between tabs, were expected", set->path,
            line, n);
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->utterances[i].id, fields[0]) == 0)
            return options_fail(err, SOTTO_EFORMAT, "%.200s/refs.tsv:%zu: a second line of %.100s; ids must differ",
                                set->path, line, fields[0]);
    study_utterance *more = study_grow(set->utterances, set->n, sizeof *more);
    if (!more) return out_of_memory(set, err);
    set->utterances = more;
    study_utterance *u = &more[set->n++];
    sotto_status st = fill(u, fields, set, line, err);
    if (st == SOTTO_OK) st = find_audio(u, f, set, line, err);
    set->seconds += u->seconds;
    set->words += u->words;
    return st;
}

sotto_status study_set_read(study_set *set, sotto_error *err)
{
    char *path = NULL, *text = NULL, *rest;
    folder f;
    size_t line = 0;
    sotto_status st = folder_read(&f, set, err);
    if (st == SOTTO_OK && asprintf(&path, "%s/refs.tsv", set->path) < 0) {
        path = NULL;
        st = out_of_memory(set, err);
    }
    if (st == SOTTO_OK) st = study_read_text(&text, path, err);
    rest = text;
    for (char *t; st == SOTTO_OK && (t = strsep(&rest, "\n"));) st = take_line(set, t, ++line, &f, err);
    if (st == SOTTO_OK && !set->n)
        st = options_fail(err, SOTTO_EFORMAT, "%.300s is empty; lines of id, language, seconds and text were expected",
                          path);
    folder_free(&f);
    free(text);
    free(path);
    return st;
}

void study_set_free(study_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        study_utterance *u = &set->utterances[i];
        free(u->id);
        free(u->speaker);
        free(u->language);
        free(u->reference);
        free(u->audio);
    }
    free(set->utterances);
    free(set->name);
    free(set->path);
}

/* ---- halves ----------------------------------------------------------------------------------------------------- */

typedef struct speaker {
    const char *name;
    double seconds, by_set[STUDY_MOST];
    study_half half;
} speaker;

static int by_seconds(const void *a, const void *b)
{
    const speaker *x = a, *y = b;
    return x->seconds != y->seconds ? (x->seconds < y->seconds) - (x->seconds > y->seconds) : strcmp(x->name, y->name);
}

static speaker *find_speaker(speaker *all, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].name, name) == 0) return &all[i];
    return NULL;
}

/* How far apart the halves are, as a share of each set, summed, once `s` joins the side with this sign. */
static double imbalance(const double *difference, const speaker *s, double sign, const study_set *sets, size_t n)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++) sum += fabs(difference[k] + sign * s->by_set[k]) / sets[k].seconds;
    return sum;
}

/* Largest first, each to the half that it brings nearer to the other. */
static void deal(speaker *all, size_t count, const study_set *sets, size_t n)
{
    double difference[STUDY_MOST] = {0}; /* choose less report, seconds by set */
    for (int pass = 0; pass < 2; pass++) /* those who have a half already come first */
        for (size_t i = 0; i < count; i++) {
            speaker *s = &all[i];
            if (pass == 0 ? s->half == STUDY_UNDECIDED : s->half != STUDY_UNDECIDED) continue;
            if (pass == 1)
                s->half = imbalance(difference, s, 1, sets, n) <= imbalance(difference, s, -1, sets, n) ? STUDY_CHOOSE
                                                                                                        : STUDY_REPORT;
            for (size_t k = 0; k < n; k++) difference[k] += (s->half == STUDY_CHOOSE ? 1 : -1) * s->by_set[k];
        }
}

sotto_status study_halve(study_set *sets, size_t n, sotto_error *err)
{
    speaker *all = NULL;
    size_t count = 0;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < sets[k].n; i++) {
            const study_utterance *u = &sets[k].utterances[i];
            speaker *s = find_speaker(all, count, u->speaker);
            if (!s) {
                speaker *more = study_grow(all, count, sizeof *more);
                if (!more) {
                    free(all);
                    return options_fail(err, SOTTO_ENOMEM, "out of memory: speakers");
                }
                all = more;
                s = &all[count++];
                s->name = u->speaker;
            }
            s->seconds += u->seconds;
            s->by_set[k] += u->seconds;
            if (u->half != STUDY_UNDECIDED) s->half = u->half;
        }
    if (count) qsort(all, count, sizeof *all, by_seconds);
    deal(all, count, sets, n);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < sets[k].n; i++) {
            study_utterance *u = &sets[k].utterances[i];
            u->half = find_speaker(all, count, u->speaker)->half;
        }
    free(all);
    return SOTTO_OK;
}

const char *study_half_name(study_half half)
{
    static const char *const names[] = {"", "choose", "report"};
    return names[half];
}
