/* SPDX-License-Identifier: MIT
 * Which web pages of other origins may read answers (Cross-Origin Resource Sharing, the Fetch standard). Pure. */
#ifndef SOTTOD_CORS_H
#define SOTTOD_CORS_H

#include "options.h"

/* `origin` where the list has it or "*", else NULL: no header is sent then, and browsers keep the answer to
 * themselves. */
const char *cors_allowed(const options_list *list, const char *origin);

#define CORS_EXPOSED "X-Request-Id, Retry-After"
/* The headers of an answer to `origin` (NULL: to none that is allowed) as lines of text. "" where they do not fit:
 * such an origin, which only "*" allows, cannot read the answer. */
void cors_head(const options_list *list, const char *origin, char *lines, size_t n);

/* Request headers that a page asks to send ("authorization, x-stainless-os") may be granted as they are: names and
 * commas, nothing else, up to a length. */
bool cors_headers_are_sound(const char *asked);

#endif
