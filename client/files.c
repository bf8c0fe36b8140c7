/* SPDX-License-Identifier: MIT
 * Inputs by name (files, pipes, standard input) and outputs written whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"

/* ---- inputs --------------------------------------------------------------------------------------------------- */

/* Copies all of `from` into an unlinked temporary file, which stays reachable by its descriptor. */
static sotto_status spool(input *in, int from, const char *name, sotto_error *err)
{
    const char *dir = getenv("TMPDIR");
    char *path = NULL, block[1 << 16];
    if (asprintf(&path, "%s/sotto-XXXXXX", dir && *dir ? dir : "/tmp") < 0)
        return options_fail(err, SOTTO_ENOMEM, "out of memory: copy of %s", name);
    in->fd = mkostemp(path, O_CLOEXEC);
    if (in->fd < 0) {
        options_fail(err, SOTTO_EIO, "no temporary file can be made at %s to copy %s to: %s", path, name,
                     strerror(errno));
        free(path);
        return SOTTO_EIO;
    }
    unlink(path);
    free(path);
    for (;;) {
        ssize_t n = read(from, block, sizeof block), written = 0;
        if (is_interrupted()) return options_fail(err, SOTTO_ECANCELLED, "interrupted");
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return options_fail(err, SOTTO_EIO, "%s cannot be read: %s", name, strerror(errno));
        if (n == 0) break;
        while (written < n) {
            ssize_t m = write(in->fd, block + written, (size_t)(n - written));
            if (m < 0 && errno == EINTR) continue;
            if (m < 0)
                return options_fail(err, SOTTO_EIO, "the temporary copy of %s cannot be written: %s", name,
                                    strerror(errno));
            written += m;
        }
    }
    snprintf(in->spooled, sizeof in->spooled, "/proc/self/fd/%d", in->fd);
    in->path = in->spooled;
    return SOTTO_OK;
}

sotto_status input_open(input *in, const char *name, sotto_error *err)
{
    struct stat st;
    *in = (input){.fd = -1};
    if (strcmp(name, "-") == 0) {
        sotto_status status = spool(in, STDIN_FILENO, "standard input", err);
        if (status != SOTTO_OK) input_close(in);
        return status;
    }
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return options_fail(err, errno == ENOENT ? SOTTO_ENOTFOUND : SOTTO_EIO, "%s cannot be opened: %s", name,
                            strerror(errno));
    sotto_status status = SOTTO_OK;
    if (fstat(fd, &st) != 0)
        status = options_fail(err, SOTTO_EIO, "%s cannot be examined: %s", name, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        status = options_fail(err, SOTTO_EINVAL, "%s is a directory, not a recording", name);
    else if (S_ISREG(st.st_mode))
        in->path = name;
    else
        status = spool(in, fd, name, err);
    close(fd);
    if (status != SOTTO_OK) input_close(in);
    return status;
}

void input_close(input *in)
{
    if (in->fd >= 0) close(in->fd);
    *in = (input){.fd = -1};
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

sotto_status work_read_formats(work *w, sotto_error *err)
{
    for (size_t i = 0; i < w->options.formats.n; i++) {
        const char *name = w->options.formats.items[i];
        sotto_format format;
        bool again = false;
        if (!sotto_format_parse(name, &format))
            return options_fail(err, SOTTO_EINVAL,
                                "there is no format \"%s\"; choose among txt, text, json, verbose_json, srt, vtt, tsv",
                                name);
        for (size_t k = 0; k < w->n_formats; k++) again |= w->formats[k] == format;
        if (!again) w->formats[w->n_formats++] = format;
    }
    return SOTTO_OK;
}

const char *output_extension(const work *w, sotto_format format)
{
    bool txt = false, json = false;
    for (size_t i = 0; i < w->n_formats; i++) {
        txt |= w->formats[i] == SOTTO_FORMAT_TXT;
        json |= w->formats[i] == SOTTO_FORMAT_JSON;
    }
    if (format == SOTTO_FORMAT_TEXT) return txt ? "text.txt" : "txt";
    if (format == SOTTO_FORMAT_VERBOSE_JSON) return json ? "verbose.json" : "json";
    return sotto_format_name(format);
}

static bool write_all(int fd, const char *text)
{
    for (size_t n = strlen(text); n;) {
        ssize_t m = write(fd, text, n);
        if (m < 0 && errno == EINTR) continue;
        if (m < 0) return false;
        text += m;
        n -= (size_t)m;
    }
    return true;
}

sotto_status output_write_file(const char *directory, const char *stem, const char *extension, const char *text,
                               sotto_error *err)
{
    char *path = NULL, *temporary = NULL;
    sotto_status st = SOTTO_OK;
    if (asprintf(&path, "%s/%s.%s", directory, stem, extension) < 0) path = NULL;
    if (asprintf(&temporary, "%s/.sotto-XXXXXX", directory) < 0) temporary = NULL;
    if (!path || !temporary) {
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: path of an output in %s", directory);
        goto done;
    }
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        st = options_fail(err, SOTTO_EIO, "%s cannot be written: %s", path, strerror(errno));
        goto done;
    }
    mode_t mask = umask(0);
    umask(mask);
    bool ok = write_all(fd, text) && fchmod(fd, 0666 & ~mask) == 0;
    ok = close(fd) == 0 && ok;
    if (!ok || rename(temporary, path) != 0) {
        st = options_fail(err, SOTTO_EIO, "%s cannot be written: %s", path, strerror(errno));
        unlink(temporary);
    }
done:
    free(path);
    free(temporary);
    return st;
}
