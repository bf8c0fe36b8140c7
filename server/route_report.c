/* SPDX-License-Identifier: MIT
 * GET /v1/report: parameters used and throughput over all runs since the start; live streams included; under "last" the
 * same for the last recording alone, null before there was one. With several models, of each under "models". */
#include "route.h"

static json_t *write_report(sotto_model *model, const sotto_counts *counts, const uint64_t *touched, sotto_error *err)
{
    char *text = NULL;
    if (sotto_report_write(model, counts, touched, &text, err) != SOTTO_OK) return NULL;
    json_t *report = json_loads(text, 0, NULL);
    sotto_string_free(text);
    return report;
}

/* Of one model, which is in memory. */
static json_t *report_of(sotto_model *model, const engine_totals *t, sotto_error *err)
{
    json_t *report = write_report(model, &t->sum, t->touched, err);
    json_t *last = t->last.runs ? write_report(model, &t->last, t->last_touched, err) : json_null();
    const bool ok = report && last;
    /* the setter takes over the value, even where it fails */
    if (json_object_set_new(report, "last", last) == 0 && ok) return report;
    json_decref(report);
    return NULL;
}

/* Of every model by its name: null for one that is not in memory. */
static json_t *by_model(server *s, sotto_error *err)
{
    json_t *all = json_object();
    for (size_t i = 0; i < pool_count(s->pool); i++) {
        engine_totals t;
        engine_get_model_totals(s->engine, i, &t);
        sotto_model *model = pool_borrow(s->pool, i);
        json_object_set_new(all, pool_get_facts(s->pool, i)->name, model ? report_of(model, &t, err) : json_null());
        if (model) pool_release(s->pool, i, false);
    }
    return all;
}

/* Of the model that there is; of several, of the first one that is in memory, with all under "models". */
static void answer(server *s, const char *tail, reply *out)
{
    engine_totals t;
    sotto_error err = {.message = "out of memory while writing the report"};
    sotto_model *model = NULL;
    json_t *report = NULL;
    size_t i = 0;
    (void)tail;
    lives_get_totals(s->lives, &t);
    const uint64_t done = t.sum.runs, failed = t.failed, cancelled = t.cancelled;
    const bool several = pool_count(s->pool) > 1;
    while (i < pool_count(s->pool) && !(model = pool_borrow(s->pool, i))) i++;
    if (model && several) engine_get_model_totals(s->engine, i, &t);
    if (model) report = report_of(model, &t, &err);
    if (model) pool_release(s->pool, i, false);
    if (!model) report = json_object(); /* all were unloaded */
    json_t *requests = json_pack("{s:I, s:I, s:I}", "done", (json_int_t)done, "failed", (json_int_t)failed, "cancelled",
                                 (json_int_t)cancelled);
    bool ok = report && requests;
    ok = json_object_set_new(report, "requests", requests) == 0 && ok;
    if (several) ok = json_object_set_new(report, "models", by_model(s, &err)) == 0 && ok;
    if (ok) {
        reply_json(out, 200, report);
        return;
    }
    api_error e;
    json_decref(report);
    api_error_set(&e, 500, NULL, NULL, "%s", err.message);
    reply_error(out, &e);
}

const route route_report = {.method = "GET", .path = "/v1/report", .answer = answer};
