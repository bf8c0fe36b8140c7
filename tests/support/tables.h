/* SPDX-License-Identifier: MIT
 * The kernel tables that a test runs, and a line that says so: scripts under tests/isa look for it. */
#ifndef SOTTO_TEST_TABLES_H
#define SOTTO_TEST_TABLES_H

#include "nn/ops.h"

static const sotto__ops *tables[SOTTO__ISAS];
static size_t n_tables;

static inline void find_tables(void)
{
    n_tables = sotto__ops_all(tables, SOTTO__ISAS);
    for (size_t t = 0; t < n_tables; t++) print_message("%s%s", t ? " " : "tables: ", tables[t]->name);
    print_message("\n");
}

#endif
