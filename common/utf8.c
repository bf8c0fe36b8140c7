/* SPDX-License-Identifier: MIT */
#include "utf8.h"

#include <utf8proc.h>

bool utf8_is_text(const char *bytes, size_t n)
{
    utf8proc_int32_t c;
    for (utf8proc_ssize_t taken; n; bytes += taken, n -= (size_t)taken) {
        taken = utf8proc_iterate((const utf8proc_uint8_t *)bytes, (utf8proc_ssize_t)n, &c);
        if (taken <= 0 || !c) return false;
    }
    return true;
}
