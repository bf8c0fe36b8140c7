/* SPDX-License-Identifier: MIT
 * Watching waiting and refused clients (watch.h). */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "options.h"
#include "wakeup.h"

enum { LINGERING = 64, SWEEP_MS = 20, READ_BYTES = 64 << 10, READS_A_TURN = 64 };
static const double LINGER_S = 30, LINGER_IDLE_S = 5;

struct watch {
    pthread_t thread;
    queue *q;
    engine *e;
    int event; /* wakes the thread */
    atomic_bool stop;
    pthread_mutex_t lock; /* of what follows */
    struct lingering {
        int fd;
        double since, last;
    } lingering[LINGERING];
    size_t n;
};

/* False when the peer is through or has had its time. */
static bool drop_bytes(struct lingering *l, double now)
{
    char bytes[READ_BYTES];
    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = recv(l->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
        if (n < 0) break;
        l->last = now;
    }
    return now - l->since < LINGER_S && now - l->last < LINGER_IDLE_S;
}

static void serve_lingering(watch *w)
{
    double now = clock_now_s();
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < w->n;) {
        if (drop_bytes(&w->lingering[i], now)) {
            i++;
            continue;
        }
        close(w->lingering[i].fd);
        w->lingering[i] = w->lingering[--w->n];
    }
    pthread_mutex_unlock(&w->lock);
}

static void *work(void *arg)
{
    watch *w = arg;
    while (!atomic_load(&w->stop)) {
        struct pollfd p[LINGERING + 1] = {{.fd = w->event, .events = POLLIN}};
        size_t n = 1;
        size_t jobs = queue_sweep(w->q, engine_cancel, w->e);
        pthread_mutex_lock(&w->lock);
        for (size_t i = 0; i < w->n; i++) p[n++] = (struct pollfd){.fd = w->lingering[i].fd, .events = POLLIN};
        pthread_mutex_unlock(&w->lock);
        poll(p, n, jobs || n > 1 ? SWEEP_MS : -1);
        if (p[0].revents) wakeup_clear(w->event);
        serve_lingering(w);
    }
    return NULL;
}

sotto_status watch_start(watch **out, queue *q, engine *e, sotto_error *err)
{
    *out = NULL;
    watch *w = calloc(1, sizeof *w);
    if (!w) return options_fail(err, SOTTO_ENOMEM, "out of memory: watch");
    w->q = q;
    w->e = e;
    atomic_init(&w->stop, false);
    w->event = wakeup_open();
    pthread_mutex_init(&w->lock, NULL);
    if (w->event < 0 || pthread_create(&w->thread, NULL, work, w) != 0) {
        if (w->event >= 0) close(w->event);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return options_fail(err, SOTTO_EIO, "the thread that watches clients could not be started");
    }
    *out = w;
    return SOTTO_OK;
}

void watch_wake(watch *w) { wakeup_send(w->event); }

void watch_linger(watch *w, int fd)
{
    double now = clock_now_s();
    bool kept = false;
    if (fd < 0) return;
    shutdown(fd, SHUT_WR);
    pthread_mutex_lock(&w->lock);
    if (w->n < LINGERING) {
        w->lingering[w->n++] = (struct lingering){.fd = fd, .since = now, .last = now};
        kept = true;
    }
    pthread_mutex_unlock(&w->lock);
    if (kept)
        watch_wake(w);
    else
        close(fd);
}

void watch_stop(watch *w)
{
    if (!w) return;
    atomic_store(&w->stop, true);
    watch_wake(w);
    pthread_join(w->thread, NULL);
    for (size_t i = 0; i < w->n; i++) close(w->lingering[i].fd);
    close(w->event);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
