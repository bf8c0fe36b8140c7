/* SPDX-License-Identifier: MIT
 * Spooling uploads (upload.h). */
#include "upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

void upload_init(upload *u) { *u = (upload){.fd = -1}; }

/* O_TMPFILE where the file system has it, else a name that lives for one system call more. */
static int open_nameless(const char *dir)
{
    char *path;
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) return fd;
    if (asprintf(&path, "%s/sottod-XXXXXX", dir) < 0) return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) unlink(path);
    free(path);
    return fd;
}

sotto_status upload_open(upload *u, const char *dir, const char *client_name, sotto_error *err)
{
    const int fd = open_nameless(dir);
    if (fd < 0) return options_fail(err, SOTTO_EIO, "spool directory %s takes no file: %s", dir, strerror(errno));
    upload_adopt(u, fd, client_name);
    return SOTTO_OK;
}

void upload_adopt(upload *u, int fd, const char *client_name)
{
    size_t n = 0;
    u->fd = fd;
    snprintf(u->path, sizeof u->path, "/proc/self/fd/%d", u->fd);
    for (const char *c = client_name ? client_name : ""; *c && n + 1 < sizeof u->name; c++)
        u->name[n++] = (char)(*c >= 32 && *c < 127 && *c != '"' ? *c : '_');
    u->name[n] = '\0';
}

sotto_status upload_append(upload *u, const char *data, size_t n, sotto_error *err)
{
    while (n > 0) {
        ssize_t done = write(u->fd, data, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return options_fail(err, SOTTO_EIO, "the spool takes no more bytes: %s", strerror(errno));
        data += done;
        n -= (size_t)done;
        u->size += (uint64_t)done;
    }
    return SOTTO_OK;
}

void upload_close(upload *u)
{
    if (u->fd >= 0) close(u->fd);
    upload_init(u);
}

void upload_name_in(const upload *u, char *message, size_t size)
{
    char *copy, *at = u->path[0] ? strstr(message, u->path) : NULL;
    if (!at || !(copy = strdup(at + strlen(u->path)))) return;
    snprintf(at, size - (size_t)(at - message), "%s%s", u->name[0] ? u->name : "the upload", copy);
    free(copy);
}
