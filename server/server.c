/* SPDX-License-Identifier: MIT
 * Starting and stopping the parts in order (server.h). */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "listen.h"
#include "log.h"
#include "realtime.h"
#include "systemd.h"
#include "tls.h"
#include "wyoming.h"

/* A voice detector that cannot be read would fail every recording: one without samples tells now. */
static sotto_status try_vad(const server *s, sotto_error *err)
{
    sotto_model *model;
    sotto_session *session;
    sotto_options options;
    const sotto_result *result;
    sotto_status st = pool_lease(s->pool, 0, false, NULL, NULL, &model, err);
    if (st != SOTTO_OK) return st;
    st = sotto_session_open(&session, model, err);
    sotto_options_default(&options);
    options.language = "en";
    options.vad_path = s->vad_path;
    if (st == SOTTO_OK) st = sotto_transcribe_pcm(session, NULL, 0, &options, &result, err);
    sotto_session_free(session);
    pool_release(s->pool, 0, false);
    return st;
}

static sotto_status load(server *s, sotto_error *err)
{
    const config *c = s->config;
    pool_config models = {.models = (const char *const *)(uintptr_t)c->models.items,
                          .n = c->models.n,
                          .budget_bytes = (double)c->memory_budget,
                          .idle_s = c->model_idle,
                          .shrink = c->shrink,
                          .calibration = c->calibration};
    sotto_model_options_default(&models.open);
    models.open.threads = (int32_t)c->threads;
    models.open.no_cache = !c->cache;
    models.open.precision = models_precision(c->precision);
    sotto_status st = pool_start(&s->pool, &models, err);
    atomic_init(&s->inference_model, 0);
    if (st == SOTTO_OK) snprintf(s->model_name, sizeof s->model_name, "%s", pool_get_facts(s->pool, 0)->name);
    if (st == SOTTO_OK) st = models_resolve_vad(c->vad, &s->vad_path, err);
    return st == SOTTO_OK && s->vad_path ? try_vad(s, err) : st;
}

bool server_choose(const server *s, const char *name, sotto_task task, form_facts *facts, size_t *model, api_error *e)
{
    if (!pool_find(s->pool, name, model, e)) return false;
    const pool_facts *chosen = pool_get_facts(s->pool, *model);
    *facts = (form_facts){.model = chosen->name, .multilingual = chosen->multilingual, .task = task};
    return true;
}

/* The one that the service manager has opened, else that of --listen. */
static sotto_status open_listener(server *s, bool *is_local, sotto_error *err)
{
    const config *c = s->config;
    const char *scheme = c->tls_cert ? "https" : "http";
    sotto_status st = systemd_listener(&s->listener, err);
    if (st != SOTTO_OK) return st;
    return s->listener >= 0
               ? listen_adopt(s->listener, scheme, s->url, sizeof s->url, is_local, err)
               : listen_open(&s->listener, "--listen", c->listen, scheme, s->url, sizeof s->url, is_local, err);
}

sotto_status server_start(server *s, const config *c, sotto_error *err)
{
    const char *tmp = getenv("TMPDIR");
    upload probe;
    sotto_status st;
    bool is_local;
    *s = (server){.config = c, .listener = -1, .wyoming_listener = -1, .started = time(NULL)};
    s->spool = c->spool ? c->spool : tmp && *tmp ? tmp : "/tmp";
    upload_init(&probe);
    if ((st = upload_open(&probe, s->spool, NULL, err)) != SOTTO_OK) return st;
    upload_close(&probe);
    if (!c->tls_cert != !c->tls_key)
        return options_fail(err, SOTTO_EINVAL, "--tls-cert and --tls-key belong together; --tls-%s is missing",
                            c->tls_cert ? "key" : "cert");
    if (c->tls_cert && (st = tls_open(c->tls_cert, c->tls_key, err)) != SOTTO_OK) return st;
    if (c->api_key_file && (st = keys_open(&s->keys, c->api_key_file, err)) != SOTTO_OK) return st;
    if ((st = open_listener(s, &is_local, err)) != SOTTO_OK) goto fail;
    if (!is_local && !s->keys && !c->insecure) {
        st = options_fail(
            err, SOTTO_EINVAL,
            "%.100s reaches beyond this machine: say --api-key-file FILE, or --insecure to serve everyone", s->url);
        goto fail;
    }
    if (c->wyoming && (st = wyoming_listen(s, err)) != SOTTO_OK) goto fail;
    if ((st = load(s, err)) != SOTTO_OK) goto fail;
    if (!(s->queue = queue_create((size_t)c->max_queue, (size_t)c->per_client, (size_t)c->slots))) {
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: queue of %zu", (size_t)c->max_queue);
        goto fail;
    }
    if ((st = engine_start(&s->engine, s->pool, s->queue, (size_t)c->slots, s->vad_path, err)) != SOTTO_OK) goto fail;
    const lives_config streams = {
        .pool = s->pool, .engine = s->engine, .most = (size_t)c->live_streams, .idle_s = c->idle_timeout};
    if ((st = lives_start(&s->lives, &streams, err)) != SOTTO_OK) goto fail;
    if ((st = realtimes_start(&s->realtimes, s, err)) != SOTTO_OK) goto fail;
    if ((st = watch_start(&s->watch, s->queue, s->engine, err)) != SOTTO_OK) goto fail;
    if (!(s->traffic = traffic_create())) {
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: counts of requests");
        goto fail;
    }
    if ((st = jobs_start(&s->jobs, s, err)) != SOTTO_OK) goto fail;
    if ((st = worker_start(&s->worker, s, err)) != SOTTO_OK) goto fail;
    if (c->wyoming && (st = wyoming_start(&s->wyoming, s, err)) != SOTTO_OK) goto fail;
    if ((st = http_start(&s->http, s, err)) != SOTTO_OK) goto fail;
    return SOTTO_OK;
fail:
    server_stop(s);
    return st;
}

static void reload_certificate(const server *s)
{
    sotto_error err;
    char quoted[600];
    if (!s->config->tls_cert) return;
    if (tls_reload(&err) == SOTTO_OK)
        log_event(LOG_INFO, "reload", "certificate=new");
    else
        log_event(LOG_ERROR, "reload", "certificate=kept error=%s", log_quote(quoted, sizeof quoted, err.message));
}

void server_reload(server *s)
{
    sotto_error err;
    char quoted[600];
    reload_certificate(s);
    if (!s->keys)
        log_event(LOG_INFO, "reload", "keys=none");
    else if (keys_reload(s->keys, &err) == SOTTO_OK)
        log_event(LOG_INFO, "reload", "keys=%zu", keys_count(s->keys));
    else
        log_event(LOG_ERROR, "reload", "keys=kept error=%s", log_quote(quoted, sizeof quoted, err.message));
}

bool server_lives(server *s)
{
    /* Comes back only if nobody holds one of the locks that every request takes. */
    queue_waiting(s->queue);
    lives_count(s->lives);
    http_connections(s->http);
    engine_totals totals;
    engine_get_totals(s->engine, &totals);
    return true;
}

bool server_admin(const server *s, const char *client, api_error *e)
{
    if (!s->keys || keys_is_admin(s->keys, client)) return true;
    return api_error_set(e, 403, NULL, "forbidden",
                         "This API key may not load and unload models; one that the key file calls admin may");
}

void server_full(const server *s, queue_result why, api_error *e)
{
    if (why == QUEUE_CLOSED || atomic_load(&s->draining))
        api_error_set(e, 503, NULL, "shutting_down", "The server is shutting down; try again");
    else if (why == QUEUE_CLIENT_FULL)
        api_error_set(e, 429, NULL, "rate_limit_exceeded",
                      "You have %zu transcriptions waiting or running, the most for one client; try again later",
                      (size_t)s->config->per_client);
    else
        api_error_set(e, 503, NULL, "queue_full", "The queue is full (%zu requests wait); try again later",
                      (size_t)s->config->max_queue);
}

void server_drain(server *s)
{
    atomic_store(&s->draining, true);
    lives_end(s->lives);
    realtimes_end(s->realtimes);
    wyoming_wake(s->wyoming);
    jobs_drain(s->jobs);
    worker_drain(s->worker);
}

size_t server_busy(const server *s) { return http_busy(s->http) + wyoming_busy(s->wyoming); }

size_t server_stop(server *s)
{
    size_t cut = s->http ? server_busy(s) : 0;
    atomic_store(&s->draining, true);
    pool_stop(s->pool); /* nobody waits for a model */
    /* The queue's watcher repeats the cancellation until the engine has ended. */
    jobs_drain(s->jobs);
    worker_drain(s->worker);
    if (s->queue) queue_close(s->queue, true);
    if (s->watch) watch_wake(s->watch);
    bool ended = lives_stop(s->lives);
    realtimes_stop(s->realtimes);
    engine_join(s->engine);
    wyoming_stop(s->wyoming);
    s->wyoming = NULL;
    if (s->wyoming_listener >= 0) close(s->wyoming_listener);
    /* All jobs have ended, so no connection is suspended; give their last replies a moment to go out. */
    for (int i = 0; s->http && server_busy(s) > 0 && i < 200; i++) usleep(10000);
    if (s->http)
        http_stop(s->http); /* closes the listener */
    else if (s->listener >= 0)
        close(s->listener);
    jobs_stop(s->jobs);
    worker_stop(s->worker);
    watch_stop(s->watch);
    if (!ended) return cut; /* a thread still uses what follows, until the process ends */
    /* Last: routes and refusals read its totals, the watcher may cancel its sessions. */
    realtimes_free(s->realtimes);
    lives_free(s->lives);
    engine_free(s->engine);
    queue_free(s->queue);
    keys_free(s->keys);
    traffic_free(s->traffic);
    tls_close();
    pool_free(s->pool);
    free(s->vad_path);
    *s = (server){.listener = -1, .wyoming_listener = -1};
    return cut;
}
