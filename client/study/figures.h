/* SPDX-License-Identifier: MIT
 * A study's database in memory, and the figures made of it. Path of the data: read.c (rows of the database) ->
 * rate.c (error rates with intervals) -> table.c (a row a configuration and set), findings.c, aims.c, parts.c,
 * answers.c, question.c (JSON) -> report.c (files); smallest.c prints one choice. */
#ifndef SOTTO_CLIENT_STUDY_FIGURES_H
#define SOTTO_CLIENT_STUDY_FIGURES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "options.h"

/* Speakers fall into two halves: a spec is chosen on one and reported on the other. */
typedef enum report_half { REPORT_ALL, REPORT_CHOOSE, REPORT_TELL, REPORT_HALVES } report_half;
extern const char *const report_half_names[REPORT_HALVES];

typedef struct report_utterance {
    char *id, *speaker;
    double seconds;
    bool choose;      /* of the half that specs are chosen on */
    size_t condition; /* index into the set's conditions */
} report_utterance;

/* What kind of speech an utterance is, by its id. */
typedef struct report_condition {
    char *name;           /* "LibriSpeech test-other" */
    const char *human_of; /* the published test set that it is taken from, where people were measured; else NULL */
} report_condition;

typedef struct report_set {
    char *name;
    int64_t reference_words;
    double audio_seconds;
    report_utterance *utterances;
    size_t n_utterances;
    report_condition *conditions;
    size_t n_conditions;
} report_set;

/* One utterance as it was transcribed. */
typedef struct report_result {
    bool there;
    int64_t words, word_edits, characters, character_edits; /* words and characters of the reference */
} report_result;

typedef struct report_run {
    bool there, finished;
    double wall_s, cpu_s, encoder_s, decoder_s, audio_s, energy_j; /* energy NAN where it could not be read */
    char *machine, *build;                                         /* "" where they are not known */
    int64_t multiply_adds, encoder_multiply_adds, decoder_multiply_adds, decoder_steps, tokens, windows, peak_rss;
    json_t *by_part;        /* {PART: {"parameters", "multiply_adds"}} or NULL */
    report_result *results; /* by utterance of the set; NULL where there are none */
} report_run;

typedef struct report_configuration {
    int64_t id;
    char *model, *spec;
    int64_t parameters, nonzero, bits, file_bytes, resident_bytes;
    double shrink_s, load_s;
    json_t *shrink;   /* the report of sotto_shrink, or NULL */
    char *error;      /* why it could not be made, or NULL */
    size_t whole;     /* index of the same model's unshrunken configuration; REPORT_NONE where there is none */
    report_run *runs; /* by set */
} report_configuration;

/* What hearing a set took on a machine; NAN: unknown. */
typedef struct report_speed {
    double wall_s, cpu_s, audio_s;
} report_speed;

/* An unshrunken model once more, on another machine than its run was on. */
typedef struct report_again {
    int64_t configuration;
    size_t set;
    char *machine;
    report_speed speed;
} report_again;

#define REPORT_NONE SIZE_MAX

typedef struct report_data {
    json_t *meta;
    report_set *sets;
    size_t n_sets;
    report_configuration *configurations; /* by model, the whole one first, then by id */
    size_t n_configurations;
    report_again *again;
    size_t n_again;
} report_data;

/* Reads all of a database. Free in any case. */
sotto_status report_data_read(report_data *d, const char *path, sotto_error *err);
void report_data_free(report_data *d);

/* The kind of speech that an id and a language tell of; *human_of as in report_condition. For free(), NULL: no memory.
 */
char *report_condition_name(const char *id, const char *language, const char **human_of);

static inline bool report_is_whole(const report_configuration *c)
{
    return c->spec[0] == '\0' ||
           (c->spec[0] == 'n' && c->spec[1] == 'o' && c->spec[2] == 'n' && c->spec[3] == 'e' && c->spec[4] == '\0');
}

/* ---- error rates (rate.c) ------------------------------------------------------------------------------- */

typedef struct report_interval {
    double value, low, high; /* NAN where there is none */
} report_interval;

/* Which utterances count. */
typedef struct report_part {
    size_t set;
    report_half half;
    size_t condition; /* REPORT_NONE: all */
} report_part;

typedef struct report_score {
    int64_t utterances, words;
    size_t speakers;
    report_interval wer, cer;   /* shares: 0.05 = 5 % */
    report_interval difference; /* WER less the whole model's, paired by utterance */
    double p;                   /* two-sided, of no difference */
} report_score;

/* Rates without intervals: quick. NAN where the run is not finished or there are no words. */
double report_wer(const report_data *d, size_t configuration, report_part part);

/* Fills *s; all NAN where report_wer is. */
sotto_status report_score_read(report_score *s, const report_data *d, size_t configuration, report_part part,
                               sotto_error *err);

/* ---- all scores, computed once (table.c) ---------------------------------------------------------------- */

typedef struct report_table {
    const report_data *d;
    report_score *scores; /* [configuration, set, half] */
    size_t main_set;      /* the set with most words of reference */
} report_table;

sotto_status report_table_make(report_table *t, const report_data *d, sotto_error *err);
void report_table_free(report_table *t);
const report_score *report_score_at(const report_table *t, size_t configuration, size_t set, report_half half);

/* The configuration's run on that set, or NULL when it is not finished. */
const report_run *report_run_at(const report_data *d, size_t configuration, size_t set);

/* The unshrunken model's speed on that set and machine; all NAN where it was not measured. */
report_speed report_whole_speed(const report_data *d, size_t whole, size_t set, const char *machine);

/* Of the model whose first configuration is `first`: the smallest file with at most that error rate, and the one with
 * the least error rate of those of at most so many bytes (the smaller of two alike). REPORT_NONE: there is none. */
size_t report_smallest_within(const report_data *d, size_t first, report_part part, double limit);
size_t report_best_of_size(const report_data *d, size_t first, report_part part, int64_t most_bytes);
bool report_is_first_of_model(const report_data *d, size_t c);

/* A spec of one term, as "int4:g64@encoder.0.mlp": what is done ("int4:g64"), and to what ("encoder.0.mlp"). Both for
 * free(). False for other specs, or when memory ran out. */
bool report_spec_single(const char *spec, char **method, char **scope);
/* Has the spec a term that begins so? */
bool report_spec_has(const char *spec, const char *beginning);

/* ---- JSON ----------------------------------------------------------------------------------------------------- */

/* Adds to an object and takes the reference; *ok turns false when memory runs out. */
void report_put(json_t *o, const char *key, json_t *value, bool *ok);
void report_append(json_t *array, json_t *value, bool *ok);
json_t *report_real(double v);      /* null for NAN and infinities */
json_t *report_known(int64_t n);    /* null for what is not positive: unknown */
json_t *report_text(const char *s); /* null for NULL */
json_t *report_interval_json(report_interval v);
double report_ratio(double a, double b);                     /* NAN for b = 0 */
double report_number(const json_t *o, const char *key);      /* NAN where there is none */
const char *report_string(const json_t *o, const char *key); /* "" where there is none */

/* Members of results.json. NULL, or *ok false: out of memory. */
json_t *report_rows(const report_table *t, bool *ok);        /* a row a configuration and set */
char *report_csv(const json_t *rows);                        /* the same; for free() */
json_t *report_sets(const report_table *t, bool *ok);        /* findings.c */
json_t *report_headline(const report_table *t, bool *ok);    /* smallest files, and what they cost */
json_t *report_conditions(const report_table *t, bool *ok);  /* error rates by kind of speech */
json_t *report_sensitivity(const report_table *t, bool *ok); /* what changing one part alone costs */
json_t *report_parts(const report_table *t, bool *ok);       /* parts.c */
json_t *report_aims(const report_table *t, bool *ok);        /* aims.c: files of a size that was aimed at */
json_t *report_score_json(const report_score *s, bool *ok);
/* Answers from the members above. */
json_t *report_hypotheses(const report_table *t, const json_t *parts, const json_t *headline, const json_t *conditions,
                          const json_t *sensitivity, bool *ok);
json_t *report_question(const report_table *t, const json_t *parts, const json_t *headline, bool *ok);

/* Published error rate of people on a test set of LibriSpeech, a share; NAN for other sets. */
double report_human_wer(const char *test_set);

#endif
