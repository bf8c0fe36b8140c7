/* SPDX-License-Identifier: MIT
 * Checking the opening of a WebSocket (handshake.h). */
#include "handshake.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* Is `word` one of the comma-separated words of `list`, in any case? */
static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    while (list && *list) {
        list += strspn(list, " \t,");
        size_t m = strcspn(list, ",");
        const char *next = list + m;
        while (m && (list[m - 1] == ' ' || list[m - 1] == '\t')) m--;
        if (m == n && strncasecmp(list, word, n) == 0) return true;
        list = next;
    }
    return false;
}

/* "http://host:port" and "host:port"; a port that is the scheme's own may be left out on either side. */
static bool same_host(const char *origin, const char *host)
{
    static const struct {
        const char *scheme, *port;
    } schemes[] = {{"http://", ":80"}, {"https://", ":443"}};
    for (size_t i = 0; host && i < sizeof schemes / sizeof *schemes; i++) {
        size_t n = strlen(schemes[i].scheme), p = strlen(schemes[i].port);
        if (strncasecmp(origin, schemes[i].scheme, n) != 0) continue;
        const char *own = origin + n;
        size_t a = strlen(own), b = strlen(host);
        if (a > p && strcmp(own + a - p, schemes[i].port) == 0) a -= p;
        if (b > p && strcmp(host + b - p, schemes[i].port) == 0) b -= p;
        return a > 0 && a == b && strncasecmp(own, host, a) == 0;
    }
    return false;
}

static bool is_listed(const options_list *list, const char *text, size_t n)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *item = list->items[i];
        if (strcmp(item, "*") == 0 || (strlen(item) == n && strncasecmp(item, text, n) == 0)) return true;
    }
    return false;
}

/* "127.0.0.1" or "[::1]": what no DNS server has a say in. */
static bool is_ip_address(const char *name, size_t n)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    bool v6 = n > 2 && name[0] == '[' && name[n - 1] == ']';
    if (v6) name++, n -= 2;
    if (n >= sizeof text) return false;
    memcpy(text, name, n);
    text[n] = '\0';
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, &address) == 1;
}

/* "host" or "host:port" without the port. */
static size_t name_length(const char *host)
{
    const char *colon = strrchr(host, ':');
    return colon && !strchr(colon, ']') ? (size_t)(colon - host) : strlen(host);
}

static bool host_is_ours(const char *host, const options_list *hosts)
{
    static const char local[] = "localhost";
    size_t n = name_length(host);
    return is_ip_address(host, n) || (n == sizeof local - 1 && strncasecmp(host, local, n) == 0) ||
           is_listed(hosts, host, n) || is_listed(hosts, host, strlen(host));
}

/* Programs send no Origin. Browsers always do, and a page from elsewhere must not listen in. */
static bool page_is_welcome(const handshake *h, const handshake_welcome *welcome, api_error *e)
{
    if (!h->origin || is_listed(&welcome->origins, h->origin, strlen(h->origin))) return true;
    if (!same_host(h->origin, h->host))
        return api_error_set(e, 403, NULL, "origin_not_allowed",
                             "Pages of %.200s may not use this daemon; sottod --allow-origin lets them", h->origin);
    if (host_is_ours(h->host, &welcome->hosts)) return true;
    return api_error_set(e, 403, NULL, "host_not_allowed",
                         "Pages may not call this daemon %.200s; open it by its IP address or localhost, or start "
                         "sottod with --allowed-host %.*s",
                         h->host, (int)(name_length(h->host) < 200 ? name_length(h->host) : 200), h->host);
}

bool handshake_check(const handshake *h, const handshake_welcome *welcome, char accept[WEBSOCKET_ACCEPT_BYTES],
                     api_error *e)
{
    if (!has_word(h->upgrade, "websocket"))
        return api_error_set(e, 426, NULL, "upgrade_required",
                             "This address speaks WebSocket: send \"Upgrade: websocket\", or open /captions in a "
                             "browser");
    if (!has_word(h->connection, "upgrade"))
        return api_error_set(e, 400, NULL, "invalid_handshake", "The header \"Connection: Upgrade\" is missing");
    if (!h->version || strcmp(h->version, "13") != 0)
        return api_error_set(e, 426, NULL, "upgrade_required", "Sec-WebSocket-Version is %.20s, but should be 13",
                             h->version ? h->version : "missing");
    if (!h->key || !websocket_key_is_sound(h->key))
        return api_error_set(e, 400, NULL, "invalid_handshake",
                             "Sec-WebSocket-Key is %.40s, but should be 16 bytes in base64",
                             h->key ? h->key : "missing");
    if (!page_is_welcome(h, welcome, e)) return false;
    websocket_accept(h->key, accept);
    return true;
}
