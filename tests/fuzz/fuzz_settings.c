/* SPDX-License-Identifier: MIT
 * The settings file: its text, then as the options of a command. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"
#include "toml.h"

/* Commands whose tables are asked which keys there are; all of them are main.c's. */
const client_command client_commands[] = {{"transcribe", command_transcribe, ""}, {"study", command_study, ""}};
const size_t client_command_count = sizeof client_commands / sizeof *client_commands;

static const option table[] = {
#define SECTION OPTION_SECTION
#define OPTION(...) OPTION_ENTRY(client_options, __VA_ARGS__)
#include "options.def"
#undef OPTION
#undef SECTION
};

static void read_text(const uint8_t *data, size_t n)
{
    toml t = {0};
    sotto_error err = {0};
    char *text = malloc(n ? n : 1);
    if (!text) abort();
    if (n) memcpy(text, data, n);
    if (toml_read(&t, text, n, &err) != SOTTO_OK) {
        if (!*err.message) abort();
    } else {
        volatile size_t sum = 0;
        for (size_t i = 0; i < t.n; i++)
            sum += strlen(t.entries[i].table) + strlen(t.entries[i].key) + strlen(t.entries[i].value);
    }
    toml_free(&t);
    free(text);
}

static void home(void)
{
    char path[600];
    snprintf(path, sizeof path, "%s/sotto", fuzz_directory());
    if (mkdir(path, 0700) != 0 || setenv("XDG_CONFIG_HOME", fuzz_directory(), 1) != 0) abort();
    options_read_file(settings_apply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool ready;
    client_options o;
    options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &o}};
    options_program program = {.name = "sotto transcribe", .groups = groups, .n_groups = 1};
    sotto_error err = {0};
    if (!ready) home();
    ready = true;
    read_text(data, n);
    fuzz_file("sotto/config.toml", data, n);
    if (options_read(&program, 1, (char *[]){(char *)(uintptr_t) "sotto", NULL}, &err) != SOTTO_OK && !*err.message)
        abort();
    options_free(&program);
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const char *const texts[] = {
        "# settings\nmodel = \"base\" # which\n[live.screen]\ninterval = 0.5\nloud = true\n"
        "keywords = [\n  \"one\", # first\n  'two',\n]\nname = \"\\u00e9\\t\\\"x\\\"\"\nn = 1_000\n",
        "model = \"base\"\nthreads = 2\nformat = [\"txt\", \"srt\"]\n[transcribe]\nmodel = 'tiny.en'\noutput_dir = "
        "\"/x\"\n"
        "[study.run]\nsets = \"dev\"\n",
        "[transcribe]\nmodle = \"base\"\n",
        "threads = 1000\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) take(texts[i], strlen(texts[i]));
}
