/* SPDX-License-Identifier: MIT
 * Replies and errors as JSON (reply.h). */
#include "reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char reply_type_json[] = "application/json";
const char reply_type_text[] = "text/plain; charset=utf-8";
const char reply_type_html[] = "text/html; charset=utf-8";

bool api_error_set(api_error *e, unsigned status, const char *param, const char *code, const char *format, ...)
{
    va_list args;
    *e = (api_error){.status = status, .code = code};
    snprintf(e->param, sizeof e->param, "%s", param ? param : "");
    va_start(args, format);
    vsnprintf(e->message, sizeof e->message, format, args);
    va_end(args);
    return false;
}

void reply_own(reply *r, unsigned status, const char *content_type, char *body, size_t len, void (*release)(void *))
{
    *r = (reply){.status = status, .content_type = content_type, .body = body, .len = len, .release = release};
}

static void keep(void *body) { (void)body; }

void reply_json(reply *r, unsigned status, json_t *root)
{
    static char no_memory[] =
        "{\"error\":{\"message\":\"Out of memory\",\"type\":\"server_error\",\"param\":null,\"code\":null}}";
    char *body = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (body)
        reply_own(r, status, reply_type_json, body, strlen(body), free);
    else
        reply_own(r, 500, reply_type_json, no_memory, strlen(no_memory), keep);
}

json_t *reply_json_text(const char *text)
{
    json_t *string = json_string(text);
    if (string) return string;
    char *copy = strdup(text);
    for (char *c = copy; c && *c; c++)
        if ((unsigned char)*c >= 0x80) *c = '?';
    string = json_string(copy);
    free(copy);
    return string;
}

json_t *reply_error_json(const api_error *e)
{
    const char *type = e->status >= 500 || e->status == 413 ? "server_error"
                       : e->status == 429                   ? "requests"
                                                            : "invalid_request_error";
    json_t *param = e->param[0] ? reply_json_text(e->param) : json_null();
    json_t *code = e->code ? json_string(e->code) : json_null();
    return json_pack("{s:{s:o, s:s, s:o, s:o}}", "error", "message", reply_json_text(e->message), "type", type, "param",
                     param, "code", code);
}

void reply_error(reply *r, const api_error *e) { reply_json(r, e->status, reply_error_json(e)); }

size_t reply_head(const reply *r, const char *reason, const char *id, const char *more, char *head, size_t n)
{
    char retry[48] = "";
    if (r->retry_after) snprintf(retry, sizeof retry, "Retry-After: %u\r\n", r->retry_after);
    const int wrote = snprintf(head, n,
                               "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nX-Request-Id: %s\r\n"
                               "%s%s%s%s%sConnection: close\r\n\r\n",
                               r->status, reason, r->content_type, r->len, id, more, retry, r->allow ? "Allow: " : "",
                               r->allow ? r->allow : "", r->allow ? "\r\n" : "");
    return wrote > 0 && (size_t)wrote < n ? (size_t)wrote : 0;
}

void reply_free(reply *r)
{
    if (r->body) r->release(r->body);
    *r = (reply){0};
}
