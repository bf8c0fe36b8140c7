/* SPDX-License-Identifier: MIT
 * `sotto study`: models made smaller in many ways, each heard on labelled speech. Along the path of the data:
 * plan.c (a plan file in, configurations out), set.c (refs.tsv in, utterances out), run.c (each
 * configuration transcribes each utterance), store.c (results, in SQLite), list.c (a table of them). */
#ifndef SOTTO_CLIENT_STUDY_H
#define SOTTO_CLIENT_STUDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sotto.h"

/* Sets and models of a plan are kept as bits of one word. */
enum { STUDY_MOST = 64 };

/* Specs are chosen on one half of the speakers and reported on the other. */
typedef enum study_half { STUDY_UNDECIDED, STUDY_CHOOSE, STUDY_REPORT } study_half;

typedef struct study_utterance {
    char *id, *speaker, *language, *reference;
    char *audio; /* path */
    double seconds;
    uint64_t words, characters; /* of the normalised reference */
    study_half half;
} study_utterance;

typedef struct study_set {
    char *name, *path;
    study_utterance *utterances; /* in the order of refs.tsv */
    size_t n;
    double seconds;
    uint64_t words;
} study_set;

typedef struct study_model {
    char *name, *path;
} study_model;

typedef struct study_configuration {
    size_t model;  /* index in the plan */
    char *spec;    /* "none": the model as it is */
    uint64_t sets; /* bits */
    int64_t id;    /* in the database, see study_store_begin */
} study_configuration;

typedef struct study_plan {
    char *path, *text;
    uint64_t seed;
    char *calibration; /* path, or NULL */
    int precision;     /* index in MODELS_PRECISIONS */
    bool fallback;     /* higher temperatures are allowed */
    study_set *sets;
    size_t n_sets;
    study_model *models;
    size_t n_models;
    study_configuration *configurations;
    size_t n;
} study_plan;

/* ---- plan.c --------------------------------------------------------------------------------------------- */

/* Reads the plan, not its sets. What is wrong with it is said as FILE:LINE: sentence. Free in any case. */
sotto_status study_plan_read(study_plan *plan, const char *path, sotto_error *err);
void study_plan_free(study_plan *plan);

/* `n` items of `size` bytes become n + 1; the new one is zeros. NULL when memory ran out: `items` is still valid. */
void *study_grow(void *items, size_t n, size_t size);

/* The file as one string, NUL-terminated; the caller's. */
sotto_status study_read_text(char **out, const char *path, sotto_error *err);

/* ---- set.c ---------------------------------------------------------------------------------------------- */

/* Reads PATH/refs.tsv and finds each line's recording. */
sotto_status study_set_read(study_set *set, sotto_error *err);
void study_set_free(study_set *set);

/* Gives each speaker that has no half yet one, the same in all sets, so that each set's seconds divide as evenly as
 * speakers allow. Depends on speakers and seconds alone. */
sotto_status study_halve(study_set *sets, size_t n, sotto_error *err);
const char *study_half_name(study_half half);

/* ---- meter.c -------------------------------------------------------------------------------------------- */

/* Memory and energy of this process and this machine, from the kernel. */
typedef struct study_meter {
    struct {
        char path[128]; /* of energy_uj */
        double range_uj, last_uj;
    } zones[16];
    size_t n;
    double joules;
} study_meter;

void study_meter_begin(study_meter *m);
/* Adds what the counters moved since the last call, which must be less than once around (a minute or so). */
void study_meter_read(study_meter *m);
/* Joules since the beginning; NAN where no counter can be read. */
double study_meter_joules(const study_meter *m);

double study_cpu_seconds(void); /* of this process so far, all threads, in user and kernel */

void study_rss_reset(void);   /* the peak counts from here on, where the kernel lets it */
int64_t study_rss(void);      /* bytes now; -1 = unknown */
int64_t study_rss_peak(void); /* the most since then; -1 = unknown */
/* Processor, threads (0: as many as this process may use) and slots. */
void study_machine(char out[static 200], int threads, int slots);

/* ---- run.c ---------------------------------------------------------------------------------------------- */

struct study_store;

typedef struct study_work {
    const study_plan *plan;
    struct study_store *store;
    const char *scratch; /* path for the shrunken model of the moment */
    int32_t threads, slots;
} study_work;

/* Everything that is not in the database yet. *failed counts configurations and runs that went wrong, each told on
 * stderr and, for configurations, in the database. Anything but SOTTO_OK means that the study cannot go on. */
sotto_status study_run(const study_work *w, size_t *failed, sotto_error *err);

/* ---- list.c --------------------------------------------------------------------------------------------- */

sotto_status study_list(struct study_store *store, sotto_error *err);

#endif
