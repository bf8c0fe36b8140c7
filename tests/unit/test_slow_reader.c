/* SPDX-License-Identifier: MIT
 * A live stream whose client reads slowly: the daemon's side of it with a real socket, and a script for a stream. */
#include "cmocka_all.h"

#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "live.h"
#include "options.h"
#include "websocket.h"

enum { WORD_BYTES = 100, OUTBOX_BYTES = 256 << 10, SEEN = 20000 };

/* ---- the script, in the place of the library's stream and the engine ----------------------------------------------
 */

static struct {
    size_t confirmed; /* captions with a word each */
    size_t tentative; /* captions before each of those, with words that change */
    atomic_size_t told;
    atomic_bool ended, cancelled;
    size_t at, loose;
    char text[WORD_BYTES + 1];
    sotto_word word;
    sotto_caption caption;
} script;

sotto_status __wrap_sotto_stream_open(sotto_stream **out, sotto_model *model, const sotto_stream_options *options,
                                      sotto_error *err);
sotto_status __wrap_sotto_stream_push(sotto_stream *s, const float *samples, size_t n, sotto_error *err);
void __wrap_sotto_stream_end(sotto_stream *s);
void __wrap_sotto_stream_cancel(sotto_stream *s);
void __wrap_sotto_stream_free(sotto_stream *s);
void __wrap_sotto_stream_get_state(sotto_stream *s, sotto_stream_state *state);
sotto_status __wrap_sotto_stream_next(sotto_stream *s, double timeout_s, const sotto_caption **out, sotto_error *err);
sotto_status __wrap_sotto_report_write(const sotto_model *m, const sotto_counts *c, const uint64_t *touched, char **out,
                                       sotto_error *err);
void __wrap_engine_add_hearing(engine *e, double seconds);
void __wrap_engine_add_stream(engine *e, const sotto_counts *counts, const uint64_t *touched, engine_outcome outcome);

sotto_status __wrap_sotto_stream_open(sotto_stream **out, sotto_model *model, const sotto_stream_options *options,
                                      sotto_error *err)
{
    (void)model, (void)options, (void)err;
    *out = (sotto_stream *)&script;
    return SOTTO_OK;
}

sotto_status __wrap_sotto_stream_push(sotto_stream *s, const float *samples, size_t n, sotto_error *err)
{
    (void)s, (void)samples, (void)n, (void)err;
    return SOTTO_OK;
}

void __wrap_sotto_stream_end(sotto_stream *s) { (void)s, atomic_store(&script.ended, true); }
void __wrap_sotto_stream_cancel(sotto_stream *s) { (void)s, atomic_store(&script.cancelled, true); }
void __wrap_sotto_stream_free(sotto_stream *s) { (void)s; }
void __wrap_sotto_stream_get_state(sotto_stream *s, sotto_stream_state *state) { (void)s, (void)state; }

/* Words w0, w1, … as fast as they are taken, each behind tentative ones; the last caption once the sound ended. */
sotto_status __wrap_sotto_stream_next(sotto_stream *s, double timeout_s, const sotto_caption **out, sotto_error *err)
{
    (void)s;
    *out = NULL;
    if (atomic_load(&script.cancelled)) return options_fail(err, SOTTO_ECANCELLED, "cancelled");
    script.word = (sotto_word){.text = script.text};
    script.caption = (sotto_caption){.language = "en"};
    memset(script.text, '.', WORD_BYTES);
    if (script.at == script.confirmed) {
        script.caption.last = atomic_load(&script.ended);
        if (!script.caption.last) {
            usleep((useconds_t)(timeout_s * 1e5));
            return SOTTO_OK;
        }
    } else if (script.loose < script.tentative) {
        script.loose++;
        script.caption.tentative = &script.word;
        script.caption.n_tentative = 1;
    } else {
        int n = snprintf(script.text, WORD_BYTES, " w%zu", script.at++);
        script.text[n] = '.';
        script.loose = 0;
        script.caption.confirmed = &script.word;
        script.caption.n_confirmed = 1;
    }
    atomic_fetch_add(&script.told, script.caption.n_confirmed);
    *out = &script.caption;
    return SOTTO_OK;
}

sotto_status __wrap_sotto_report_write(const sotto_model *m, const sotto_counts *c, const uint64_t *touched, char **out,
                                       sotto_error *err)
{
    (void)m, (void)c, (void)touched, (void)err;
    *out = strdup("{}");
    return SOTTO_OK;
}

void __wrap_engine_add_hearing(engine *e, double seconds) { (void)e, (void)seconds; }

void __wrap_engine_add_stream(engine *e, const sotto_counts *counts, const uint64_t *touched, engine_outcome outcome)
{
    (void)e, (void)counts, (void)touched, (void)outcome;
}

/* ---- a client -----------------------------------------------------------------------------------------------------
 */

typedef struct client {
    lives *all;
    int fd[2]; /* ours, the daemon's */
    websocket *ws;
    atomic_bool is_open, is_over;
    size_t words, tentative, statuses, errors, done; /* messages that came */
    size_t bytes;                                    /* of texts */
    bool in_order;
} client;

static void on_open(void *user) { atomic_store(&((client *)user)->is_open, true); }
static void on_over(void *user) { atomic_store(&((client *)user)->is_over, true); }

static void on_text(void *user, const char *text, size_t n)
{
    client *c = user;
    json_t *message = json_loadb(text, n, 0, NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    const json_t *confirmed = json_object_get(message, "confirmed");
    assert_non_null(type);
    c->bytes += n;
    c->errors += strcmp(type, "error") == 0;
    c->done += strcmp(type, "done") == 0;
    c->statuses += strcmp(type, "status") == 0;
    c->tentative += json_array_size(json_object_get(message, "tentative"));
    for (size_t i = 0; i < json_array_size(confirmed); i++) {
        const char *word = json_string_value(json_object_get(json_array_get(confirmed, i), "text"));
        c->in_order = c->in_order && word && strtoul(word + 2, NULL, 10) == c->words;
        c->words++;
    }
    json_decref(message);
}

static ssize_t read_socket(void *user, void *bytes, size_t n)
{
    return recv(((client *)user)->fd[0], bytes, n, MSG_DONTWAIT);
}

static ssize_t write_socket(void *user, const void *bytes, size_t n, bool more)
{
    (void)more;
    return send(((client *)user)->fd[0], bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void wait_until(const atomic_bool *is_so)
{
    for (int i = 0; i < 3000 && !atomic_load(is_so); i++) usleep(10000);
    assert_true(atomic_load(is_so));
}

/* A client with small buffers of its own, over TCP as in life. */
static void connect_pair(int fd[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), bytes = 4096;
    fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(setsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, n), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &n), 0);
    assert_int_equal(connect(fd[0], (struct sockaddr *)&at, n), 0);
    fd[1] = accept(listener, NULL, NULL);
    assert_true(fd[1] >= 0);
    close(listener);
}

static void begin(client *c, size_t confirmed, size_t tentative)
{
    static const websocket_handler handler = {.on_text = on_text};
    const lives_config config = {.most = 1, .idle_s = 60};
    const live_request asked = {.options = {.sample_rate = 16000}};
    const websocket_io io = {.read = read_socket, .write = write_socket, .user = c};
    sotto_error err;
    api_error e;
    memset(&script, 0, sizeof script);
    script.confirmed = confirmed;
    script.tentative = tentative;
    *c = (client){.in_order = true};
    assert_int_equal(lives_start(&c->all, &config, &err), SOTTO_OK);
    live *l = live_open(c->all, &asked, "test", on_open, c, &e);
    assert_non_null(l);
    wait_until(&c->is_open);
    assert_true(live_is_open(l, &e));
    connect_pair(c->fd);
    c->ws = websocket_open_client(&io, NULL, 0, &handler, c);
    assert_non_null(c->ws);
    live_begin(l, c->fd[1], NULL, 0, on_over, c);
}

/* Until the daemon has said goodbye. */
static unsigned read_all(client *c)
{
    double until = clock_now_s() + 30;
    while (!websocket_peer_closed(c->ws) && clock_now_s() < until) {
        struct pollfd p = {.fd = c->fd[0], .events = POLLIN};
        poll(&p, 1, 100);
        if (!websocket_receive(c->ws) || !websocket_flush(c->ws)) break;
    }
    websocket_flush(c->ws);
    return websocket_peer_code(c->ws);
}

static void finish(client *c)
{
    wait_until(&c->is_over);
    assert_true(lives_stop(c->all));
    lives_free(c->all);
    websocket_free(c->ws);
    close(c->fd[0]);
    close(c->fd[1]);
}

/* ---- tests --------------------------------------------------------------------------------------------------------
 */

/* Many times what may wait is said while nobody reads, but little of it is confirmed. */
static void test_who_reads_late_misses_only_what_is_out_of_date(void **state)
{
    static const char end[] = "{\"type\": \"end\"}";
    client c;
    (void)state;
    begin(&c, 500, 20);
    for (int i = 0; i < 3000 && atomic_load(&script.told) < 500; i++) usleep(10000);
    assert_int_equal(atomic_load(&script.told), 500);
    assert_true(websocket_send_text(c.ws, end, sizeof end - 1));
    assert_true(websocket_flush(c.ws));
    assert_int_equal(read_all(&c), WEBSOCKET_NORMAL);
    assert_int_equal(c.words, 500);
    assert_true(c.in_order);
    assert_int_equal(c.done, 1);
    assert_int_equal(c.errors, 0);
    assert_in_range(c.tentative, 0, 1000); /* of 10000 */
    finish(&c);
}

static void test_who_reads_too_late_is_told_so(void **state)
{
    client c;
    (void)state;
    begin(&c, SEEN, 1);
    for (int i = 0; i < 3000 && !atomic_load(&script.cancelled); i++) usleep(10000);
    assert_true(atomic_load(&script.cancelled));
    size_t told = atomic_load(&script.told);
    assert_in_range(told, 100, SEEN / 4); /* not all was made while nobody read it */
    assert_int_equal(read_all(&c), WEBSOCKET_POLICY);
    assert_true(c.in_order); /* and none is missing between two others */
    assert_in_range(c.words, 100, told);
    assert_in_range(c.bytes, OUTBOX_BYTES / 2, OUTBOX_BYTES + (64 << 10));
    assert_int_equal(c.errors, 1);
    assert_int_equal(c.done, 0);
    finish(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_reads_late_misses_only_what_is_out_of_date),
                                       cmocka_unit_test(test_who_reads_too_late_is_told_so)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
