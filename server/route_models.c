/* SPDX-License-Identifier: MIT
 * GET /v1/models and /v1/models/{id}: the models served, in OpenAI's shape, with what has become of them; POST
 * /v1/models/{id}/load and /unload, for administrators. */
#include <string.h>

#include "route.h"

static json_t *describe(server *s, size_t i)
{
    const pool_facts *facts = pool_get_facts(s->pool, i);
    pool_state state;
    pool_get_state(s->pool, i, &state);
    json_t *more = json_pack("{s:s, s:b, s:I, s:I, s:I, s:f}", "state", state.word, "default", i == 0, "bytes",
                             (json_int_t)state.bytes, "in_use", (json_int_t)state.leases, "loads",
                             (json_int_t)state.loads, "load_seconds", state.load_s);
    if (state.loading_s > 0) {
        /* As far as the last time tells. */
        const double part = state.load_s > 0 ? state.loading_s / state.load_s : 0;
        json_object_set_new(more, "loading_seconds", json_real(state.loading_s));
        json_object_set_new(more, "progress", json_real(part < 0.99 ? part : 0.99));
    }
    if (state.error[0]) json_object_set_new(more, "error", reply_json_text(state.error));
    return json_pack("{s:o, s:s, s:I, s:s, s:o}", "id", reply_json_text(facts->name), "object", "model", "created",
                     (json_int_t)s->started, "owned_by", "sotto", "sotto", more);
}

static void answer_list(server *s, const char *tail, reply *out)
{
    json_t *list = json_array();
    (void)tail;
    for (size_t i = 0; i < pool_count(s->pool); i++) json_array_append_new(list, describe(s, i));
    reply_json(out, 200, json_pack("{s:s, s:o}", "object", "list", "data", list));
}

static void answer_one(server *s, const char *tail, reply *out)
{
    api_error e;
    size_t i;
    if (pool_find(s->pool, tail, &i, &e))
        reply_json(out, 200, describe(s, i));
    else
        reply_error(out, &e);
}

/* 200 where it is so already, 202 where it will be. */
static void ask(server *s, const char *client, const char *tail, void (*what)(pool *p, size_t i), bool loaded,
                reply *out)
{
    api_error e;
    size_t i;
    if (!server_admin(s, client, &e) || !pool_find(s->pool, tail, &i, &e)) {
        reply_error(out, &e);
        return;
    }
    pool_state state;
    what(s->pool, i);
    pool_get_state(s->pool, i, &state);
    reply_json(out, strcmp(state.word, loaded ? "loaded" : "unloaded") == 0 ? 200 : 202, describe(s, i));
}

static void load(server *s, const char *client, const char *tail, reply *out)
{
    ask(s, client, tail, pool_want, true, out);
}

static void unload(server *s, const char *client, const char *tail, reply *out)
{
    ask(s, client, tail, pool_leave, false, out);
}

const route route_models = {.method = "GET", .path = "/v1/models", .answer = answer_list};
const route route_model = {.method = "GET", .path = "/v1/models/", .tail = true, .answer = answer_one};
const route route_model_load = {.method = "POST", .path = "/v1/models/", .tail = true, .ends = "/load", .own = load};
const route route_model_unload = {
    .method = "POST", .path = "/v1/models/", .tail = true, .ends = "/unload", .own = unload};
