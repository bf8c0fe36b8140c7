/* SPDX-License-Identifier: MIT
 * Following a draft and looking tokens up. Text is compared without the timestamps in it: times move between two
 * hypotheses of the same audio more easily than words. */
#include "text/draft.h"
#include "base/error.h"

enum {
    AGREE_MOST = 8, /* agreeing tokens that are counted */
    AGREE_FAR = 2,  /* fewest that make another place in the draft believable … */
    NEAR = 4,       /* … but one is enough where the draft has no more than this many tokens too many */
    REACH = 448     /* draft tokens either way that are looked through */
};

void sotto__drafter_free(sotto__drafter *d) { sotto__ids_free(&d->seen); }

static bool is_timestamp(const sotto__drafter *d, int32_t token) { return token >= d->timestamp_begin; }

sotto_status sotto__drafter_begin(sotto__drafter *d, size_t window, const int32_t *prompt, size_t n_prompt, size_t most,
                                  sotto_error *err)
{
    size_t room;
    if (!d->seen.len && !sotto__ids_append(&d->seen, prompt, n_prompt)) return sotto__fail_nomem(err, "draft");
    if (!sotto__add(d->seen.len, most, &room) || !sotto__grow(&d->seen.data, &d->seen.cap, room, sizeof *d->seen.data))
        return sotto__fail_nomem(err, "draft");
    if (window != d->window) d->window_cursor = d->cursor;
    d->window = window;
    d->cursor = d->window_cursor;
    d->streak = d->cursor ? 1 : SOTTO__DRAFT_MOST; /* a window's unfinished end is heard again: the place may be off */
    return SOTTO_OK;
}

/* Text tokens, at most AGREE_MOST, that a[0 … i) and b[0 … j) have in common at their ends. */
static size_t agreeing(const sotto__drafter *d, const int32_t *a, size_t i, const int32_t *b, size_t j)
{
    size_t n = 0;
    while (n < AGREE_MOST) {
        while (i && is_timestamp(d, a[i - 1])) i--;
        while (j && is_timestamp(d, b[j - 1])) j--;
        if (!i || !j || a[i - 1] != b[j - 1]) break;
        i--;
        j--;
        n++;
    }
    return n;
}

/* The token seen last is not the draft's next. Goes to the place of the draft where the last tokens agree best, the
 * nearest of equals; where there is none, takes the one token as replaced by the other, and believes that half as
 * much. */
static void realign(sotto__drafter *d)
{
    const size_t low = d->cursor > REACH ? d->cursor - REACH : 0;
    const size_t high = d->n_draft - d->cursor > REACH ? d->cursor + REACH : d->n_draft;
    size_t best = 0, best_distance = 0, to = 0;
    for (size_t i = low; i < high; i++) {
        const size_t at = i + 1, distance = at > d->cursor ? at - d->cursor : d->cursor - at;
        size_t n;
        if (d->draft[i] != d->seen.data[d->seen.len - 1]) continue;
        n = agreeing(d, d->draft, at, d->seen.data, d->seen.len);
        if (n < AGREE_FAR && !(at > d->cursor && distance <= NEAR)) continue;
        if (n < best || (n == best && distance >= best_distance)) continue;
        best = n;
        best_distance = distance;
        to = at;
    }
    if (best) {
        d->cursor = to;
        d->streak = best;
    } else {
        d->cursor += d->cursor < d->n_draft;
        d->streak = (d->streak < SOTTO__DRAFT_MOST ? d->streak : SOTTO__DRAFT_MOST) / 2;
    }
}

static void pass_timestamps(sotto__drafter *d)
{
    while (d->cursor < d->n_draft && is_timestamp(d, d->draft[d->cursor])) d->cursor++;
}

void sotto__drafter_take(sotto__drafter *d, int32_t token)
{
    d->seen.data[d->seen.len++] = token; /* begin made the room */
    if (is_timestamp(d, token)) {
        d->cursor += d->cursor < d->n_draft && is_timestamp(d, d->draft[d->cursor]);
        return;
    }
    pass_timestamps(d);
    if (d->cursor < d->n_draft && d->draft[d->cursor] == token) {
        d->cursor++;
        d->streak++;
    } else {
        realign(d);
    }
}

/* What followed the longest and latest earlier occurrence of the text seen last: as many tokens as agree. */
static const int32_t *look_up(const sotto__drafter *d, size_t *n)
{
    const int32_t *seen = d->seen.data;
    const size_t len = d->seen.len;
    size_t best = 0, from = 0;
    if (!len || is_timestamp(d, seen[len - 1])) return NULL;
    for (size_t at = len - 1; at > 0; at--) {
        size_t agree;
        if (seen[at - 1] != seen[len - 1]) continue;
        agree = agreeing(d, seen, at, seen, len);
        if (agree < AGREE_FAR || agree <= best) continue;
        best = agree;
        from = at;
    }
    if (!best) return NULL;
    *n = best < len - from ? best : len - from;
    return seen + from;
}

const int32_t *sotto__drafter_propose(sotto__drafter *d, size_t most, size_t *n)
{
    const int32_t *tokens;
    bool timestamps = d->timestamps;
    if (!timestamps) pass_timestamps(d);
    tokens = d->n_draft ? d->draft + d->cursor : NULL;
    *n = d->streak < d->n_draft - d->cursor ? d->streak : d->n_draft - d->cursor;
    if (!*n && d->lookup && (tokens = look_up(d, n))) timestamps = false; /* times do not come again */
    if (*n > most) *n = most;
    for (size_t i = 0; i < *n; i++)
        if (tokens[i] >= d->eot && !(timestamps && is_timestamp(d, tokens[i]))) *n = i;
    return tokens;
}
