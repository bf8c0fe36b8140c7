/* SPDX-License-Identifier: MIT
 * GET /captions: the page that shows what a microphone hears, by way of /v1/captions. */
#include "pages.h"
#include "route.h"

static void keep(void *body) { (void)body; }

static void answer(server *s, const char *tail, reply *out)
{
    (void)s, (void)tail;
    reply_own(out, 200, reply_type_html, (char *)(uintptr_t)page_captions, page_captions_size, keep);
}

const route route_page = {.method = "GET", .path = "/captions", .open = true, .answer = answer};
