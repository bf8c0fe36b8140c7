/* SPDX-License-Identifier: MIT
 * Plans, utterances and results into SQLite, and back for lists (store.h). */
#include "study/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "models.h"
#include "options.h"
#include "study/sql.h"

#define SCHEMA_VERSION "2"

/* `half`: 'choose' or 'report', by speaker. configurations.spec: 'none' is the model as it is. error: why it could not
 * be made or heard. runs.wall_seconds, peak_rss_bytes and energy_joules are NULL where the pass was interrupted: they
 * are of a whole one only (memory: above what the process had before the model was opened); energy also where the
 * machine does not tell. runs' counters are sums over the utterances; tokens are the decoded ones; multiply_adds have
 * products of activations (attention scores) in them, by_part has not. runs.machine, build: where the run was finished,
 * and by what. cpu_seconds: of all threads, NULL as wall_seconds. speeds: the unshrunken model once more, on a machine
 * that its run was not on, so that others' speed can be compared. pending: counters of utterances of a run that is not
 * finished. */
static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT);"
    "CREATE TABLE IF NOT EXISTS sets(name TEXT PRIMARY KEY, path TEXT, utterances INT, audio_seconds REAL,"
    " reference_words INT);"
    "CREATE TABLE IF NOT EXISTS utterances(set_name TEXT, id TEXT, speaker TEXT, language TEXT, seconds REAL,"
    " reference TEXT, words INT, characters INT, half TEXT, PRIMARY KEY(set_name, id));"
    "CREATE TABLE IF NOT EXISTS configurations(id INTEGER PRIMARY KEY, model TEXT, spec TEXT, parameters INT,"
    " nonzero INT, bits INT, file_bytes INT, resident_bytes INT, shrink_seconds REAL, load_seconds REAL,"
    " shrink_report TEXT, error TEXT, UNIQUE(model, spec));"
    "CREATE TABLE IF NOT EXISTS runs(configuration INT, set_name TEXT, finished INT, wall_seconds REAL,"
    " encoder_seconds REAL, decoder_seconds REAL, audio_seconds REAL, multiply_adds INT, encoder_multiply_adds INT,"
    " decoder_multiply_adds INT, decoder_steps INT, tokens INT, windows INT, peak_rss_bytes INT, energy_joules REAL,"
    " by_part TEXT, machine TEXT, build TEXT, cpu_seconds REAL, PRIMARY KEY(configuration, set_name));"
    "CREATE TABLE IF NOT EXISTS speeds(configuration INT, set_name TEXT, machine TEXT, build TEXT, wall_seconds REAL,"
    " cpu_seconds REAL, audio_seconds REAL, PRIMARY KEY(configuration, set_name, machine)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS results(configuration INT, set_name TEXT, utterance TEXT, text TEXT, words INT,"
    " substitutions INT, deletions INT, insertions INT, characters INT, character_edits INT, audio_seconds REAL,"
    " PRIMARY KEY(configuration, set_name, utterance)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS pending(configuration INT, set_name TEXT, utterance TEXT, counts TEXT,"
    " PRIMARY KEY(configuration, set_name, utterance)) WITHOUT ROWID;";

/* What version 2 has more than version 1, which knew one machine. */
static const char from_version_1[] =
    "ALTER TABLE runs ADD COLUMN machine TEXT; ALTER TABLE runs ADD COLUMN build TEXT;"
    "ALTER TABLE runs ADD COLUMN cpu_seconds REAL;"
    "UPDATE runs SET machine = (SELECT value FROM meta WHERE key = 'machine'),"
    " build = (SELECT value FROM meta WHERE key = 'build') WHERE finished = 1;"
    /* had what the shrinker keeps in it */
    "UPDATE runs SET peak_rss_bytes = NULL WHERE configuration IN (SELECT id FROM configurations WHERE spec != 'none');"
    "UPDATE meta SET value = '2' WHERE key = 'schema_version';";

struct study_store {
    study_sql *db;
    char *path, *machine;
    int lock; /* the file once more, held with flock; closed after the database, whose own locks would go with it */
};

/* ---- statements -------------------------------------------------------------------------------------------------- */

#define RUN(s, err, ...) study_sql_run((s)->db, err, __VA_ARGS__)

/* Ends a query, which may not have begun. */
static sotto_status end(study_rows *q, sotto_status st, sotto_error *err)
{
    const sotto_status ended = q ? study_rows_end(q, st == SOTTO_OK ? err : NULL) : st;
    return st == SOTTO_OK ? ended : st;
}

static const char *column_text(study_rows *q, int i)
{
    const char *t = study_rows_text(q, i);
    return t ? t : "";
}

static int64_t column_number(study_rows *q, int i) { return study_rows_null(q, i) ? -1 : study_rows_int(q, i); }

/* ---- opening ------------------------------------------------------------------------------------------------------
 */

static sotto_status take_lock(study_store *s, sotto_error *err)
{
    s->lock = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (s->lock < 0)
        return options_fail(err, SOTTO_EIO, "the database %.300s cannot be opened: %s", s->path, strerror(errno));
    if (flock(s->lock, LOCK_EX | LOCK_NB) != 0)
        return options_fail(err, SOTTO_EIO, "the database %.300s is in use by another run", s->path);
    return SOTTO_OK;
}

/* *is_old: of version 1. */
static sotto_status check_version(study_store *s, bool *is_old, sotto_error *err)
{
    study_rows *q;
    sotto_status st = study_rows_begin(&q, s->db, err, "SELECT value FROM meta WHERE key = 'schema_version'", "");
    const bool is_there = st == SOTTO_OK && study_rows_next(q);
    char version[24];
    snprintf(version, sizeof version, "%s", is_there ? column_text(q, 0) : "");
    if ((st = end(q, st, err)) != SOTTO_OK) return st;
    if (!is_there) return options_fail(err, SOTTO_EFORMAT, "%.300s is no database of a study", s->path);
    *is_old = strcmp(version, "1") == 0;
    if (*is_old || strcmp(version, SCHEMA_VERSION) == 0) return SOTTO_OK;
    return options_fail(err, SOTTO_EFORMAT, "%.300s has schema version %.20s; " SCHEMA_VERSION " was expected", s->path,
                        version);
}

static sotto_status open_database(study_store *s, bool reading, sotto_error *err)
{
    sotto_status st;
    bool is_old = false;
    if (!reading && (st = take_lock(s, err)) != SOTTO_OK) return st;
    if ((st = study_sql_open(&s->db, s->path, !reading, err)) != SOTTO_OK) return st;
    if (reading) return check_version(s, &is_old, err);
    /* WAL: a reader sees the last commit while a run writes. NORMAL: a killed process loses no commit, a power cut may
     * lose the last ones. */
    if ((st = study_sql_do(s->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;", err)) != SOTTO_OK ||
        (st = study_sql_do(s->db, "BEGIN", err)) != SOTTO_OK || (st = study_sql_do(s->db, schema, err)) != SOTTO_OK ||
        (st = study_sql_do(s->db, "INSERT OR IGNORE INTO meta VALUES('schema_version', '" SCHEMA_VERSION "')", err)) !=
            SOTTO_OK ||
        (st = check_version(s, &is_old, err)) != SOTTO_OK ||
        (is_old && (st = study_sql_do(s->db, from_version_1, err)) != SOTTO_OK))
        return st; /* closing takes back what has begun */
    return study_sql_do(s->db, "COMMIT", err);
}

sotto_status study_store_open(study_store **out, const char *path, bool reading, sotto_error *err)
{
    study_store *s = calloc(1, sizeof *s);
    sotto_status st;
    *out = NULL;
    if (!s) return options_fail(err, SOTTO_ENOMEM, "out of memory: database");
    s->lock = -1;
    if (!(s->path = strdup(path)))
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: database");
    else
        st = open_database(s, reading, err);
    if (st == SOTTO_OK)
        *out = s;
    else
        study_store_close(s);
    return st;
}

void study_store_close(study_store *s)
{
    if (!s) return;
    /* One file again, which is read without writing beside it; fails where somebody reads, which does no harm. */
    if (s->lock >= 0 && s->db) study_sql_do(s->db, "PRAGMA journal_mode=DELETE", NULL);
    study_sql_close(s->db);
    if (s->lock >= 0) close(s->lock);
    free(s->path);
    free(s->machine);
    free(s);
}

/* ---- plans --------------------------------------------------------------------------------------------------------
 */

sotto_status study_store_halves(study_store *s, study_set *sets, size_t n, sotto_error *err)
{
    study_rows *q;
    sotto_status st = study_rows_begin(&q, s->db, err, "SELECT DISTINCT speaker, half FROM utterances", "");
    while (st == SOTTO_OK && study_rows_next(q))
        for (size_t k = 0; k < n; k++)
            for (size_t i = 0; i < sets[k].n; i++)
                if (strcmp(sets[k].utterances[i].speaker, column_text(q, 0)) == 0)
                    sets[k].utterances[i].half = strcmp(column_text(q, 1), "choose") == 0 ? STUDY_CHOOSE : STUDY_REPORT;
    return end(q, st, err);
}

/* Writes key and value, or, where the key has a value, expects the same. */
static sotto_status settle(study_store *s, const char *key, const char *value, sotto_error *err)
{
    study_rows *q;
    sotto_status st = study_rows_begin(&q, s->db, err, "SELECT value FROM meta WHERE key = ?", "t", key);
    const bool is_there = st == SOTTO_OK && study_rows_next(q);
    if (is_there && strcmp(column_text(q, 0), value) != 0)
        st = options_fail(err, SOTTO_EINVAL,
                          "%.300s was measured with %s %.60s and the plan says %.60s; another --database was expected",
                          s->path, key, column_text(q, 0), value);
    st = end(q, st, err);
    return st != SOTTO_OK || is_there ? st : RUN(s, err, "INSERT INTO meta VALUES(?, ?)", "tt", key, value);
}

static sotto_status other_set(const study_store *s, const study_set *set, const char *what, sotto_error *err)
{
    return options_fail(
        err, SOTTO_EINVAL,
        "set %.60s: %.200s is not what %.200s was measured on (%.100s); another --database was expected", set->name,
        set->path, s->path, what);
}

static sotto_status check_set(study_store *s, const study_set *set, int64_t n, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    if (n != (int64_t)set->n) return other_set(s, set, "another number of utterances", err);
    for (size_t i = 0; i < set->n && st == SOTTO_OK; i++) {
        const study_utterance *u = &set->utterances[i];
        study_rows *q;
        st = study_rows_begin(
            &q, s->db, err, "SELECT 1 FROM utterances WHERE set_name = ? AND id = ? AND reference = ? AND language = ?",
            "tttt", set->name, u->id, u->reference, u->language);
        const bool is_there = st == SOTTO_OK && study_rows_next(q);
        st = end(q, st, err);
        if (st == SOTTO_OK && !is_there) st = other_set(s, set, u->id, err);
    }
    return st;
}

static sotto_status write_set(study_store *s, const study_set *set, sotto_error *err)
{
    study_rows *q;
    sotto_status st = study_rows_begin(&q, s->db, err, "SELECT utterances FROM sets WHERE name = ?", "t", set->name);
    const bool is_there = st == SOTTO_OK && study_rows_next(q);
    const int64_t n = is_there ? column_number(q, 0) : 0;
    st = end(q, st, err);
    if (st != SOTTO_OK) return st;
    if (is_there) return check_set(s, set, n, err);
    st = RUN(s, err, "INSERT INTO sets VALUES(?, ?, ?, ?, ?)", "ttiri", set->name, set->path, (int64_t)set->n,
             set->seconds, (int64_t)set->words);
    for (size_t i = 0; i < set->n && st == SOTTO_OK; i++) {
        const study_utterance *u = &set->utterances[i];
        st = RUN(s, err, "INSERT INTO utterances VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", "ttttrtiit", set->name, u->id,
                 u->speaker, u->language, u->seconds, u->reference, (int64_t)u->words, (int64_t)u->characters,
                 study_half_name(u->half));
    }
    return st;
}

static sotto_status write_configuration(study_store *s, const study_plan *plan, study_configuration *c,
                                        sotto_error *err)
{
    const char *model = plan->models[c->model].name;
    sotto_status st =
        RUN(s, err, "INSERT OR IGNORE INTO configurations(model, spec) VALUES(?, ?)", "tt", model, c->spec);
    if (st != SOTTO_OK) return st;
    study_rows *q;
    st = study_rows_begin(&q, s->db, err, "SELECT id FROM configurations WHERE model = ? AND spec = ?", "tt", model,
                          c->spec);
    if (st == SOTTO_OK && study_rows_next(q)) c->id = column_number(q, 0);
    return end(q, st, err);
}

static sotto_status write_meta(study_store *s, const study_plan *plan, const char *machine, sotto_error *err)
{
    const char *precision = sotto_precision_name(models_precision(plan->precision));
    char seed[24];
    sotto_status st;
    snprintf(seed, sizeof seed, "%" PRIu64, plan->seed);
    if ((st = settle(s, "seed", seed, err)) != SOTTO_OK ||
        (st = settle(s, "precision", precision ? precision : "auto", err)) != SOTTO_OK ||
        (st = settle(s, "decode", plan->fallback ? "fallback" : "greedy", err)) != SOTTO_OK ||
        (st = settle(s, "calibration", plan->calibration ? plan->calibration : "none", err)) != SOTTO_OK)
        return st;
    return RUN(s, err,
               "INSERT OR REPLACE INTO meta VALUES('plan', ?), ('machine', ?), ('sotto_version', ?), ('build', ?)",
               "tttt", plan->text, machine, sotto_version(), sotto_build_info());
}

sotto_status study_store_begin(study_store *s, study_plan *plan, const char *machine, sotto_error *err)
{
    sotto_status st;
    free(s->machine);
    if (!(s->machine = strdup(machine))) return options_fail(err, SOTTO_ENOMEM, "out of memory: machine");
    if ((st = study_sql_do(s->db, "BEGIN IMMEDIATE", err)) != SOTTO_OK) return st;
    st = write_meta(s, plan, machine, err);
    for (size_t i = 0; i < plan->n_sets && st == SOTTO_OK; i++) st = write_set(s, &plan->sets[i], err);
    for (size_t i = 0; i < plan->n && st == SOTTO_OK; i++)
        st = write_configuration(s, plan, &plan->configurations[i], err);
    if (st == SOTTO_OK) return study_sql_do(s->db, "COMMIT", err);
    study_sql_do(s->db, "ROLLBACK", NULL);
    return st;
}

sotto_status study_store_facts(study_store *s, int64_t id, const study_facts *f, sotto_error *err)
{
    return RUN(s, err,
               "UPDATE configurations SET parameters = ?, nonzero = ?, bits = ?, file_bytes = ?, resident_bytes = ?,"
               " shrink_seconds = ?, load_seconds = ?, shrink_report = ?, error = ? WHERE id = ?",
               "iiiiirrtti", f->parameters, f->nonzero, f->bits, f->file_bytes, f->resident_bytes, f->shrink_s,
               f->load_s, f->shrink_report, f->error, id);
}

/* ---- counters as JSON ----------------------------------------------------------------------------------------------
 */

/* Fields of sotto_counts that a run adds up. */
#define COUNTED(X) X(windows) X(decoder_steps) X(tokens_decoded)

static char *counts_write(const sotto_counts *c)
{
    json_t *o = json_object(), *parts = json_array(), *mixes = json_array(), *stages = json_array();
#define X(field) json_object_set_new(o, #field, json_integer((json_int_t)c->field));
    COUNTED(X)
#undef X
    for (int i = 0; i < SOTTO_PART_COUNT; i++)
        json_array_append_new(parts, json_integer((json_int_t)c->multiply_adds[i]));
    for (int i = 0; i < SOTTO_MIX_COUNT; i++)
        json_array_append_new(mixes, json_integer((json_int_t)c->mix_multiply_adds[i]));
    for (int i = 0; i < SOTTO_STAGE_COUNT; i++) json_array_append_new(stages, json_real(c->stage_s[i]));
    json_object_set_new(o, "parts", parts);
    json_object_set_new(o, "mixes", mixes);
    json_object_set_new(o, "stages", stages);
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static void counts_read(sotto_counts *c, const char *text)
{
    json_t *o = json_loads(text, 0, NULL);
    const json_t *parts = json_object_get(o, "parts"), *mixes = json_object_get(o, "mixes"),
                 *stages = json_object_get(o, "stages");
    *c = (sotto_counts){0};
#define X(field) c->field = (uint64_t)json_integer_value(json_object_get(o, #field));
    COUNTED(X)
#undef X
    for (size_t i = 0; i < SOTTO_PART_COUNT; i++)
        c->multiply_adds[i] = (uint64_t)json_integer_value(json_array_get(parts, i));
    for (size_t i = 0; i < SOTTO_MIX_COUNT; i++)
        c->mix_multiply_adds[i] = (uint64_t)json_integer_value(json_array_get(mixes, i));
    for (size_t i = 0; i < SOTTO_STAGE_COUNT; i++) c->stage_s[i] = json_number_value(json_array_get(stages, i));
    json_decref(o);
}

/* {"conv": {"parameters": …, "multiply_adds": …}, …} */
static char *parts_write(const study_run_figures *f)
{
    json_t *o = json_object();
    for (int p = 0; p < SOTTO_PART_COUNT; p++)
        json_object_set_new(o, sotto_part_name((sotto_part)p),
                            json_pack("{s:I, s:I}", "parameters", (json_int_t)f->part_parameters[p], "multiply_adds",
                                      (json_int_t)f->counts.multiply_adds[p]));
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(o);
    return text;
}

/* ---- runs and results ----------------------------------------------------------------------------------------------
 */

static size_t find_utterance(const study_set *set, const char *id)
{
    size_t i = 0;
    while (i < set->n && strcmp(set->utterances[i].id, id) != 0) i++;
    return i;
}

static void take_state(study_state *state, study_rows *q, const study_set *set)
{
    sotto_counts one;
    const size_t i = find_utterance(set, column_text(q, 0));
    if (i == set->n) return;
    state->done[i] = true;
    state->n_done++;
    state->edits += (uint64_t)column_number(q, 1);
    state->words += (uint64_t)column_number(q, 2);
    state->seconds += set->utterances[i].seconds;
    if (study_rows_null(q, 3)) return;
    counts_read(&one, column_text(q, 3));
    sotto_counts_add(&state->counts, &one);
}

sotto_status study_store_state(study_store *s, int64_t id, const study_set *set, study_state *state, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    *state = (study_state){.done = calloc(set->n + 1, sizeof *state->done)};
    if (!state->done) return options_fail(err, SOTTO_ENOMEM, "out of memory: results");
    study_rows *q;
    st = study_rows_begin(&q, s->db, err, "SELECT finished FROM runs WHERE configuration = ? AND set_name = ?", "it",
                          id, set->name);
    if (st == SOTTO_OK && study_rows_next(q)) state->finished = column_number(q, 0) == 1;
    st = end(q, st, err);
    if (st != SOTTO_OK) return st;
    st = study_rows_begin(
        &q, s->db, err,
        "SELECT utterance, substitutions + deletions + insertions, words, counts FROM results LEFT JOIN pending"
        " USING(configuration, set_name, utterance) WHERE configuration = ? AND set_name = ? ORDER BY utterance",
        "it", id, set->name);
    while (st == SOTTO_OK && study_rows_next(q)) take_state(state, q, set);
    return end(q, st, err);
}

sotto_status study_store_run(study_store *s, int64_t id, const study_set *set, sotto_error *err)
{
    return RUN(s, err, "INSERT OR IGNORE INTO runs(configuration, set_name, finished) VALUES(?, ?, 0)", "it", id,
               set->name);
}

sotto_status study_store_result(study_store *s, int64_t id, const study_set *set, const study_utterance *u,
                                const char *text, const sotto_edits *e, const sotto_counts *counts, sotto_error *err)
{
    char *json = counts_write(counts);
    sotto_status st;
    if (!json) return options_fail(err, SOTTO_ENOMEM, "out of memory: counters");
    if ((st = study_sql_do(s->db, "BEGIN IMMEDIATE", err)) == SOTTO_OK) {
        st = RUN(s, err, "INSERT INTO results VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "itttiiiiiir", id, set->name,
                 u->id, text, (int64_t)e->words, (int64_t)e->substitutions, (int64_t)e->deletions,
                 (int64_t)e->insertions, (int64_t)e->characters, (int64_t)e->character_edits, u->seconds);
        if (st == SOTTO_OK)
            st = RUN(s, err, "INSERT INTO pending VALUES(?, ?, ?, ?)", "ittt", id, set->name, u->id, json);
        if (st == SOTTO_OK)
            st = study_sql_do(s->db, "COMMIT", err);
        else
            study_sql_do(s->db, "ROLLBACK", NULL);
    }
    free(json);
    return st;
}

static bool is_encoder(int part)
{
    return part == SOTTO_PART_CONV || part == SOTTO_PART_ENCODER_POSITIONS || part == SOTTO_PART_ENCODER_ATTENTION ||
           part == SOTTO_PART_ENCODER_MLP || part == SOTTO_PART_ENCODER_NORM;
}

static sotto_status write_figures(study_store *s, int64_t id, const study_set *set, const study_run_figures *f,
                                  const char *parts, sotto_error *err)
{
    const sotto_counts *c = &f->counts;
    uint64_t encoder = c->mix_multiply_adds[SOTTO_MIX_ENCODER];
    uint64_t decoder = c->mix_multiply_adds[SOTTO_MIX_DECODER_SELF] + c->mix_multiply_adds[SOTTO_MIX_DECODER_CROSS];
    for (int p = 0; p < SOTTO_PART_COUNT; p++) *(is_encoder(p) ? &encoder : &decoder) += c->multiply_adds[p];
    return RUN(s, err, "INSERT OR REPLACE INTO runs VALUES(?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
               "itrrrriiiiiiirtttr", id, set->name, f->wall_s, c->stage_s[SOTTO_STAGE_ENCODER],
               c->stage_s[SOTTO_STAGE_PREFILL] + c->stage_s[SOTTO_STAGE_DECODE], set->seconds,
               (int64_t)(encoder + decoder), (int64_t)encoder, (int64_t)decoder, (int64_t)c->decoder_steps,
               (int64_t)c->tokens_decoded, (int64_t)c->windows, f->peak_rss_bytes, f->joules, parts, s->machine,
               sotto_build_info(), f->cpu_s);
}

sotto_status study_store_finish(study_store *s, int64_t id, const study_set *set, const study_run_figures *f,
                                sotto_error *err)
{
    char *parts = parts_write(f);
    sotto_status st;
    if (!parts) return options_fail(err, SOTTO_ENOMEM, "out of memory: counters");
    if ((st = study_sql_do(s->db, "BEGIN IMMEDIATE", err)) == SOTTO_OK) {
        st = write_figures(s, id, set, f, parts, err);
        if (st == SOTTO_OK)
            st = RUN(s, err, "DELETE FROM pending WHERE configuration = ? AND set_name = ?", "it", id, set->name);
        if (st == SOTTO_OK)
            st = study_sql_do(s->db, "COMMIT", err);
        else
            study_sql_do(s->db, "ROLLBACK", NULL);
    }
    free(parts);
    return st;
}

/* ---- speeds -------------------------------------------------------------------------------------------------------
 */

sotto_status study_store_lacks_speed(study_store *s, const char *model, const study_set *set, int64_t *configuration,
                                     sotto_error *err)
{
    study_rows *q;
    sotto_status st = study_rows_begin(
        &q, s->db, err,
        "SELECT n.id FROM configurations n JOIN runs w ON w.configuration = n.id AND w.set_name = ?2 WHERE n.model = ?1"
        " AND n.spec = 'none' AND w.finished = 1 AND (w.machine IS NOT ?3 OR w.wall_seconds IS NULL)"
        " AND NOT EXISTS (SELECT 1 FROM speeds p WHERE p.configuration = n.id AND p.set_name = ?2 AND p.machine = ?3)"
        " AND EXISTS (SELECT 1 FROM configurations c JOIN runs r ON r.configuration = c.id AND r.set_name = ?2"
        " WHERE c.model = ?1 AND c.id != n.id AND r.machine = ?3 AND r.wall_seconds IS NOT NULL)",
        "ttt", model, set->name, s->machine);
    *configuration = st == SOTTO_OK && study_rows_next(q) ? column_number(q, 0) : -1;
    return end(q, st, err);
}

sotto_status study_store_speed(study_store *s, int64_t configuration, const study_set *set, double wall_s, double cpu_s,
                               sotto_error *err)
{
    return RUN(s, err, "INSERT OR REPLACE INTO speeds VALUES(?, ?, ?, ?, ?, ?, ?)", "itttrrr", configuration, set->name,
               s->machine, sotto_build_info(), wall_s, cpu_s, set->seconds);
}

/* ---- reading -------------------------------------------------------------------------------------------------------
 */

/* Edits and words of a run, two arrays in one allocation, sorted by utterance; n = 0 and NULL where nothing is there.
 */
static sotto_status read_edits(study_store *s, int64_t id, const char *set, uint64_t **out, size_t *n, sotto_error *err)
{
    study_rows *q;
    sotto_status st =
        study_rows_begin(&q, s->db, err,
                         "SELECT substitutions + deletions + insertions, words, count(*) OVER () FROM results WHERE"
                         " configuration = ? AND set_name = ? ORDER BY utterance",
                         "it", id, set);
    size_t at = 0;
    *out = NULL;
    *n = 0;
    while (st == SOTTO_OK && study_rows_next(q)) {
        if (!*out) {
            *n = (size_t)column_number(q, 2);
            *out = calloc(2 * *n, sizeof **out);
        }
        if (!*out) {
            st = options_fail(err, SOTTO_ENOMEM, "out of memory: results");
            break;
        }
        (*out)[at] = (uint64_t)column_number(q, 0);
        (*out)[*n + at++] = (uint64_t)column_number(q, 1);
    }
    return end(q, st, err);
}

static sotto_status read_row(study_store *s, study_rows *q, bool (*take)(const study_row *row, void *user), void *user,
                             bool *go_on, sotto_error *err)
{
    uint64_t *own = NULL, *base = NULL;
    size_t n_base = 0;
    study_row row = {.configuration = column_number(q, 0),
                     .model = column_text(q, 1),
                     .spec = column_text(q, 2),
                     .error = study_rows_text(q, 3),
                     .set = study_rows_text(q, 4),
                     .parameters = column_number(q, 5),
                     .nonzero = column_number(q, 6),
                     .bits = column_number(q, 7),
                     .file_bytes = column_number(q, 8),
                     .wall_s = study_rows_real(q, 9),
                     .audio_s = study_rows_real(q, 10)};
    sotto_status st = SOTTO_OK;
    if (row.set) st = read_edits(s, row.configuration, row.set, &own, &row.n, err);
    if (st == SOTTO_OK && row.set && column_number(q, 11) >= 0)
        st = read_edits(s, column_number(q, 11), row.set, &base, &n_base, err);
    if (st == SOTTO_OK) {
        row.edits = own;
        row.words = own ? own + row.n : NULL;
        row.base_edits = n_base == row.n ? base : NULL;
        *go_on = take(&row, user);
    }
    free(own);
    free(base);
    return st;
}

sotto_status study_store_rows(study_store *s, bool (*take)(const study_row *row, void *user), void *user,
                              sotto_error *err)
{
    study_rows *q;
    sotto_status st =
        study_rows_begin(&q, s->db, err,
                         "SELECT c.id, c.model, c.spec, c.error, r.set_name, c.parameters, c.nonzero, c.bits,"
                         " c.file_bytes, r.wall_seconds, r.audio_seconds, b.configuration FROM configurations c"
                         " LEFT JOIN runs r ON r.configuration = c.id AND r.finished = 1"
                         " LEFT JOIN configurations n ON n.model = c.model AND n.spec = 'none' AND n.id != c.id"
                         " LEFT JOIN runs b ON b.configuration = n.id AND b.set_name = r.set_name AND b.finished = 1"
                         " WHERE r.finished = 1 OR c.error IS NOT NULL ORDER BY c.id, r.set_name",
                         "");
    bool go_on = true;
    while (go_on && st == SOTTO_OK && study_rows_next(q)) st = read_row(s, q, take, user, &go_on, err);
    return end(q, st, err);
}

uint64_t study_store_meta_number(study_store *s, const char *key, uint64_t fallback)
{
    study_rows *q;
    sotto_status st = study_rows_begin(&q, s->db, NULL, "SELECT value FROM meta WHERE key = ?", "t", key);
    int64_t v;
    if (st == SOTTO_OK && study_rows_next(q) && options_parse_int(column_text(q, 0), &v) && v >= 0)
        fallback = (uint64_t)v;
    if (q) (void)study_rows_end(q, NULL);
    return fallback;
}
