/* SPDX-License-Identifier: MIT
 * Queries of a SQLite database. */
#include "study_sql.h"

#include <math.h>
#include <sqlite3.h>
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
    if (code == SQLITE_NOTADB) return options_fail(err, SOTTO_EFORMAT, "%s is no SQLite database", db->path);
    return options_fail(err, code == SQLITE_NOMEM ? SOTTO_ENOMEM : SOTTO_EIO, "%s: %s", db->path,
                        sqlite3_errmsg(db->handle));
}

sotto_status study_sql_open(study_sql **out, const char *path, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    *out = NULL;
    if (access(path, R_OK) != 0)
        return options_fail(err, SOTTO_ENOTFOUND, "%s is not there or cannot be read; expected the database of a study",
                            path);
    study_sql *db = calloc(1, sizeof *db);
    if (!db || !(db->path = strdup(path))) {
        free(db);
        return options_fail(err, SOTTO_ENOMEM, "out of memory: %s", path);
    }
    if (sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
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

sotto_status study_rows_begin(study_rows **out, study_sql *db, const char *query, sotto_error *err)
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
    *out = r;
    return SOTTO_OK;
}

bool study_rows_next(study_rows *r) { return (r->code = sqlite3_step(r->statement)) == SQLITE_ROW; }

int64_t study_rows_int(study_rows *r, int column) { return sqlite3_column_int64(r->statement, column); }

double study_rows_real(study_rows *r, int column)
{
    if (sqlite3_column_type(r->statement, column) == SQLITE_NULL) return NAN;
    return sqlite3_column_double(r->statement, column);
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
