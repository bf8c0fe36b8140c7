/* SPDX-License-Identifier: MIT
 * GET /v1/models and /v1/models/{id}: the loaded model, in OpenAI's shape. */
#include "route.h"

static json_t *describe(const server *s)
{
    return json_pack("{s:s, s:s, s:I, s:s}", "id", s->model_name, "object", "model", "created", (json_int_t)s->started,
                     "owned_by", "sotto");
}

static void answer_list(server *s, const char *tail, reply *out)
{
    (void)tail;
    reply_json(out, 200, json_pack("{s:s, s:[o]}", "object", "list", "data", describe(s)));
}

static void answer_one(server *s, const char *tail, reply *out)
{
    api_error e;
    if (form_model_known(tail, s->model_name)) {
        reply_json(out, 200, describe(s));
        return;
    }
    api_error_set(&e, 404, "model", "model_not_found", "The model `%.100s` does not exist here; this server has `%s`",
                  tail, s->model_name);
    reply_error(out, &e);
}

const route route_models = {.method = "GET", .path = "/v1/models", .answer = answer_list};
const route route_model = {.method = "GET", .path = "/v1/models/", .tail = true, .answer = answer_one};
