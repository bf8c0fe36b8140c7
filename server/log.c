/* SPDX-License-Identifier: MIT
 * One line an event (log.h). */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static log_level max_level = LOG_INFO;

void log_open(log_level most) { max_level = most; }

void log_event(log_level level, const char *event, const char *format, ...)
{
    char line[1200];
    struct timespec now;
    struct tm utc;
    if (level > max_level) return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, 64, "time=%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ level=%s event=%s ", now.tv_nsec / 1000000,
                          level == LOG_ERROR ? "error" : "info", event);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + n, sizeof line - n, format, args);
    va_end(args);
    if (more > 0) n += (size_t)more;
    if (n > sizeof line - 2) n = sizeof line - 2;
    line[n++] = '\n';
    /* A log that cannot be written must not stop the service. */
    if (write(STDERR_FILENO, line, n) < 0) return;
}

const char *log_quote(char *out, unsigned n, const char *text)
{
    unsigned used = 0;
    out[used++] = '"';
    for (const unsigned char *c = (const unsigned char *)text; *c && used + 2 < n; c++)
        out[used++] = (char)(*c < 32 || *c > 126 || *c == '"' || *c == '\\' ? '?' : *c);
    out[used++] = '"';
    out[used] = '\0';
    return out;
}
