/* SPDX-License-Identifier: MIT
 * Files for the fuzz targets. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiny_model.h"

static char directory[512], path[640];

static void leave(void) { tiny_remove(directory); }

const char *fuzz_directory(void)
{
    if (!*directory) {
        if (tiny_directory(directory, sizeof directory) != 0) abort();
        atexit(leave);
    }
    return directory;
}

static const char *path_of(const char *name)
{
    const int n = snprintf(path, sizeof path, "%s/%s", fuzz_directory(), name);
    if (n < 0 || (size_t)n >= sizeof path) abort();
    return path;
}

const char *fuzz_file(const char *name, const void *data, size_t n)
{
    FILE *f = fopen(path_of(name), "wb");
    if (!f || (n && fwrite(data, 1, n, f) != n) || fclose(f) != 0) abort();
    return path;
}

void fuzz_remove(const char *name) { remove(path_of(name)); }

void fuzz_seed_file(void (*take)(const void *data, size_t n), uint8_t before, bool with_before, const char *from)
{
    FILE *f = fopen(from, "rb");
    char *bytes;
    long n;
    if (!f || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0) abort();
    rewind(f);
    bytes = malloc((size_t)n + 1);
    if (!bytes || fread(bytes + 1, 1, (size_t)n, f) != (size_t)n) abort();
    bytes[0] = (char)before;
    take(with_before ? bytes : bytes + 1, (size_t)n + (with_before ? 1 : 0));
    free(bytes);
    fclose(f);
}

char *fuzz_text(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);
    if (!text) abort();
    if (n) memcpy(text, data, n);
    text[n] = '\0';
    return text;
}
