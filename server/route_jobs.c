/* SPDX-License-Identifier: MIT
 * /v1/jobs: recordings handed over for later (jobs.h), as JSON. */
#include <string.h>
#include <stdlib.h>

#include "route.h"

static bool check(server *s, form *f, api_error *e) { return route_transcriptions.check(s, f, e); }

/* What both rows of the store are turned into. */
struct view {
    server *s;
    json_t *list; /* jobs, or recordings of one */
};

static json_t *describe(const server *s, const store_job *row)
{
    const size_t done = row->files[STORE_DONE], failed = row->files[STORE_FAILED],
                 total = row->files[STORE_QUEUED] + done + failed;
    size_t running = jobs_running(s->jobs, row->id);
    if (running > row->files[STORE_QUEUED]) running = row->files[STORE_QUEUED];
    const char *state = row->ended > 0 ? (failed == total ? "failed" : "done")
                        : running || done || failed ? "running"
                                                    : "queued";
    json_t *j = json_pack("{s:s, s:s, s:I, s:s, s:{s:I, s:I, s:I, s:I, s:I}}", "id", row->id, "object", "job", "created",
                          (json_int_t)row->created, "state", state, "recordings", "total", (json_int_t)total, "queued",
                          (json_int_t)(row->files[STORE_QUEUED] - running), "running", (json_int_t)running, "done",
                          (json_int_t)done, "failed", (json_int_t)failed);
    if (row->ended > 0) {
        json_object_set_new(j, "ended", json_integer((json_int_t)row->ended));
        json_object_set_new(j, "expires", json_integer((json_int_t)(row->ended + s->config->job_ttl)));
    }
    return j;
}

static void see_job(void *user, const store_job *row)
{
    struct view *v = user;
    json_array_append_new(v->list, describe(v->s, row));
}

/* An answer as it would have come back from a transcription: an object, or a text. */
static json_t *answer_of(const store_file *file)
{
    json_t *whole = strcmp(file->type ? file->type : "", reply_type_json) == 0 ? json_loads(file->answer, 0, NULL) : NULL;
    return whole ? whole : reply_json_text(file->answer);
}

static void see_file(void *user, const store_file *file)
{
    static const char *const names[STORE_STATES] = {"queued", "done", "failed"};
    struct view *v = user;
    jobs_progress p;
    const bool running = file->state == STORE_QUEUED && jobs_peek(v->s->jobs, file->key, &p);
    json_t *j = json_pack("{s:I, s:o, s:s, s:I}", "index", (json_int_t)file->number, "name", reply_json_text(file->name),
                          "state", running ? "running" : names[file->state], "bytes", (json_int_t)file->bytes);
    if (running) {
        json_object_set_new(j, "progress", json_real(p.total_s > 0 ? p.done_s / p.total_s : 0));
        json_object_set_new(j, "text", reply_json_text(p.text ? p.text : ""));
        free(p.text);
    } else if (file->state == STORE_DONE) {
        json_object_set_new(j, "audio_seconds", json_real(file->audio_s));
        json_object_set_new(j, "result", answer_of(file));
    } else if (file->state == STORE_FAILED) {
        json_t *whole = answer_of(file);
        json_object_set_new(j, "status", json_integer((json_int_t)file->status));
        json_object_set(j, "error", json_object_get(whole, "error"));
        json_decref(whole);
    }
    json_array_append_new(v->list, j);
}

static void list(server *s, const char *client, const char *tail, reply *out)
{
    api_error e;
    struct view v = {s, json_array()};
    (void)tail;
    if (s->jobs ? store_jobs(jobs_store(s->jobs), client, NULL, see_job, &v, &e) : jobs_none(&e)) {
        reply_json(out, 200, json_pack("{s:s, s:O}", "object", "list", "data", v.list));
    } else {
        reply_error(out, &e);
    }
    json_decref(v.list);
}

/* The job, and with `files` its recordings. */
static void show(server *s, const char *client, const char *id, unsigned status, bool files, reply *out)
{
    api_error e;
    struct view jobs_of = {s, json_array()}, recordings = {s, json_array()};
    if (s->jobs ? store_jobs(jobs_store(s->jobs), client, id, see_job, &jobs_of, &e) &&
                      (!files || store_files(jobs_store(s->jobs), id, see_file, &recordings, &e))
                : jobs_none(&e)) {
        json_t *one = json_incref(json_array_get(jobs_of.list, 0));
        if (files) json_object_set(one, "data", recordings.list);
        reply_json(out, status, one);
    } else {
        reply_error(out, &e);
    }
    json_decref(jobs_of.list);
    json_decref(recordings.list);
}

static void added(server *s, const char *client, const char *id, reply *out)
{
    show(s, client, id, 201, false, out);
}

static void one(server *s, const char *client, const char *id, reply *out) { show(s, client, id, 200, true, out); }

static void delete(server *s, const char *client, const char *id, reply *out)
{
    api_error e;
    if (s->jobs ? jobs_delete(s->jobs, client, id, &e) : jobs_none(&e))
        reply_json(out, 200, json_pack("{s:s, s:s, s:b}", "id", id, "object", "job", "deleted", 1));
    else
        reply_error(out, &e);
}

static const char collection[] = "GET, HEAD, POST", item[] = "GET, HEAD, DELETE";

const route route_jobs_add = {
    .method = "POST", .path = "/v1/jobs", .allow = collection, .job = true, .check = check, .own = added};
const route route_jobs_list = {.method = "GET", .path = "/v1/jobs", .allow = collection, .own = list};
const route route_jobs_one = {.method = "GET", .path = "/v1/jobs/", .tail = true, .allow = item, .own = one};
const route route_jobs_delete = {.method = "DELETE", .path = "/v1/jobs/", .tail = true, .allow = item, .own = delete};
