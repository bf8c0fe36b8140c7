/* SPDX-License-Identifier: MIT
 * Arguments of `sotto transcribe` -> recordings, folders taken recursively, and the names of their outputs. */
#ifndef SOTTO_CLIENT_INPUTS_H
#define SOTTO_CLIENT_INPUTS_H

#include "client.h"

typedef struct input_entry {
    char *path;
    char *folder;  /* where in the folder that was named: "" or "2024/may" */
    char *trouble; /* NULL, or why there is nothing to open, as a sentence */
} input_entry;

typedef struct input_list {
    input_entry *entries;
    size_t n, cap;
} input_list;

/* Every name in order; a folder as the recordings below it, by the ends of their names, sorted, without hidden ones and
 * without following links to folders. A folder with none, or one that cannot be read, is an entry with its trouble.
 * Fails only when memory ran out; inputs_free in any case. */
sotto_status inputs_expand(input_list *out, const char *const *names, size_t n, sotto_error *err);
void inputs_free(input_list *list);

/* Names of output files without their extension, one an entry: its folder, and the name without directory and
 * extension; with its extension where several entries of a folder share that; with a number where even that is taken.
 * "-" is "stdin". NULL when memory ran out. */
char **output_stems(const input_list *list);
void output_stems_free(char **stems, size_t n);

/* Whether the recording `path` has all its outputs in the work's directory, none older than itself. */
bool outputs_are_there(const work *w, const char *path, const char *stem);

/* Makes the folders between `directory` and the outputs of `stem`. */
sotto_status output_make_folders(const char *directory, const char *stem, sotto_error *err);

/* Writes all texts of a transcription. */
sotto_status outputs_write(const work *w, const transcripts *t, const char *stem, sotto_error *err);

#endif
