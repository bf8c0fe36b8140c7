/* SPDX-License-Identifier: MIT
 * Lines until an empty one are an event (events.h; WHATWG HTML, 9.2). */
#include "events.h"

#include <stdlib.h>
#include <string.h>

enum { EVENT_BYTES_MAX = 64 << 20 };

/* Bytes of the first event with the empty line behind it, 0 when it has not ended. */
static size_t event_length(const char *bytes, size_t n)
{
    for (const char *at = bytes, *end = bytes + n; (at = memchr(at, '\n', (size_t)(end - at)));) {
        at++;
        if (at < end && *at == '\n') return (size_t)(at + 1 - bytes);
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n') return (size_t)(at + 2 - bytes);
    }
    return 0;
}

/* Joins the data of an event at its own beginning, which is never longer. */
static size_t join_data(char *event, size_t n)
{
    size_t kept = 0;
    bool any = false;
    for (size_t at = 0; at < n;) {
        const char *end = memchr(event + at, '\n', n - at);
        const size_t next = end ? (size_t)(end - event) + 1 : n;
        size_t from = at + 5, to = end ? next - 1 : n;
        if (to > at && event[to - 1] == '\r') to--;
        if (to >= from && memcmp(event + at, "data:", 5) == 0) {
            if (from < to && event[from] == ' ') from++;
            if (any) event[kept++] = '\n';
            memmove(event + kept, event + from, to - from);
            kept += to - from;
            any = true;
        }
        at = next;
    }
    return kept;
}

bool events_feed(events *e, const char *bytes, size_t n)
{
    if (n > EVENT_BYTES_MAX - e->n) return false;
    if (e->n + n > e->cap) {
        const size_t cap = 2 * (e->n + n);
        char *grown = realloc(e->bytes, cap);
        if (!grown) return false;
        e->bytes = grown;
        e->cap = cap;
    }
    if (n) memcpy(e->bytes + e->n, bytes, n);
    e->n += n;
    size_t done = 0;
    bool ok = true;
    for (size_t m; ok && (m = event_length(e->bytes + done, e->n - done)) > 0; done += m) {
        const size_t data = join_data(e->bytes + done, m);
        if (data) ok = e->on_event(e->bytes + done, data, e->user);
    }
    e->n -= done;
    if (done) memmove(e->bytes, e->bytes + done, e->n);
    return ok;
}

void events_free(events *e)
{
    free(e->bytes);
    *e = (events){0};
}
