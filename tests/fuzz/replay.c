/* SPDX-License-Identifier: MIT
 * main() of a fuzz target without libFuzzer.
 *
 *     fuzz_NAME [FILE|DIRECTORY]…    every seed, then MUTATIONS changes of each, then these files
 *     fuzz_NAME --seeds DIRECTORY    writes the seeds as files, for libFuzzer's corpus
 *
 * The changes are the same in every run. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MUTATIONS = 200 };

static const char *into;
static size_t seeds, runs;
static uint64_t state = 0x9e3779b97f4a7c15;

static size_t below(size_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return n ? (size_t)(state % n) : 0;
}

/* From a block of just that size: reading past it is found by a sanitizer or by valgrind. */
static void run(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) abort();
    if (n) memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    runs++;
}

static void mutate(uint8_t *data, size_t *n, size_t room)
{
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, '"', '{', '[', '\n', '-', '9'};
    const size_t at = below(*n);
    if (!*n) return;
    switch (below(6)) {
    case 0:
        data[at] ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        data[at] = edges[below(sizeof edges)];
        break;
    case 2:
        *n = at;
        break; /* breaks off */
    case 3:    /* a run of one byte: a number that is too large */
        memset(data + at, edges[below(sizeof edges)], *n - at < 8 ? *n - at : 8);
        break;
    case 4: /* a part is missing */ {
        const size_t most = *n - at, gone = 1 + below(most < 16 ? most : 16);
        const size_t cut = gone > most ? most : gone;
        memmove(data + at, data + at + cut, *n - at - cut);
        *n -= cut;
        break;
    }
    default: /* a part comes twice */ {
        const size_t most = *n - at, again = most < 16 ? most : 16;
        if (*n + again > room) break;
        memmove(data + at + again, data + at, *n - at);
        *n += again;
        break;
    }
    }
}

static void seed(const void *data, size_t n)
{
    const size_t room = n + 256;
    uint8_t *bytes = malloc(room);
    if (!bytes) abort();
    seeds++;
    if (into) {
        char path[4096];
        FILE *f;
        snprintf(path, sizeof path, "%s/seed-%03zu", into, seeds);
        f = fopen(path, "wb");
        if (!f || (n && fwrite(data, 1, n, f) != n) || fclose(f) != 0) {
            perror(path);
            exit(1);
        }
    } else {
        run(data, n);
        for (int i = 0; i < MUTATIONS; i++) {
            size_t m = n;
            if (n) memcpy(bytes, data, n);
            for (size_t k = 1 + below(4); k > 0; k--) mutate(bytes, &m, room);
            run(bytes, m);
        }
    }
    free(bytes);
}

static void replay(const char *path)
{
    struct stat sb;
    if (stat(path, &sb) != 0) {
        perror(path);
        exit(1);
    }
    if (S_ISDIR(sb.st_mode)) {
        DIR *d = opendir(path);
        struct dirent *entry;
        while (d && (entry = readdir(d))) {
            char below_it[4096];
            if (entry->d_name[0] == '.') continue;
            snprintf(below_it, sizeof below_it, "%s/%s", path, entry->d_name);
            replay(below_it);
        }
        if (d) closedir(d);
    } else {
        FILE *f = fopen(path, "rb");
        const size_t n = (size_t)sb.st_size;
        uint8_t *bytes = malloc(n + 1);
        if (!f || !bytes || fread(bytes, 1, n, f) != n) {
            perror(path);
            exit(1);
        }
        fclose(f);
        run(bytes, n);
        free(bytes);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) into = argv[2];
    fuzz_seeds(seed);
    if (!into) {
        run(NULL, 0);
        for (int i = 1; i < argc; i++) replay(argv[i]);
    }
    printf("%zu seeds, %zu inputs\n", seeds, runs);
    return seeds ? 0 : 1;
}
