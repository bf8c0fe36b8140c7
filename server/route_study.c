/* SPDX-License-Identifier: MIT
 * GET /study: the report of a study, the file that --study names or the one that the build found. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pages.h"
#include "route.h"

static void keep(void *body) { (void)body; }

static bool read_all(int fd, char *body, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t got = read(fd, body + done, n - done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false; /* it became shorter meanwhile */
        done += (size_t)got;
    }
    return true;
}

/* The file's content for free(); NULL with *why. */
static char *read_file(const char *path, size_t *n, int *why)
{
    struct stat st;
    char *body = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make the daemon wait */
    *why = errno;
    if (fd < 0) return NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        *why = EINVAL;
    } else if (!(body = malloc((size_t)st.st_size + 1))) {
        *why = ENOMEM;
    } else if (!read_all(fd, body, *n = (size_t)st.st_size)) {
        *why = EIO;
        free(body);
        body = NULL;
    }
    close(fd);
    return body;
}

static void refuse(reply *out, const char *sentence, const char *why)
{
    api_error e;
    api_error_set(&e, 404, NULL, "no_study", sentence, why);
    reply_error(out, &e);
}

static void answer(server *s, const char *tail, reply *out)
{
    size_t n = 0;
    int why;
    (void)tail;
    if (s->config->study) {
        /* Read anew each time, so that a report made meanwhile is shown. */
        char *body = read_file(s->config->study, &n, &why);
        if (body)
            reply_own(out, 200, reply_type_html, body, n, free);
        else
            refuse(out, "The file that --study names cannot be read: %s", strerror(why));
    } else if (page_study_size > 0) {
        reply_own(out, 200, reply_type_html, (char *)(uintptr_t)page_study, page_study_size, keep);
    } else {
        refuse(out, "%s",
               "This daemon was built without a study's report; make one with `sotto study report` and "
               "start sottod with --study DIR/index.html");
    }
}

const route route_study = {.method = "GET", .path = "/study", .open = true, .answer = answer};
