/* SPDX-License-Identifier: MIT
 * The daemon's log: one line an event on stderr, key=value. Never what was said in a recording. */
#ifndef SOTTOD_LOG_H
#define SOTTOD_LOG_H

typedef enum log_level { LOG_ERROR, LOG_INFO } log_level;

/* Before threads start. */
void log_open(log_level most);

/* "time=… level=… event=<event> <formatted>", written by one call so that lines of threads do not mix. Values that
 * come from outside go through log_quote. */
void log_event(log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Copies `text` into out[n] as a double-quoted string without control characters, quotes or bytes above 126; cut to
 * fit. Returns out. */
const char *log_quote(char *out, unsigned n, const char *text);

#endif
