/* SPDX-License-Identifier: MIT
 * Status names and texts from the one list in sotto.h, and the filling of sotto_error. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

sotto_status sotto__fail(sotto_error *err, sotto_status code, const char *format, ...)
{
    if (err) {
        va_list args;
        err->code = code;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return code;
}

sotto_status sotto__fail_nomem(sotto_error *err, const char *what)
{
    return sotto__fail(err, SOTTO_ENOMEM, "out of memory: %s", what);
}

static const struct {
    const char *name, *text;
} statuses[] = {
#define X(name, text) {#name, text},
    SOTTO_STATUS_LIST(X)
#undef X
};

static bool is_status(sotto_status status) { return (unsigned)status < sizeof statuses / sizeof statuses[0]; }

const char *sotto_status_name(sotto_status status)
{
    return is_status(status) ? statuses[status].name : "SOTTO_UNKNOWN";
}

const char *sotto_status_text(sotto_status status)
{
    return is_status(status) ? statuses[status].text : "unknown status";
}
