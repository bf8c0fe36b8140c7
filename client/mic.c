/* SPDX-License-Identifier: MIT
 * Microphones, through PortAudio: the only file that includes portaudio.h. For now they are listed. */
#include <fcntl.h>
#include <jansson.h>
#include <portaudio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"

typedef struct devices_options {
    bool json;
} devices_options;

static const option table[] = {OPTION_SECTION("Output") OPTION_ENTRY(devices_options, FLAG, json, "json", 0, "false", 0,
                                                                     0, NULL, "print a JSON array")};

/* PortAudio's hosts (ALSA, JACK) write their probing to stderr: it goes to /dev/null meanwhile. */
static PaError initialize_quietly(void)
{
    fflush(stderr);
    int kept = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (kept >= 0 && null >= 0) dup2(null, STDERR_FILENO);
    PaError status = Pa_Initialize();
    if (kept >= 0) dup2(kept, STDERR_FILENO);
    if (kept >= 0) close(kept);
    if (null >= 0) close(null);
    return status;
}

static const char *host_name(const PaDeviceInfo *d)
{
    const PaHostApiInfo *host = Pa_GetHostApiInfo(d->hostApi);
    return host && host->name ? host->name : "?";
}

static void print_row(PaDeviceIndex i, const PaDeviceInfo *d, bool is_default)
{
    printf("%c %5d  %-44.44s  %-10.10s  %8d  %7.0f\n", is_default ? '*' : ' ', i, d->name, host_name(d),
           d->maxInputChannels, d->defaultSampleRate);
}

static json_t *json_row(PaDeviceIndex i, const PaDeviceInfo *d, bool is_default)
{
    json_t *name = json_string(d->name);
    return json_pack("{s:i, s:o, s:s, s:i, s:f, s:b}", "index", (int)i, "name", name ? name : json_string(""),
                     "host_api", host_name(d), "max_input_channels", d->maxInputChannels, "default_sample_rate",
                     d->defaultSampleRate, "default", is_default);
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
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    options_free(&program);

    PaError pa = initialize_quietly();
    if (pa != paNoError) {
        fprintf(stderr, "sotto devices: PortAudio did not start: %s\n", Pa_GetErrorText(pa));
        return EXIT_SOME_FAILED;
    }
    PaDeviceIndex n = Pa_GetDeviceCount(), standard = Pa_GetDefaultInputDevice();
    size_t inputs = 0;
    json_t *array = json_array();
    for (PaDeviceIndex i = 0; i < n; i++) {
        const PaDeviceInfo *d = Pa_GetDeviceInfo(i);
        if (!d || d->maxInputChannels <= 0) continue;
        if (!o.json && inputs == 0)
            printf("  %5s  %-44s  %-10s  %8s  %7s\n", "index", "name", "host", "channels", "rate");
        inputs++;
        if (o.json)
            json_array_append_new(array, json_row(i, d, i == standard));
        else
            print_row(i, d, i == standard);
    }
    if (o.json) {
        json_dumpf(array, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
        putchar('\n');
    } else if (inputs == 0) {
        puts("No input devices.");
    }
    json_decref(array);
    Pa_Terminate();
    return fflush(stdout) == 0 ? EXIT_FINE : EXIT_SOME_FAILED;
}
