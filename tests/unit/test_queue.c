/* SPDX-License-Identifier: MIT
 * The daemon's queue: order, shares of clients, bounds, deadlines, states, clients that hang up, closing, and that
 * every job is told exactly once. */
#include "cmocka_all.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
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
    job *j = job_create(id, "me");
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

static void test_background_comes_last(void **state)
{
    (void)state;
    atomic_int told = 0;
    queue *q = queue_create(1, 9, 1);
    job *later = make("later", &told), *more = make("more", &told), *now = make("now", &told);
    later->background = more->background = true;
    assert_int_equal(queue_push(q, later), QUEUE_OK);
    assert_int_equal(queue_push(q, more), QUEUE_FULL); /* as many as workers */
    assert_int_equal(queue_push(q, now), QUEUE_OK);    /* and takes no place of a request's */
    assert_ptr_equal(queue_pop(q, 0), now);
    assert_int_equal(queue_push(q, more), QUEUE_FULL);
    queue_finish(q, 0, true);
    assert_ptr_equal(queue_pop(q, 0), later);
    assert_int_equal(queue_push(q, more), QUEUE_OK);
    atomic_store(&more->cancelled, true); /* one that waits ends at the next sweep */
    assert_int_equal(queue_sweep(q, never, NULL), 1);
    assert_int_equal(more->state, JOB_CANCELLED);
    queue_finish(q, 0, true);
    assert_int_equal(told, 3);
    queue_close(q, false);
    queue_free(q);
    job_release(later);
    job_release(more);
    job_release(now);
}

static void test_order_and_bound(void **state)
{
    (void)state;
    atomic_int told = 0;
    queue *q = queue_create(2, 9, 1);
    job *a = make("a", &told), *b = make("b", &told), *c = make("c", &told);
    assert_int_equal(queue_push(q, a), QUEUE_OK);
    assert_int_equal(queue_push(q, b), QUEUE_OK);
    assert_int_equal(queue_look(q, "me"), QUEUE_FULL);
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
    queue *q = queue_create(4, 9, 1);
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
    queue *q = queue_create(4, 9, 1);
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
    queue *q = queue_create(4, 9, 1);
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
    queue *q = queue_create(N, N, N);
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

static job *make_for(const char *client, const char *id, atomic_int *told)
{
    job *j = make(id, told);
    snprintf(j->client, sizeof j->client, "%s", client);
    return j;
}

/* Pushes "a1", "b7": the client is the letter. */
static void push_all(queue *q, const char *const *ids, size_t n, atomic_int *told)
{
    for (size_t i = 0; i < n; i++) {
        const char client[] = {ids[i][0], '\0'};
        job *j = make_for(client, ids[i], told);
        assert_int_equal(queue_push(q, j), QUEUE_OK);
        job_release(j);
    }
}

static void pop_expecting(queue *q, const char *id, bool finish)
{
    job *j = queue_pop(q, 0);
    assert_non_null(j);
    assert_string_equal(j->id, id);
    if (finish) queue_finish(q, 0, true);
}

/* One worker: clients take turns, however many jobs each has, and each one's own keep their order. */
static void test_clients_take_turns(void **state)
{
    static const char *const pushed[] = {"a1", "a2", "a3", "a4", "b1", "b2", "c1"};
    static const char *const popped[] = {"a1", "b1", "c1", "a2", "b2", "a3", "a4"};
    enum { N = sizeof pushed / sizeof *pushed };
    (void)state;
    atomic_int told = 0;
    queue *q = queue_create(N, N, 1);
    push_all(q, pushed, N, &told);
    assert_int_equal(queue_clients(q), 3);
    for (size_t i = 0; i < N; i++) pop_expecting(q, popped[i], true);
    assert_int_equal(queue_clients(q), 0);
    assert_int_equal(told, N);
    queue_close(q, true);
    queue_free(q);
}

/* Who sends one job after the other waits for one of the others' each time, not for two. */
static void test_one_after_the_other_has_every_second_turn(void **state)
{
    static const char *const flood[] = {"f1", "f2", "f3", "f4", "f5"};
    static const char *const ids[] = {"s1", "s2", "s3"};
    (void)state;
    atomic_int told = 0;
    queue *q = queue_create(9, 9, 1);
    push_all(q, flood, 5, &told);
    for (int i = 0; i < 3; i++) {
        pop_expecting(q, flood[i], false);
        push_all(q, &ids[i], 1, &told); /* while the flood's runs */
        queue_finish(q, 0, true);
        pop_expecting(q, ids[i], true);
    }
    pop_expecting(q, "f4", true);
    queue_close(q, true);
    queue_free(q);
}

/* Ever new names do not keep the others from their turns. */
static void test_new_names_gain_nothing(void **state)
{
    static const char *const old[] = {"a1", "a2"};
    (void)state;
    atomic_int told = 0;
    int turns = 0;
    queue *q = queue_create(99, 9, 1);
    push_all(q, old, 2, &told);
    pop_expecting(q, "a1", true);
    for (bool found = false; !found; turns++) {
        for (int i = 0; i < 2; i++) {
            char client[32];
            snprintf(client, sizeof client, "n%d.%d", turns, i);
            job *j = make_for(client, "new", &told);
            assert_int_equal(queue_push(q, j), QUEUE_OK);
            job_release(j);
        }
        job *j = queue_pop(q, 0);
        found = strcmp(j->id, "a2") == 0;
        queue_finish(q, 0, true);
        assert_true(turns < 4);
    }
    queue_close(q, true);
    queue_free(q);
}

/* Several workers: the next free one is for the client that has the fewest. */
static void test_fewest_running_goes_first(void **state)
{
    static const char *const first[] = {"a1", "a2", "a3", "a4"}, *const then[] = {"b1", "b2"};
    (void)state;
    atomic_int told = 0;
    queue *q = queue_create(9, 9, 3);
    push_all(q, first, 4, &told);
    for (size_t w = 0; w < 3; w++) assert_non_null(queue_pop(q, w)); /* alone, it has all of them */
    push_all(q, then, 2, &told);
    queue_finish(q, 1, true);
    assert_string_equal(queue_pop(q, 1)->id, "b1");
    queue_finish(q, 0, true); /* a has one, b has one; a was served longer ago */
    assert_string_equal(queue_pop(q, 0)->id, "a4");
    queue_finish(q, 2, true);
    assert_string_equal(queue_pop(q, 2)->id, "b2");
    for (size_t w = 0; w < 3; w++) queue_finish(q, w, true);
    assert_int_equal(told, 6);
    queue_close(q, true);
    queue_free(q);
}

static void test_share_of_one_client(void **state)
{
    (void)state;
    atomic_int told = 0;
    queue *q = queue_create(3, 2, 1);
    static const char *const ids[] = {"a1", "a2"};
    job *more = make_for("a", "a3", &told);
    push_all(q, ids, 2, &told);
    assert_int_equal(queue_look(q, "a"), QUEUE_CLIENT_FULL);
    assert_int_equal(queue_push(q, more), QUEUE_CLIENT_FULL);
    assert_int_equal(queue_look(q, "b"), QUEUE_OK);
    pop_expecting(q, "a1", false);
    assert_int_equal(queue_push(q, more), QUEUE_CLIENT_FULL); /* the running one counts */
    queue_finish(q, 0, true);
    assert_int_equal(queue_push(q, more), QUEUE_OK);
    job_release(more);
    queue_close(q, true);
    assert_int_equal(told, 3);
    queue_free(q);
}

/* More clients than lanes are remembered: the oldest idle one is forgotten, none is mixed up. */
static void test_many_clients(void **state)
{
    (void)state;
    atomic_int told = 0;
    queue *q = queue_create(2, 1, 1);
    for (int i = 0; i < 500; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        job *j = make_for(id, id, &told);
        assert_int_equal(queue_push(q, j), QUEUE_OK);
        assert_int_equal(queue_look(q, id), QUEUE_CLIENT_FULL);
        job_release(j);
        pop_expecting(q, id, true);
    }
    assert_int_equal(queue_clients(q), 0);
    queue_close(q, true);
    queue_free(q);
}

static void test_deadlines(void **state)
{
    (void)state;
    atomic_int told = 0;
    int cancels = 0;
    queue *q = queue_create(4, 9, 1);
    job *jobs[3];
    for (int i = 0; i < 3; i++) {
        jobs[i] = make("x", &told);
        jobs[i]->deadline = clock_now_s() + (i == 2 ? 1000 : 0.02);
        assert_int_equal(queue_push(q, jobs[i]), QUEUE_OK);
    }
    assert_ptr_equal(queue_pop(q, 0), jobs[0]);
    usleep(30000);
    assert_int_equal(queue_sweep(q, cancelled, &cancels), 2);
    assert_int_equal(cancels, 1);
    assert_true(jobs[0]->late && jobs[0]->cancelled && jobs[0]->state == JOB_RUNNING);
    assert_true(jobs[1]->late && jobs[1]->state == JOB_CANCELLED && told == 1);
    assert_true(!jobs[2]->late && jobs[2]->state == JOB_QUEUED);
    queue_finish(q, 0, false);
    queue_close(q, true);
    for (int i = 0; i < 3; i++) job_release(jobs[i]);
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
    queue *q = queue_create(8, 99, WORKERS);
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
    queue *q = queue_create(8, 99, WORKERS);
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
        cmocka_unit_test(test_background_comes_last),
        cmocka_unit_test(test_close_lets_waiting_jobs_run),
        cmocka_unit_test(test_abort_ends_all),
        cmocka_unit_test(test_hang_ups),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_clients_take_turns),
        cmocka_unit_test(test_one_after_the_other_has_every_second_turn),
        cmocka_unit_test(test_new_names_gain_nothing),
        cmocka_unit_test(test_fewest_running_goes_first),
        cmocka_unit_test(test_share_of_one_client),
        cmocka_unit_test(test_many_clients),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_the_lowest_idle_worker_gets_the_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
