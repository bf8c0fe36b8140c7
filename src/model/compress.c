/* SPDX-License-Identifier: MIT
 * The only file that knows Zstandard. */
#include "model/compress.h"

#include <stdlib.h>
#include <zstd.h>

enum { LEVEL = 3 };

bool sotto__compress(sotto__str *out, const void *data, size_t n)
{
    const size_t most = ZSTD_compressBound(n);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    char *frame = malloc(most ? most : 1);
    bool good = context && frame && !ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, LEVEL)) &&
                !ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1));
    if (good) {
        const size_t size = ZSTD_compress2(context, frame, most, data, n);
        good = !ZSTD_isError(size) && sotto__str_append(out, frame, size);
    }
    ZSTD_freeCCtx(context);
    free(frame);
    return good;
}

bool sotto__decompress(void *to, size_t n, const void *frame, size_t size)
{
    return ZSTD_getFrameContentSize(frame, size) == n && ZSTD_decompress(to, n, frame, size) == n;
}
