/* SPDX-License-Identifier: MIT
 * A descriptor for poll() that other threads make readable. */
#ifndef SOTTOD_WAKEUP_H
#define SOTTOD_WAKEUP_H

/* -1 with errno when there is none to be had; to be closed. */
int wakeup_open(void);
/* From any thread: readable until it is cleared. */
void wakeup_send(int fd);
/* By who polls, before it looks at what others have done. */
void wakeup_clear(int fd);

#endif
