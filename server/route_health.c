/* SPDX-License-Identifier: MIT
 * GET /health: 200 while requests are taken, 503 once the daemon is on its way out. */
#include "route.h"

static void answer(server *s, const char *tail, reply *out)
{
    bool draining = atomic_load(&s->draining);
    (void)tail;
    reply_json(out, draining ? 503 : 200,
               json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "status", draining ? "draining" : "ok",
                         "model", s->model_name, "running", (json_int_t)queue_running(s->queue), "slots",
                         (json_int_t)s->config->slots, "queued", (json_int_t)queue_waiting(s->queue), "queue_capacity",
                         (json_int_t)s->config->max_queue, "live", (json_int_t)lives_count(s->lives), "live_streams",
                         (json_int_t)s->config->live_streams, "uptime_s", (json_int_t)(time(NULL) - s->started), "jobs",
                         s->jobs != NULL));
}

const route route_health = {.method = "GET", .path = "/health", .open = true, .answer = answer};
