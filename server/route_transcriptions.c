/* SPDX-License-Identifier: MIT
 * POST /v1/audio/transcriptions: speech to text in its own language. */
#include "route.h"

static bool check(server *s, form *f, api_error *e)
{
    const form_facts facts = {.model = s->model_name,
                              .multilingual = sotto_model_get_info(s->model)->multilingual,
                              .task = SOTTO_TASK_TRANSCRIBE};
    return form_finish(f, &facts, e);
}

const route route_transcriptions = {.method = "POST", .path = "/v1/audio/transcriptions", .check = check};
