/* SPDX-License-Identifier: MIT
 * sotto devices: the microphones as a table or JSON; and which of them a name or number means. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "mic.h"

typedef struct devices_options {
    bool json;
} devices_options;

static const option table[] = {OPTION_SECTION("Output") OPTION_ENTRY(devices_options, FLAG, json, "json", 0, "false", 0,
                                                                     0, NULL, "print a JSON array")};

/* ---- picking -------------------------------------------------------------------------------------------------- */

/* The sentence with the devices for which `is_in` holds: `0 "HDA Intel", 3 "pulse"`. */
static sotto_status fail_with_list(const mic_device *devices, size_t n, const bool *is_in, sotto_status code,
                                   const char *sentence, sotto_error *err)
{
    char names[300] = "";
    for (size_t i = 0; i < n; i++) {
        size_t used = strlen(names);
        if (is_in && !is_in[i]) continue;
        if (used > 220) {
            snprintf(names + used, sizeof names - used, ", …");
            break;
        }
        snprintf(names + used, sizeof names - used, "%s%d \"%.60s\"", used ? ", " : "", devices[i].index,
                 devices[i].name);
    }
    return options_fail(err, code, "%s %s", sentence, *names ? names : "none");
}

sotto_status mic_pick(const mic_device *devices, size_t n, const char *wanted, size_t *out, sotto_error *err)
{
    bool is_default = !wanted || !*wanted;
    char sentence[160];
    size_t hits = 0;
    int64_t number = -1;
    if (n == 0) return options_fail(err, SOTTO_ENOTFOUND, "there is no microphone");
    bool *is_hit = calloc(n, sizeof *is_hit);
    if (!is_hit) return options_fail(err, SOTTO_ENOMEM, "out of memory: list of devices");
    bool is_number =
        !is_default && strspn(wanted, "0123456789") == strlen(wanted) && options_parse_int(wanted, &number);
    /* a name that is exactly the one asked for wins over names that contain it */
    for (int exact = 1; exact >= 0 && hits == 0; exact--)
        for (size_t i = 0; i < n; i++) {
            const mic_device *d = &devices[i];
            is_hit[i] = is_default  ? d->is_default
                        : is_number ? d->index == number
                        : exact     ? strcasecmp(d->name, wanted) == 0
                                    : strcasestr(d->name, wanted) != NULL;
            if (is_hit[i] && hits++ == 0) *out = i;
        }
    sotto_status st = SOTTO_OK;
    if (hits == 0 && is_default) {
        st = fail_with_list(devices, n, NULL, SOTTO_ENOTFOUND,
                            "no microphone is the default; choose with --device:", err);
    } else if (hits == 0) {
        snprintf(sentence, sizeof sentence, "there is no microphone %s%.100s%s; there are:", is_number ? "" : "\"",
                 wanted, is_number ? "" : "\"");
        st = fail_with_list(devices, n, NULL, SOTTO_ENOTFOUND, sentence, err);
    } else if (hits > 1) {
        snprintf(sentence, sizeof sentence, "\"%.100s\" is in the names of several microphones:", wanted);
        st = fail_with_list(devices, n, is_hit, SOTTO_EINVAL, sentence, err);
    }
    free(is_hit);
    return st;
}

/* ---- command -------------------------------------------------------------------------------------------------- */

static void print_row(const mic_device *d)
{
    printf("%c %5d  %-44.44s  %-10.10s  %8d  %7.0f\n", d->is_default ? '*' : ' ', d->index, d->name, d->host,
           d->channels, d->rate);
}

static json_t *json_row(const mic_device *d)
{
    json_t *name = json_string(d->name);
    return json_pack("{s:i, s:o, s:s, s:i, s:f, s:b}", "index", d->index, "name", name ? name : json_string(""),
                     "host_api", d->host, "max_input_channels", d->channels, "default_sample_rate", d->rate, "default",
                     d->is_default);
}

int command_devices(int argc, char **argv)
{
    devices_options o;
    options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &o}};
    options_program program = {.name = "sotto devices",
                               .usage = "[OPTION]…",
                               .about = "Lists the inputs that can be recorded from; * marks the default.",
                               .groups = groups,
                               .n_groups = 1};
    mic_device *devices;
    size_t n;
    sotto_error err;
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    options_free(&program);

    if (mic_list(&devices, &n, &err) != SOTTO_OK) {
        fprintf(stderr, "sotto devices: %s\n", err.message);
        return EXIT_SOME_FAILED;
    }
    if (o.json) {
        json_t *array = json_array();
        for (size_t i = 0; i < n; i++) json_array_append_new(array, json_row(&devices[i]));
        json_dumpf(array, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
        putchar('\n');
        json_decref(array);
    } else if (n == 0) {
        puts("No input devices.");
    } else {
        printf("  %5s  %-44s  %-10s  %8s  %7s\n", "index", "name", "host", "channels", "rate");
        for (size_t i = 0; i < n; i++) print_row(&devices[i]);
    }
    free(devices);
    return fflush(stdout) == 0 ? EXIT_FINE : EXIT_SOME_FAILED;
}
