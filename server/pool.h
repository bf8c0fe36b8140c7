/* SPDX-License-Identifier: MIT
 * The models that a daemon serves, by name: which are in memory, within a budget, and who uses them.
 *
 * All are opened once at the start, so that one that cannot be served is told then and their sizes are known; as many
 * stay as the budget holds, the first ones first. Whoever transcribes has a lease: a model is unloaded only while it
 * has none. One that is not in memory is loaded for its first lease, and others have to leave for it, those first that
 * were not used for longest. Leases are given in the order in which they were asked for wherever one waits for room, so
 * that no model keeps another out. */
#ifndef SOTTOD_POOL_H
#define SOTTOD_POOL_H

#include "reply.h"
#include "sotto.h"

typedef struct pool pool;

enum { POOL_MODELS_MOST = 32, POOL_NAME_BYTES = 128, POOL_LANGUAGES_MOST = 128 };

typedef struct pool_config {
    const char *const *models; /* [n]: names or paths; the first is the default one */
    size_t n;
    double budget_bytes; /* 0: none */
    double idle_s;       /* a model not used for so long is unloaded; 0: never */
    sotto_model_options open;
    const char *shrink, *calibration;
} pool_config;

/* SOTTO_EINVAL for two of one name, SOTTO_ELIMIT for one larger than the budget, else what opening gave. The texts of
 * `c` must outlive the pool. */
sotto_status pool_start(pool **out, const pool_config *c, sotto_error *err);
/* No lease is waited for any more. */
void pool_stop(pool *p);
/* All leases have been given back. NULL is fine for both. */
void pool_free(pool *p);

/* What does not change. */
typedef struct pool_facts {
    char name[POOL_NAME_BYTES];
    bool multilingual;
    const char *languages[POOL_LANGUAGES_MOST]; /* [n_languages], codes that the model knows */
    size_t n_languages;
} pool_facts;
size_t pool_count(const pool *p);
const pool_facts *pool_get_facts(const pool *p, size_t i);

/* Which model is called `name`; NULL, "", "default" and "whisper-1" are the default one. False with *e, 404. */
bool pool_find(const pool *p, const char *name, size_t *i, api_error *e);

/* The model, loaded if need be, until pool_release. Waits for its turn and for room, and asks `give_up` (NULL: never)
 * every 50 ms: SOTTO_ECANCELLED. `standing` leases, those of live streams, may last for hours: where room can only come
 * from them, SOTTO_ELIMIT at once. Of a NULL pool the model is NULL. */
sotto_status pool_lease(pool *p, size_t i, bool standing, bool (*give_up)(void *user), void *user, sotto_model **out,
                        sotto_error *err);
/* The same of a model that is in memory now, else NULL; never waits. */
sotto_model *pool_borrow(pool *p, size_t i);
void pool_release(pool *p, size_t i, bool standing);

/* `unloading(user, i)` is called before a model is unloaded, on any thread and without a lock of the pool: whoever
 * keeps something of it for its next lease lets go of that. NULL: nobody does. */
void pool_tell(pool *p, void (*unloading)(void *user, size_t i), void *user);

/* For an administrator: load it soon, or unload it as soon as nobody uses it; leases asked for meanwhile wait for it to
 * be loaded again, so that files that were replaced are read. Return at once. */
void pool_want(pool *p, size_t i);
void pool_leave(pool *p, size_t i);

typedef struct pool_state {
    const char *word; /* "loaded", "loading", "unloading" or "unloaded" */
    size_t leases;
    uint64_t bytes;   /* of its weights, when they are in memory */
    uint64_t loads;   /* since the start, that one included */
    double load_s;    /* of the last one */
    double loading_s; /* so far; 0 while it is not loading */
    char error[256];  /* why the last one failed, or "" */
} pool_state;
void pool_get_state(pool *p, size_t i, pool_state *out);
/* Weights in memory, bytes; the most there were at a time. */
void pool_get_bytes(pool *p, uint64_t *now, uint64_t *most);

#endif
