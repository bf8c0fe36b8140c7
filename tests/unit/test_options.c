/* SPDX-License-Identifier: MIT
 * Options: a table of its own for the engine, the tables of daemon and client for drift, model names. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"

#include "decode_options.h"
#include "models.h"
#include "options.h"

/* One of each kind. */
#define SAMPLE_DEF                                                                                                     \
    SECTION("Sample")                                                                                                  \
    OPTION(FLAG, quiet, "quiet", 'q', "false", 0, 0, NULL, "quiet help")                                               \
    OPTION(FLAG, color, "color", 'c', "true", 0, 0, NULL, "color help")                                                \
    OPTION(INT, count, "test-count", 'n', "16", 1, 100, "N", "count help")                                             \
    OPTION(DOUBLE, rate, "rate", 0, "0.5", -1, 1, "X", "rate help")                                                    \
    OPTION(STRING, title, "title", 0, NULL, 0, 0, "TEXT", "title help")                                                \
    OPTION(LIST, tags, "tags", 't', "a,b", 0, 0, "TAG,…", "tags help")                                                 \
    OPTION(ENUM, level, "level", 0, "info", 0, 0, "error|info|debug", "level help")                                    \
    OPTION(SIZE, body, "max-body", 0, "25M", 1, 1e9, "BYTES", "body help")                                             \
    OPTION(DURATION, wait, "wait", 'w', "10m", 0, 3600, "TIME", "wait help")

typedef struct sample {
#define SECTION(title)
#define OPTION OPTION_FIELD
    SAMPLE_DEF
#undef OPTION
#undef SECTION
} sample;

static const option table[] = {
#define SECTION OPTION_SECTION
#define OPTION(...) OPTION_ENTRY(sample, __VA_ARGS__)
    SAMPLE_DEF
#undef OPTION
#undef SECTION
};

/* A program that reads the sample table; `line` is its command line, split at '|'. */
typedef struct run {
    sample values;
    options_group groups[1];
    options_program program;
    char line[200];
    char *argv[20];
    sotto_status status;
    sotto_error err;
} run;

static run *start(const char *line)
{
    static run r;
    int argc = 0;
    r = (run){.groups = {{.table = table, .n = sizeof table / sizeof *table, .base = &r.values}},
              .program = {.name = "sample", .usage = "", .about = "About.", .n_groups = 1, .takes_arguments = true}};
    r.program.groups = r.groups;
    snprintf(r.line, sizeof r.line, "sample|%s", line);
    for (char *word = r.line; word && *word; argc++) {
        char *bar = strchr(word, '|');
        r.argv[argc] = word;
        if (bar) *bar = '\0';
        word = bar ? bar + 1 : NULL;
    }
    r.status = options_read(&r.program, argc, r.argv, &r.err);
    return &r;
}

static void defaults(void **state)
{
    (void)state;
    run *r = start("");
    assert_int_equal(r->status, SOTTO_OK);
    assert_false(r->values.quiet);
    assert_true(r->values.color);
    assert_int_equal(r->values.count, 16);
    assert_true(r->values.rate == 0.5);
    assert_null(r->values.title);
    assert_int_equal(r->values.tags.n, 2);
    assert_string_equal(r->values.tags.items[1], "b");
    assert_int_equal(r->values.level, 1);
    assert_int_equal(r->values.body, 25 << 20);
    assert_true(r->values.wait == 600);
    assert_int_equal(options_origin(&r->program, "wait"), OPTIONS_FROM_DEFAULT);
    options_free(&r->program);
}

static void every_form(void **state)
{
    (void)state;
    run *r = start("-qn7|one|--rate|-0.25|--title=|--tags|x|-ty,z|--level=DEBUG|--max_body|1.5K|-w250ms|--no-color|-|"
                   "--|--title");
    if (r->status != SOTTO_OK) fail_msg("%s", r->err.message);
    assert_true(r->values.quiet);
    assert_false(r->values.color);
    assert_int_equal(r->values.count, 7);
    assert_true(r->values.rate == -0.25);
    assert_string_equal(r->values.title, "");
    assert_int_equal(r->values.tags.n, 3); /* the default is replaced, the rest adds up */
    assert_string_equal(r->values.tags.items[2], "z");
    assert_int_equal(r->values.level, 2);
    assert_int_equal(r->values.body, 1536);
    assert_true(r->values.wait == 0.25);
    assert_int_equal(r->program.n_arguments, 3);
    assert_string_equal(r->program.arguments[0], "one");
    assert_string_equal(r->program.arguments[1], "-");
    assert_string_equal(r->program.arguments[2], "--title");
    assert_int_equal(options_origin(&r->program, "level"), OPTIONS_FROM_COMMAND_LINE);
    options_free(&r->program);
}

static void bad_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"--tittle|x", "unknown option --tittle; did you mean --title?"},
        {"--test", "unknown option --test; did you mean --test-count?"},
        {"--zzzzzzz", "unknown option --zzzzzzz"},
        {"--no-title", "unknown option --no-title"},
        {"-x", "unknown option -x in -x"},
        {"--title", "--title needs a value: TEXT"},
        {"--title|--quiet", "--title needs a value, but --quiet follows; write --title=--quiet if that is the value"},
        {"-n", "-n (--test-count) needs a value: N"},
        {"--test-count=", "--test-count is \"\", but should be a whole number"},
        {"--test-count=7x", "--test-count is \"7x\", but should be a whole number"},
        {"--test-count= 7", "--test-count is \" 7\", but should be a whole number"},
        {"--test-count=0", "--test-count is 0, which is outside 1 to 100"},
        {"--test-count=101", "--test-count is 101, which is outside 1 to 100"},
        {"--test-count=99999999999999999999", "--test-count is \"99999999999999999999\", but should be a whole number"},
        {"--rate=nan", "--rate is \"nan\", but should be a number"},
        {"--rate=0x1", "--rate is \"0x1\", but should be a number"},
        {"--rate=1e999", "--rate is \"1e999\", but should be a number"},
        {"--rate=1.01", "--rate is 1.01, which is outside -1 to 1"},
        {"--rate=-1.01", "--rate is -1.01, which is outside -1 to 1"},
        {"--level=loud", "--level is \"loud\", but should be error|info|debug"},
        {"--level=err", "--level is \"err\", but should be error|info|debug"},
        {"--tags=a,,b", "--tags has an empty item in its list"},
        {"--max-body=5X", "--max-body is \"5X\", but should be a size in bytes, such as 500K, 25M or 1G"},
        {"--max-body=2G", "--max-body is 2G, which is outside 1 to 1000000000 bytes"},
        {"--max-body=-1", "--max-body is \"-1\", but should be a size in bytes, such as 500K, 25M or 1G"},
        {"--wait=5d", "--wait is \"5d\", but should be a time, such as 250ms, 30s, 10m or 1h"},
        {"--wait=2h", "--wait is 2h, which is outside 0 to 3600 seconds"},
        {"--quiet=maybe", "--quiet is \"maybe\", but should be yes or no"},
        {"--no-quiet=yes", "--no-quiet takes no value, but was given \"yes\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run *r = start(cases[i].line);
        if (r->status == SOTTO_OK) fail_msg("accepted: %s", cases[i].line);
        assert_string_equal(r->err.message, cases[i].message);
        options_free(&r->program);
    }
}

static void arguments_only_where_taken(void **state)
{
    (void)state;
    sample values;
    options_group group = {.table = table, .n = sizeof table / sizeof *table, .base = &values};
    options_program program = {.name = "sample", .groups = &group, .n_groups = 1};
    sotto_error err;
    assert_int_equal(options_read(&program, 2, (char *[]){(char[]){"sample"}, (char[]){"file"}}, &err), SOTTO_EINVAL);
    assert_string_equal(err.message, "sample takes no arguments, but was given \"file\"");
    options_free(&program);
}

static void environment(void **state)
{
    (void)state;
    setenv("SOTTO_TEST_COUNT", "9", 1);
    setenv("SOTTO_TAGS", "p,q,r", 1);
    run *r = start("");
    assert_int_equal(r->values.count, 9);
    assert_int_equal(r->values.tags.n, 3);
    assert_int_equal(options_origin(&r->program, "test-count"), OPTIONS_FROM_ENVIRONMENT);
    options_free(&r->program);
    r = start("--test-count=8|--tags=s");
    assert_int_equal(r->values.count, 8);
    assert_int_equal(r->values.tags.n, 1);
    options_free(&r->program);
    setenv("SOTTO_TEST_COUNT", "many", 1);
    r = start("");
    assert_string_equal(r->err.message, "SOTTO_TEST_COUNT is \"many\", but should be a whole number");
    options_free(&r->program);
    r = start("--help");
    assert_int_equal(r->status, SOTTO_OK);
    assert_true(r->program.help);
    options_free(&r->program);
    unsetenv("SOTTO_TEST_COUNT");
    unsetenv("SOTTO_TAGS");
}

static void weaker_origins_lose(void **state)
{
    (void)state;
    run *r = start("--test-count=8");
    assert_int_equal(options_set(&r->program, OPTIONS_FROM_FILE, "test-count", "5", &r->err), SOTTO_OK);
    assert_int_equal(r->values.count, 8);
    assert_int_equal(options_set(&r->program, OPTIONS_FROM_FILE, "rate", "0.75", &r->err), SOTTO_OK);
    assert_true(r->values.rate == 0.75);
    assert_int_equal(options_set(&r->program, OPTIONS_FROM_FILE, "rat", "0", &r->err), SOTTO_ENOTFOUND);
    options_free(&r->program);
}

/* ---- help ----------------------------------------------------------------------------------------------------- */

static char *help_of(const options_program *program)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    assert_non_null(to);
    options_print_help(program, to);
    fclose(to);
    return text;
}

static void check_help(const options_program *program)
{
    char *help = help_of(program);
    for (size_t g = 0; g < program->n_groups; g++)
        for (size_t i = 0; i < program->groups[g].n; i++) {
            const option *o = &program->groups[g].table[i];
            char name[80], first[12];
            if (o->kind == OPTION_IS_SECTION) continue;
            bool on = o->kind == OPTION_IS_FLAG && strcmp(o->default_text, "true") == 0;
            snprintf(name, sizeof name, "--%s%s", on ? "no-" : "", o->name);
            snprintf(first, sizeof first, "%s", o->help);
            if (!strstr(help, name)) fail_msg("--help lacks %s", name);
            if (!strstr(help, first)) fail_msg("--help lacks what %s is for", name);
        }
    for (const char *line = help; *line; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > 110) fail_msg("--help has a line that is too long: %.60s…", line);
    free(help);
}

static void help_names_every_option(void **state)
{
    (void)state;
    run *r = start("");
    check_help(&r->program);
    options_free(&r->program);
    decode_request request;
    options_group group = {.table = decode_option_table, .n = DECODE_OPTION_COUNT + 1, .base = &request};
    check_help(&(options_program){.name = "x", .usage = "", .about = "", .groups = &group, .n_groups = 1});
}

/* The real tables, read as the programs read them: every default passes its own check, no letter or name is twice. */
typedef struct client_table {
#define SECTION(title)
#define OPTION OPTION_FIELD
#include "../../client/options.def"
#undef OPTION
#undef SECTION
} client_table;

typedef struct live_table {
#define SECTION(title)
#define OPTION OPTION_FIELD
#include "../../client/live_options.def"
#undef OPTION
#undef SECTION
} live_table;

typedef struct server_table {
#define SECTION(title)
#define OPTION OPTION_FIELD
#include "../../server/options.def"
#undef OPTION
#undef SECTION
} server_table;

static void tables_of_the_programs(void **state)
{
    (void)state;
    static const option client[] = {
#define SECTION OPTION_SECTION
#define OPTION(...) OPTION_ENTRY(client_table, __VA_ARGS__)
#include "../../client/options.def"
#undef OPTION
#undef SECTION
    };
    static const option server[] = {
#define SECTION OPTION_SECTION
#define OPTION(...) OPTION_ENTRY(server_table, __VA_ARGS__)
#include "../../server/options.def"
#undef OPTION
#undef SECTION
    };
    static const option live[] = {
#define SECTION OPTION_SECTION
#define OPTION(...) OPTION_ENTRY(live_table, __VA_ARGS__)
#include "../../client/live_options.def"
#undef OPTION
#undef SECTION
    };
    client_table client_values;
    live_table live_values;
    server_table server_values;
    decode_request request;
    options_group groups[] = {
        {.table = client, .n = sizeof client / sizeof *client, .base = &client_values},
        {.table = decode_option_table, .n = DECODE_OPTION_COUNT + 1, .base = &request},
        {.table = server, .n = sizeof server / sizeof *server, .base = &server_values},
        {.table = live, .n = sizeof live / sizeof *live, .base = &live_values},
    };
    options_program programs[] = {
        {.name = "sotto", .usage = "", .about = "", .groups = groups, .n_groups = 2},
        {.name = "sottod", .usage = "", .about = "", .groups = groups + 2, .n_groups = 1},
        {.name = "sotto live", .usage = "", .about = "", .groups = groups + 3, .n_groups = 1},
    };
    decode_request_default(&request);
    for (size_t p = 0; p < 3; p++) {
        sotto_error err;
        const char *seen[100];
        char letters[100];
        size_t n = 0;
        if (options_read(&programs[p], 1, (char *[]){(char[]){"x"}}, &err) != SOTTO_OK) fail_msg("%s", err.message);
        check_help(&programs[p]);
        for (size_t g = 0; g < programs[p].n_groups; g++)
            for (size_t i = 0; i < programs[p].groups[g].n; i++) {
                const option *o = &programs[p].groups[g].table[i];
                if (o->kind == OPTION_IS_SECTION) continue;
                for (size_t k = 0; k < n; k++)
                    if (strcmp(seen[k], o->name) == 0 || (o->letter && letters[k] == o->letter))
                        fail_msg("%s: --%s or its letter is there twice", programs[p].name, o->name);
                assert_true(n < 100);
                seen[n] = o->name;
                letters[n++] = o->letter;
            }
        options_free(&programs[p]);
    }
}

/* ---- decoding options ----------------------------------------------------------------------------------------- */

/* The default that the table documents is the library's. */
static void decode_defaults_do_not_drift(void **state)
{
    (void)state;
    sotto_options library;
    sotto_options_default(&library);
    for (size_t i = 0; i < DECODE_OPTION_COUNT; i++) {
        const decode_option *o = &decode_options[i];
        sotto_options set = library;
        sotto_error err;
        void *field = (char *)&set + o->offset, *expected = (char *)&library + o->offset;
        memset(field, 0x55, o->kind == DECODE_IS_BOOL ? 1 : o->kind == DECODE_IS_INT ? 4 : 8);
        if (decode_option_apply(o, &set, o->form, o->default_text, &err) != SOTTO_OK) fail_msg("%s", err.message);
        bool same =
            o->kind == DECODE_IS_BOOL  ? *(bool *)field == *(bool *)expected
            : o->kind == DECODE_IS_INT ? *(int32_t *)field == *(int32_t *)expected
            : o->kind == DECODE_IS_REAL || o->kind == DECODE_IS_OPTIONAL
                ? *(double *)field == *(double *)expected || (isnan(*(double *)field) && isnan(*(double *)expected))
                : memcmp(field, expected, 8) == 0;
        if (!same) fail_msg("%s: the table says \"%s\", sotto_options_default() differs", o->form, o->default_text);
    }
}

/* One rule for the daemon and for the client's own engine. */
static void own_temperature_has_no_fallback(void **state)
{
    (void)state;
    static const struct {
        double temperature, increment;
        bool given;
        double settled;
    } cases[] = {
        {0, 0.2, false, 0.2}, {0, 0.1, true, 0.1}, {0.4, 0.2, false, 0}, {1, 0.2, false, 0}, {0.4, 0.1, true, 0.1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_options options;
        sotto_options_default(&options);
        options.temperature = cases[i].temperature;
        options.temperature_increment = cases[i].increment;
        decode_options_settle(&options, cases[i].given);
        assert_true(options.temperature == cases[i].temperature);
        assert_true(options.temperature_increment == cases[i].settled);
    }
}

static void decode_options_by_form_name(void **state)
{
    (void)state;
    sotto_options o;
    sotto_error err;
    sotto_options_default(&o);
    assert_int_equal(decode_option_set(&o, "beam_size", "4", &err), SOTTO_OK);
    assert_int_equal(o.beam_size, 4);
    assert_int_equal(decode_option_set(&o, "language", "German", &err), SOTTO_OK);
    assert_string_equal(o.language, "German");
    assert_int_equal(decode_option_set(&o, "language", "", &err), SOTTO_OK);
    assert_null(o.language);
    assert_int_equal(decode_option_set(&o, "logprob_threshold", "none", &err), SOTTO_OK);
    assert_true(isnan(o.logprob_threshold));
    assert_int_equal(decode_option_set(&o, "seed", "18446744073709551615", &err), SOTTO_OK);
    assert_true(o.seed == UINT64_MAX);
    assert_int_equal(decode_option_set(&o, "condition_on_previous_text", "False", &err), SOTTO_OK);
    assert_false(o.condition_on_previous_text);

    static const struct {
        const char *form, *value, *message;
    } bad[] = {
        {"beam_size", "0", "beam_size is 0, which is outside 1 to 32"},
        {"beam_size", "5.0", "beam_size is \"5.0\", but should be a whole number"},
        {"temperature", "1.5", "temperature is 1.5, which is outside 0 to 1"},
        {"temperature", "none", "temperature is \"none\", but should be a number"},
        {"temperature", "nan", "temperature is \"nan\", but should be a number"},
        {"no_speech_threshold", "x", "no_speech_threshold is \"x\", but should be a number or \"none\""},
        {"seed", "-1", "seed is \"-1\", but should be a whole number from 0 to 18446744073709551615"},
        {"word_timestamps", "2", "word_timestamps is \"2\", but should be true or false"},
        {"language", "klingon",
         "language is \"klingon\", but should be a language of Whisper's, as code (\"en\") or "
         "English name (\"english\")"},
        {"beam-size", "3", "there is no decoding option \"beam-size\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_not_equal(decode_option_set(&o, bad[i].form, bad[i].value, &err), SOTTO_OK);
        assert_string_equal(err.message, bad[i].message);
    }
    assert_int_equal(o.beam_size, 4);
}

/* ---- models --------------------------------------------------------------------------------------------------- */

static void model_names(void **state)
{
    (void)state;
    assert_true(models_is_plain_name("large-v3_turbo.en"));
    assert_false(models_is_plain_name(""));
    assert_false(models_is_plain_name(".."));
    assert_false(models_is_plain_name(".hidden"));
    assert_false(models_is_plain_name("a/b"));
    assert_false(models_is_plain_name("a\nb"));
}

static void models_are_found_in_order(void **state)
{
    (void)state;
    char root[] = "/tmp/sotto-models-XXXXXX", first[80], second[80], *path = NULL;
    sotto_error err;
    assert_non_null(mkdtemp(root));
    snprintf(first, sizeof first, "%s/zz-test", root);
    snprintf(second, sizeof second, "%s/sotto", root);
    setenv("SOTTO_MODELS", root, 1);
    setenv("XDG_CACHE_HOME", root, 1);

    assert_int_equal(models_resolve("zz-test", &path, &err), SOTTO_ENOTFOUND);
    assert_null(path);
    assert_non_null(strstr(err.message, root));
    assert_non_null(strstr(err.message, second));
    assert_non_null(strstr(err.message, "models/fetch zz-test"));

    assert_int_equal(mkdir(second, 0700), 0);
    char cached[100];
    snprintf(cached, sizeof cached, "%s/zz-test", second);
    assert_int_equal(mkdir(cached, 0700), 0);
    assert_int_equal(models_resolve("zz-test", &path, &err), SOTTO_OK);
    assert_string_equal(path, cached);
    free(path);

    assert_int_equal(mkdir(first, 0700), 0);
    assert_int_equal(models_resolve("zz-test", &path, &err), SOTTO_OK);
    assert_string_equal(path, first);
    free(path);
    assert_int_equal(models_resolve(cached, &path, &err), SOTTO_OK);
    assert_string_equal(path, cached);
    free(path);
    assert_int_equal(models_resolve("no/such/model", &path, &err), SOTTO_ENOTFOUND);
    assert_string_equal(err.message, "there is no model at no/such/model");
    assert_int_equal(models_resolve("", &path, &err), SOTTO_EINVAL);

    rmdir(cached);
    rmdir(first);
    rmdir(second);
    rmdir(root);
    unsetenv("SOTTO_MODELS");
    unsetenv("XDG_CACHE_HOME");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(every_form),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(arguments_only_where_taken),
        cmocka_unit_test(environment),
        cmocka_unit_test(weaker_origins_lose),
        cmocka_unit_test(help_names_every_option),
        cmocka_unit_test(tables_of_the_programs),
        cmocka_unit_test(decode_defaults_do_not_drift),
        cmocka_unit_test(own_temperature_has_no_fallback),
        cmocka_unit_test(decode_options_by_form_name),
        cmocka_unit_test(model_names),
        cmocka_unit_test(models_are_found_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
