/* SPDX-License-Identifier: MIT
 * The tokenizer's files, then text through what they say. The first byte tells which file. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "token/tokenizer.h"
#include "token/vocab.h"

static const char *const names[] = {"vocabulary.txt", "vocabulary.json", "vocab.json", "tokenizer.json"};
enum { NAMES = sizeof names / sizeof *names };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    sotto__vocab v = {0};
    sotto__tokenizer *t = NULL;
    sotto_error err = {0};
    const char *name;
    if (!n) return 0;
    name = names[data[0] % NAMES];
    fuzz_file(name, data + 1, n - 1);
    if (sotto__vocab_read_dir(&v, fuzz_directory(), &err) != SOTTO_OK) {
        if (!*err.message) abort();
    } else if (sotto__tokenizer_create(&t, &v, v.n, &err) == SOTTO_OK) {
        static const char text[] = " Hello, world \xc3\xa9\xf0\x9f\x8e\xb5 1234";
        sotto__ids ids = {0};
        sotto__str back = {0};
        if (sotto__tokenizer_encode(t, text, sizeof text - 1, &ids, &err) == SOTTO_OK)
            (void)!sotto__tokenizer_decode(t, ids.data, ids.len, &back, &err);
        sotto__ids_free(&ids);
        sotto__str_free(&back);
        sotto__tokenizer_free(t);
    }
    sotto__vocab_free(&v);
    fuzz_remove(name);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char list[] = "\0!\n\"\nhe\nll\n\xc4\xa0the\n<|endoftext|>\n";
    static const char array[] = "\1[\"!\", \"he\", \"\\u0120the\", \"\\ud83d\\ude00\", \"<|endoftext|>\"]";
    static const char object[] = "\2{\"!\": 0, \"he\": 1, \"\\u0120the\": 2}";
    static const char whole[] =
        "\3{\"model\": {\"type\": \"BPE\", \"vocab\": {\"!\": 0, \"he\": 1}, \"merges\": [\"h e\"]},"
        " \"added_tokens\": [{\"id\": 2, \"content\": \"<|endoftext|>\", \"special\": true}]}";
    take(list, sizeof list - 1);
    take(array, sizeof array - 1);
    take(object, sizeof object - 1);
    take(whole, sizeof whole - 1);
}
