/* SPDX-License-Identifier: MIT
 * A job on its way in: recordings into the state directory, then the job into the store (jobs.h). Everything is on the
 * disk before the client hears of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "jobs.h"
#include "log.h"

enum { NAME_BYTES = 1024 };

struct jobs_draft {
    jobs *j;
    char id[JOBS_ID_BYTES], owner[64];
    int fd; /* of the last recording, -1 when it is complete */
    store_file *files;
    size_t n, room;
    bool committed;
};

static bool no_memory(api_error *e) { return api_error_set(e, 500, NULL, NULL, "out of memory: a job"); }

/* What the system says of the state directory, for a client; false. */
static bool disk_failed(const char *what, api_error *e)
{
    const int why = errno;
    log_event(LOG_ERROR, "jobs", "%s=%d", what, why);
    if (why == ENOSPC || why == EDQUOT || why == EFBIG)
        return api_error_set(e, 507, NULL, "storage_full",
                             "The disk that keeps the jobs is full; the job was not taken");
    if (why == EROFS || why == EACCES || why == EPERM)
        return api_error_set(e, 503, NULL, "storage_read_only",
                             "The directory that keeps the jobs cannot be written; the job was not taken");
    return api_error_set(e, 503, NULL, "storage_failed", "The recording could not be stored; the job was not taken");
}

jobs_draft *jobs_draft_create(jobs *j, const char *owner, api_error *e)
{
    unsigned char random[16];
    if (!j) {
        jobs_none(e);
        return NULL;
    }
    jobs_draft *d = calloc(1, sizeof *d);
    if (!d || getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        free(d);
        no_memory(e);
        return NULL;
    }
    d->j = j;
    d->fd = -1;
    snprintf(d->owner, sizeof d->owner, "%s", owner);
    int at = snprintf(d->id, sizeof d->id, "job_");
    for (size_t i = 0; i < sizeof random; i++) at += snprintf(d->id + at, sizeof d->id - (size_t)at, "%02x", random[i]);
    return d;
}

static bool end_file(jobs_draft *d, api_error *e)
{
    if (d->fd < 0) return true;
    const store_file *last = &d->files[d->n - 1];
    bool ok = last->bytes > 0;
    if (!ok)
        api_error_set(e, 400, "file", "invalid_file", "the file \"%.200s\" is empty", last->name);
    else if (!(ok = fsync(d->fd) == 0))
        disk_failed("fsync", e);
    close(d->fd);
    d->fd = -1;
    return ok;
}

static bool begin_file(jobs_draft *d, const char *name, api_error *e)
{
    char path[4096];
    if (d->n == jobs_most_files(d->j))
        return api_error_set(e, 429, "file", "rate_limit_exceeded", "A job has at most %zu recordings here", d->n);
    if (d->n == d->room) {
        const size_t room = d->room ? 2 * d->room : 16;
        store_file *more = realloc(d->files, room * sizeof *more);
        if (!more) return no_memory(e);
        d->files = more;
        d->room = room;
    }
    char *copy = strndup(name ? name : "", NAME_BYTES);
    if (!copy) return no_memory(e);
    jobs_audio_path(d->j, d->id, d->n, path);
    d->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (d->fd < 0) {
        free(copy);
        return disk_failed("open", e);
    }
    d->files[d->n] = (store_file){.number = d->n, .name = copy};
    d->n++;
    return true;
}

bool jobs_draft_file(jobs_draft *d, const char *name, uint64_t offset, const char *data, size_t n, api_error *e)
{
    store_file *last = d->n ? &d->files[d->n - 1] : NULL;
    /* A file that a read cut off before its first byte is announced twice. */
    const bool again = last && d->fd >= 0 && last->bytes == 0 && strcmp(last->name, name ? name : "") == 0;
    if (offset == 0 && !again) {
        if (!end_file(d, e) || !begin_file(d, name, e)) return false;
        last = &d->files[d->n - 1];
    }
    if (!last || d->fd < 0) return api_error_set(e, 400, "file", NULL, "the form is malformed");
    while (n > 0) {
        const ssize_t done = write(d->fd, data, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return disk_failed("write", e);
        data += done;
        n -= (size_t)done;
        last->bytes += (uint64_t)done;
    }
    return true;
}

bool jobs_draft_commit(jobs_draft *d, const form *f, char id[JOBS_ID_BYTES], api_error *e)
{
    char *fields = NULL;
    size_t files[STORE_STATES];
    if (d->n == 0)
        return api_error_set(e, 400, "file", "missing_required_parameter",
                             "field \"file\" is missing: the recordings to transcribe");
    if (f->stream)
        return api_error_set(e, 400, "stream", "invalid_value",
                             "stream=true is not for jobs: ask for the job, its progress is in the answer");
    if (!end_file(d, e) || !store_count(jobs_store(d->j), d->owner, files, e)) return false;
    if (files[STORE_QUEUED] + d->n > jobs_most_files(d->j))
        return api_error_set(e, 429, NULL, "rate_limit_exceeded",
                             "You have %zu recordings of jobs waiting, and with these more than %zu; try again later",
                             files[STORE_QUEUED], jobs_most_files(d->j));
    if (!jobs_sync_audio(d->j, e) || !jobs_fields_write(f, &fields, e)) return false;
    const store_job job = {.id = d->id, .owner = d->owner, .fields = fields, .created = (double)time(NULL)};
    d->committed = store_add(jobs_store(d->j), &job, d->files, d->n, e);
    free(fields);
    if (!d->committed) return false;
    snprintf(id, JOBS_ID_BYTES, "%s", d->id);
    log_event(LOG_INFO, "job", "id=%s recordings=%zu", d->id, d->n);
    jobs_wake(d->j);
    return true;
}

void jobs_draft_drop(jobs_draft *d)
{
    char path[4096];
    if (!d) return;
    if (d->fd >= 0) close(d->fd);
    for (size_t i = 0; i < d->n; i++) {
        jobs_audio_path(d->j, d->id, i, path);
        if (!d->committed) unlink(path);
        free((char *)(uintptr_t)d->files[i].name);
    }
    free(d->files);
    free(d);
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

bool jobs_fields_write(const form *f, char **text, api_error *e)
{
    json_t *all = json_array();
    for (size_t i = 0; i < f->n; i++) {
        const form_field *field = &f->fields[i];
        char name[200];
        if (field->len == 0) continue;
        if (!form_is_text(field)) {
            json_decref(all);
            return api_error_set(e, 400, field->name, "invalid_value", "field \"%.100s\" should be UTF-8 without NUL",
                                 field->name);
        }
        if (field->list)
            snprintf(name, sizeof name, "%s[%s]", field->name, field->key);
        else
            snprintf(name, sizeof name, "%s", field->name);
        json_array_append_new(all, json_pack("[s, s]", name, field->value));
    }
    *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return *text || no_memory(e);
}

bool jobs_fields_read(form *f, const char *text, api_error *e)
{
    json_t *all = json_loads(text, 0, NULL), *one;
    size_t i;
    bool ok = json_is_array(all);
    if (!ok) api_error_set(e, 500, NULL, "storage_damaged", "The fields of this job cannot be read any more");
    json_array_foreach(all, i, one) {
        const char *name, *value;
        if (!ok) break;
        if (json_unpack(one, "[s, s]", &name, &value) == 0) ok = form_append(f, name, 0, value, strlen(value), e);
    }
    json_decref(all);
    return ok;
}
