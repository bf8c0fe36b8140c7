/* SPDX-License-Identifier: MIT
 * Checkpoints of an interrupted transcription, and what is written of those that are taken: it is read back the same.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "text/checkpoint.h"
#include "text/transcript.h"

enum { FRAMES = 6000 };

static const sotto_model_info info = {.parameters = 37760256, .precision = SOTTO_PRECISION_INT8, .n_vocab = 51864};

static sotto__checkpoint place(size_t n_parts)
{
    return (sotto__checkpoint){.info = &info, .frames = FRAMES, .n_parts = n_parts, .language = "en"};
}

static void read_both(const char *lines, size_t n_parts)
{
    sotto__transcript *t, *again;
    sotto__checkpoint c = place(n_parts), d = c;
    sotto__str line = {0};
    sotto_error err = {0};
    size_t n, m;
    if (sotto__transcript_create(&t, NULL) != SOTTO_OK || sotto__transcript_create(&again, NULL) != SOTTO_OK) abort();
    if (sotto__checkpoint_read(&c, lines, t, &err) == SOTTO_OK) {
        const sotto_segment *s = sotto__transcript_segments(t, &n);
        if (!c.next || (n_parts && c.next > n_parts)) abort();
        if (sotto__checkpoint_write(&c, s, n, &line, &err) != SOTTO_OK) abort();
        if (sotto__checkpoint_read(&d, line.data, again, &err) != SOTTO_OK || d.next != c.next) abort();
        const sotto_segment *r = sotto__transcript_segments(again, &m);
        if (m != n) abort();
        for (size_t i = 0; i < n; i++)
            if (strcmp(s[i].text, r[i].text) != 0 || s[i].n_tokens != r[i].n_tokens || s[i].start_s != r[i].start_s ||
                memcmp(s[i].tokens, r[i].tokens, s[i].n_tokens * sizeof *s[i].tokens) != 0)
                abort();
    } else if (!*err.message) {
        abort();
    }
    sotto__str_free(&line);
    sotto__transcript_free(t);
    sotto__transcript_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = fuzz_text(data, n);
    read_both(text, 0);
    read_both(text, 3);
    free(text);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const int32_t tokens[] = {50363, 843, 50413};
    static const float logprobs[] = {-0.5f, -0.25f, -1};
    const sotto_word words[] = {{" And", 0.1, 0.4, 0.9}, {" so", 0.4, 0.75, 0.5}};
    const sotto_segment s[] = {{.start_s = 0.1,
                                .end_s = 1,
                                .text = " And so",
                                .tokens = tokens,
                                .n_tokens = 3,
                                .token_logprobs = logprobs,
                                .words = words,
                                .n_words = 2},
                               {.seek_frames = 100,
                                .start_s = 1,
                                .end_s = 2,
                                .text = " \xC3\xA9\"\\",
                                .tokens = tokens,
                                .n_tokens = 1,
                                .token_logprobs = logprobs}};
    for (size_t parts = 0; parts <= 3; parts += 3) {
        sotto__str lines = {0};
        sotto__checkpoint c = place(parts);
        for (size_t n = 0; n <= 2; n++) {
            c.next = n + 1;
            if (sotto__checkpoint_write(&c, s, n, &lines, NULL) != SOTTO_OK || !sotto__str_puts(&lines, "\n")) abort();
            take(lines.data, lines.len);
        }
        sotto__str_free(&lines);
    }
}
