/* SPDX-License-Identifier: MIT
 * What kind of speech an utterance of a labelled set is, by its id: which figures may be set beside which. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/figures.h"

/* Speakers of LibriSpeech's two test sets (SPEAKERS.TXT of the corpus, openslr.org/12). */
static const struct {
    const char *name;
    const int speakers[41]; /* 0 ends them */
} test_sets[] = {
    {"test-clean", {1089, 1188, 121,  1221, 1284, 1320, 1580, 1995, 2094, 2300, 237,  260,  2830, 2961,
                    3570, 3575, 3729, 4077, 4446, 4507, 4970, 4992, 5105, 5142, 5639, 5683, 61,   672,
                    6829, 6930, 7021, 7127, 7176, 7729, 8224, 8230, 8455, 8463, 8555, 908,  0}},
    {"test-other",
     {1688, 1998, 2033, 2414, 2609, 3005, 3080, 3331, 3528, 3538, 367,  3764, 3997, 4198, 4294, 4350, 4852,
      533,  5442, 5484, 5764, 6070, 6128, 6432, 6938, 7018, 7105, 7902, 7975, 8131, 8188, 8280, 8461, 0}},
};

static const char *test_set_of(int speaker)
{
    for (size_t i = 0; i < sizeof test_sets / sizeof *test_sets; i++)
        for (const int *s = test_sets[i].speakers; *s; s++)
            if (*s == speaker) return test_sets[i].name;
    return NULL;
}

/* LibriSpeech's ids are SPEAKER-CHAPTER-NUMBER; *rest is what follows. */
static bool is_librispeech(const char *id, int *speaker, const char **rest)
{
    int chapter, number, end = 0;
    if (!isdigit((unsigned char)*id) || sscanf(id, "%d-%d-%d%n", speaker, &chapter, &number, &end) != 3) return false;
    *rest = id + end;
    return **rest == '\0' || **rest == '_';
}

char *report_condition_name(const char *id, const char *language, const char **human_of)
{
    char *name = NULL, noise[32];
    const char *rest, *set;
    int speaker, snr, n = 0;
    *human_of = NULL;
    if (is_librispeech(id, &speaker, &rest)) {
        set = test_set_of(speaker);
        if (!*rest) *human_of = set;
        if (!set) set = "outside its test sets";
        if (!*rest)
            n = asprintf(&name, "LibriSpeech %s", set);
        else if (sscanf(rest, "_%31[a-z]_snr%d", noise, &snr) == 2)
            n = asprintf(&name, "LibriSpeech %s, noise at %d dB", set, snr);
        else
            n = asprintf(&name, "LibriSpeech %s, changed", set);
    } else if (strncmp(id, "LJ", 2) == 0 && isdigit((unsigned char)id[2])) {
        n = asprintf(&name, "LJ Speech");
    } else if (strncmp(id, "fleurs", 6) == 0) {
        n = asprintf(&name, "FLEURS, %s", language);
    } else {
        n = asprintf(&name, "other speech, %s", language);
    }
    return n < 0 ? NULL : name;
}
