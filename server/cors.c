/* SPDX-License-Identifier: MIT
 * Origins against the operator's list (cors.h). */
#include "cors.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { ASKED_BYTES = 2048 };

const char *cors_allowed(const options_list *list, const char *origin)
{
    for (size_t i = 0; origin && i < list->n; i++)
        if (strcmp(list->items[i], "*") == 0 || strcasecmp(list->items[i], origin) == 0) return origin;
    return NULL;
}

void cors_head(const options_list *list, const char *origin, char *lines, size_t n)
{
    const int wrote = snprintf(lines, n, "%s%s%s%s", list->n > 0 ? "Vary: Origin\r\n" : "",
                               origin ? "Access-Control-Allow-Origin: " : "", origin ? origin : "",
                               origin ? "\r\nAccess-Control-Expose-Headers: " CORS_EXPOSED "\r\n" : "");
    if (wrote < 0 || (size_t)wrote >= n) *lines = 0;
}

bool cors_headers_are_sound(const char *asked)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_, ";
    const size_t n = strlen(asked);
    return n > 0 && n < ASKED_BYTES && strspn(asked, allowed) == n;
}
