/* SPDX-License-Identifier: MIT
 * Starting and stopping the parts in order (server.h). */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "listen.h"
#include "realtime.h"
#include "wyoming.h"

/* "models/tiny.en/" -> "tiny.en"; a model's main file is called after its directory. */
static void name_model(server *s, const char *path)
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
    snprintf(s->model_name, sizeof s->model_name, "%.*s", (int)sizeof s->model_name - 1, base);
}

/* A voice detector that cannot be read would fail every recording: one without samples tells now. */
static sotto_status try_vad(const server *s, sotto_error *err)
{
    sotto_session *session;
    sotto_options options;
    const sotto_result *result;
    sotto_status st = sotto_session_open(&session, s->model, err);
    sotto_options_default(&options);
    options.language = "en";
    options.vad_path = s->vad_path;
    if (st == SOTTO_OK) st = sotto_transcribe_pcm(session, NULL, 0, &options, &result, err);
    sotto_session_free(session);
    return st;
}

static sotto_status load(server *s, sotto_error *err)
{
    char *path = NULL;
    sotto_model_options options;
    sotto_model_options_default(&options);
    options.threads = (int32_t)s->config->threads;
    options.no_cache = !s->config->cache;
    options.precision = models_precision(s->config->precision);
    sotto_status st = models_resolve(s->config->model, &path, err);
    if (st != SOTTO_OK) return st;
    char *real = realpath(path, NULL); /* "." and links have no telling names */
    name_model(s, models_is_plain_name(s->config->model) || !real ? path : real);
    if ((st = models_resolve_vad(s->config->vad, &s->vad_path, err)) == SOTTO_OK)
        st = models_open(&s->model, path, &options, s->config->shrink, s->config->calibration, err);
    if (st == SOTTO_OK && s->vad_path) st = try_vad(s, err);
    free(real);
    free(path);
    return st;
}

sotto_status server_start(server *s, const config *c, sotto_error *err)
{
    const char *tmp = getenv("TMPDIR");
    upload probe;
    sotto_status st;
    *s = (server){.config = c, .listener = -1, .wyoming_listener = -1, .started = time(NULL)};
    s->spool = c->spool ? c->spool : tmp && *tmp ? tmp : "/tmp";
    upload_init(&probe);
    if ((st = upload_open(&probe, s->spool, NULL, err)) != SOTTO_OK) return st;
    upload_close(&probe);
    if ((st = listen_open(&s->listener, "--listen", c->listen, s->url, sizeof s->url, err)) != SOTTO_OK) return st;
    if (c->wyoming && (st = wyoming_listen(s, err)) != SOTTO_OK) goto fail;
    if ((st = load(s, err)) != SOTTO_OK) goto fail;
    if (!(s->queue = queue_create((size_t)c->queue, (size_t)c->slots))) {
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: queue of %zu", (size_t)c->queue);
        goto fail;
    }
    if ((st = engine_start(&s->engine, s->model, s->queue, (size_t)c->slots, s->vad_path, err)) != SOTTO_OK) goto fail;
    const lives_config streams = {.model = s->model,
                                  .model_name = s->model_name,
                                  .engine = s->engine,
                                  .most = (size_t)c->live_streams,
                                  .idle_s = c->idle_timeout};
    if ((st = lives_start(&s->lives, &streams, err)) != SOTTO_OK) goto fail;
    if ((st = realtimes_start(&s->realtimes, s, err)) != SOTTO_OK) goto fail;
    if ((st = watch_start(&s->watch, s->queue, s->engine, err)) != SOTTO_OK) goto fail;
    if (c->wyoming && (st = wyoming_start(&s->wyoming, s, err)) != SOTTO_OK) goto fail;
    if ((st = http_start(&s->http, s, err)) != SOTTO_OK) goto fail;
    return SOTTO_OK;
fail:
    server_stop(s);
    return st;
}

void server_drain(server *s)
{
    atomic_store(&s->draining, true);
    lives_end(s->lives);
    realtimes_end(s->realtimes);
    wyoming_wake(s->wyoming);
}

size_t server_busy(const server *s) { return http_busy(s->http) + wyoming_busy(s->wyoming); }

size_t server_stop(server *s)
{
    size_t cut = s->http ? server_busy(s) : 0;
    atomic_store(&s->draining, true);
    /* The queue's watcher repeats the cancellation until the engine has ended. */
    if (s->queue) queue_close(s->queue, true);
    if (s->watch) watch_wake(s->watch);
    lives_stop(s->lives);
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
    watch_stop(s->watch);
    /* Last: routes and refusals read its totals, the watcher may cancel its sessions. */
    realtimes_free(s->realtimes);
    lives_free(s->lives);
    engine_free(s->engine);
    queue_free(s->queue);
    sotto_model_free(s->model);
    free(s->vad_path);
    *s = (server){.listener = -1, .wyoming_listener = -1};
    return cut;
}
