/* SPDX-License-Identifier: MIT
 * POST /v1/audio/transcriptions: speech to text in its own language. */
#include "route.h"

static bool check(server *s, form *f, api_error *e)
{
    form_facts facts;
    return server_choose(s, form_value(f, "model"), SOTTO_TASK_TRANSCRIBE, &facts, &f->model, e) &&
           form_finish(f, &facts, e);
}

const route route_transcriptions = {.method = "POST", .path = "/v1/audio/transcriptions", .check = check};
