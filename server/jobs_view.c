/* SPDX-License-Identifier: MIT
 * Rows -> JSON (jobs_view.h). */
#include "jobs_view.h"

#include <stdlib.h>
#include <string.h>

json_t *jobs_view_job(jobs *j, const store_job *row)
{
    const size_t done = row->files[STORE_DONE], failed = row->files[STORE_FAILED],
                 total = row->files[STORE_QUEUED] + done + failed;
    size_t running = jobs_running(j, row->id);
    if (running > row->files[STORE_QUEUED]) running = row->files[STORE_QUEUED];
    const char *state = row->ended > 0              ? (failed == total ? "failed" : "done")
                        : running || done || failed ? "running"
                                                    : "queued";
    json_t *view = json_pack("{s:s, s:s, s:I, s:s, s:{s:I, s:I, s:I, s:I, s:I}}", "id", row->id, "object", "job",
                             "created", (json_int_t)row->created, "state", state, "recordings", "total",
                             (json_int_t)total, "queued", (json_int_t)(row->files[STORE_QUEUED] - running), "running",
                             (json_int_t)running, "done", (json_int_t)done, "failed", (json_int_t)failed);
    if (row->ended > 0) {
        json_object_set_new(view, "ended", json_integer((json_int_t)row->ended));
        json_object_set_new(view, "expires", json_integer((json_int_t)(row->ended + jobs_ttl_s(j))));
    }
    return view;
}

/* An answer as it would have come back from a transcription: an object, or a text. */
static json_t *answer_of(const store_file *file)
{
    json_t *whole =
        strcmp(file->type ? file->type : "", reply_type_json) == 0 ? json_loads(file->answer, 0, NULL) : NULL;
    return whole ? whole : reply_json_text(file->answer);
}

json_t *jobs_view_recording(jobs *j, const store_file *file)
{
    static const char *const names[STORE_STATES] = {"queued", "done", "failed"};
    jobs_progress p;
    const bool running = file->state == STORE_QUEUED && jobs_peek(j, file->key, &p);
    json_t *view =
        json_pack("{s:I, s:o, s:s, s:I}", "index", (json_int_t)file->number, "name", reply_json_text(file->name),
                  "state", running ? "running" : names[file->state], "bytes", (json_int_t)file->bytes);
    if (running) {
        json_object_set_new(view, "progress", json_real(p.total_s > 0 ? p.done_s / p.total_s : 0));
        json_object_set_new(view, "text", reply_json_text(p.text ? p.text : ""));
        free(p.text);
    } else if (file->state == STORE_DONE) {
        json_object_set_new(view, "audio_seconds", json_real(file->audio_s));
        json_object_set_new(view, "result", answer_of(file));
    } else if (file->state == STORE_FAILED) {
        json_t *whole = answer_of(file);
        json_object_set_new(view, "status", json_integer((json_int_t)file->status));
        json_object_set(view, "error", json_object_get(whole, "error"));
        json_decref(whole);
    }
    return view;
}

json_t *jobs_view_progress(size_t number, double done_s, double total_s, const char *delta)
{
    return json_pack("{s:s, s:I, s:f, s:o}", "type", "job.recording.progress", "index", (json_int_t)number, "progress",
                     total_s > 0 ? done_s / total_s : 0.0, "delta", reply_json_text(delta));
}
