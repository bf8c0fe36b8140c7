/* SPDX-License-Identifier: MIT
 * POST /v1/audio/translations: speech of any language to English text. `language`, which OpenAI does not have here,
 * names the language spoken. */
#include "route.h"

static bool check(server *s, form *f, api_error *e)
{
    form_facts facts;
    return server_choose(s, form_value(f, "model"), SOTTO_TASK_TRANSLATE, &facts, &f->model, e) &&
           form_finish(f, &facts, e);
}

const route route_translations = {.method = "POST", .path = "/v1/audio/translations", .check = check};
