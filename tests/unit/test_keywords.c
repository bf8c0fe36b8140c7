/* SPDX-License-Identifier: MIT
 * Keywords lean logits towards their first tokens a little, and towards the token that continues one. */
#include "cmocka_all.h"

#include <string.h>

#include "text/keywords.h"

enum { VOCAB = 20 };

/* Two words: 3 4 5 and 3 6; and a word of one token, 9. */
static int32_t tokens[] = {3, 4, 5, 3, 6, 9};
static const sotto__keywords three = {.tokens = {.data = tokens, .len = 6}, .ends = {3, 5, 6}, .n = 3};

static void lean(float *logits, const int32_t *sampled, size_t n)
{
    memset(logits, 0, VOCAB * sizeof *logits);
    sotto__keywords_apply(&three, sampled, n, logits);
}

static void test_bias(void **state)
{
    float x[VOCAB];
    (void)state;
    lean(x, NULL, 0);
    const float begin = x[9];
    assert_true(begin > 0 && x[3] == 2 * begin && x[4] == 0 && x[6] == 0);
    lean(x, (const int32_t[]){7, 3}, 2);
    const float more = x[4];
    assert_true(more > begin && x[6] == more && x[3] == 0 && x[9] == begin);
    lean(x, (const int32_t[]){3, 4}, 2);
    assert_true(x[5] == more && x[3] == begin); /* the other word may begin */
    lean(x, (const int32_t[]){3, 4, 5}, 3);     /* it is over */
    assert_true(x[3] == 2 * begin && x[5] == 0 && x[4] == 0);
    lean(x, (const int32_t[]){4}, 1); /* its middle alone is no beginning */
    assert_true(x[5] == 0);
    float sum = 0;
    const sotto__keywords none = {.n = 0};
    memset(x, 0, sizeof x);
    sotto__keywords_apply(&none, tokens, 3, x);
    for (size_t i = 0; i < VOCAB; i++) sum += x[i];
    assert_true(sum == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bias)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
