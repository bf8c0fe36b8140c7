/* SPDX-License-Identifier: MIT
 * The settings file. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    toml t = {0};
    sotto_error err = {0};
    char *text = malloc(n ? n : 1);
    if (!text) abort();
    if (n) memcpy(text, data, n);
    if (toml_read(&t, text, n, &err) != SOTTO_OK) {
        if (!*err.message) abort();
    } else {
        volatile size_t sum = 0;
        for (size_t i = 0; i < t.n; i++)
            sum += strlen(t.entries[i].table) + strlen(t.entries[i].key) + strlen(t.entries[i].value);
    }
    toml_free(&t);
    free(text);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char text[] =
        "# settings\nmodel = \"base\" # which\n[live.screen]\ninterval = 0.5\nloud = true\n"
        "keywords = [\n  \"one\", # first\n  'two',\n]\nname = \"\\u00e9\\t\\\"x\\\"\"\nn = 1_000\n";
    take(text, sizeof text - 1);
}
