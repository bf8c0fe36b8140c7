/* SPDX-License-Identifier: MIT
 * The prepacked file (cache.h): one page of header, then the arena. The only file that knows xxHash. */
#include "model/cache.h"
#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { PAGE = 4096, PART = 1 << 20 };

/* Native byte order: another machine's file has another magic number. */
struct header {
    uint64_t magic, layout, bytes;
    uint64_t arena;                   /* hash of the arena's parts' hashes */
    uint64_t source_high, source_low; /* XXH3 128 of the weight file */
    uint64_t source_bytes;
    int64_t source_s, source_ns; /* its modification time when it was last compared */
    uint64_t self;               /* hash of all above */
};

static const uint64_t magic = 0x3130746f74736b70; /* raised with every change of what the bytes mean */

uint64_t sotto__hash(const void *data, size_t n, uint64_t seed) { return XXH3_64bits_withSeed(data, n, seed); }

static uint64_t hash_header(const struct header *h) { return sotto__hash(h, offsetof(struct header, self), 0); }

/* ---- hashing on all threads ---- */

struct hashing {
    const unsigned char *data;
    size_t bytes;
    uint64_t *parts;
};

static void hash_part(void *arg, size_t index, int thread)
{
    const struct hashing *j = arg;
    const size_t at = index * PART, n = j->bytes - at < PART ? j->bytes - at : PART;
    (void)thread;
    j->parts[index] = sotto__hash(j->data + at, n, index);
}

static bool hash_arena(const sotto_model *m, const unsigned char *data, size_t bytes, uint64_t *out)
{
    const size_t n = (bytes + PART - 1) / PART;
    struct hashing job = {data, bytes, calloc(n + 1, sizeof *job.parts)};
    if (!job.parts) return false;
    sotto__pool_run(m->nn.pool, hash_part, &job, n);
    *out = sotto__hash(job.parts, n * sizeof *job.parts, bytes);
    free(job.parts);
    return true;
}

/* ---- files ---- */

static char *path_of(const sotto_model *m, const sotto__weights *w)
{
    sotto__str path = {0};
    const char *precision = sotto_precision_name(m->precision);
    if (!precision || !sotto__str_printf(&path, "%s.%s.packed", w->file, precision)) {
        sotto__str_free(&path);
        return NULL;
    }
    return path.data;
}

/* Size, time and, when asked for, content of the weight file. */
static bool describe_source(const sotto__weights *w, struct header *h, bool content)
{
    struct stat sb;
    if (stat(w->file, &sb) != 0 || (size_t)sb.st_size != w->map_bytes) return false;
    h->source_bytes = w->map_bytes;
    h->source_s = sb.st_mtim.tv_sec;
    h->source_ns = sb.st_mtim.tv_nsec;
    if (content) {
        const XXH128_hash_t hash = XXH3_128bits(w->map, w->map_bytes);
        h->source_high = hash.high64;
        h->source_low = hash.low64;
    }
    return true;
}

static bool same_source(const struct header *h, const sotto__weights *w)
{
    struct header now = {0};
    if (!describe_source(w, &now, false) || now.source_bytes != h->source_bytes) return false;
    if (now.source_s == h->source_s && now.source_ns == h->source_ns) return true;
    /* Copied or touched: the content decides. */
    return describe_source(w, &now, true) && now.source_high == h->source_high && now.source_low == h->source_low;
}

bool sotto__cache_map(sotto_model *m, const sotto__weights *w, size_t bytes, uint64_t layout)
{
    struct header h;
    struct stat sb;
    uint64_t arena = 0;
    unsigned char *map = MAP_FAILED;
    char *path = path_of(m, w);
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    bool good = fd >= 0 && fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && (size_t)sb.st_size == PAGE + bytes;
    if (good) {
        map = mmap(NULL, PAGE + bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
        good = map != MAP_FAILED;
    }
    if (good) {
        memcpy(&h, map, sizeof h);
        good = h.magic == magic && h.self == hash_header(&h) && h.layout == layout && h.bytes == bytes &&
               same_source(&h, w) && hash_arena(m, map + PAGE, bytes, &arena) && arena == h.arena;
    }
    if (good) {
        m->arena = map + PAGE;
        m->arena_bytes = bytes;
        m->arena_is_file = true;
    } else if (map != MAP_FAILED) {
        munmap(map, PAGE + bytes);
    }
    if (fd >= 0) close(fd);
    free(path);
    return good;
}

void sotto__cache_unmap(sotto_model *m) { munmap(m->arena - PAGE, PAGE + m->arena_bytes); }

static bool write_all(int fd, const void *data, size_t n)
{
    const char *from = data;
    while (n > 0) {
        const ssize_t done = write(fd, from, n);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        from += done;
        n -= (size_t)done;
    }
    return true;
}

bool sotto__cache_write(const sotto_model *m, const sotto__weights *w, uint64_t layout)
{
    struct header h = {.magic = magic, .layout = layout, .bytes = m->arena_bytes};
    unsigned char page[PAGE] = {0};
    sotto__str temporary = {0};
    char *path = path_of(m, w);
    int fd = -1;
    bool good = path && describe_source(w, &h, true) && hash_arena(m, m->arena, m->arena_bytes, &h.arena) &&
                sotto__str_printf(&temporary, "%s.XXXXXX", path) && (fd = mkostemp(temporary.data, O_CLOEXEC)) >= 0;
    h.self = hash_header(&h);
    memcpy(page, &h, sizeof h);
    if (good) {
        good = write_all(fd, page, sizeof page) && write_all(fd, m->arena, m->arena_bytes) &&
               fchmod(fd, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH) == 0 && fsync(fd) == 0;
        good = close(fd) == 0 && good;
        good = good && rename(temporary.data, path) == 0;
        if (!good) unlink(temporary.data);
    }
    sotto__str_free(&temporary);
    free(path);
    return good;
}
