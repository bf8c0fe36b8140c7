/* SPDX-License-Identifier: MIT
 * British spellings as American ones: openai-whisper's EnglishSpellingNormalizer. */
#include "score/normalise.h"

#include <string.h>

enum { LONGEST = 24 }; /* bytes of a spelling with its NUL; the tables' writer checks it */

static const struct {
    char british[LONGEST], american[LONGEST];
} spellings[] = {
/* sorted */
#include "spellings.inc"
};

static const char *american(const char *word)
{
    size_t low = 0, high = sizeof spellings / sizeof *spellings;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int order = strcmp(word, spellings[middle].british);
        if (!order) return spellings[middle].american;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* The word [begin, end) of `now`, if it is ASCII and short enough to be in the list. */
static bool take_word(const sotto__text *t, size_t begin, size_t end, char *word)
{
    if (end - begin >= LONGEST) return false;
    for (size_t i = begin; i < end; i++) {
        if (t->now.data[i] <= 0 || t->now.data[i] >= 0x80) return false;
        word[i - begin] = (char)t->now.data[i];
    }
    word[end - begin] = '\0';
    return true;
}

void sotto__normalise_spellings(sotto__text *t)
{
    char word[LONGEST];
    size_t i = 0;
    while (i < t->now.len) {
        const size_t begin = i;
        const char *other;
        while (i < t->now.len && !sotto__is_space(t->now.data[i])) i++;
        if (i > begin) {
            other = take_word(t, begin, i, word) ? american(word) : NULL;
            if (t->next.len) sotto__text_put(t, ' ');
            if (other)
                sotto__text_puts(t, other);
            else
                sotto__text_copy(t, begin, i);
        }
        i++;
    }
    sotto__text_turn(t);
}
