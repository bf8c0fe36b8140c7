/* SPDX-License-Identifier: MIT
 * Addresses of queues in Redis. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "redis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = fuzz_text(data, n);
    redis_address a;
    sotto_error err = {0};
    const sotto_status st = redis_address_parse(&a, text, &err);
    if (st == SOTTO_OK) {
        if (!*a.host || a.port < 0 || a.port > 65535 || a.database < 0) abort();
        if (!memchr(a.host, 0, sizeof a.host) || !memchr(a.user, 0, sizeof a.user) ||
            !memchr(a.password, 0, sizeof a.password))
            abort();
    } else if (strncmp(err.message, "--queue", 7) != 0) {
        abort();
    }
    free(text);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char *const seeds[] = {"redis://127.0.0.1", "redis://localhost:6380/3", "redis://:secret@h:1/0",
                                        "redis://user:p%40ss%3a@[::1]:6379/15", "REDIS://h/"};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) take(seeds[i], strlen(seeds[i]));
}
