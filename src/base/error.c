/* SPDX-License-Identifier: MIT
 * Status names and texts from the one list in sotto.h, and the filling of sotto_error. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

sotto_status sotto__take_options(void *to, size_t bytes, const void *from, const char *what, const char *made_by,
                                 sotto_error *err)
{
    size_t size;
    if (!from) return SOTTO_OK;
    memcpy(&size, from, sizeof size);
    if (size == 0 || size > bytes) return sotto__fail(err, SOTTO_EINVAL, "%s are not from %s", what, made_by);
    memcpy(to, from, size);
    return SOTTO_OK;
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
