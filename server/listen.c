/* SPDX-License-Identifier: MIT
 * Binding the address of --listen (listen.h). */
#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "options.h"

/* "host:port", "[v6]:port", ":port" -> host ("" = every interface) and port. */
static bool split(const char *address, char host[256], char port[8])
{
    const char *colon = strrchr(address, ':');
    int64_t number;
    if (!colon || !options_parse_int(colon + 1, &number) || number < 0 || number > 65535) return false;
    size_t n = (size_t)(colon - address);
    if (n >= 2 && address[0] == '[' && colon[-1] == ']') {
        address++;
        n -= 2;
    } else if (memchr(address, ':', n)) {
        return false;
    }
    if (n >= 256) return false;
    memcpy(host, address, n);
    host[n] = '\0';
    snprintf(port, 8, "%d", (int)number);
    return true;
}

static int bind_one(const struct addrinfo *a)
{
    int one = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* 127.0.0.0/8, also as IPv6 writes it, and ::1. */
static bool is_loopback(const struct sockaddr_storage *a)
{
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)a)->sin6_addr;
    if (a->ss_family == AF_INET) return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return a->ss_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET));
}

static sotto_status describe(int fd, const char *what, const char *scheme, char *url, size_t url_size, bool *is_local,
                             sotto_error *err)
{
    char host[256], port[8];
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &size) != 0 ||
        getnameinfo((struct sockaddr *)&bound, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return options_fail(err, SOTTO_EIO, "cannot tell the address that %.100s was bound to", what);
    *is_local = is_loopback(&bound);
    snprintf(url, url_size, bound.ss_family == AF_INET6 ? "%s://[%s]:%s" : "%s://%s:%s", scheme, host, port);
    return SOTTO_OK;
}

sotto_status listen_open(int *fd, const char *name, const char *address, const char *scheme, char *url, size_t url_size,
                         bool *is_local, sotto_error *err)
{
    char host[256], port[8];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *list = NULL;
    *fd = -1;
    if (!split(address, host, port))
        return options_fail(err, SOTTO_EINVAL, "%s is \"%.100s\", but should be HOST:PORT, such as 127.0.0.1:8177",
                            name, address);
    int code = getaddrinfo(host[0] ? host : NULL, port, &hints, &list);
    if (code != 0) return options_fail(err, SOTTO_EINVAL, "%s %.100s: %s", name, address, gai_strerror(code));
    for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next) *fd = bind_one(a);
    int saved = errno;
    freeaddrinfo(list);
    if (*fd < 0) return options_fail(err, SOTTO_EIO, "cannot listen on %.100s: %s", address, strerror(saved));

    sotto_status st = describe(*fd, address, scheme, url, url_size, is_local, err);
    if (st == SOTTO_OK) return st;
    close(*fd);
    *fd = -1;
    return st;
}

sotto_status listen_adopt(int fd, const char *scheme, char *url, size_t url_size, bool *is_local, sotto_error *err)
{
    return describe(fd, "the socket that was handed over", scheme, url, url_size, is_local, err);
}
