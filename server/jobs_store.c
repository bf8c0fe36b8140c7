/* SPDX-License-Identifier: MIT
 * Jobs <-> SQLite (jobs_store.h), whose header no other file of the daemon includes. */
#include "jobs_store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "options.h"

struct store {
    pthread_mutex_t lock; /* of the one connection */
    sqlite3 *db;
};

static const char schema[] =
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=FULL;" /* a commit is on the disk when it returns */
    "PRAGMA foreign_keys=ON;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS jobs(id TEXT PRIMARY KEY, owner TEXT NOT NULL, fields TEXT NOT NULL,"
    " created REAL NOT NULL, ended REAL NOT NULL DEFAULT 0);"
    "CREATE TABLE IF NOT EXISTS files(key INTEGER PRIMARY KEY AUTOINCREMENT,"
    " job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, owner TEXT NOT NULL, number INTEGER NOT NULL,"
    " name TEXT NOT NULL, bytes INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,"
    " status INTEGER NOT NULL DEFAULT 0, type TEXT, answer TEXT, audio_s REAL NOT NULL DEFAULT 0);"
    "CREATE TABLE IF NOT EXISTS parts(number INTEGER PRIMARY KEY, file INTEGER NOT NULL"
    " REFERENCES files(key) ON DELETE CASCADE, text TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS parts_of_file ON parts(file, number);"
    "CREATE UNIQUE INDEX IF NOT EXISTS files_of_job ON files(job, number);"
    "CREATE INDEX IF NOT EXISTS files_waiting ON files(state, owner, key);"
    "CREATE INDEX IF NOT EXISTS jobs_ended ON jobs(ended);"
    "COMMIT;";

/* What SQLite says, for a client; the whole of it goes to the log. False. */
static bool failed(store *s, api_error *e)
{
    const int code = sqlite3_errcode(s->db), system = sqlite3_system_errno(s->db);
    char quoted[400];
    log_event(LOG_ERROR, "jobs", "sqlite=%d errno=%d error=%s", sqlite3_extended_errcode(s->db), system,
              log_quote(quoted, sizeof quoted, sqlite3_errmsg(s->db)));
    if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    switch (code) {
    case SQLITE_FULL:
        return api_error_set(e, 507, NULL, "storage_full", "The disk that keeps the jobs is full; nothing was changed");
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return api_error_set(e, 503, NULL, "storage_read_only",
                             "The directory that keeps the jobs cannot be written; nothing was changed");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return api_error_set(e, 503, NULL, "storage_damaged",
                             "The database of the jobs is damaged; the server's administrator has to look after it");
    default:
        return api_error_set(e, code == SQLITE_IOERR ? 503 : 500, NULL, "storage_failed",
                             "The jobs could not be stored or read; nothing was changed");
    }
}

sotto_status store_open(store **out, const char *path, sotto_error *err)
{
    *out = NULL;
    store *s = calloc(1, sizeof *s);
    sqlite3_stmt *check = NULL;
    if (!s) return options_fail(err, SOTTO_ENOMEM, "out of memory: %.300s", path);
    pthread_mutex_init(&s->lock, NULL);
    const int how = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    bool ok = sqlite3_open_v2(path, &s->db, how, NULL) == SQLITE_OK &&
              sqlite3_exec(s->db, schema, NULL, NULL, NULL) == SQLITE_OK &&
              sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &check, NULL) == SQLITE_OK &&
              sqlite3_step(check) == SQLITE_ROW;
    const char *found = ok ? (const char *)sqlite3_column_text(check, 0) : s->db ? sqlite3_errmsg(s->db) : "no memory";
    const int code = s->db ? sqlite3_errcode(s->db) : SQLITE_NOMEM;
    sotto_status st = SOTTO_OK;
    if (!found || strcmp(found, "ok") != 0) {
        const bool damaged = ok || code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
        if (damaged)
            st = options_fail(err, SOTTO_EFORMAT,
                              "%.200s is damaged (%.120s); repair it (sqlite3 FILE .recover), or move it away to begin "
                              "without its jobs",
                              path, found ? found : "?");
        else
            st = options_fail(err, SOTTO_EIO, "%.300s: %.120s", path, found ? found : "?");
    }
    sqlite3_finalize(check);
    if (st != SOTTO_OK)
        store_close(s);
    else
        *out = s;
    return st;
}

void store_close(store *s)
{
    if (!s) return;
    sqlite3_close(s->db);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- statements; the lock is held -------------------------------------------------------------------------------- */

/* `types`: a letter for each value, t(ext), i(nteger: int64_t), d(ouble). Texts live until the statement ends. */
static sqlite3_stmt *prepare(store *s, const char *query, const char *types, ...)
{
    sqlite3_stmt *q = NULL;
    va_list values;
    if (sqlite3_prepare_v2(s->db, query, -1, &q, NULL) != SQLITE_OK) return NULL;
    va_start(values, types);
    int ok = SQLITE_OK;
    for (int i = 1; *types && ok == SQLITE_OK; i++, types++) {
        if (*types == 't')
            ok = sqlite3_bind_text(q, i, va_arg(values, const char *), -1, SQLITE_STATIC);
        else if (*types == 'i')
            ok = sqlite3_bind_int64(q, i, va_arg(values, int64_t));
        else
            ok = sqlite3_bind_double(q, i, va_arg(values, double));
    }
    va_end(values);
    if (ok == SQLITE_OK) return q;
    sqlite3_finalize(q);
    return NULL;
}

/* The next row? *ok gets false where the reason that there is none is an error. NULL is fine. */
static bool step(sqlite3_stmt *q, bool *ok)
{
    const int code = q ? sqlite3_step(q) : SQLITE_ERROR;
    *ok = code == SQLITE_ROW || code == SQLITE_DONE;
    return code == SQLITE_ROW;
}

/* A statement without rows. */
static bool run(sqlite3_stmt *q)
{
    bool ok;
    step(q, &ok);
    if (q) sqlite3_finalize(q);
    return ok;
}

static bool begin(store *s) { return sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK; }
static bool commit(store *s) { return sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK; }

static bool leave(store *s, bool ok, api_error *e)
{
    if (!ok) failed(s, e);
    pthread_mutex_unlock(&s->lock);
    return ok;
}

static const char *text(sqlite3_stmt *q, int column) { return (const char *)sqlite3_column_text(q, column); }

/* ---- jobs -------------------------------------------------------------------------------------------------------- */

bool store_add(store *s, const store_job *job, const store_file *files, size_t n, api_error *e)
{
    pthread_mutex_lock(&s->lock);
    bool ok = begin(s) && run(prepare(s, "INSERT INTO jobs(id, owner, fields, created) VALUES(?,?,?,?)", "tttd",
                                      job->id, job->owner, job->fields, job->created));
    for (size_t i = 0; i < n && ok; i++)
        ok = run(prepare(s, "INSERT INTO files(job, owner, number, name, bytes) VALUES(?,?,?,?,?)", "ttiti", job->id,
                         job->owner, (int64_t)files[i].number, files[i].name, (int64_t)files[i].bytes));
    return leave(s, ok && commit(s), e);
}

#define COUNTED                                                                                                        \
    "SELECT id, owner, fields, created, ended,"                                                                        \
    " (SELECT count(*) FROM files WHERE job = id AND state = 0), (SELECT count(*) FROM files WHERE job = id AND"       \
    " state = 1), (SELECT count(*) FROM files WHERE job = id AND state = 2) FROM jobs WHERE owner = ?1"

bool store_jobs(store *s, const char *owner, const char *id, void (*see)(void *user, const store_job *job), void *user,
                api_error *e)
{
    bool ok, seen = false;
    pthread_mutex_lock(&s->lock);
    sqlite3_stmt *q = id ? prepare(s, COUNTED " AND id = ?2", "tt", owner, id)
                         : prepare(s, COUNTED " ORDER BY created DESC, id", "t", owner);
    while (step(q, &ok)) {
        store_job job = {.id = text(q, 0), .owner = text(q, 1), .fields = text(q, 2)};
        job.created = sqlite3_column_double(q, 3);
        job.ended = sqlite3_column_double(q, 4);
        for (int i = 0; i < STORE_STATES; i++) job.files[i] = (size_t)sqlite3_column_int64(q, 5 + i);
        see(user, &job);
        seen = true;
    }
    sqlite3_finalize(q);
    if (!leave(s, ok, e)) return false;
    return !id || seen ||
           api_error_set(e, 404, "id", "job_not_found", "There is no job `%.100s`, or it has expired", id);
}

bool store_files(store *s, const char *id, void (*see)(void *user, const store_file *file), void *user, api_error *e)
{
    bool ok;
    pthread_mutex_lock(&s->lock);
    sqlite3_stmt *q = prepare(s,
                              "SELECT key, number, name, bytes, state, status, type, answer, audio_s FROM files"
                              " WHERE job = ? ORDER BY number",
                              "t", id);
    while (step(q, &ok)) {
        const store_file file = {.key = sqlite3_column_int64(q, 0),
                                 .number = (size_t)sqlite3_column_int64(q, 1),
                                 .name = text(q, 2),
                                 .bytes = (uint64_t)sqlite3_column_int64(q, 3),
                                 .state = (store_state)sqlite3_column_int(q, 4),
                                 .status = (unsigned)sqlite3_column_int(q, 5),
                                 .type = text(q, 6),
                                 .answer = text(q, 7),
                                 .audio_s = sqlite3_column_double(q, 8)};
        see(user, &file);
    }
    sqlite3_finalize(q);
    return leave(s, ok, e);
}

/* The first name of an owner with waiting recordings that comes after `last`; *ok tells of errors. */
static bool owner_after(store *s, const char *last, bool or_same, char owner[64], bool *ok)
{
    sqlite3_stmt *q = or_same ? prepare(s, "SELECT min(owner) FROM files WHERE state = 0 AND owner >= ?", "t", last)
                              : prepare(s, "SELECT min(owner) FROM files WHERE state = 0 AND owner > ?", "t", last);
    const bool any = step(q, ok) && text(q, 0);
    if (any) snprintf(owner, 64, "%s", text(q, 0));
    sqlite3_finalize(q);
    return any;
}

bool store_next(store *s, const char *last, bool (*take)(void *user, const store_job *job, const store_file *file),
                void *user, bool *found, api_error *e)
{
    char owner[64], first[64] = "";
    bool ok, started = false;
    *found = false;
    pthread_mutex_lock(&s->lock);
    bool any = owner_after(s, last, false, owner, &ok) || (ok && owner_after(s, "", true, owner, &ok));
    while (any && ok && !*found && !(started && strcmp(owner, first) == 0)) {
        if (!started) snprintf(first, sizeof first, "%s", owner);
        started = true;
        sqlite3_stmt *q = prepare(s,
                                  "SELECT key, number, name, bytes, job, fields FROM files JOIN jobs ON jobs.id = job"
                                  " WHERE state = 0 AND files.owner = ? ORDER BY key",
                                  "t", owner);
        while (!*found && step(q, &ok)) {
            const store_job job = {.id = text(q, 4), .owner = owner, .fields = text(q, 5)};
            const store_file file = {.key = sqlite3_column_int64(q, 0),
                                     .number = (size_t)sqlite3_column_int64(q, 1),
                                     .name = text(q, 2),
                                     .bytes = (uint64_t)sqlite3_column_int64(q, 3)};
            *found = take(user, &job, &file);
        }
        sqlite3_finalize(q);
        if (*found || !ok) break;
        char before[64];
        memcpy(before, owner, sizeof before);
        any = owner_after(s, before, false, owner, &ok) || (ok && owner_after(s, "", true, owner, &ok));
    }
    return leave(s, ok, e);
}

bool store_add_part(store *s, int64_t key, const char *part, api_error *e)
{
    pthread_mutex_lock(&s->lock);
    const bool ok = run(prepare(
        s, "INSERT INTO parts(file, text) SELECT key, ?2 FROM files WHERE key = ?1 AND state = 0", "it", key, part));
    return leave(s, ok, e);
}

bool store_drop_parts(store *s, int64_t key, api_error *e)
{
    pthread_mutex_lock(&s->lock);
    return leave(s, run(prepare(s, "DELETE FROM parts WHERE file = ?", "i", key)), e);
}

bool store_parts(store *s, int64_t key, char **all, api_error *e)
{
    bool ok;
    *all = NULL;
    pthread_mutex_lock(&s->lock);
    sqlite3_stmt *q = prepare(
        s, "SELECT group_concat(text, '') FROM (SELECT text FROM parts WHERE file = ? ORDER BY number)", "i", key);
    if (step(q, &ok) && text(q, 0)) {
        *all = strdup(text(q, 0));
        ok = *all;
    }
    sqlite3_finalize(q);
    return leave(s, ok, e);
}

bool store_answer(store *s, const store_file *file, double now, api_error *e)
{
    pthread_mutex_lock(&s->lock);
    bool ok =
        begin(s) &&
        run(prepare(s, "UPDATE files SET state=?, status=?, type=?, answer=?, audio_s=? WHERE key=?", "iittdi",
                    (int64_t)file->state, (int64_t)file->status, file->type, file->answer, file->audio_s, file->key)) &&
        run(prepare(s, "DELETE FROM parts WHERE file = ?", "i", file->key)) &&
        run(prepare(s,
                    "UPDATE jobs SET ended = ?1 WHERE id = (SELECT job FROM files WHERE key = ?2)"
                    " AND NOT EXISTS (SELECT 1 FROM files WHERE job = jobs.id AND state = 0)",
                    "di", now, file->key));
    return leave(s, ok && commit(s), e);
}

bool store_delete(store *s, const char *owner, const char *id, api_error *e)
{
    pthread_mutex_lock(&s->lock);
    const bool ok = run(prepare(s, "DELETE FROM jobs WHERE id = ? AND owner = ?", "tt", id, owner));
    const bool any = ok && sqlite3_changes(s->db) > 0;
    if (!leave(s, ok, e)) return false;
    return any || api_error_set(e, 404, "id", "job_not_found", "There is no job `%.100s`, or it has expired", id);
}

bool store_expire(store *s, double before, char id[64], api_error *e)
{
    bool ok;
    *id = '\0';
    pthread_mutex_lock(&s->lock);
    sqlite3_stmt *q = prepare(s, "SELECT id FROM jobs WHERE ended > 0 AND ended < ? LIMIT 1", "d", before);
    if (step(q, &ok)) snprintf(id, 64, "%s", text(q, 0));
    sqlite3_finalize(q);
    if (ok && *id) ok = run(prepare(s, "DELETE FROM jobs WHERE id = ?", "t", id));
    return leave(s, ok, e);
}

bool store_waits(store *s, const char *id, size_t number, bool *waits, api_error *e)
{
    bool ok;
    pthread_mutex_lock(&s->lock);
    sqlite3_stmt *q =
        prepare(s, "SELECT 1 FROM files WHERE job = ? AND number = ? AND state = 0", "ti", id, (int64_t)number);
    *waits = step(q, &ok);
    sqlite3_finalize(q);
    return leave(s, ok, e);
}

bool store_count(store *s, const char *owner, size_t files[STORE_STATES], api_error *e)
{
    bool ok = true;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < STORE_STATES && ok; i++) {
        sqlite3_stmt *q =
            owner ? prepare(s, "SELECT count(*) FROM files WHERE state = ? AND owner = ?", "it", (int64_t)i, owner)
                  : prepare(s, "SELECT count(*) FROM files WHERE state = ?", "i", (int64_t)i);
        files[i] = step(q, &ok) ? (size_t)sqlite3_column_int64(q, 0) : 0;
        sqlite3_finalize(q);
    }
    return leave(s, ok, e);
}
