/* SPDX-License-Identifier: MIT
 * Which web pages of other origins may read answers (Cross-Origin Resource Sharing, the Fetch standard). Pure. */
#ifndef SOTTOD_CORS_H
#define SOTTOD_CORS_H

#include "options.h"

/* `origin` where the list has it or "*", else NULL: no header is sent then, and browsers keep the answer to
 * themselves. */
const char *cors_allowed(const options_list *list, const char *origin);

/* Request headers that a page asks to send ("authorization, x-stainless-os") may be granted as they are: names and
 * commas, nothing else, up to a length. */
bool cors_headers_are_sound(const char *asked);

#endif
