/* SPDX-License-Identifier: MIT
 * A study's database -> report_data. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "study/figures.h"
#include "study/sql.h"

const char *const report_half_names[REPORT_HALVES] = {"all", "choose", "report"};

static sotto_status no_memory(sotto_error *err)
{
    return options_fail(err, SOTTO_ENOMEM, "out of memory: the results of a study");
}

/* Room for the rows that SELECT COUNT(*) `from` counts, all zeros; at least one. */
static sotto_status room(void **out, study_sql *db, const char *from, size_t size, sotto_error *err)
{
    char query[160];
    study_rows *r;
    sotto_status st;
    snprintf(query, sizeof query, "SELECT COUNT(*) FROM %s", from);
    if ((st = study_rows_begin(&r, db, err, query, "")) != SOTTO_OK) return st;
    int64_t n = study_rows_next(r) ? study_rows_int(r, 0) : 0;
    if ((st = study_rows_end(r, err)) != SOTTO_OK) return st;
    *out = calloc((size_t)n + 1, size);
    return *out ? SOTTO_OK : no_memory(err);
}

static char *copy(study_rows *r, int column)
{
    const char *s = study_rows_text(r, column);
    return strdup(s ? s : "");
}

/* What JSON there is; anything else is as if nothing was there. */
static json_t *json_of(study_rows *r, int column)
{
    const char *s = study_rows_text(r, column);
    return s ? json_loads(s, 0, NULL) : NULL;
}

/* ---- sets and utterances -------------------------------------------------------------------------------------- */

static sotto_status read_meta(report_data *d, study_sql *db, sotto_error *err)
{
    study_rows *r;
    sotto_status st = study_rows_begin(&r, db, err, "SELECT key, value FROM meta ORDER BY key", "");
    if (st != SOTTO_OK) return st;
    if (!(d->meta = json_object())) st = no_memory(err);
    while (st == SOTTO_OK && study_rows_next(r)) {
        const char *key = study_rows_text(r, 0), *value = study_rows_text(r, 1);
        if (json_object_set_new(d->meta, key ? key : "", value ? json_string(value) : json_null()) != 0)
            st = no_memory(err);
    }
    sotto_status ended = study_rows_end(r, st == SOTTO_OK ? err : NULL);
    return st == SOTTO_OK ? ended : st;
}

static sotto_status read_sets(report_data *d, study_sql *db, sotto_error *err)
{
    study_rows *r;
    sotto_status st = room((void **)&d->sets, db, "sets", sizeof *d->sets, err);
    if (st == SOTTO_OK)
        st = study_rows_begin(&r, db, err, "SELECT name, audio_seconds, reference_words FROM sets ORDER BY rowid", "");
    if (st != SOTTO_OK) return st;
    while (st == SOTTO_OK && study_rows_next(r)) {
        report_set *s = &d->sets[d->n_sets++];
        s->name = copy(r, 0);
        s->audio_seconds = study_rows_real(r, 1);
        s->reference_words = study_rows_int(r, 2);
        if (!s->name) st = no_memory(err);
    }
    sotto_status ended = study_rows_end(r, st == SOTTO_OK ? err : NULL);
    return st == SOTTO_OK ? ended : st;
}

static report_set *set_named(const report_data *d, const char *name, size_t *index)
{
    for (size_t i = 0; name && i < d->n_sets; i++)
        if (strcmp(d->sets[i].name, name) == 0) return *index = i, &d->sets[i];
    return NULL;
}

/* The condition's index, which is made when it is new; REPORT_NONE: out of memory. */
static size_t condition_of(report_set *s, const char *id, const char *language)
{
    const char *human_of;
    char *name = report_condition_name(id, language, &human_of);
    size_t i = 0;
    if (!name) return REPORT_NONE;
    while (i < s->n_conditions && strcmp(s->conditions[i].name, name) != 0) i++;
    if (i < s->n_conditions) {
        free(name);
        return i;
    }
    report_condition *more = realloc(s->conditions, (s->n_conditions + 1) * sizeof *more);
    if (!more) {
        free(name);
        return REPORT_NONE;
    }
    s->conditions = more;
    more[s->n_conditions++] = (report_condition){name, human_of};
    return i;
}

static sotto_status read_utterance(report_set *s, study_rows *r, sotto_error *err)
{
    const char *half = study_rows_text(r, 5), *language = study_rows_text(r, 3);
    report_utterance *u = &s->utterances[s->n_utterances++];
    *u = (report_utterance){.id = copy(r, 1), .speaker = copy(r, 2), .seconds = study_rows_real(r, 4)};
    u->choose = half && strcmp(half, report_half_names[REPORT_CHOOSE]) == 0;
    if (!u->id || !u->speaker) return no_memory(err);
    u->condition = condition_of(s, u->id, language ? language : "");
    return u->condition == REPORT_NONE ? no_memory(err) : SOTTO_OK;
}

/* In the order of ids, which find_utterance relies on. */
static sotto_status read_utterances(report_data *d, study_sql *db, sotto_error *err)
{
    study_rows *r;
    sotto_status st = SOTTO_OK;
    for (size_t i = 0; st == SOTTO_OK && i < d->n_sets; i++)
        st = room((void **)&d->sets[i].utterances, db, "utterances", sizeof *d->sets[i].utterances, err);
    if (st == SOTTO_OK)
        st = study_rows_begin(
            &r, db, err, "SELECT set_name, id, speaker, language, seconds, half FROM utterances ORDER BY set_name, id",
            "");
    if (st != SOTTO_OK) return st;
    while (st == SOTTO_OK && study_rows_next(r)) {
        size_t i;
        report_set *s = set_named(d, study_rows_text(r, 0), &i);
        if (s) st = read_utterance(s, r, err);
    }
    sotto_status ended = study_rows_end(r, st == SOTTO_OK ? err : NULL);
    return st == SOTTO_OK ? ended : st;
}

static size_t find_utterance(const report_set *s, const char *id)
{
    size_t low = 0, high = s->n_utterances;
    while (id && low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(s->utterances[middle].id, id);
        if (order == 0) return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return REPORT_NONE;
}

/* ---- configurations, runs, results ---------------------------------------------------------------------------- */

static sotto_status read_configuration(report_data *d, study_rows *r, sotto_error *err)
{
    report_configuration *c = &d->configurations[d->n_configurations++];
    *c = (report_configuration){.id = study_rows_int(r, 0),
                                .model = copy(r, 1),
                                .spec = copy(r, 2),
                                .parameters = study_rows_int(r, 3),
                                .nonzero = study_rows_int(r, 4),
                                .bits = study_rows_int(r, 5),
                                .file_bytes = study_rows_int(r, 6),
                                .resident_bytes = study_rows_int(r, 7),
                                .shrink_s = study_rows_real(r, 8),
                                .load_s = study_rows_real(r, 9),
                                .shrink = json_of(r, 10),
                                .whole = REPORT_NONE};
    const char *error = study_rows_text(r, 11);
    if (error) c->error = strdup(error);
    c->runs = calloc(d->n_sets + 1, sizeof *c->runs);
    return c->model && c->spec && c->runs && (c->error || !error) ? SOTTO_OK : no_memory(err);
}

static sotto_status read_configurations(report_data *d, study_sql *db, sotto_error *err)
{
    study_rows *r;
    sotto_status st = room((void **)&d->configurations, db, "configurations", sizeof *d->configurations, err);
    if (st == SOTTO_OK)
        st = study_rows_begin(&r, db, err,
                              "SELECT id, model, spec, parameters, nonzero, bits, file_bytes, resident_bytes, "
                              "shrink_seconds, load_seconds, shrink_report, error FROM configurations "
                              "ORDER BY (SELECT MIN(id) FROM configurations AS first WHERE first.model = "
                              "configurations.model), spec NOT IN ('none', ''), id",
                              "");
    if (st != SOTTO_OK) return st;
    while (st == SOTTO_OK && study_rows_next(r)) st = read_configuration(d, r, err);
    sotto_status ended = study_rows_end(r, st == SOTTO_OK ? err : NULL);
    for (size_t i = 0, whole = REPORT_NONE; i < d->n_configurations; i++) {
        report_configuration *c = &d->configurations[i];
        if (i == 0 || strcmp(c->model, d->configurations[i - 1].model) != 0) whole = REPORT_NONE;
        if (whole == REPORT_NONE && report_is_whole(c)) whole = i;
        c->whole = whole;
    }
    return st == SOTTO_OK ? ended : st;
}

static report_configuration *configuration_with(const report_data *d, int64_t id)
{
    for (size_t i = 0; i < d->n_configurations; i++)
        if (d->configurations[i].id == id) return &d->configurations[i];
    return NULL;
}

/* A file of schema version 1 has all runs from the machine and build of meta, and no processor time. */
#define RUNS                                                                                                           \
    "SELECT configuration, set_name, finished, wall_seconds, encoder_seconds, decoder_seconds, "                       \
    "audio_seconds, multiply_adds, encoder_multiply_adds, decoder_multiply_adds, decoder_steps, tokens, windows, "     \
    "peak_rss_bytes, energy_joules, by_part, "
static const char runs_1[] = RUNS "(SELECT value FROM meta WHERE key = 'machine'), "
                                  "(SELECT value FROM meta WHERE key = 'build'), NULL FROM runs";
static const char runs_2[] = RUNS "machine, build, cpu_seconds FROM runs";
#undef RUNS

static bool is_version_1(const report_data *d) { return strcmp(report_string(d->meta, "schema_version"), "1") == 0; }

static sotto_status read_runs(report_data *d, study_sql *db, sotto_error *err)
{
    study_rows *r;
    sotto_status st = study_rows_begin(&r, db, err, is_version_1(d) ? runs_1 : runs_2, "");
    if (st != SOTTO_OK) return st;
    while (st == SOTTO_OK && study_rows_next(r)) {
        size_t set;
        report_configuration *c = configuration_with(d, study_rows_int(r, 0));
        if (!c || !set_named(d, study_rows_text(r, 1), &set)) continue;
        report_result *results = c->runs[set].results;
        c->runs[set] = (report_run){.there = true,
                                    .finished = study_rows_int(r, 2) != 0,
                                    .wall_s = study_rows_real(r, 3),
                                    .encoder_s = study_rows_real(r, 4),
                                    .decoder_s = study_rows_real(r, 5),
                                    .audio_s = study_rows_real(r, 6),
                                    .multiply_adds = study_rows_int(r, 7),
                                    .encoder_multiply_adds = study_rows_int(r, 8),
                                    .decoder_multiply_adds = study_rows_int(r, 9),
                                    .decoder_steps = study_rows_int(r, 10),
                                    .tokens = study_rows_int(r, 11),
                                    .windows = study_rows_int(r, 12),
                                    .peak_rss = study_rows_int(r, 13),
                                    .energy_j = study_rows_real(r, 14),
                                    .by_part = json_of(r, 15),
                                    .machine = copy(r, 16),
                                    .build = copy(r, 17),
                                    .cpu_s = study_rows_real(r, 18),
                                    .results = results};
        if (!c->runs[set].machine || !c->runs[set].build) st = no_memory(err);
    }
    sotto_status ended = study_rows_end(r, st == SOTTO_OK ? err : NULL);
    return st == SOTTO_OK ? ended : st;
}

static sotto_status read_speeds(report_data *d, study_sql *db, sotto_error *err)
{
    study_rows *r;
    if (is_version_1(d)) return SOTTO_OK;
    sotto_status st = room((void **)&d->again, db, "speeds", sizeof *d->again, err);
    if (st == SOTTO_OK)
        st = study_rows_begin(
            &r, db, err,
            "SELECT configuration, set_name, machine, wall_seconds, cpu_seconds, audio_seconds FROM speeds", "");
    if (st != SOTTO_OK) return st;
    while (st == SOTTO_OK && study_rows_next(r)) {
        report_again *a = &d->again[d->n_again];
        if (!set_named(d, study_rows_text(r, 1), &a->set)) continue;
        d->n_again++;
        a->configuration = study_rows_int(r, 0);
        a->machine = copy(r, 2);
        a->speed = (report_speed){study_rows_real(r, 3), study_rows_real(r, 4), study_rows_real(r, 5)};
        if (!a->machine) st = no_memory(err);
    }
    sotto_status ended = study_rows_end(r, st == SOTTO_OK ? err : NULL);
    return st == SOTTO_OK ? ended : st;
}

static sotto_status read_results(report_data *d, study_sql *db, sotto_error *err)
{
    study_rows *r;
    sotto_status st = study_rows_begin(&r, db, err,
                                       "SELECT configuration, set_name, utterance, words, "
                                       "substitutions + deletions + insertions, characters, character_edits "
                                       "FROM results",
                                       "");
    if (st != SOTTO_OK) return st;
    while (st == SOTTO_OK && study_rows_next(r)) {
        size_t set;
        report_configuration *c = configuration_with(d, study_rows_int(r, 0));
        const report_set *s = set_named(d, study_rows_text(r, 1), &set);
        size_t i = s && c ? find_utterance(s, study_rows_text(r, 2)) : REPORT_NONE;
        if (i == REPORT_NONE) continue;
        report_run *run = &c->runs[set];
        if (!run->results && !(run->results = calloc(s->n_utterances, sizeof *run->results)))
            st = no_memory(err);
        else
            run->results[i] = (report_result){true, study_rows_int(r, 3), study_rows_int(r, 4), study_rows_int(r, 5),
                                              study_rows_int(r, 6)};
    }
    sotto_status ended = study_rows_end(r, st == SOTTO_OK ? err : NULL);
    return st == SOTTO_OK ? ended : st;
}

sotto_status report_data_read(report_data *d, const char *path, sotto_error *err)
{
    static sotto_status (*const steps[])(report_data *, study_sql *, sotto_error *) = {
        read_meta, read_sets, read_utterances, read_configurations, read_runs, read_speeds, read_results,
    };
    study_sql *db;
    *d = (report_data){0};
    sotto_status st = study_sql_open(&db, path, false, err);
    for (size_t i = 0; st == SOTTO_OK && i < sizeof steps / sizeof *steps; i++) st = steps[i](d, db, err);
    study_sql_close(db);
    return st;
}

void report_data_free(report_data *d)
{
    for (size_t i = 0; i < d->n_configurations; i++) {
        report_configuration *c = &d->configurations[i];
        for (size_t s = 0; c->runs && s < d->n_sets; s++) {
            json_decref(c->runs[s].by_part);
            free(c->runs[s].machine);
            free(c->runs[s].build);
            free(c->runs[s].results);
        }
        free(c->runs);
        free(c->model);
        free(c->spec);
        free(c->error);
        json_decref(c->shrink);
    }
    for (size_t i = 0; i < d->n_sets; i++) {
        report_set *s = &d->sets[i];
        for (size_t u = 0; u < s->n_utterances; u++) {
            free(s->utterances[u].id);
            free(s->utterances[u].speaker);
        }
        for (size_t k = 0; k < s->n_conditions; k++) free(s->conditions[k].name);
        free(s->utterances);
        free(s->conditions);
        free(s->name);
    }
    for (size_t i = 0; i < d->n_again; i++) free(d->again[i].machine);
    free(d->again);
    free(d->configurations);
    free(d->sets);
    json_decref(d->meta);
    *d = (report_data){0};
}
