/* SPDX-License-Identifier: MIT
 * Fields of a request for the tests of forms. */
#ifndef SOTTO_TEST_FORM_FILL_H
#define SOTTO_TEST_FORM_FILL_H

#include <stdarg.h>
#include <string.h>

#include "form.h"

static const form_facts english = {.model = "tiny.en", .multilingual = false, .task = SOTTO_TASK_TRANSCRIBE};
static const form_facts many = {.model = "base", .multilingual = true, .task = SOTTO_TASK_TRANSCRIBE};

/* Appends name, value, …, NULL to a new form; false: *e has been set. */
static inline bool form_fill(form *f, api_error *e, va_list fields)
{
    const char *name;
    bool ok = true;
    while (ok && (name = va_arg(fields, const char *))) {
        const char *value = va_arg(fields, const char *);
        ok = form_append(f, name, 0, value, strlen(value), e);
    }
    return ok;
}

#endif
