/* SPDX-License-Identifier: MIT
 * The queue (queue.h): a ring of waiting jobs, the ones that run, and a lane for each client. */
#include "queue.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct worker {
    pthread_cond_t wake; /* a job waits, or closed */
    bool idle;           /* sleeps, and nobody has woken it */
    job *running;
};

enum { IDLE_LANES = 64 }; /* clients remembered beyond those that wait or run */

/* A client's share. Kept for a while after its last job, so that who sends one after the other has a turn like all. */
struct lane {
    char client[JOB_CLIENT_BYTES]; /* "" = free */
    size_t waiting, running;
    uint64_t served; /* the turn that it had last */
};

struct queue {
    pthread_mutex_t lock;
    size_t capacity, per_client, first, waiting, running, n_workers, n_lanes;
    size_t background;    /* of those waiting */
    size_t n_ring;        /* room for `capacity` and as many of the background as there are workers */
    uint64_t turn;        /* pops so far */
    struct lane *lanes;   /* [n_lanes] */
    struct pollfd *polls; /* [n_ring + n_workers] */
    bool closed;
    job **ring;             /* [n_ring] */
    struct worker *workers; /* [n_workers] */
};

static void free_arrays(queue *q)
{
    free(q->ring);
    free(q->workers);
    free(q->lanes);
    free(q->polls);
}

queue *queue_create(size_t capacity, size_t per_client, size_t workers)
{
    queue *q = calloc(1, sizeof *q);
    if (!q) return NULL;
    q->capacity = capacity;
    q->per_client = per_client;
    q->n_workers = workers;
    q->n_ring = capacity + workers;
    q->n_lanes = q->n_ring + workers + IDLE_LANES;
    q->ring = calloc(q->n_ring, sizeof *q->ring);
    q->workers = calloc(workers, sizeof *q->workers);
    q->lanes = calloc(q->n_lanes, sizeof *q->lanes);
    q->polls = calloc(q->n_ring + workers, sizeof *q->polls);
    if (!q->ring || !q->workers || !q->lanes || !q->polls) {
        free_arrays(q);
        free(q);
        return NULL;
    }
    pthread_mutex_init(&q->lock, NULL);
    for (size_t i = 0; i < workers; i++) pthread_cond_init(&q->workers[i].wake, NULL);
    return q;
}

void queue_free(queue *q)
{
    if (!q) return;
    for (size_t i = 0; i < q->n_workers; i++) pthread_cond_destroy(&q->workers[i].wake);
    pthread_mutex_destroy(&q->lock);
    free_arrays(q);
    free(q);
}

/* ---- clients; the lock is held ---------------------------------------------------------------------------------- */

static struct lane *find_lane(const queue *q, const char *client)
{
    for (size_t i = 0; i < q->n_lanes; i++)
        if (*q->lanes[i].client && strcmp(q->lanes[i].client, client) == 0) return &q->lanes[i];
    return NULL;
}

/* The client's lane, or that of the idle one served longest ago made its own: there is always one. A client not known
 * comes before whoever was served last and behind all others, so that a new name gains nothing. */
static struct lane *take_lane(queue *q, const char *client)
{
    struct lane *l = find_lane(q, client);
    if (l) return l;
    for (size_t i = 0; i < q->n_lanes; i++) {
        struct lane *one = &q->lanes[i];
        if (one->waiting == 0 && one->running == 0 && (!l || one->served < l->served)) l = one;
    }
    *l = (struct lane){.served = q->turn ? q->turn - 1 : 0};
    snprintf(l->client, sizeof l->client, "%s", client);
    return l;
}

/* Place in the ring of the job whose turn it is; some wait. */
static size_t choose(const queue *q)
{
    const struct lane *best = NULL;
    size_t chosen = 0;
    const bool background = q->background == q->waiting; /* nobody waits for an answer */
    for (size_t i = 0; i < q->waiting; i++) {
        const job *j = q->ring[(q->first + i) % q->n_ring];
        const struct lane *l = &q->lanes[j->lane];
        if (j->background != background) continue;
        if (best && (l->running > best->running || (l->running == best->running && l->served >= best->served)))
            continue;
        best = l;
        chosen = i;
    }
    return chosen;
}

/* Takes the job at that place out of the ring, keeping the order of the others. */
static job *take_out(queue *q, size_t place)
{
    job *j = q->ring[(q->first + place) % q->n_ring];
    for (size_t i = place; i > 0; i--) q->ring[(q->first + i) % q->n_ring] = q->ring[(q->first + i - 1) % q->n_ring];
    q->first = (q->first + 1) % q->n_ring;
    q->waiting--;
    q->background -= j->background;
    q->lanes[j->lane].waiting--;
    return j;
}

static queue_result look(const queue *q, const char *client)
{
    const struct lane *l = find_lane(q, client);
    return q->closed                                       ? QUEUE_CLOSED
           : l && l->waiting + l->running >= q->per_client ? QUEUE_CLIENT_FULL
           : q->waiting - q->background >= q->capacity     ? QUEUE_FULL
                                                           : QUEUE_OK;
}

queue_result queue_look(queue *q, const char *client)
{
    pthread_mutex_lock(&q->lock);
    queue_result result = look(q, client);
    pthread_mutex_unlock(&q->lock);
    return result;
}

/* The lowest idle worker, so that few of them ever have to make what a job needs; the lock is held. */
static void wake_one(queue *q)
{
    for (size_t i = 0; i < q->n_workers; i++) {
        struct worker *w = &q->workers[i];
        if (!w->idle) continue;
        w->idle = false;
        pthread_cond_signal(&w->wake);
        return;
    }
}

queue_result queue_push(queue *q, job *j)
{
    pthread_mutex_lock(&q->lock);
    queue_result result = !j->background                            ? look(q, j->client)
                          : q->closed                               ? QUEUE_CLOSED
                          : q->background + q->capacity < q->n_ring ? QUEUE_OK
                                                                    : QUEUE_FULL;
    if (result == QUEUE_OK) {
        struct lane *l = take_lane(q, j->client);
        j->lane = (size_t)(l - q->lanes);
        l->waiting++;
        q->background += j->background;
        j->state = JOB_QUEUED;
        j->queued_at = clock_now_s();
        q->ring[(q->first + q->waiting++) % q->n_ring] = job_hold(j);
        wake_one(q);
    }
    pthread_mutex_unlock(&q->lock);
    return result;
}

job *queue_pop(queue *q, size_t worker)
{
    struct worker *w = &q->workers[worker];
    job *j = NULL;
    pthread_mutex_lock(&q->lock);
    while (q->waiting == 0 && !q->closed) {
        w->idle = true;
        pthread_cond_wait(&w->wake, &q->lock);
    }
    w->idle = false;
    if (q->waiting > 0) {
        j = take_out(q, choose(q));
        q->lanes[j->lane].running++;
        q->lanes[j->lane].served = ++q->turn;
        q->running++;
        w->running = j;
        j->state = JOB_RUNNING;
        j->started_at = clock_now_s();
    }
    pthread_mutex_unlock(&q->lock);
    return j;
}

/* Tells the owner and lets go; the lock is not held, as on_done may take others. */
static void end(job *j)
{
    if (j->on_done) j->on_done(j, j->user);
    job_release(j);
}

void queue_finish(queue *q, size_t worker, bool done)
{
    pthread_mutex_lock(&q->lock);
    job *j = q->workers[worker].running;
    q->workers[worker].running = NULL;
    q->running--;
    q->lanes[j->lane].running--;
    j->state = done ? JOB_DONE : JOB_CANCELLED;
    pthread_mutex_unlock(&q->lock);
    end(j);
}

static void poll_job(queue *q, nfds_t *n, const job *j)
{
    if (j->client_fd >= 0) q->polls[(*n)++] = (struct pollfd){.fd = j->client_fd, .events = POLLRDHUP};
}

static void note(const queue *q, nfds_t *n, job *j, double now)
{
    if (j->client_fd >= 0 && q->polls[(*n)++].revents & (POLLRDHUP | POLLHUP | POLLERR)) j->gone = true;
    if (j->deadline > 0 && now >= j->deadline) j->late = true;
}

/* Sees which clients are gone and which deadlines over; the lock is held. The sockets stay open as long as their
 * connections are suspended, that is until on_done. */
static void look_at_jobs(queue *q)
{
    nfds_t n = 0, asked = 0;
    double now = clock_now_s();
    for (size_t i = 0; i < q->n_workers; i++)
        if (q->workers[i].running) poll_job(q, &asked, q->workers[i].running);
    for (size_t i = 0; i < q->waiting; i++) poll_job(q, &asked, q->ring[(q->first + i) % q->n_ring]);
    poll(q->polls, asked, 0); /* where it fails, revents are 0 */
    for (size_t i = 0; i < q->n_workers; i++)
        if (q->workers[i].running) note(q, &n, q->workers[i].running, now);
    for (size_t i = 0; i < q->waiting; i++) note(q, &n, q->ring[(q->first + i) % q->n_ring], now);
}

/* Takes all waiting jobs, or those that nobody waits for any more, out of the ring, keeping order, and ends them.
 * Called with the lock held, returns without it. */
static void remove_waiting(queue *q, bool all)
{
    size_t kept = 0, n = q->waiting;
    job *ended = NULL;
    for (size_t i = 0; i < n; i++) {
        job *j = q->ring[(q->first + i) % q->n_ring];
        if (all || j->gone || j->late || (j->background && atomic_load(&j->cancelled))) {
            j->state = JOB_CANCELLED;
            q->background -= j->background;
            q->lanes[j->lane].waiting--;
            j->next_ended = ended;
            ended = j;
        } else {
            q->ring[(q->first + kept++) % q->n_ring] = j;
        }
    }
    q->waiting = kept;
    pthread_mutex_unlock(&q->lock);
    while (ended) {
        job *j = ended;
        ended = j->next_ended;
        end(j);
    }
}

size_t queue_sweep(queue *q, void (*cancel)(void *user, size_t worker), void *user)
{
    pthread_mutex_lock(&q->lock);
    look_at_jobs(q);
    for (size_t i = 0; i < q->n_workers; i++) {
        job *j = q->workers[i].running;
        if (!j) continue;
        if (j->gone || j->late) atomic_store(&j->cancelled, true);
        if (atomic_load(&j->cancelled)) cancel(user, i);
    }
    remove_waiting(q, false);
    return queue_waiting(q) + queue_running(q);
}

void queue_close(queue *q, bool abort)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    for (size_t i = 0; i < q->n_workers; i++) {
        pthread_cond_signal(&q->workers[i].wake);
        if (abort && q->workers[i].running) atomic_store(&q->workers[i].running->cancelled, true);
    }
    if (abort)
        remove_waiting(q, true);
    else
        pthread_mutex_unlock(&q->lock);
}

size_t queue_waiting(queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->waiting;
    pthread_mutex_unlock(&q->lock);
    return n;
}

size_t queue_running(queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->running;
    pthread_mutex_unlock(&q->lock);
    return n;
}

size_t queue_clients(queue *q)
{
    size_t n = 0;
    pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < q->n_lanes; i++) n += q->lanes[i].waiting + q->lanes[i].running > 0;
    pthread_mutex_unlock(&q->lock);
    return n;
}
