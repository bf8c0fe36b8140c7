/* SPDX-License-Identifier: MIT
 * The only file that knows Zstandard. */
#include "model/compress.h"

#include <stdlib.h>
#include <zstd.h>

/* Long repeats as well; and next to none, for what is mere chance with some values more frequent than others: there a
 * repeat of a few bytes costs more than the bytes do (of codes with an entropy of 2.5 bits 3.2 are left, against 2.6).
 */
static const struct {
    int level, strategy, least_match, hash_log; /* 0: as the level has it */
} ways[] = {{3, 0, 0, 0}, {1, ZSTD_fast, 7, 6}};

static size_t pack(ZSTD_CCtx *context, size_t way, char *to, size_t most, const void *data, size_t n)
{
    ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, ways[way].level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_strategy, ways[way].strategy);
    ZSTD_CCtx_setParameter(context, ZSTD_c_minMatch, ways[way].least_match);
    ZSTD_CCtx_setParameter(context, ZSTD_c_hashLog, ways[way].hash_log);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    return ZSTD_compress2(context, to, most, data, n);
}

bool sotto__compress(sotto__str *out, const void *data, size_t n)
{
    const size_t most = ZSTD_compressBound(n);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    char *frames[2] = {malloc(most ? most : 1), malloc(most ? most : 1)};
    size_t size[2] = {0};
    bool good = context && frames[0] && frames[1];
    for (size_t way = 0; good && way < 2; way++) {
        size[way] = pack(context, way, frames[way], most, data, n);
        good = !ZSTD_isError(size[way]);
    }
    const size_t best = size[1] < size[0];
    if (good) good = sotto__str_append(out, frames[best], size[best]);
    ZSTD_freeCCtx(context);
    free(frames[0]);
    free(frames[1]);
    return good;
}

bool sotto__decompress(void *to, size_t n, const void *frame, size_t size)
{
    return ZSTD_getFrameContentSize(frame, size) == n && ZSTD_decompress(to, n, frame, size) == n;
}
