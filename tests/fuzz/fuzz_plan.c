/* SPDX-License-Identifier: MIT
 * A study's plan. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "study/study.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    study_plan plan = {0};
    sotto_error err = {0};
    if (study_plan_read(&plan, fuzz_file("plan", data, n), &err) != SOTTO_OK && !*err.message) abort();
    study_plan_free(&plan);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char every[] = "seed 7\nset s x\nset t y # one more\nprecision int8\ndecode greedy\n"
                                "calibration c\nmodel " SOTTO_SOURCE_DIR "\non s\nspec none int8\non s t\nspec int8\n";
    take(every, sizeof every - 1);
    fuzz_seed_file(take, 0, false, SOTTO_SOURCE_DIR "/study/plans/english.plan");
}
