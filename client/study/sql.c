/* SPDX-License-Identifier: MIT
 * Statements into a SQLite database, rows out of it (sql.h). */
#include "study/sql.h"

#include <math.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct study_sql {
    sqlite3 *handle;
    char *path;
};

struct study_rows {
    sqlite3_stmt *statement;
    study_sql *db;
    int code; /* of the last step */
};

static sotto_status failed(study_sql *db, sotto_error *err)
{
    int code = sqlite3_errcode(db->handle);
    if (code == SQLITE_NOTADB) return options_fail(err, SOTTO_EFORMAT, "%.300s is no SQLite database", db->path);
    return options_fail(err, code == SQLITE_NOMEM ? SOTTO_ENOMEM : SOTTO_EIO, "%.300s: %s", db->path,
                        sqlite3_errmsg(db->handle));
}

sotto_status study_sql_open(study_sql **out, const char *path, bool writing, sotto_error *err)
{
    const int how = writing ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    sotto_status st = SOTTO_OK;
    *out = NULL;
    if (!writing && access(path, R_OK) != 0)
        return options_fail(err, SOTTO_ENOTFOUND,
                            "%.300s is not there or cannot be read; expected the database of a study", path);
    study_sql *db = calloc(1, sizeof *db);
    if (!db || !(db->path = strdup(path))) {
        free(db);
        return options_fail(err, SOTTO_ENOMEM, "out of memory: %.300s", path);
    }
    if (sqlite3_open_v2(path, &db->handle, how | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        st = failed(db, err);
        study_sql_close(db);
        return st;
    }
    sqlite3_busy_timeout(db->handle, 10000); /* a study that runs meanwhile writes now and then */
    *out = db;
    return SOTTO_OK;
}

void study_sql_close(study_sql *db)
{
    if (!db) return;
    sqlite3_close(db->handle);
    free(db->path);
    free(db);
}

sotto_status study_sql_do(study_sql *db, const char *statements, sotto_error *err)
{
    return sqlite3_exec(db->handle, statements, NULL, NULL, NULL) == SQLITE_OK ? SOTTO_OK : failed(db, err);
}

/* Texts are not copied: they live until the statement is done. */
static sotto_status begin(study_rows **out, study_sql *db, sotto_error *err, const char *query, const char *types,
                          va_list values)
{
    study_rows *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r) return options_fail(err, SOTTO_ENOMEM, "out of memory: a query");
    r->db = db;
    if (sqlite3_prepare_v2(db->handle, query, -1, &r->statement, NULL) != SQLITE_OK) {
        sotto_status st = failed(db, err);
        free(r);
        return st;
    }
    for (int i = 1; *types; i++, types++) {
        if (*types == 'i') {
            const int64_t v = va_arg(values, int64_t);
            if (v >= 0) sqlite3_bind_int64(r->statement, i, v);
        } else if (*types == 'r') {
            const double v = va_arg(values, double);
            if (!isnan(v)) sqlite3_bind_double(r->statement, i, v);
        } else {
            sqlite3_bind_text(r->statement, i, va_arg(values, const char *), -1, SQLITE_STATIC);
        }
    }
    *out = r;
    return SOTTO_OK;
}

sotto_status study_rows_begin(study_rows **out, study_sql *db, sotto_error *err, const char *query, const char *types,
                              ...)
{
    va_list values;
    va_start(values, types);
    const sotto_status st = begin(out, db, err, query, types, values);
    va_end(values);
    return st;
}

sotto_status study_sql_run(study_sql *db, sotto_error *err, const char *statement, const char *types, ...)
{
    study_rows *r;
    va_list values;
    va_start(values, types);
    const sotto_status st = begin(&r, db, err, statement, types, values);
    va_end(values);
    if (st != SOTTO_OK) return st;
    study_rows_next(r);
    return study_rows_end(r, err);
}

bool study_rows_next(study_rows *r) { return (r->code = sqlite3_step(r->statement)) == SQLITE_ROW; }

bool study_rows_null(study_rows *r, int column) { return sqlite3_column_type(r->statement, column) == SQLITE_NULL; }

int64_t study_rows_int(study_rows *r, int column) { return sqlite3_column_int64(r->statement, column); }

double study_rows_real(study_rows *r, int column)
{
    return study_rows_null(r, column) ? NAN : sqlite3_column_double(r->statement, column);
}

const char *study_rows_text(study_rows *r, int column)
{
    return (const char *)sqlite3_column_text(r->statement, column);
}

sotto_status study_rows_end(study_rows *r, sotto_error *err)
{
    sotto_status st =
        r->code == SQLITE_DONE || r->code == SQLITE_ROW || r->code == SQLITE_OK ? SOTTO_OK : failed(r->db, err);
    sqlite3_finalize(r->statement);
    free(r);
    return st;
}
