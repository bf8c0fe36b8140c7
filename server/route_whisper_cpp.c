/* SPDX-License-Identifier: MIT
 * POST /inference and POST /load, as whisper.cpp's server has them. */
#include "route.h"

#include <stdlib.h>
#include <string.h>

#include "whisper_cpp.h"

static bool check(server *s, form *f, api_error *e)
{
    f->model = atomic_load(&s->inference_model);
    const pool_facts *model = pool_get_facts(s->pool, f->model);
    const form_facts facts = {.model = model->name, .multilingual = model->multilingual};
    return whisper_cpp_finish(f, &facts, e);
}

static bool is_model(const char *name) { return strcmp(name, "model") == 0; }

static void say_loaded(reply *out)
{
    static const char text[] = "Load was successful!";
    reply_own(out, 200, reply_type_text, strdup(text), strlen(text), free);
}

/* Names only: a path would let clients try what files there are. The model is loaded while the answer is on its way;
 * requests that come before that wait for it. */
static void load(server *s, const char *client, const form *f, reply *out)
{
    api_error e, unknown;
    size_t i;
    const char *name = form_value(f, "model");
    if (!name)
        api_error_set(&e, 400, "model", "missing_required_parameter", "no 'model' field in the request");
    else if (pool_find(s->pool, name, &i, &unknown)) {
        const bool other = i != atomic_load(&s->inference_model);
        if (!other || server_admin(s, client, &e)) {
            if (other) pool_want(s->pool, i);
            atomic_store(&s->inference_model, i);
            say_loaded(out);
            return;
        }
    } else if (!models_is_installed(name))
        api_error_set(&e, 404, "model", "model_not_found",
                      "model not found! \"%.100s\" is not the name of an installed model", name);
    else
        api_error_set(
            &e, 501, "model", "not_implemented",
            "model %.100s is installed, but this server was not told to serve it; start it with --model %.100s "
            "too",
            name, name);
    reply_error(out, &e);
}

const route route_inference = {.method = "POST", .path = "/inference", .check = check, .dialect = whisper_cpp_field};
const route route_load = {.method = "POST", .path = "/load", .post = load, .dialect = is_model};
