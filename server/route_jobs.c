/* SPDX-License-Identifier: MIT
 * /v1/jobs: recordings handed over for later (jobs.h), as JSON. */
#include "jobs_view.h"
#include "route.h"

static bool check(server *s, form *f, api_error *e) { return route_transcriptions.check(s, f, e); }

/* What both rows of the store are turned into. */
struct view {
    server *s;
    json_t *list; /* jobs, or recordings of one */
};

static void see_job(void *user, const store_job *row)
{
    const struct view *v = user;
    json_array_append_new(v->list, jobs_view_job(v->s->jobs, row));
}

static void see_file(void *user, const store_file *file)
{
    const struct view *v = user;
    json_array_append_new(v->list, jobs_view_recording(v->s->jobs, file));
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

static void added(server *s, const char *client, const char *id, reply *out) { show(s, client, id, 201, false, out); }

static void one(server *s, const char *client, const char *id, reply *out) { show(s, client, id, 200, true, out); }

static void delete(server *s, const char *client, const char *id, reply *out)
{
    api_error e;
    if (s->jobs ? jobs_delete(s->jobs, client, id, &e) : jobs_none(&e))
        reply_json(out, 200, json_pack("{s:s, s:s, s:b}", "id", id, "object", "job", "deleted", 1));
    else
        reply_error(out, &e);
}

static bool follow(server *s, const char *client, const char *id, events *to, api_error *e)
{
    return s->jobs ? jobs_follow(s->jobs, client, id, to, e) : jobs_none(e);
}

static void unfollow(server *s, const events *to) { jobs_unfollow(s->jobs, to); }

static const char collection[] = "GET, HEAD, POST", item[] = "GET, HEAD, DELETE";

const route route_jobs_add = {
    .method = "POST", .path = "/v1/jobs", .allow = collection, .job = true, .check = check, .own = added};
const route route_jobs_list = {.method = "GET", .path = "/v1/jobs", .allow = collection, .own = list};
const route route_jobs_events = {
    .method = "GET", .path = "/v1/jobs/", .tail = true, .ends = "/events", .follow = follow, .unfollow = unfollow};
const route route_jobs_one = {.method = "GET", .path = "/v1/jobs/", .tail = true, .allow = item, .own = one};
const route route_jobs_delete = {.method = "DELETE", .path = "/v1/jobs/", .tail = true, .allow = item, .own = delete};
