/* SPDX-License-Identifier: MIT
 * GET /openapi.json: the contract of every route, as server/openapi.json says it. */
#include "pages.h"
#include "route.h"

static void keep(void *body) { (void)body; }

static void answer(server *s, const char *tail, reply *out)
{
    (void)s, (void)tail;
    reply_own(out, 200, reply_type_json, (char *)(uintptr_t)openapi_document, openapi_document_size, keep);
}

const route route_openapi = {.method = "GET", .path = "/openapi.json", .answer = answer};
