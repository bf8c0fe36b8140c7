/* SPDX-License-Identifier: MIT
 * POST /v1/audio/translations: speech of any language to English text. `language`, which OpenAI does not have here,
 * names the language spoken. */
#include "route.h"

static bool check(server *s, form *f, api_error *e)
{
    const form_facts facts = {.model = s->model_name,
                              .multilingual = sotto_model_get_info(s->model)->multilingual,
                              .task = SOTTO_TASK_TRANSLATE};
    return form_finish(f, &facts, e);
}

const route route_translations = {.method = "POST", .path = "/v1/audio/translations", .check = check};
