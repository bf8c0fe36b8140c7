/* SPDX-License-Identifier: MIT
 * Composing the decoder's initial tokens. */
#include "text/prompt.h"
#include "base/error.h"
#include "token/unicode.h"

#include <string.h>

/* Python's list[-k:] for any k: the last k, all for k = 0, and all but the first -k for negative k. */
static void tail(const int32_t **tokens, size_t *n, ptrdiff_t k)
{
    size_t drop = 0;
    if (k > 0 && *n > (size_t)k) drop = *n - (size_t)k;
    if (k < 0) drop = *n < (size_t)-k ? *n : (size_t)-k;
    *tokens += drop;
    *n -= drop;
}

sotto_status sotto__prompt_build(const sotto__history *h, const sotto__specials *specials, const int32_t *sot_sequence,
                                 size_t n_sot, size_t n_ctx, sotto__ids *out, size_t *sot_index, sotto_error *err)
{
    const int32_t *past = h->tokens.data;
    size_t n_past = h->tokens.len, skip = h->reset_since, limit = n_ctx / 2 - 1, n_initial = 0, over;
    if (h->carry && skip < h->n_initial) skip = h->n_initial;
    if (skip > n_past) skip = n_past;
    if (skip) past += skip;
    n_past -= skip;
    if (h->carry) { /* initial_prompt + what room it leaves for the history */
        n_initial = h->n_initial;
        tail(&past, &n_past, (ptrdiff_t)limit - (ptrdiff_t)n_initial);
    }
    out->len = 0;
    if (n_initial + n_past > 0) {
        const int32_t *initial = h->tokens.data;
        over = n_initial + n_past > limit ? n_initial + n_past - limit : 0;
        if (over > n_initial) { /* the last `limit` of both together */
            past += over - n_initial;
            n_past -= over - n_initial;
            over = n_initial;
        }
        if (!sotto__ids_push(out, specials->sot_prev) || !sotto__ids_append(out, initial + over, n_initial - over) ||
            !sotto__ids_append(out, past, n_past))
            return sotto__fail_nomem(err, "prompt");
    }
    *sot_index = out->len;
    if (!sotto__ids_append(out, sot_sequence, n_sot)) return sotto__fail_nomem(err, "prompt");
    return SOTTO_OK;
}

sotto_status sotto__prompt_encode(const sotto__tokenizer *t, const char *text, sotto__ids *out, sotto_error *err)
{
    sotto__str spaced = {0};
    sotto_status st;
    size_t n = text ? strlen(text) : 0;
    if (n) sotto__utf8_strip(&text, &n);
    if (!n) return SOTTO_OK;
    if (sotto__str_puts(&spaced, " ") && sotto__str_append(&spaced, text, n))
        st = sotto__tokenizer_encode(t, spaced.data, spaced.len, out, err);
    else
        st = sotto__fail_nomem(err, "initial prompt");
    sotto__str_free(&spaced);
    return st;
}
