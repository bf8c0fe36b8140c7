/* SPDX-License-Identifier: MIT
 * Microphones: which there are, and one that is listened to. mic.c knows PortAudio, nobody else does. */
#ifndef SOTTO_CLIENT_MIC_H
#define SOTTO_CLIENT_MIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sotto.h"

typedef struct mic_device {
    int index;
    char name[256], host[64];
    int channels; /* at most */
    double rate;  /* its own */
    bool is_default;
} mic_device;

/* The devices that can be recorded from; *out is for free(). */
sotto_status mic_list(mic_device **out, size_t *n, sotto_error *err);

/* The one that is meant: by number, by name, or by a part of one name alone, whatever its case; NULL or "": the
 * default. SOTTO_ENOTFOUND or SOTTO_EINVAL (several have it) with the candidates in the sentence. */
sotto_status mic_pick(const mic_device *devices, size_t n, const char *wanted, size_t *out, sotto_error *err);

typedef struct mic mic;

/* Opens the device and begins to capture into a ring of 16 s or more. Messages about a device that goes and comes back
 * are handed to `notice`, from the thread that calls mic_read. */
sotto_status mic_open(mic **out, const char *wanted, void (*notice)(const char *text, void *user), void *user,
                      sotto_error *err);
void mic_close(mic *m);

int mic_rate(const mic *m);
const char *mic_name(const mic *m);

/* Up to n samples captured, silence in place of what was lost; 0 when there are none yet. Looks after the device: one
 * that is gone is opened again every second until it is back. One thread; may take a second when the device is gone. */
size_t mic_read(mic *m, float *out, size_t n);

/* No more is captured; what is in the ring can still be read. The reading thread. */
void mic_stop(mic *m);

/* Times that samples were lost, by the sound system or for lack of room here. Any thread. */
uint64_t mic_losses(mic *m);

#endif
