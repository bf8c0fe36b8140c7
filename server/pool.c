/* SPDX-License-Identifier: MIT
 * Leases of models under a budget (pool.h). One lock for all; models are opened and freed without it. */
#include "pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "form.h"
#include "job.h"
#include "log.h"
#include "models.h"
#include "options.h"

static const double LOOK_S = 0.05, IDLE_LOOK_S = 1;

typedef struct resident {
    pool_facts facts;
    char *path;
    sotto_model *model; /* NULL while it is not in memory */
    bool busy;          /* is being loaded or unloaded by somebody; `since` when */
    bool loading;       /* that it is the former */
    bool wanted, leaving;
    size_t leases, standing; /* the latter among the former */
    uint64_t bytes;          /* of its weights, as they were when it was last in memory */
    double used_at, since, load_s;
    uint64_t loads;
    char error[256];
} resident;

/* Somebody who needs room. */
typedef struct waiter {
    struct waiter *next;
    size_t model;
} waiter;

struct pool {
    pool_config c;
    resident models[POOL_MODELS_MOST];
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*unloading)(void *user, size_t i);
    void *user;
    bool stopped;
    waiter *first, **last;      /* in order */
    uint64_t bytes, most_bytes; /* of weights in memory or on their way there */
};

/* ---- names and facts -------------------------------------------------------------------------------------------- */

/* "models/tiny.en/" -> "tiny.en"; a model's main file is called after its directory. */
static void name_after(char name[POOL_NAME_BYTES], const char *path)
{
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/';) copy[--n] = '\0';
    char *slash = strrchr(copy, '/'), *base = slash ? slash + 1 : copy;
    if (slash && slash > copy && (strcmp(base, "model.bin") == 0 || strcmp(base, "model.safetensors") == 0)) {
        *slash = '\0';
        slash = strrchr(copy, '/');
        base = slash ? slash + 1 : copy;
    }
    snprintf(name, POOL_NAME_BYTES, "%.*s", POOL_NAME_BYTES - 1, base);
}

size_t pool_count(const pool *p) { return p->c.n; }

const pool_facts *pool_get_facts(const pool *p, size_t i) { return &p->models[i].facts; }

bool pool_find(const pool *p, const char *name, size_t *i, api_error *e)
{
    char names[320] = "";
    size_t used = 0;
    for (*i = 0; *i < p->c.n; ++*i) {
        const char *own = p->models[*i].facts.name;
        if (*i == 0 ? !name || !*name || form_model_known(name, own) : strcmp(name, own) == 0) return true;
        if (used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s`%.100s`", *i ? ", " : "", own);
    }
    *i = 0;
    return api_error_set(e, 404, "model", "model_not_found",
                         "The model `%.100s` does not exist here; this server has %s (the first also called "
                         "`whisper-1` and `default`)",
                         name, names);
}

/* ---- loading, without the lock ---------------------------------------------------------------------------------- */

static uint64_t bytes_of(const sotto_model *m)
{
    const sotto_model_info *info = sotto_model_get_info(m);
    uint64_t bytes = 0;
    for (int i = 0; i < SOTTO_PRECISION_COUNT; i++) bytes += info->resident_bytes[i];
    return bytes;
}

static sotto_status open_model(const pool *p, const resident *r, sotto_model **out, sotto_error *err)
{
    return models_open(out, r->path, &p->c.open, p->c.shrink, p->c.calibration, err);
}

/* ---- room, with the lock ---------------------------------------------------------------------------------------- */

static void wait_for_change(pool *p, double seconds)
{
    const struct timespec until = clock_after_s(seconds);
    pthread_cond_clockwait(&p->changed, &p->lock, CLOCK_MONOTONIC, &until);
}

/* Drops the lock for it. */
static void unload(pool *p, resident *r)
{
    sotto_model *model = r->model;
    r->busy = true;
    r->loading = r->leaving = false;
    r->since = clock_now_s();
    r->model = NULL;
    void (*unloading)(void *user, size_t i) = p->unloading;
    void *user = p->user;
    pthread_mutex_unlock(&p->lock);
    if (unloading) unloading(user, (size_t)(r - p->models));
    sotto_model_free(model);
    log_event(LOG_INFO, "unloaded", "model=%.100s", r->facts.name);
    pthread_mutex_lock(&p->lock);
    r->busy = false;
    p->bytes -= r->bytes;
    pthread_cond_broadcast(&p->changed);
}

/* Its bytes are counted already. Drops the lock for it. */
static sotto_status load(pool *p, resident *r, sotto_error *err)
{
    sotto_model *model = NULL;
    r->busy = r->loading = true;
    r->since = clock_now_s();
    pthread_mutex_unlock(&p->lock);
    const double began = clock_now_s();
    const sotto_status st = open_model(p, r, &model, err);
    const double took = clock_now_s() - began;
    char quoted[600];
    if (st == SOTTO_OK && p->started)
        log_event(LOG_INFO, "loaded", "model=%.100s seconds=%.3f", r->facts.name, took);
    else if (st != SOTTO_OK && p->started)
        log_event(LOG_ERROR, "load", "model=%.100s error=%s", r->facts.name,
                  log_quote(quoted, sizeof quoted, err->message));
    pthread_mutex_lock(&p->lock);
    r->busy = r->loading = r->wanted = false;
    r->error[0] = '\0';
    if (st == SOTTO_OK) {
        /* The file may be another one by now. */
        p->bytes += bytes_of(model) - r->bytes;
        r->bytes = bytes_of(model);
        r->model = model;
        r->load_s = took;
        r->loads++;
        r->used_at = clock_now_s();
    } else {
        p->bytes -= r->bytes;
        snprintf(r->error, sizeof r->error, "%.255s", err->message);
    }
    if (p->bytes > p->most_bytes) p->most_bytes = p->bytes;
    pthread_cond_broadcast(&p->changed);
    return st;
}

static bool fits(const pool *p, uint64_t more)
{
    return p->c.budget_bytes <= 0 || (double)(p->bytes + more) <= p->c.budget_bytes;
}

/* The one without leases that was not used for longest; NULL when all have some. */
static resident *idlest(pool *p, const resident *but)
{
    resident *found = NULL;
    for (size_t i = 0; i < p->c.n; i++) {
        resident *r = &p->models[i];
        if (r != but && r->model && !r->busy && !r->leases && (!found || r->used_at < found->used_at)) found = r;
    }
    return found;
}

/* Would there be room once all but standing leases have ended? */
static bool may_come(const pool *p, const resident *r)
{
    uint64_t held = r->bytes;
    for (size_t i = 0; i < p->c.n; i++) {
        const resident *other = &p->models[i];
        if (other != r && other->model && other->standing) held += other->bytes;
    }
    return p->c.budget_bytes <= 0 || (double)held <= p->c.budget_bytes;
}

/* Makes room for `r`, counts it, and loads it. False: it has to wait. */
static bool bring(pool *p, resident *r, sotto_status *st, sotto_error *err)
{
    while (!fits(p, r->bytes)) {
        resident *other = idlest(p, r);
        if (!other) return false;
        unload(p, other);
        if (r->model || r->busy) return false; /* meanwhile somebody did */
    }
    p->bytes += r->bytes;
    if (p->bytes > p->most_bytes) p->most_bytes = p->bytes;
    *st = load(p, r, err);
    return true;
}

/* ---- leases ----------------------------------------------------------------------------------------------------- */

static void join(pool *p, waiter *w)
{
    w->next = NULL;
    *p->last = w;
    p->last = &w->next;
}

static void part(pool *p, const waiter *w)
{
    for (waiter **at = &p->first; *at; at = &(*at)->next) {
        if (*at != w) continue;
        *at = w->next;
        if (p->last == &w->next) p->last = at;
        break;
    }
    pthread_cond_broadcast(&p->changed);
}

/* Does someone who came before `w` wait for room for another model? Whoever came later must not keep a model in memory
 * that has to leave. */
static bool others_first(const pool *p, const waiter *w)
{
    for (const waiter *one = p->first; one != w; one = one->next) {
        const resident *r = &p->models[one->model];
        if (one->model != w->model && !r->model && !r->busy && !fits(p, r->bytes)) return true;
    }
    return false;
}

static sotto_status wait_for_model(pool *p, waiter *w, bool standing, bool (*give_up)(void *user), void *user,
                                   sotto_error *err)
{
    resident *r = &p->models[w->model];
    sotto_status st = SOTTO_OK;
    for (;;) {
        if (p->stopped || (give_up && give_up(user)))
            return options_fail(err, SOTTO_ECANCELLED, "the transcription was cancelled");
        const bool turn = !others_first(p, w);
        /* Who is to leave takes nothing new; but for a live stream, which nobody should have to wait for. */
        if (turn && r->model && !r->busy && (!r->leaving || r->standing)) break;
        if (turn && !r->busy && !r->model) {
            if (!may_come(p, r))
                return options_fail(err, SOTTO_ELIMIT,
                                    "model %.100s is not in memory, and live streams use the models that are",
                                    r->facts.name);
            if (bring(p, r, &st, err)) {
                if (st != SOTTO_OK) return st;
                continue;
            }
        }
        wait_for_change(p, LOOK_S);
    }
    r->leases++;
    r->standing += standing;
    r->used_at = clock_now_s();
    return SOTTO_OK;
}

sotto_status pool_lease(pool *p, size_t i, bool standing, bool (*give_up)(void *user), void *user, sotto_model **out,
                        sotto_error *err)
{
    *out = NULL;
    if (!p) return SOTTO_OK;
    waiter w = {.model = i};
    pthread_mutex_lock(&p->lock);
    join(p, &w);
    const sotto_status st = wait_for_model(p, &w, standing, give_up, user, err);
    part(p, &w);
    if (st == SOTTO_OK) *out = p->models[i].model;
    pthread_mutex_unlock(&p->lock);
    return st;
}

sotto_model *pool_borrow(pool *p, size_t i)
{
    resident *r = &p->models[i];
    pthread_mutex_lock(&p->lock);
    sotto_model *model = r->busy ? NULL : r->model;
    r->leases += model != NULL;
    pthread_mutex_unlock(&p->lock);
    return model;
}

void pool_release(pool *p, size_t i, bool standing)
{
    if (!p) return;
    resident *r = &p->models[i];
    pthread_mutex_lock(&p->lock);
    r->leases--;
    r->standing -= standing;
    r->used_at = clock_now_s();
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void pool_tell(pool *p, void (*unloading)(void *user, size_t i), void *user)
{
    pthread_mutex_lock(&p->lock);
    p->unloading = unloading;
    p->user = user;
    pthread_mutex_unlock(&p->lock);
}

void pool_want(pool *p, size_t i)
{
    pthread_mutex_lock(&p->lock);
    p->models[i].wanted = true; /* again, where it is to leave */
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void pool_leave(pool *p, size_t i)
{
    pthread_mutex_lock(&p->lock);
    p->models[i].wanted = false;
    p->models[i].leaving = p->models[i].model || p->models[i].busy;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void pool_get_state(pool *p, size_t i, pool_state *out)
{
    resident *r = &p->models[i];
    pthread_mutex_lock(&p->lock);
    const bool loading = r->busy && r->loading;
    *out = (pool_state){.word = loading || (r->wanted && !r->model) ? "loading"
                                : r->busy || r->leaving             ? "unloading"
                                : r->model                          ? "loaded"
                                                                    : "unloaded",
                        .leases = r->leases,
                        .bytes = r->bytes,
                        .loads = r->loads,
                        .load_s = r->load_s,
                        .loading_s = loading ? clock_now_s() - r->since : 0};
    snprintf(out->error, sizeof out->error, "%s", r->error);
    pthread_mutex_unlock(&p->lock);
}

void pool_get_bytes(pool *p, uint64_t *now, uint64_t *most)
{
    pthread_mutex_lock(&p->lock);
    *now = p->bytes;
    *most = p->most_bytes;
    pthread_mutex_unlock(&p->lock);
}

/* ---- the thread: what an administrator asked for, and what is idle ------------------------------------------------
 */

/* True when something was done. The lock is held. */
static bool look_after(pool *p, resident *r)
{
    sotto_error err;
    sotto_status st;
    const bool idle = p->c.idle_s > 0 && !r->wanted && clock_now_s() - r->used_at >= p->c.idle_s;
    if (r->busy) return false;
    if (r->model && !r->leaving) r->wanted = false;
    if (r->model && !r->leases && (r->leaving || idle)) {
        unload(p, r);
        return true;
    }
    /* Whoever waits for a lease goes first. */
    return r->wanted && !r->model && !p->first && bring(p, r, &st, &err);
}

static void *look(void *user)
{
    pool *p = user;
    pthread_mutex_lock(&p->lock);
    while (!p->stopped) {
        bool any = false;
        for (size_t i = 0; i < p->c.n && !any && !p->stopped; i++) any = look_after(p, &p->models[i]);
        if (!any) wait_for_change(p, IDLE_LOOK_S);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- start and end ---------------------------------------------------------------------------------------------- */

/* Opens it, for its facts; it stays where there is room. */
static sotto_status take_in(pool *p, resident *r, const char *wanted, sotto_error *err)
{
    sotto_status st = models_resolve(wanted, &r->path, err);
    if (st != SOTTO_OK) return st;
    char *real = realpath(r->path, NULL); /* "." and links have no telling names */
    name_after(r->facts.name, models_is_plain_name(wanted) || !real ? r->path : real);
    free(real);
    for (const resident *one = p->models; one != r; one++)
        if (strcmp(one->facts.name, r->facts.name) == 0)
            return options_fail(err, SOTTO_EINVAL, "--model: two models are called %.100s", r->facts.name);
    pthread_mutex_lock(&p->lock);
    st = load(p, r, err);
    if (st == SOTTO_OK) {
        const char *code;
        pool_facts *f = &r->facts;
        f->multilingual = sotto_model_get_info(r->model)->multilingual;
        while (f->n_languages < POOL_LANGUAGES_MOST && (code = sotto_model_language(r->model, f->n_languages)))
            f->languages[f->n_languages++] = sotto_language_code(code); /* lives longer than the model */
        if (p->c.budget_bytes > 0 && (double)r->bytes > p->c.budget_bytes)
            st =
                options_fail(err, SOTTO_ELIMIT, "--memory-budget: %.0f bytes are less than the weights of %.100s, %llu",
                             p->c.budget_bytes, r->facts.name, (unsigned long long)r->bytes);
        else if (!fits(p, 0))
            unload(p, r);
    }
    pthread_mutex_unlock(&p->lock);
    return st;
}

sotto_status pool_start(pool **out, const pool_config *c, sotto_error *err)
{
    *out = NULL;
    if (c->n == 0 || c->n > POOL_MODELS_MOST)
        return options_fail(err, SOTTO_EINVAL, "--model: 1 to %d models were expected", POOL_MODELS_MOST);
    pool *p = calloc(1, sizeof *p);
    if (!p) return options_fail(err, SOTTO_ENOMEM, "out of memory: models");
    p->c = *c;
    p->last = &p->first;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    sotto_status st = SOTTO_OK;
    for (size_t i = 0; i < c->n && st == SOTTO_OK; i++) st = take_in(p, &p->models[i], c->models[i], err);
    p->most_bytes = p->bytes; /* not what opening each one took */
    if (st == SOTTO_OK) {
        p->started = pthread_create(&p->thread, NULL, look, p) == 0;
        if (!p->started) st = options_fail(err, SOTTO_ENOMEM, "the thread of the models could not be started");
    }
    if (st == SOTTO_OK) {
        *out = p;
        return SOTTO_OK;
    }
    pool_stop(p);
    pool_free(p);
    return st;
}

void pool_stop(pool *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stopped = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (p->started) pthread_join(p->thread, NULL);
    p->started = false;
}

void pool_free(pool *p)
{
    if (!p) return;
    for (size_t i = 0; i < p->c.n; i++) {
        sotto_model_free(p->models[i].model);
        free(p->models[i].path);
    }
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
