/* SPDX-License-Identifier: MIT
 * Results of a study as a table: word error rates with their intervals, beside the same model unshrunken (study.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "study/study.h"
#include "study/store.h"

typedef struct table {
    uint64_t seed;
    bool is_begun;
    sotto_status status;
    sotto_error err;
} table;

static void print_size(int64_t v, double unit, int width)
{
    if (v < 0)
        printf("  %*s", width, "-");
    else
        printf("  %*.2f", width, (double)v / unit);
}

static void print_paired(const sotto_paired *p)
{
    printf("  %+7.2f  [%+6.2f, %+6.2f]  %6.4f", 100 * p->difference, 100 * p->low, 100 * p->high, p->p);
}

static bool print_row(const study_row *row, void *user)
{
    table *t = user;
    sotto_interval interval;
    sotto_paired paired;
    if (!t->is_begun)
        printf("%-10s  %-28s  %9s  %9s  %-10s  %7s  %-16s  %7s  %-16s  %6s\n", "model", "spec", "10^6 par.", "MB",
               "set", "WER %", "95 %", "to none", "95 %", "p");
    t->is_begun = true;
    printf("%-10.40s  %-28.100s", row->model, row->spec);
    if (row->error) {
        printf("  not made: %s\n", row->error);
        return true;
    }
    t->status = sotto_score_interval(row->edits, row->words, row->n, t->seed, &interval, &t->err);
    if (t->status != SOTTO_OK) return false;
    print_size(row->parameters, 1e6, 9);
    print_size(row->file_bytes, 1e6, 9);
    printf("  %-10.40s  %7.2f  [%6.2f, %6.2f]", row->set, 100 * interval.value, 100 * interval.low,
           100 * interval.high);
    if (row->base_edits) {
        t->status = sotto_score_paired(row->edits, row->base_edits, row->words, row->n, t->seed, &paired, &t->err);
        if (t->status != SOTTO_OK) return false;
        print_paired(&paired);
    }
    putchar('\n');
    return true;
}

sotto_status study_list(study_store *store, sotto_error *err)
{
    table t = {.seed = study_store_meta_number(store, "seed", 0)};
    const sotto_status st = study_store_rows(store, print_row, &t, err);
    if (st != SOTTO_OK) return st;
    if (t.status != SOTTO_OK && err) *err = t.err;
    if (t.status == SOTTO_OK && !t.is_begun) puts("No results yet.");
    return t.status;
}
