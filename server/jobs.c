/* SPDX-License-Identifier: MIT
 * The thread that feeds recordings of jobs to the queue, and what becomes of them (jobs.h). Locks: the followers'
 * before the store's before ours, never the other way round. */
#include "jobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "jobs_events.h"
#include "jobs_view.h"
#include "log.h"
#include "route.h"

static const double RETRY_S = 5; /* after the store failed */
static const double KEEP_S = 1;  /* how often what is known of a recording is stored */
enum { TURN_S = 15 };            /* longest time between two looks at what expires, and two comments to followers */

/* A recording under way. */
typedef struct flight {
    struct flight *next;
    jobs *j;
    job *work;
    int64_t key;
    size_t number;
    char id[JOBS_ID_BYTES], owner[64];
    char *name, *fields;
    uint64_t bytes;
    char *text; /* so far; NULL when there is none */
    size_t text_len;
    double done_s, total_s;
    /* The engine's thread only: what has been found before and since it was stored last. */
    char *resume, *fresh;
    size_t fresh_len;
    double kept_at;
    bool lost; /* a line is missing: what follows is of no use */
} flight;

struct jobs {
    server *s;
    char directory[3072];
    store *store;
    followers *followers;
    int lock_fd;
    size_t most; /* recordings in the queue or the engine */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    bool woken, draining, stopping;
    double retry_at; /* by clock_now_s */
    char last[64];   /* owner served last; the thread's */
    flight *flights;
    size_t n_flights;
};

const char *jobs_directory(const server *s)
{
    const char *systemd = getenv("STATE_DIRECTORY");
    return s->config->state_dir ? s->config->state_dir : systemd && *systemd ? systemd : NULL;
}

store *jobs_store(jobs *j) { return j->store; }

bool jobs_none(api_error *e)
{
    return api_error_set(e, 501, NULL, "jobs_disabled",
                         "This server keeps no jobs: it was started without --state-dir");
}

void jobs_audio_path(const jobs *j, const char *id, size_t number, char path[4096])
{
    snprintf(path, 4096, "%s/audio/%s-%zu", j->directory, id, number);
}

bool jobs_sync_audio(const jobs *j, api_error *e)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/audio", j->directory);
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    return ok || api_error_set(e, 503, NULL, "storage_failed", "The recordings could not be stored");
}

void jobs_wake(jobs *j)
{
    pthread_mutex_lock(&j->lock);
    j->woken = true;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
}

double jobs_ttl_s(const jobs *j) { return j->s->config->job_ttl; }

size_t jobs_most_files(const jobs *j) { return (size_t)j->s->config->job_files; }

/* ---- recordings under way ---------------------------------------------------------------------------------------- */

static void free_flight(flight *f)
{
    free(f->name);
    free(f->fields);
    free(f->text);
    job_release(f->work);
    free(f->resume);
    free(f->fresh);
    free(f);
}

/* Out of the list; the next one may come. */
static void land(flight *f, bool retry)
{
    jobs *j = f->j;
    pthread_mutex_lock(&j->lock);
    for (flight **at = &j->flights; *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            break;
        }
    j->n_flights--;
    if (retry) j->retry_at = clock_now_s() + RETRY_S;
    j->woken = true;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
    free_flight(f);
}

struct sight {
    jobs *j;
    json_t *view;
    bool ended;
};

static void see_job(void *user, const store_job *row)
{
    struct sight *s = user;
    s->view = jobs_view_job(s->j, row);
    s->ended = row->ended > 0;
}

/* Tells of an answer that was stored just now. The followers' lock is held. */
static void tell_answer(const flight *f, const store_file *file)
{
    jobs *j = f->j;
    struct sight seen = {.j = j};
    api_error e;
    if (!followers_any(j->followers, f->id)) return;
    followers_tell(j->followers, f->id,
                   json_pack("{s:s, s:o}", "type", "job.recording.done", "recording", jobs_view_recording(j, file)));
    if (!store_jobs(j->store, f->owner, f->id, see_job, &seen, &e) || !seen.ended) {
        json_decref(seen.view);
        return;
    }
    followers_tell(j->followers, f->id, json_pack("{s:s, s:o}", "type", "job.done", "job", seen.view));
    followers_done(j->followers, f->id);
}

/* The answer goes into the store, then the recording from the disk. What cannot be stored is computed again later. */
static void answer(flight *f, const reply *r, double audio_s)
{
    char path[4096];
    api_error e;
    char *text = r->body ? strndup(r->body, r->len) : NULL;
    const store_file file = {.key = f->key,
                             .number = f->number,
                             .name = f->name ? f->name : "",
                             .bytes = f->bytes,
                             .state = r->status == 200 ? STORE_DONE : STORE_FAILED,
                             .status = r->status,
                             .type = r->content_type,
                             .answer = text,
                             .audio_s = audio_s};
    followers_lock(f->j->followers);
    const bool ok = text && store_answer(f->j->store, &file, (double)time(NULL), &e);
    if (ok)
        tell_answer(f, &file);
    else /* its deltas will come again */
        followers_tell(f->j->followers, f->id,
                       json_pack("{s:s, s:I}", "type", "job.recording.restarted", "index", (json_int_t)f->number));
    followers_unlock(f->j->followers);
    free(text);
    if (ok) {
        jobs_audio_path(f->j, f->id, f->number, path);
        unlink(path);
    }
    land(f, !ok);
}

static void answer_error(flight *f, const api_error *e)
{
    reply r = {0};
    reply_error(&r, e);
    answer(f, &r, 0);
    reply_free(&r);
}

/* So that who comes after us begins there. What cannot be stored now is tried again with what follows. */
static void keep(flight *f)
{
    api_error e;
    f->kept_at = clock_now_s();
    if (f->fresh_len && store_add_part(f->j->store, f->key, f->fresh, &e)) f->fresh_len = 0;
}

static void add_checkpoint(flight *f, const char *line)
{
    const size_t n = strlen(line);
    char *more = f->lost ? NULL : realloc(f->fresh, f->fresh_len + n + 2);
    api_error e;
    if (f->resume && !f->work->form.options.resume) { /* it was of no use */
        store_drop_parts(f->j->store, f->key, &e);
        free(f->resume);
        f->resume = NULL;
    }
    f->lost = !more;
    if (!more) return;
    f->fresh = more;
    memcpy(more + f->fresh_len, line, n);
    memcpy(more + f->fresh_len + n, "\n", 2);
    f->fresh_len += n + 1;
    if (clock_now_s() >= f->kept_at + KEEP_S) keep(f);
}

/* On the engine's or the watching thread. Cancelled, by the end of the server or the job's, it has no reply. */
static void on_done(job *work, void *user)
{
    flight *f = user;
    if (work->reply.status) {
        answer(f, &work->reply, work->audio_s);
        return;
    }
    keep(f);
    land(f, false);
}

/* On the engine's thread. */
static void on_progress(job *work, const sotto_progress *p, void *user)
{
    flight *f = user;
    const size_t n = strlen(p->text);
    (void)work;
    if (p->checkpoint) add_checkpoint(f, p->checkpoint);
    followers_lock(f->j->followers);
    pthread_mutex_lock(&f->j->lock);
    f->done_s = p->done_s;
    f->total_s = p->total_s;
    char *more = realloc(f->text, f->text_len + n + 1);
    if (more) {
        memcpy(more + f->text_len, p->text, n + 1);
        f->text = more;
        f->text_len += n;
    }
    pthread_mutex_unlock(&f->j->lock);
    if (followers_any(f->j->followers, f->id))
        followers_tell(f->j->followers, f->id, jobs_view_progress(f->number, p->done_s, p->total_s, p->text));
    followers_unlock(f->j->followers);
}

/* With the followers' lock held. */
static void tell_all_so_far(jobs *j, const char *id, events *to)
{
    pthread_mutex_lock(&j->lock);
    for (const flight *f = j->flights; f; f = f->next)
        if (strcmp(f->id, id) == 0)
            events_add(to, jobs_view_progress(f->number, f->done_s, f->total_s, f->text ? f->text : ""));
    pthread_mutex_unlock(&j->lock);
}

bool jobs_follow(jobs *j, const char *owner, const char *id, events *to, api_error *e)
{
    struct sight seen = {.j = j};
    followers_lock(j->followers);
    bool ok = store_jobs(j->store, owner, id, see_job, &seen, e);
    if (ok && !followers_add(j->followers, id, to))
        ok = api_error_set(e, 503, NULL, "shutting_down", "The server is shutting down; try again");
    if (ok) {
        events_add(to, json_pack("{s:s, s:O}", "type", "job.state", "job", seen.view));
        tell_all_so_far(j, id, to);
    }
    if (ok && seen.ended) {
        events_add(to, json_pack("{s:s, s:O}", "type", "job.done", "job", seen.view));
        events_end(to, "[DONE]");
    }
    followers_unlock(j->followers);
    json_decref(seen.view);
    return ok;
}

void jobs_unfollow(jobs *j, const events *to) { followers_remove(j->followers, to); }

bool jobs_peek(jobs *j, int64_t key, jobs_progress *out)
{
    *out = (jobs_progress){0};
    pthread_mutex_lock(&j->lock);
    const flight *f = j->flights;
    while (f && f->key != key) f = f->next;
    if (f) *out = (jobs_progress){f->done_s, f->total_s, strdup(f->text ? f->text : "")};
    pthread_mutex_unlock(&j->lock);
    return f;
}

size_t jobs_running(jobs *j, const char *id)
{
    size_t n = 0;
    pthread_mutex_lock(&j->lock);
    for (const flight *f = j->flights; f; f = f->next) n += !id || strcmp(f->id, id) == 0;
    pthread_mutex_unlock(&j->lock);
    return n;
}

/* ---- the feeding thread ------------------------------------------------------------------------------------------ */

/* Under the store's lock. */
static bool take(void *user, const store_job *row, const store_file *file)
{
    flight *f = user;
    jobs *j = f->j;
    bool under_way = false;
    pthread_mutex_lock(&j->lock);
    for (const flight *one = j->flights; one && !under_way; one = one->next) under_way = one->key == file->key;
    if (!under_way) {
        f->key = file->key;
        f->number = file->number;
        f->name = strdup(file->name);
        f->bytes = file->bytes;
        f->fields = strdup(row->fields);
        snprintf(f->id, sizeof f->id, "%s", row->id);
        snprintf(f->owner, sizeof f->owner, "%s", row->owner);
        f->next = j->flights;
        j->flights = f;
        j->n_flights++;
    }
    pthread_mutex_unlock(&j->lock);
    return !under_way;
}

/* The recording and its fields as the engine wants them. */
static bool prepare(flight *f, api_error *e)
{
    char path[4096], label[128], client[80];
    snprintf(label, sizeof label, "%s-%zu", f->id, f->number);
    snprintf(client, sizeof client, "jobs:%s", f->owner);
    client[JOB_CLIENT_BYTES - 1] = '\0';
    job *work = job_create(label, client);
    if (!work || !f->name || !f->fields) {
        job_release(work);
        return api_error_set(e, 500, NULL, NULL, "out of memory: a recording of a job");
    }
    pthread_mutex_lock(&f->j->lock);
    f->work = work;
    pthread_mutex_unlock(&f->j->lock);
    work->background = true;
    work->on_done = on_done;
    work->on_progress = on_progress;
    work->user = f;
    if (!jobs_fields_read(&work->form, f->fields, e) || !route_transcriptions.check(f->j->s, &work->form, e))
        return false;
    work->form.options.checkpoints = true;
    if (store_parts(f->j->store, f->key, &f->resume, e)) work->form.options.resume = f->resume;
    f->kept_at = clock_now_s();
    jobs_audio_path(f->j, f->id, f->number, path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        upload_adopt(&work->upload, fd, f->name);
        return true;
    }
    log_event(LOG_ERROR, "jobs", "id=%s open=%d", label, errno);
    return api_error_set(e, 500, "file", "recording_lost", "The recording is not where it was kept any more");
}

/* False when nothing waits, or cannot begin now. */
static bool feed(jobs *j)
{
    api_error e;
    bool found;
    flight *f = calloc(1, sizeof *f);
    if (!f) return false;
    f->j = j;
    if (!store_next(j->store, j->last, take, f, &found, &e)) {
        pthread_mutex_lock(&j->lock);
        j->retry_at = clock_now_s() + RETRY_S;
        pthread_mutex_unlock(&j->lock);
    } else if (found) {
        bool waits = true;
        snprintf(j->last, sizeof j->last, "%s", f->owner);
        if (!prepare(f, &e)) {
            answer_error(f, &e);
        } else if (store_waits(j->store, f->id, f->number, &waits, &e) && !waits) {
            land(f, false); /* deleted, or answered, since we looked */
        } else if (queue_push(j->s->queue, f->work) != QUEUE_OK) {
            land(f, true);
            return false;
        } else {
            watch_wake(j->s->watch);
        }
        return true;
    }
    free_flight(f);
    return false;
}

/* Removes recordings of a job from the disk. */
static void unlink_audio(jobs *j, const char *id)
{
    char path[4096], prefix[JOBS_ID_BYTES + 2];
    snprintf(path, sizeof path, "%s/audio", j->directory);
    const int n = snprintf(prefix, sizeof prefix, "%s-", id);
    DIR *d = opendir(path);
    for (const struct dirent *one; d && (one = readdir(d));)
        if (strncmp(one->d_name, prefix, (size_t)n) == 0) unlinkat(dirfd(d), one->d_name, 0);
    if (d) closedir(d);
}

static void expire(jobs *j)
{
    char id[64];
    api_error e;
    while (store_expire(j->store, (double)time(NULL) - j->s->config->job_ttl, id, &e) && *id) {
        log_event(LOG_INFO, "expired", "id=%s", id);
        unlink_audio(j, id);
    }
}

static void *work(void *arg)
{
    jobs *j = arg;
    double looked = 0;
    pthread_mutex_lock(&j->lock);
    while (!j->stopping) {
        double now = clock_now_s();
        j->woken = false;
        const bool room = !j->draining && now >= j->retry_at && j->n_flights < j->most;
        pthread_mutex_unlock(&j->lock);
        const bool more = room && feed(j);
        const double ttl = j->s->config->job_ttl, turn = ttl < TURN_S ? 1 : TURN_S;
        if (!more && now - looked >= turn) {
            expire(j);
            followers_ping(j->followers);
            looked = now;
        }
        pthread_mutex_lock(&j->lock);
        if (more || j->woken || j->stopping) continue;
        const struct timespec until = clock_after_s(j->retry_at > now ? 1 : turn);
        pthread_cond_clockwait(&j->wake, &j->lock, CLOCK_MONOTONIC, &until);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

bool jobs_delete(jobs *j, const char *owner, const char *id, api_error *e)
{
    followers_lock(j->followers);
    const bool deleted = store_delete(j->store, owner, id, e);
    if (deleted) {
        followers_tell(j->followers, id, json_pack("{s:s, s:s}", "type", "job.deleted", "id", id));
        followers_done(j->followers, id);
    }
    followers_unlock(j->followers);
    if (!deleted) return false;
    pthread_mutex_lock(&j->lock);
    for (const flight *f = j->flights; f; f = f->next)
        if (f->work && strcmp(f->id, id) == 0) atomic_store(&f->work->cancelled, true);
    pthread_mutex_unlock(&j->lock);
    watch_wake(j->s->watch);
    unlink_audio(j, id);
    return true;
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

/* Recordings of requests that were not answered, and of answers whose recording outlived them. */
static void unlink_strays(jobs *j)
{
    char path[4096];
    api_error e;
    snprintf(path, sizeof path, "%s/audio", j->directory);
    DIR *d = opendir(path);
    for (const struct dirent *one; d && (one = readdir(d));) {
        char id[JOBS_ID_BYTES];
        bool waits = true;
        const char *dash = strrchr(one->d_name, '-');
        if (!dash || (size_t)(dash - one->d_name) >= sizeof id) continue;
        snprintf(id, sizeof id, "%.*s", (int)(dash - one->d_name), one->d_name);
        if (store_waits(j->store, id, (size_t)strtoull(dash + 1, NULL, 10), &waits, &e) && !waits)
            unlinkat(dirfd(d), one->d_name, 0);
    }
    if (d) closedir(d);
}

static sotto_status open_directory(jobs *j, sotto_error *err)
{
    char path[4096];
    if (mkdir(j->directory, 0700) != 0 && errno != EEXIST)
        return options_fail(err, SOTTO_EIO, "--state-dir %.300s cannot be made: %s", j->directory, strerror(errno));
    snprintf(path, sizeof path, "%s/audio", j->directory);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return options_fail(err, SOTTO_EIO, "--state-dir %.300s takes no file: %s", j->directory, strerror(errno));
    snprintf(path, sizeof path, "%s/lock", j->directory);
    j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->lock_fd < 0)
        return options_fail(err, SOTTO_EIO, "--state-dir %.300s takes no file: %s", j->directory, strerror(errno));
    if (flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return options_fail(err, SOTTO_EIO, "--state-dir %.300s is in use by another sottod", j->directory);
    snprintf(path, sizeof path, "%s/jobs.sqlite", j->directory);
    return store_open(&j->store, path, err);
}

sotto_status jobs_start(jobs **out, server *s, sotto_error *err)
{
    const char *directory = jobs_directory(s);
    *out = NULL;
    if (!directory) return SOTTO_OK;
    if (strlen(directory) >= sizeof((jobs *)0)->directory)
        return options_fail(err, SOTTO_EINVAL, "--state-dir: the path is too long");
    jobs *j = calloc(1, sizeof *j);
    if (!j) return options_fail(err, SOTTO_ENOMEM, "out of memory: jobs");
    j->s = s;
    j->lock_fd = -1;
    j->most = s->config->slots > 1 ? (size_t)s->config->slots - 1 : 1;
    snprintf(j->directory, sizeof j->directory, "%s", directory);
    if (!s->config->state_dir) j->directory[strcspn(j->directory, ":")] = '\0'; /* systemd's may be several */
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->wake, NULL);
    j->followers = followers_create();
    sotto_status st = j->followers ? open_directory(j, err) : options_fail(err, SOTTO_ENOMEM, "out of memory: jobs");
    if (st == SOTTO_OK) {
        unlink_strays(j);
        j->started = pthread_create(&j->thread, NULL, work, j) == 0;
        if (!j->started) st = options_fail(err, SOTTO_ENOMEM, "the thread of the jobs could not be started");
    }
    if (st == SOTTO_OK)
        *out = j;
    else
        jobs_stop(j);
    return st;
}

void jobs_drain(jobs *j)
{
    if (!j) return;
    pthread_mutex_lock(&j->lock);
    j->draining = true;
    pthread_mutex_unlock(&j->lock);
    followers_close(j->followers);
}

void jobs_stop(jobs *j)
{
    if (!j) return;
    pthread_mutex_lock(&j->lock);
    j->stopping = true;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
    if (j->started) pthread_join(j->thread, NULL);
    store_close(j->store);
    followers_free(j->followers);
    if (j->lock_fd >= 0) close(j->lock_fd);
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    free(j);
}
