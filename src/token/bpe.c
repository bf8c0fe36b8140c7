/* SPDX-License-Identifier: MIT
 * Text -> pieces (GPT-2's pattern) -> merged byte pairs -> ids. Mirrors tiktoken's CoreBPE::encode_ordinary. */
#include "token/bpe.h"

#include "base/error.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

static const char *token_bytes(const sotto__vocab *v, size_t id, size_t *n)
{
    const size_t begin = id ? v->ends[id - 1] : 0;
    *n = v->ends[id] - begin;
    return v->bytes + begin;
}

/* FNV-1a, folded so that the low bits used for the slot depend on all of it. */
static size_t hash_bytes(const char *bytes, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

/* Slot that holds these bytes, or the empty one where they would go. */
static size_t slot_of(const sotto__bpe *b, const char *bytes, size_t n)
{
    size_t slot = hash_bytes(bytes, n) & b->mask;
    while (b->slots[slot] >= 0) {
        size_t len;
        const char *token = token_bytes(b->vocab, (size_t)b->slots[slot], &len);
        if (len == n && !memcmp(token, bytes, n)) break;
        slot = (slot + 1) & b->mask;
    }
    return slot;
}

int32_t sotto__bpe_find(const sotto__bpe *b, const char *bytes, size_t n)
{
    if (!n || n > b->longest) return -1;
    return b->slots[slot_of(b, bytes, n)];
}

sotto_status sotto__bpe_init(sotto__bpe *b, const sotto__vocab *vocab, size_t n_ordinary, sotto_error *err)
{
    size_t slots = 1024, bytes;
    *b = (sotto__bpe){.vocab = vocab};
    if (n_ordinary > vocab->n || n_ordinary > INT32_MAX / 4)
        return sotto__fail(err, SOTTO_EFORMAT, "vocabulary has %zu tokens, expected at least %zu", vocab->n,
                           n_ordinary);
    while (slots < 2 * n_ordinary) slots *= 2;
    if (!sotto__mul(slots, sizeof *b->slots, &bytes) || !(b->slots = malloc(bytes)))
        return sotto__fail_nomem(err, "index of the vocabulary");
    memset(b->slots, 0xFF, bytes);
    b->mask = slots - 1;
    for (size_t id = 0; id < n_ordinary; id++) {
        size_t n, slot;
        const char *token = token_bytes(vocab, id, &n);
        if (!n) continue;
        slot = slot_of(b, token, n);
        if (b->slots[slot] < 0) b->slots[slot] = (int32_t)id;
        if (n > b->longest) b->longest = n;
    }
    for (int i = 0; i < 256; i++) {
        const char byte = (char)(unsigned char)i;
        b->byte[i] = sotto__bpe_find(b, &byte, 1);
        if (b->byte[i] < 0) {
            sotto__bpe_free(b);
            return sotto__fail(err, SOTTO_EFORMAT, "vocabulary has no token for the single byte 0x%02X", (unsigned)i);
        }
    }
    return SOTTO_OK;
}

void sotto__bpe_free(sotto__bpe *b)
{
    free(b->slots);
    *b = (sotto__bpe){0};
}

/* ---- byte-pair merging ------------------------------------------------------------------------------------------ */

/* A part of the piece being merged; parts are named by the offset of their first byte. len = 0: merged away. */
typedef struct part {
    uint32_t len, prev, next;
    int32_t id;
} part;

/* A pair that may be merged: key orders by rank, then from left to right. */
typedef struct pair {
    uint64_t key; /* rank << 32 | offset of the left part */
    uint32_t len; /* bytes of both: tells whether the parts are still those that were meant */
} pair;

typedef struct scratch {
    part *parts;
    pair *heap;
    size_t parts_cap, heap_cap, heap_len;
} scratch;

static bool heap_push(scratch *s, pair p)
{
    size_t at = s->heap_len;
    if (!sotto__grow(&s->heap, &s->heap_cap, at + 1, sizeof *s->heap)) return false;
    s->heap_len++;
    while (at && s->heap[(at - 1) / 2].key > p.key) {
        s->heap[at] = s->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s->heap[at] = p;
    return true;
}

static pair heap_pop(scratch *s)
{
    const pair top = s->heap[0], last = s->heap[--s->heap_len];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= s->heap_len) break;
        if (child + 1 < s->heap_len && s->heap[child + 1].key < s->heap[child].key) child++;
        if (s->heap[child].key >= last.key) break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return top;
}

/* Queues the pair that starts at offset `left`, if there is one and it is a token. */
static bool queue_pair(const sotto__bpe *b, scratch *s, const char *piece, size_t n, uint32_t left)
{
    const part *l = &s->parts[left];
    size_t len;
    int32_t rank;
    if (l->next >= n) return true;
    len = (size_t)l->len + s->parts[l->next].len;
    rank = sotto__bpe_find(b, piece + left, len);
    if (rank < 0) return true;
    return heap_push(s, (pair){(uint64_t)rank << 32 | left, (uint32_t)len});
}

/* Always merges the pair of lowest rank, the leftmost of equals, until none is a token. */
static bool merge_piece(const sotto__bpe *b, scratch *s, const char *piece, size_t n, sotto__ids *out)
{
    if (!sotto__grow(&s->parts, &s->parts_cap, n, sizeof *s->parts)) return false;
    for (uint32_t i = 0; i < n; i++)
        s->parts[i] = (part){1, i ? i - 1 : UINT32_MAX, i + 1, b->byte[(unsigned char)piece[i]]};
    s->heap_len = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        if (!queue_pair(b, s, piece, n, i)) return false;
    while (s->heap_len) {
        const pair best = heap_pop(s);
        const uint32_t left = (uint32_t)best.key;
        part *l = &s->parts[left];
        if (!l->len || l->next >= n || l->len + s->parts[l->next].len != best.len) continue; /* out of date */
        s->parts[l->next].len = 0;
        l->next = s->parts[l->next].next;
        l->len = best.len;
        l->id = (int32_t)(best.key >> 32);
        if (l->next < n) s->parts[l->next].prev = left;
        if (l->prev != UINT32_MAX && !queue_pair(b, s, piece, n, l->prev)) return false;
        if (!queue_pair(b, s, piece, n, left)) return false;
    }
    for (size_t i = 0; i < n; i = s->parts[i].next)
        if (!sotto__ids_push(out, s->parts[i].id)) return false;
    return true;
}

/* ---- splitting into pieces -------------------------------------------------------------------------------------- */

/* Bytes of the run of characters of class `c` from `at` on. */
static size_t run_of(const char *text, size_t len, size_t at, sotto__char_class c)
{
    const size_t begin = at;
    while (at < len) {
        int32_t cp;
        const size_t took = sotto__utf8_next(text + at, len - at, &cp, NULL);
        if (sotto__char_class_of(cp) != c) break;
        at += took;
    }
    return at - begin;
}

/* Bytes of the next piece of text[at, len):
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t next_piece(const char *text, size_t len, size_t at)
{
    static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    const size_t space = text[at] == ' ' && at + 1 < len ? 1 : 0;
    sotto__char_class c;
    int32_t cp;
    size_t run, last = 0;

    if (text[at] == '\'')
        for (size_t i = 0; i < sizeof contractions / sizeof contractions[0]; i++) {
            const size_t n = strlen(contractions[i]);
            if (n <= len - at && !memcmp(text + at, contractions[i], n)) return n;
        }
    sotto__utf8_next(text + at + space, len - at - space, &cp, NULL);
    c = sotto__char_class_of(cp);
    if (c != SOTTO__CHAR_SPACE) return space + run_of(text, len, at + space, c);

    /* White space up to the end is one piece; before anything else its last character is left for what follows, and
     * stands alone when it is the only one. */
    run = run_of(text, len, at, SOTTO__CHAR_SPACE);
    if (at + run == len) return run;
    for (size_t i = at; i < at + run;) {
        last = sotto__utf8_next(text + i, at + run - i, &cp, NULL);
        i += last;
    }
    return run == last ? run : run - last;
}

sotto_status sotto__bpe_encode(const sotto__bpe *b, const char *text, size_t len, sotto__ids *out, sotto_error *err)
{
    scratch s = {0};
    bool ok = true;
    if (len > INT32_MAX)
        return sotto__fail(err, SOTTO_ELIMIT, "text to encode has %zu bytes, expected at most %d", len, INT32_MAX);
    for (size_t at = 0; ok && at < len;) {
        const size_t n = next_piece(text, len, at);
        const int32_t whole = sotto__bpe_find(b, text + at, n);
        ok = whole >= 0 ? sotto__ids_push(out, whole) : merge_piece(b, &s, text + at, n, out);
        at += n;
    }
    free(s.parts);
    free(s.heap);
    return ok ? SOTTO_OK : sotto__fail_nomem(err, "token ids of a text");
}
