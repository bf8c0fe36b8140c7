/* SPDX-License-Identifier: MIT
 * The protocols of a service manager (systemd.h), as sd_listen_fds(3) and sd_notify(3) describe them. */
#include "systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "options.h"

enum { FIRST_FD = 3 };

static bool is_this_process(const char *variable)
{
    int64_t pid;
    const char *text = getenv(variable);
    return text && options_parse_int(text, &pid) && pid == getpid();
}

static bool is_listening_tcp(int fd)
{
    int listens = 0, type = 0, family = 0;
    socklen_t size = sizeof(int);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 && (family == AF_INET || family == AF_INET6);
}

sotto_status systemd_listener(int *fd, sotto_error *err)
{
    int64_t n = 0;
    const char *text = getenv("LISTEN_FDS");
    const bool ours = text && is_this_process("LISTEN_PID") && options_parse_int(text, &n) && n > 0;
    *fd = -1;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!ours) return SOTTO_OK;
    if (n != 1) return options_fail(err, SOTTO_EINVAL, "%lld sockets were handed over, but should be 1", (long long)n);
    if (!is_listening_tcp(FIRST_FD))
        return options_fail(err, SOTTO_EINVAL, "what was handed over is no TCP socket that listens");
    if (fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC) != 0 || fcntl(FIRST_FD, F_SETFL, O_NONBLOCK) != 0)
        return options_fail(err, SOTTO_EIO, "the socket that was handed over: %s", strerror(errno));
    *fd = FIRST_FD;
    return SOTTO_OK;
}

void systemd_notify(const char *state)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    const size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@')) return;
    memcpy(to.sun_path, path, n);
    if (path[0] == '@') to.sun_path[0] = '\0'; /* an abstract name */
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    /* A manager that does not listen is no reason to stop. */
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, size) < 0) errno = 0;
    close(fd);
}

double systemd_watchdog_s(void)
{
    int64_t us;
    const char *text = getenv("WATCHDOG_USEC");
    if (!text || !options_parse_int(text, &us) || us <= 0 || !getenv("NOTIFY_SOCKET")) return 0;
    if (getenv("WATCHDOG_PID") && !is_this_process("WATCHDOG_PID")) return 0;
    return 1e-6 * (double)us / 2;
}
