/* SPDX-License-Identifier: MIT
 * Whether bytes are text. */
#ifndef SOTTO_COMMON_UTF8_H
#define SOTTO_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* UTF-8 without NUL: n bytes. */
bool utf8_is_text(const char *bytes, size_t n);

#endif
