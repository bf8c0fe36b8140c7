/* SPDX-License-Identifier: MIT
 * The database of a study, its schema at the top of store.c.
 *
 * Every result is on its way to the disk (write-ahead log) when study_store_result returns, so a killed process loses
 * what was being heard. Calls from one thread at a time. */
#ifndef SOTTO_CLIENT_STUDY_STORE_H
#define SOTTO_CLIENT_STUDY_STORE_H

#include "study/study.h"

typedef struct study_store study_store;

/* Opens or makes the file, brings one of schema version 1 up to date and keeps other runs away from it; `reading`: it
 * has to be there, is only read, and may be written by a run meanwhile. */
sotto_status study_store_open(study_store **out, const char *path, bool reading, sotto_error *err);
void study_store_close(study_store *s);

/* Gives speakers that the database knows the halves that they have there. */
sotto_status study_store_halves(study_store *s, study_set *sets, size_t n, sotto_error *err);

/* Writes down plan, sets, utterances and configurations, those that are not there yet, and sets their ids. Fails when
 * what is there was measured otherwise (seed, precision, decoding, other utterances in a set). `machine`: its name. */
sotto_status study_store_begin(study_store *s, study_plan *plan, const char *machine, sotto_error *err);

/* Of a configuration. Numbers below 0 and NULL are unknown. */
typedef struct study_facts {
    int64_t parameters, nonzero, bits, file_bytes, resident_bytes;
    double shrink_s, load_s;
    const char *shrink_report, *error;
} study_facts;

sotto_status study_store_facts(study_store *s, int64_t configuration, const study_facts *facts, sotto_error *err);

/* What is there of one configuration on one set. */
typedef struct study_state {
    bool finished;
    bool *done; /* [set->n]: utterances with a result */
    size_t n_done;
    uint64_t edits, words; /* of those */
    double seconds;
    sotto_counts counts; /* of those; zeros once finished */
} study_state;

/* Free state->done. */
sotto_status study_store_state(study_store *s, int64_t configuration, const study_set *set, study_state *state,
                               sotto_error *err);

/* Begins or goes on with a run. */
sotto_status study_store_run(study_store *s, int64_t configuration, const study_set *set, sotto_error *err);

/* One utterance heard. */
sotto_status study_store_result(study_store *s, int64_t configuration, const study_set *set, const study_utterance *u,
                                const char *text, const sotto_edits *edits, const sotto_counts *counts,
                                sotto_error *err);

/* Of a whole run. NAN and numbers below 0 are unknown. */
typedef struct study_run_figures {
    double wall_s, cpu_s, joules;
    int64_t peak_rss_bytes;
    sotto_counts counts;
    const uint64_t *part_parameters; /* [SOTTO_PART_COUNT] */
} study_run_figures;

sotto_status study_store_finish(study_store *s, int64_t configuration, const study_set *set,
                                const study_run_figures *figures, sotto_error *err);

/* The model's "none", when its speed on this set is not known for this machine (that of study_store_begin) and another
 * configuration's is; -1 when nothing is lacking. */
sotto_status study_store_lacks_speed(study_store *s, const char *model, const study_set *set, int64_t *configuration,
                                     sotto_error *err);
/* What it took to hear all of the set on this machine, beside the run itself, which stays as it is. */
sotto_status study_store_speed(study_store *s, int64_t configuration, const study_set *set, double wall_s, double cpu_s,
                               sotto_error *err);

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* A finished run, or a configuration that could not be made (then only the first three and `error`). */
typedef struct study_row {
    int64_t configuration;
    const char *model, *spec, *error;
    const char *set;
    int64_t parameters, nonzero, bits, file_bytes;
    double wall_s, audio_s;
    const uint64_t *edits, *words; /* [n], by utterance, sorted by id */
    const uint64_t *base_edits;    /* the same of the same model's "none" on this set; NULL when that is not there */
    size_t n;
} study_row;

/* Calls `take` for each, by configuration and set; it returns false to stop. */
sotto_status study_store_rows(study_store *s, bool (*take)(const study_row *row, void *user), void *user,
                              sotto_error *err);

/* The value of `key` in meta as a whole number; `fallback` where there is none. */
uint64_t study_store_meta_number(study_store *s, const char *key, uint64_t fallback);

#endif
