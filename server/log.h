/* SPDX-License-Identifier: MIT
 * The daemon's log: one line an event on stderr, key=value or JSON. Never what was said in a recording. */
#ifndef SOTTOD_LOG_H
#define SOTTOD_LOG_H

typedef enum log_level { LOG_ERROR, LOG_INFO } log_level;

/* key=value pairs, or the same as a JSON object. */
typedef enum log_form { LOG_TEXT, LOG_JSON } log_form;

/* Before threads start. */
void log_open(log_level most, log_form form);

/* "time=… level=… event=<event> <formatted>", the latter key=value too and separated by blanks, written by one call so
 * that lines of threads do not mix. Values that come from outside go through log_quote. */
void log_event(log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Copies `text` into out[n] as a double-quoted string without control characters, quotes or bytes above 126; cut to
 * fit. Returns out. */
const char *log_quote(char *out, unsigned n, const char *text);

#endif
