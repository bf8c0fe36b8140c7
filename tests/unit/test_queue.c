/* SPDX-License-Identifier: MIT
 * The daemon's queue: order, bounds, states, clients that hang up, closing, and that every job is told exactly once. */
#include "cmocka_all.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "queue.h"

static void count(job *j, void *user)
{
    (void)j;
    atomic_fetch_add((atomic_int *)user, 1);
}

static job *make(const char *id, atomic_int *told)
{
    job *j = job_create(id);
    assert_non_null(j);
    j->on_done = count;
    j->user = told;
    return j;
}

static void never(void *user, size_t worker)
{
    (void)user;
    (void)worker;
    fail();
}

static void test_order_and_bound(void **state)
{
    (void)state;
    atomic_int told = 0;
    queue *q = queue_create(2, 1);
    job *a = make("a", &told), *b = make("b", &told), *c = make("c", &told);
    assert_int_equal(queue_push(q, a), QUEUE_OK);
    assert_int_equal(queue_push(q, b), QUEUE_OK);
    assert_int_equal(queue_look(q), QUEUE_FULL);
    assert_int_equal(queue_push(q, c), QUEUE_FULL);
    assert_int_equal(c->state, JOB_RECEIVED);
    assert_ptr_equal(queue_pop(q, 0), a);
    assert_int_equal(a->state, JOB_RUNNING);
    assert_int_equal(queue_running(q), 1);
    /* The running job's place is free again. */
    assert_int_equal(queue_push(q, c), QUEUE_OK);
    assert_int_equal(queue_waiting(q), 2);
    queue_finish(q, 0, true);
    assert_int_equal(a->state, JOB_DONE);
    assert_int_equal(told, 1);
    assert_ptr_equal(queue_pop(q, 0), b);
    queue_finish(q, 0, false);
    assert_int_equal(b->state, JOB_CANCELLED);
    assert_ptr_equal(queue_pop(q, 0), c);
    queue_finish(q, 0, true);
    assert_int_equal(told, 3);
    queue_close(q, false);
    assert_int_equal(queue_push(q, a), QUEUE_CLOSED);
    assert_null(queue_pop(q, 0));
    job_release(a);
    job_release(b);
    job_release(c);
    queue_free(q);
}

static void test_close_lets_waiting_jobs_run(void **state)
{
    (void)state;
    atomic_int told = 0;
    queue *q = queue_create(4, 1);
    job *a = make("a", &told);
    assert_int_equal(queue_push(q, a), QUEUE_OK);
    queue_close(q, false);
    assert_ptr_equal(queue_pop(q, 0), a);
    queue_finish(q, 0, true);
    assert_null(queue_pop(q, 0));
    job_release(a);
    queue_free(q);
}

static void test_abort_ends_all(void **state)
{
    (void)state;
    atomic_int told = 0;
    queue *q = queue_create(4, 1);
    job *a = make("a", &told), *b = make("b", &told), *c = make("c", &told);
    queue_push(q, a);
    queue_push(q, b);
    queue_push(q, c);
    assert_ptr_equal(queue_pop(q, 0), a);
    queue_close(q, true);
    assert_true(atomic_load(&a->cancelled));
    assert_int_equal(a->state, JOB_RUNNING);
    assert_int_equal(b->state, JOB_CANCELLED);
    assert_int_equal(told, 2);
    queue_finish(q, 0, false);
    assert_int_equal(told, 3);
    assert_null(queue_pop(q, 0));
    job_release(a);
    job_release(b);
    job_release(c);
    queue_free(q);
}

static void cancelled(void *user, size_t worker)
{
    assert_int_equal(worker, 0);
    ++*(int *)user;
}

static void test_hang_ups(void **state)
{
    (void)state;
    atomic_int told = 0;
    int cancels = 0, sockets[4][2];
    job *jobs[4];
    queue *q = queue_create(4, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets[i]), 0);
        jobs[i] = make("x", &told);
        jobs[i]->client_fd = sockets[i][0];
        queue_push(q, jobs[i]);
    }
    assert_ptr_equal(queue_pop(q, 0), jobs[0]);
    assert_int_equal(queue_sweep(q, never, NULL), 4);
    /* A waiting client leaves; bytes that it sent before do not hide that. */
    assert_int_equal(write(sockets[2][1], "x", 1), 1);
    close(sockets[2][1]);
    assert_int_equal(queue_sweep(q, never, NULL), 3);
    assert_int_equal(jobs[2]->state, JOB_CANCELLED);
    assert_int_equal(told, 1);
    /* The running one's client leaves: the run is cancelled, until it ends. */
    close(sockets[0][1]);
    assert_int_equal(queue_sweep(q, cancelled, &cancels), 3);
    queue_sweep(q, cancelled, &cancels);
    assert_int_equal(cancels, 2);
    assert_true(atomic_load(&jobs[0]->cancelled));
    queue_finish(q, 0, false);
    /* The order of those that stay is kept. */
    assert_ptr_equal(queue_pop(q, 0), jobs[1]);
    queue_finish(q, 0, true);
    assert_ptr_equal(queue_pop(q, 0), jobs[3]);
    queue_finish(q, 0, true);
    assert_int_equal(told, 4);
    queue_close(q, false);
    for (int i = 0; i < 4; i++) {
        job_release(jobs[i]);
        close(sockets[i][0]);
        if (i % 2) close(sockets[i][1]);
    }
    queue_free(q);
}

static void note_worker(void *user, size_t worker) { ((int *)user)[worker]++; }

/* Several run at once: each ends by itself, and a hang-up reaches the worker that has the job. */
static void test_workers(void **state)
{
    enum { N = 3 };
    (void)state;
    atomic_int told = 0;
    int cancels[N] = {0}, sockets[N][2];
    job *jobs[N];
    queue *q = queue_create(N, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets[i]), 0);
        jobs[i] = make("x", &told);
        jobs[i]->client_fd = sockets[i][0];
        queue_push(q, jobs[i]);
    }
    assert_ptr_equal(queue_pop(q, 2), jobs[0]);
    assert_ptr_equal(queue_pop(q, 0), jobs[1]);
    assert_ptr_equal(queue_pop(q, 1), jobs[2]);
    assert_int_equal(queue_running(q), 3);
    close(sockets[1][1]);
    assert_int_equal(queue_sweep(q, note_worker, cancels), 3);
    assert_true(cancels[0] == 1 && cancels[1] == 0 && cancels[2] == 0);
    assert_true(jobs[1]->cancelled && !jobs[0]->cancelled && !jobs[2]->cancelled);
    queue_finish(q, 0, false);
    assert_int_equal(jobs[1]->state, JOB_CANCELLED);
    queue_finish(q, 2, true);
    assert_int_equal(jobs[0]->state, JOB_DONE);
    assert_int_equal(queue_running(q), 1);
    queue_close(q, true);
    assert_true(jobs[2]->cancelled);
    assert_null(queue_pop(q, 0));
    queue_finish(q, 1, false);
    assert_int_equal(told, 3);
    for (int i = 0; i < N; i++) {
        job_release(jobs[i]);
        close(sockets[i][0]);
        if (i != 1) close(sockets[i][1]);
    }
    queue_free(q);
}

struct consumer {
    queue *q;
    size_t worker;
    pthread_t thread;
    int jobs;
};

static void *consume(void *arg)
{
    struct consumer *c = arg;
    for (; queue_pop(c->q, c->worker); c->jobs++) queue_finish(c->q, c->worker, true);
    return NULL;
}

static void test_threads(void **state)
{
    enum { JOBS = 2000, WORKERS = 4 };
    (void)state;
    atomic_int told = 0;
    int accepted = 0, done = 0;
    struct consumer consumers[WORKERS];
    queue *q = queue_create(8, WORKERS);
    for (size_t i = 0; i < WORKERS; i++) {
        consumers[i] = (struct consumer){.q = q, .worker = i};
        assert_int_equal(pthread_create(&consumers[i].thread, NULL, consume, &consumers[i]), 0);
    }
    for (int i = 0; i < JOBS; i++) {
        job *j = make("t", &told);
        accepted += queue_push(q, j) == QUEUE_OK;
        queue_sweep(q, never, NULL);
        job_release(j);
    }
    queue_close(q, false);
    for (size_t i = 0; i < WORKERS; i++) {
        pthread_join(consumers[i].thread, NULL);
        done += consumers[i].jobs;
    }
    assert_true(accepted > 0);
    assert_int_equal(done, accepted);
    assert_int_equal(told, accepted);
    queue_free(q);
}

/* Jobs that come one at a time all go to the first worker. */
static void test_the_lowest_idle_worker_gets_the_job(void **state)
{
    enum { JOBS = 50, WORKERS = 4 };
    (void)state;
    atomic_int told = 0;
    struct consumer consumers[WORKERS];
    queue *q = queue_create(8, WORKERS);
    for (size_t i = 0; i < WORKERS; i++) {
        consumers[i] = (struct consumer){.q = q, .worker = i};
        assert_int_equal(pthread_create(&consumers[i].thread, NULL, consume, &consumers[i]), 0);
    }
    usleep(50000); /* all sleep */
    for (int i = 0; i < JOBS; i++) {
        job *j = make("t", &told);
        assert_int_equal(queue_push(q, j), QUEUE_OK);
        job_release(j);
        while (atomic_load(&told) <= i) usleep(100);
        usleep(2000);
    }
    queue_close(q, false);
    for (size_t i = 0; i < WORKERS; i++) pthread_join(consumers[i].thread, NULL);
    assert_true(consumers[0].jobs > JOBS * 3 / 4); /* it may be late in lying down */
    queue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_bound),
        cmocka_unit_test(test_close_lets_waiting_jobs_run),
        cmocka_unit_test(test_abort_ends_all),
        cmocka_unit_test(test_hang_ups),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_the_lowest_idle_worker_gets_the_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
