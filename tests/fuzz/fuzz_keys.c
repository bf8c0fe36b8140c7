/* SPDX-License-Identifier: MIT
 * The file of API keys. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    keys *k = NULL;
    sotto_error err = {0};
    char name[KEYS_NAME_BYTES];
    if (keys_open(&k, fuzz_file("keys", data, n), &err) == SOTTO_OK) {
        if (!keys_count(k)) abort();
        (void)keys_find(k, "sk-one", name);
    } else if (!*err.message) {
        abort();
    }
    keys_free(k);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char text[] = "# keys\nsk-one kitchen\n\nsk-two\nsk-three the office\r\n";
    take(text, sizeof text - 1);
}
