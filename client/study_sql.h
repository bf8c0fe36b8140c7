/* SPDX-License-Identifier: MIT
 * Reading a database row by row: what the report of a study needs of SQLite. */
#ifndef SOTTO_CLIENT_STUDY_SQL_H
#define SOTTO_CLIENT_STUDY_SQL_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"

typedef struct study_sql study_sql;
typedef struct study_rows study_rows;

/* Opens an existing database for reading. SOTTO_ENOTFOUND, or SOTTO_EFORMAT where the file is no database. */
sotto_status study_sql_open(study_sql **out, const char *path, sotto_error *err);
void study_sql_close(study_sql *db); /* NULL is fine */

/* The rows of a query; study_rows_end in any case but failure. `db` must stay open meanwhile. */
sotto_status study_rows_begin(study_rows **out, study_sql *db, const char *query, sotto_error *err);
/* The next row, which the calls below read; false after the last one or on an error, which study_rows_end tells. */
bool study_rows_next(study_rows *r);
int64_t study_rows_int(study_rows *r, int column);      /* columns count from 0; NULL is 0 */
double study_rows_real(study_rows *r, int column);      /* NULL is NAN */
const char *study_rows_text(study_rows *r, int column); /* until the next row; NULL for NULL */
sotto_status study_rows_end(study_rows *r, sotto_error *err);

#endif
