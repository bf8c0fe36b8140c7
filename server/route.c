/* SPDX-License-Identifier: MIT
 * The table of endpoints (route.h). */
#include "route.h"

#include <string.h>

static const route *const routes[] = {
    &route_transcriptions, &route_translations, &route_models,   &route_model_load, &route_model_unload, /* before */
    &route_model,          &route_health,       &route_ready,    &route_report,     &route_metrics,
    &route_captions,       &route_home,         &route_page,     &route_study,      &route_inference,
    &route_load,           &route_openapi,      &route_realtime, &route_jobs_add,   &route_jobs_list,
    &route_jobs_events, /* its path is also the next one's */
    &route_jobs_one,       &route_jobs_delete,
};

/* Bytes of `text` before the `end` that it ends with; 0 when it does not, or is nothing else. */
static size_t length_before(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0 ? n - m : 0;
}

static bool path_matches(const route *r, const char *path, const char **tail)
{
    size_t n = strlen(r->path);
    if (!r->tail) return strcmp(r->path, path) == 0;
    if (strncmp(r->path, path, n) != 0 || !path[n]) return false;
    if (r->ends && length_before(path + n, r->ends) == 0) return false;
    *tail = path + n;
    return true;
}

char *route_tail(const route *r, const char *tail)
{
    return strndup(tail, r->ends ? length_before(tail, r->ends) : strlen(tail));
}

const route *route_find(const char *method, const char *path, const char **tail, const char **allow, api_error *e)
{
    const route *other = NULL;
    *allow = NULL;
    *tail = "";
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const route *r = routes[i];
        bool get = strcmp(r->method, "GET") == 0;
        if (!path_matches(r, path, tail)) continue;
        if (strcmp(method, r->method) == 0 || (get && strcmp(method, "HEAD") == 0)) return r;
        other = r; /* another method of the path may come */
    }
    if (other) {
        *allow = other->allow ? other->allow : strcmp(other->method, "GET") == 0 ? "GET, HEAD" : other->method;
        api_error_set(e, 405, NULL, "method_not_allowed", "%s does not take %.20s; use %s", other->path, method,
                      other->allow ? other->allow : other->method);
        return NULL;
    }
    api_error_set(e, 404, NULL, "unknown_url", "Unknown request URL: %.20s %.200s", method, path);
    return NULL;
}
