/* SPDX-License-Identifier: MIT */
#include "wakeup.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int wakeup_open(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

void wakeup_send(int fd)
{
    const uint64_t one = 1;
    ssize_t done;
    do done = write(fd, &one, sizeof one); /* EAGAIN: the counter is full, so it is readable anyway */
    while (done < 0 && errno == EINTR);
}

void wakeup_clear(int fd)
{
    uint64_t count;
    ssize_t done;
    do done = read(fd, &count, sizeof count);
    while (done < 0 && errno == EINTR);
}
