/* SPDX-License-Identifier: MIT
 * GET /: the page that takes a recording or the microphone, shows the text and what was computed for it. */
#include "pages.h"
#include "route.h"

static void keep(void *body) { (void)body; }

static void answer(server *s, const char *tail, reply *out)
{
    (void)s, (void)tail;
    reply_own(out, 200, reply_type_html, (char *)(uintptr_t)page_home, page_home_size, keep);
}

const route route_home = {.method = "GET", .path = "/", .open = true, .answer = answer};
