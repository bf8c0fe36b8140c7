/* SPDX-License-Identifier: MIT
 * GET /v1/report: parameters used and throughput over all runs since the start; live streams included; under "last" the
 * same for the last recording alone, null before there was one. */
#include "route.h"

static json_t *write_report(server *s, const sotto_counts *counts, const uint64_t *touched, sotto_error *err)
{
    char *text = NULL;
    if (sotto_report_write(s->model, counts, touched, &text, err) != SOTTO_OK) return NULL;
    json_t *report = json_loads(text, 0, NULL);
    sotto_string_free(text);
    return report;
}

static void answer(server *s, const char *tail, reply *out)
{
    engine_totals t;
    sotto_error err = {.message = "out of memory while writing the report"};
    (void)tail;
    lives_get_totals(s->lives, &t);
    json_t *report = write_report(s, &t.sum, t.touched, &err);
    json_t *last = t.last.runs ? write_report(s, &t.last, t.last_touched, &err) : json_null();
    json_t *requests = json_pack("{s:I, s:I, s:I}", "done", (json_int_t)t.sum.runs, "failed", (json_int_t)t.failed,
                                 "cancelled", (json_int_t)t.cancelled);
    bool ok = report && last && requests;
    /* the setters take over the values, even where they fail */
    ok = json_object_set_new(report, "requests", requests) == 0 && ok;
    ok = json_object_set_new(report, "last", last) == 0 && ok;
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
