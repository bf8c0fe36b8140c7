/* SPDX-License-Identifier: MIT
 * Microphones, through PortAudio (mic.h): the only file that includes portaudio.h. PortAudio's thread writes into a
 * ring; all calls to PortAudio come from one thread at a time. */
#include "mic.h"

#include <fcntl.h>
#include <math.h>
#include <portaudio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "ring.h"

enum { CHANNELS_MAX = 2, MIX_FRAMES = 256, RING_SECONDS = 16 };
static const double silent_s = 3, slow_s = 8; /* without a callback the device is gone; the first may take its time */
static const double retry_s = 1;              /* between two attempts to open it again */

struct mic {
    PaStream *stream; /* NULL: the device is gone */
    int channels, rate;
    ring ring;
    atomic_ullong overflows; /* that PortAudio told of */
    atomic_llong called_ns;  /* the last callback, CLOCK_MONOTONIC; before the first: the start */
    atomic_llong first_ns;   /* where the sound of the first callback since the start began; 0: none came yet */
    int kept_stderr;         /* -1, or its descriptor while it is hushed */
    char wanted[256], name[256];
    bool is_stopped;
    double gone_s, tried_s; /* when its sound ended, 0: it has not; last attempt to open it again */
    uint64_t silence;       /* samples handed out since gone_s */
    void (*notice)(const char *text, void *user);
    void *user;
};

/* ---- quiet ---------------------------------------------------------------------------------------------------- */

/* PortAudio and its hosts (ALSA, JACK) write their probing and their troubles to stderr: it goes to /dev/null
 * meanwhile. -1 where that cannot be. */
static int hush(void)
{
    fflush(stderr);
    int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (kept >= 0 && null >= 0) dup2(null, STDERR_FILENO);
    if (null >= 0) close(null);
    return kept;
}

static void unhush(int kept)
{
    if (kept < 0) return;
    dup2(kept, STDERR_FILENO);
    close(kept);
}

static sotto_status fail(sotto_error *err, const char *what, PaError pa)
{
    const PaHostErrorInfo *host = Pa_GetLastHostErrorInfo();
    bool more = pa == paUnanticipatedHostError && host && host->errorText && *host->errorText;
    return options_fail(err, SOTTO_EIO, "%s: %s", what, more ? host->errorText : Pa_GetErrorText(pa));
}

/* ---- listing -------------------------------------------------------------------------------------------------- */

static sotto_status list(mic_device **out, size_t *n, sotto_error *err)
{
    PaDeviceIndex count = Pa_GetDeviceCount(), standard = Pa_GetDefaultInputDevice();
    *n = 0;
    *out = calloc(count > 0 ? (size_t)count : 1, sizeof **out);
    if (!*out) return options_fail(err, SOTTO_ENOMEM, "out of memory: list of devices");
    for (PaDeviceIndex i = 0; i < count; i++) {
        const PaDeviceInfo *d = Pa_GetDeviceInfo(i);
        if (!d || d->maxInputChannels <= 0) continue;
        const PaHostApiInfo *host = Pa_GetHostApiInfo(d->hostApi);
        mic_device *to = &(*out)[(*n)++];
        *to = (mic_device){
            .index = i, .channels = d->maxInputChannels, .rate = d->defaultSampleRate, .is_default = i == standard};
        snprintf(to->name, sizeof to->name, "%s", d->name ? d->name : "");
        snprintf(to->host, sizeof to->host, "%s", host && host->name ? host->name : "?");
    }
    return SOTTO_OK;
}

static sotto_status start(sotto_error *err)
{
    PaError pa = Pa_Initialize();
    return pa == paNoError ? SOTTO_OK : fail(err, "PortAudio did not start", pa);
}

sotto_status mic_list(mic_device **out, size_t *n, sotto_error *err)
{
    *out = NULL;
    *n = 0;
    int kept = hush();
    sotto_status st = start(err);
    if (st == SOTTO_OK) {
        st = list(out, n, err);
        Pa_Terminate();
    }
    unhush(kept);
    return st;
}

/* ---- capturing ------------------------------------------------------------------------------------------------ */

static long long now_ns(void) { return (long long)(now_s() * 1e9); }

/* PortAudio's thread: no lock, no memory, no printing. */
static int on_sound(const void *sound, void *unused, unsigned long frames, const PaStreamCallbackTimeInfo *time,
                    PaStreamCallbackFlags flags, void *user)
{
    mic *m = user;
    const float *x = sound;
    float mono[MIX_FRAMES];
    (void)unused, (void)time;
    long long now = now_ns();
    atomic_store_explicit(&m->called_ns, now, memory_order_relaxed);
    if (atomic_load_explicit(&m->first_ns, memory_order_relaxed) == 0)
        atomic_store(&m->first_ns, now - (long long)frames * 1000000000 / m->rate);
    if (flags & paInputOverflow) atomic_fetch_add_explicit(&m->overflows, 1, memory_order_relaxed);
    while (frames) {
        size_t n = frames < MIX_FRAMES ? frames : MIX_FRAMES;
        for (size_t i = 0; i < n; i++) {
            float sum = 0;
            for (int c = 0; x && c < m->channels; c++) sum += *x++;
            sum /= (float)m->channels;
            mono[i] = isfinite(sum) ? sum : 0;
        }
        ring_write(&m->ring, mono, n);
        frames -= n;
    }
    return paContinue;
}

/* Mono at 16 kHz if the device takes it, else at its own rate, else with two channels. A rate once chosen stays. */
static PaError open_stream(mic *m, const mic_device *d, int rate)
{
    const PaDeviceInfo *info = Pa_GetDeviceInfo(d->index);
    double latency = info && info->defaultHighInputLatency > 0.1 ? info->defaultHighInputLatency : 0.1;
    PaStreamParameters p = {.device = d->index, .sampleFormat = paFloat32, .suggestedLatency = latency};
    const double rates[] = {rate ? rate : 16000, rate ? rate : d->rate};
    PaError pa = paInvalidSampleRate;
    for (int channels = 1; channels <= CHANNELS_MAX && channels <= d->channels; channels++)
        for (size_t i = 0; i < 2; i++) {
            p.channelCount = channels;
            if (rates[i] < 8000 || rates[i] > 192000 || Pa_IsFormatSupported(&p, NULL, rates[i]) != paFormatIsSupported)
                continue;
            m->channels = channels;
            pa = Pa_OpenStream(&m->stream, &p, NULL, rates[i], paFramesPerBufferUnspecified, paClipOff, on_sound, m);
            if (pa != paNoError) continue;
            m->rate = (int)rates[i];
            /* before the callback: the ring has to be there */
            if (!rate) ring_free(&m->ring);
            if (!rate && !ring_init(&m->ring, (size_t)m->rate * RING_SECONDS)) pa = paInsufficientMemory;
            atomic_store(&m->called_ns, now_ns());
            atomic_store(&m->first_ns, 0);
            if (pa == paNoError) pa = Pa_StartStream(m->stream);
            if (pa == paNoError) return pa;
            Pa_CloseStream(m->stream);
            m->stream = NULL;
        }
    m->stream = NULL;
    return pa;
}

/* PortAudio starts anew, as it looks for devices only then. */
static sotto_status connect(mic *m, sotto_error *err)
{
    mic_device *devices = NULL;
    size_t n, at = 0;
    sotto_status st = start(err);
    if (st != SOTTO_OK) return st;
    if ((st = list(&devices, &n, err)) == SOTTO_OK && (st = mic_pick(devices, n, m->wanted, &at, err)) == SOTTO_OK) {
        char what[300];
        PaError pa = open_stream(m, &devices[at], m->rate);
        snprintf(what, sizeof what, "the device \"%s\" cannot be recorded from", devices[at].name);
        if (pa != paNoError) st = fail(err, what, pa);
    }
    if (st == SOTTO_OK) snprintf(m->name, sizeof m->name, "%s", devices[at].name);
    /* numbers change when devices come and go, names do not */
    if (st == SOTTO_OK && *m->wanted) snprintf(m->wanted, sizeof m->wanted, "%s", m->name);
    free(devices);
    if (st != SOTTO_OK) Pa_Terminate();
    return st;
}

static void disconnect(mic *m)
{
    if (!m->stream) return;
    Pa_AbortStream(m->stream);
    Pa_CloseStream(m->stream);
    Pa_Terminate();
    m->stream = NULL;
}

sotto_status mic_open(mic **out, const char *wanted, void (*notice)(const char *text, void *user), void *user,
                      sotto_error *err)
{
    mic *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m) return options_fail(err, SOTTO_ENOMEM, "out of memory: microphone");
    m->notice = notice;
    m->user = user;
    snprintf(m->wanted, sizeof m->wanted, "%s", wanted ? wanted : "");
    m->kept_stderr = hush();
    sotto_status st = connect(m, err);
    if (st == SOTTO_OK)
        *out = m;
    else
        mic_close(m);
    return st;
}

void mic_close(mic *m)
{
    if (!m) return;
    mic_stop(m);
    ring_free(&m->ring);
    free(m);
}

int mic_rate(const mic *m) { return m->rate; }

const char *mic_name(const mic *m) { return m->name; }

/* ---- reading -------------------------------------------------------------------------------------------------- */

static void tell(mic *m, const char *what)
{
    char text[400];
    snprintf(text, sizeof text, "the microphone \"%s\" %s", m->name, what);
    m->notice(text, m->user);
}

/* Notices that the device is gone, and opens it again when it is back. */
static void look_after(mic *m)
{
    double now = now_s(), called = 1e-9 * (double)atomic_load(&m->called_ns);
    double patience = atomic_load(&m->first_ns) ? silent_s : slow_s;
    if (m->stream && (Pa_IsStreamActive(m->stream) != 1 || now - called > patience)) {
        if (m->gone_s <= 0) {
            tell(m, "is gone; captions go on when it is back");
            m->gone_s = called;
            m->silence = 0;
        }
        disconnect(m);
        m->tried_s = now;
    } else if (!m->stream && now - m->tried_s >= retry_s) {
        (void)connect(m, NULL);
        m->tried_s = now_s();
    }
}

/* Silence from the end of the old sound to the beginning of the new, or till now. 0: no more. */
static size_t read_silence(mic *m, float *out, size_t n)
{
    long long first = m->stream ? atomic_load(&m->first_ns) : 0;
    double until = first ? 1e-9 * (double)first : now_s();
    double missing = (until - m->gone_s) * m->rate - (double)m->silence;
    if (missing < 1) {
        if (first) {
            m->gone_s = 0;
            tell(m, "is back");
        }
        return 0;
    }
    if ((double)n > missing) n = (size_t)missing;
    memset(out, 0, n * sizeof *out);
    m->silence += n;
    return n;
}

size_t mic_read(mic *m, float *out, size_t n)
{
    size_t got = 0;
    /* while there is a gap, what the ring has belongs behind it */
    if (m->gone_s <= 0 || m->is_stopped) got = ring_read(&m->ring, out, n);
    if (got || m->is_stopped) return got;
    look_after(m);
    return m->gone_s > 0 ? read_silence(m, out, n) : 0;
}

void mic_stop(mic *m)
{
    disconnect(m);
    unhush(m->kept_stderr);
    m->kept_stderr = -1;
    m->is_stopped = true;
}

uint64_t mic_losses(mic *m) { return atomic_load(&m->overflows) + atomic_load(&m->ring.overruns); }
