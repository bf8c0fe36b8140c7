/* SPDX-License-Identifier: MIT
 * A SQLite database, statement by statement: what a study needs of it. Calls from one thread at a time. */
#ifndef SOTTO_CLIENT_STUDY_SQL_H
#define SOTTO_CLIENT_STUDY_SQL_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"

typedef struct study_sql study_sql;
typedef struct study_rows study_rows;

/* Opens an existing database for reading, or, with `writing`, one that is made when it is not there. SOTTO_ENOTFOUND,
 * or, at the latest with the first statement, SOTTO_EFORMAT where the file is no database. */
sotto_status study_sql_open(study_sql **out, const char *path, bool writing, sotto_error *err);
void study_sql_close(study_sql *db); /* NULL is fine */

/* Statements without values and without rows, between semicolons. */
sotto_status study_sql_do(study_sql *db, const char *statements, sotto_error *err);

/* One statement without rows. Its values follow `types` by letter, in order: i int64_t, r double, t text; unknown
 * numbers (i below 0, r NAN) and texts (NULL) are NULL. */
sotto_status study_sql_run(study_sql *db, sotto_error *err, const char *statement, const char *types, ...);

/* The rows of a query with such values; study_rows_end in any case but failure. `db` must stay open meanwhile, and
 * texts be there until the end. */
sotto_status study_rows_begin(study_rows **out, study_sql *db, sotto_error *err, const char *query, const char *types,
                              ...);
/* The next row, which the calls below read; false after the last one or on an error, which study_rows_end tells. */
bool study_rows_next(study_rows *r);
bool study_rows_null(study_rows *r, int column);        /* columns count from 0 */
int64_t study_rows_int(study_rows *r, int column);      /* NULL is 0 */
double study_rows_real(study_rows *r, int column);      /* NULL is NAN */
const char *study_rows_text(study_rows *r, int column); /* until the next row; NULL for NULL */
sotto_status study_rows_end(study_rows *r, sotto_error *err);

#endif
