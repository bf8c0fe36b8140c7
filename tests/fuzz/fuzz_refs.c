/* SPDX-License-Identifier: MIT
 * refs.tsv of a set of recordings. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "study/study.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    study_set set = {0};
    sotto_error err = {0};
    static bool sound;
    if (!sound) fuzz_file("a.wav", "RIFF", 4);
    sound = true;
    fuzz_file("refs.tsv", data, n);
    set.name = strdup("set");
    set.path = strdup(fuzz_directory());
    if (!set.name || !set.path) abort();
    if (study_set_read(&set, &err) != SOTTO_OK && !*err.message) abort();
    study_set_free(&set);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char text[] = "a\ten\t13.31\tthe medical man has two duties\nb\tde\t2\tZwei W\xc3\xb6rter\n";
    static const char one[] = "a\ten\t1e1\tone two\r\n";
    take(text, sizeof text - 1);
    take(one, sizeof one - 1);
}
