/* SPDX-License-Identifier: MIT
 * GET /ready, for what hands out requests: 200 while a new transcription would be taken, 503 while the queue is full or
 * the daemon on its way out. /health tells whether the daemon lives. */
#include "route.h"

static void answer(server *s, const char *tail, reply *out)
{
    (void)tail;
    /* No client has that name, so that only the queue decides. */
    const bool draining = atomic_load(&s->draining), full = queue_look(s->queue, "") != QUEUE_OK;
    reply_json(out, draining || full ? 503 : 200,
               json_pack("{s:s}", "status",
                         draining ? "draining"
                         : full   ? "full"
                                  : "ready"));
    if (draining || full) out->retry_after = engine_retry_after(s->engine, 1);
}

const route route_ready = {.method = "GET", .path = "/ready", .open = true, .answer = answer};
