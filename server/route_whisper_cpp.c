/* SPDX-License-Identifier: MIT
 * POST /inference and POST /load, as whisper.cpp's server has them. */
#include "route.h"

#include <stdlib.h>
#include <string.h>

#include "whisper_cpp.h"

static bool check(server *s, form *f, api_error *e)
{
    const form_facts facts = {.model = s->model_name, .multilingual = sotto_model_get_info(s->model)->multilingual};
    return whisper_cpp_finish(f, &facts, e);
}

static bool is_model(const char *name) { return strcmp(name, "model") == 0; }

static void say_loaded(reply *out)
{
    static const char text[] = "Load was successful!";
    reply_own(out, 200, reply_type_text, strdup(text), strlen(text), free);
}

/* Names only: a path would let clients try what files there are. The resident model stays, as running jobs and live
 * streams have it. */
static void load(server *s, const form *f, reply *out)
{
    api_error e;
    const char *name = form_value(f, "model");
    if (!name)
        api_error_set(&e, 400, "model", "missing_required_parameter", "no 'model' field in the request");
    else if (form_model_known(name, s->model_name)) {
        say_loaded(out);
        return;
    } else if (!models_is_installed(name))
        api_error_set(&e, 404, "model", "model_not_found",
                      "model not found! \"%.100s\" is not the name of an installed model", name);
    else
        api_error_set(&e, 501, "model", "not_implemented",
                      "model %.100s is installed, but this server keeps %.100s as long as it runs; start it with "
                      "--model %.100s",
                      name, s->model_name, name);
    reply_error(out, &e);
}

const route route_inference = {.method = "POST", .path = "/inference", .check = check, .dialect = whisper_cpp_field};
const route route_load = {.method = "POST", .path = "/load", .post = load, .dialect = is_model};
