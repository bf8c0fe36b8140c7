/* SPDX-License-Identifier: MIT
 * One line an event (log.h). */
#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static log_level max_level = LOG_INFO;
static log_form form = LOG_TEXT;

void log_open(log_level most, log_form as)
{
    max_level = most;
    form = as;
}

/* Names and ids may look like numbers and are none. */
static bool is_number(const char *key, size_t n_key, const char *value, size_t n)
{
    static const char *const texts[] = {"id", "client", "route", "model"};
    char copy[32], *end;
    if (n == 0 || n >= sizeof copy || strspn(value, "0123456789.-") < n) return false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strlen(texts[i]) == n_key && strncmp(texts[i], key, n_key) == 0) return false;
    memcpy(copy, value, n);
    copy[n] = '\0';
    strtod(copy, &end);
    /* as JSON writes numbers: "007" and "1." are none */
    return !*end && copy[n - 1] != '.' && copy[0] != '.' && !(copy[0] == '0' && n > 1 && copy[1] != '.');
}

/* "a=1 b=two c=\"three four\"\n" as an object; log_quote has seen to it that there is nothing to escape in quotes, and
 * what is not quoted is ours or checked. Returns the length. */
static size_t to_json(char *out, size_t size, const char *line)
{
    FILE *to = fmemopen(out, size, "w");
    char before = '{';
    if (!to) return 0;
    for (const char *c = line; *c && *c != '\n'; before = ',') {
        const char *key = c, *equals = strchr(c, '=');
        if (!equals) break;
        const size_t n_key = (size_t)(equals - key);
        const char *value = equals + 1;
        const bool quoted = *value == '"';
        if (quoted) value++;
        const size_t n = strcspn(value, quoted ? "\"\n" : " \n");
        const char *mark = is_number(key, n_key, value, n) && !quoted ? "" : "\"";
        fprintf(to, "%c\"%.*s\":%s%.*s%s", before, (int)n_key, key, mark, (int)n, value, mark);
        c = value + n + (quoted && value[n] == '"');
        c += strspn(c, " ");
    }
    fputs("}\n", to);
    const long length = ftell(to);
    fclose(to);
    return length > 0 ? (size_t)length : 0;
}

void log_event(log_level level, const char *event, const char *format, ...)
{
    char line[1200], object[1600];
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
    if (n > sizeof line - 3) n = sizeof line - 3; /* newline and end */
    line[n++] = '\n';
    const char *written = line;
    line[n] = '\0';
    if (form == LOG_JSON) {
        n = to_json(object, sizeof object, line);
        written = object;
    }
    /* A log that cannot be written must not stop the service. */
    if (write(STDERR_FILENO, written, n) < 0) return;
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
