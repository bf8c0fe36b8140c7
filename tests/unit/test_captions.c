/* SPDX-License-Identifier: MIT
 * What the daemon's live captions are made of: the opening handshake, frames, the outbox, messages. */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "caption.h"
#include "handshake.h"
#include "outbox.h"
#include "websocket.h"

/* ---- handshake ----------------------------------------------------------------------------------------------------
 */

static const handshake sound = {.upgrade = "websocket",
                                .connection = "Upgrade",
                                .version = "13",
                                .key = "dGhlIHNhbXBsZSBub25jZQ==",
                                .host = "127.0.0.1:8177"};

static unsigned answer(const handshake *h, const handshake_welcome *welcome)
{
    static const handshake_welcome nobody;
    char accept[WEBSOCKET_ACCEPT_BYTES];
    api_error e = {0};
    return handshake_check(h, welcome ? welcome : &nobody, accept, &e) ? 101 : e.status;
}

static void test_handshake(void **state)
{
    (void)state;
    const handshake_welcome nobody = {0};
    char accept[WEBSOCKET_ACCEPT_BYTES];
    api_error e;
    assert_true(handshake_check(&sound, &nobody, accept, &e));
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455, 1.3 */
    handshake h = sound;
    h.upgrade = "h2c, WebSocket";
    h.connection = "keep-alive ,upgrade";
    assert_int_equal(answer(&h, NULL), 101);
    h.upgrade = "websockets";
    assert_int_equal(answer(&h, NULL), 426);
    h = (handshake){0};
    assert_int_equal(answer(&h, NULL), 426);
    h = sound;
    h.connection = "close";
    assert_int_equal(answer(&h, NULL), 400);
    h = sound;
    h.version = "8";
    assert_int_equal(answer(&h, NULL), 426);
    static const char *const keys[] = {
        NULL,
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQQQ",
        "!GhlIHNhbXBsZSBub25jZQ==",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        h = sound;
        h.key = keys[i];
        assert_int_equal(answer(&h, NULL), 400);
    }
}

static void test_origins(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *host;
        unsigned status;
    } cases[] = {
        {NULL, "127.0.0.1:8177", 101},
        {"http://127.0.0.1:8177", "127.0.0.1:8177", 101},
        {"http://LocalHost:8177", "localhost:8177", 101},
        {"https://192.0.2.7", "192.0.2.7:443", 101},
        {"http://192.0.2.7:80", "192.0.2.7", 101},
        {"http://[::1]:8177", "[::1]:8177", 101},
        {"http://[::1]", "[::1]", 101},
        {"http://evil.example", "127.0.0.1:8177", 403},
        {"http://127.0.0.1:81770", "127.0.0.1:8177", 403},
        {"http://127.0.0.1", "127.0.0.1:8177", 403},
        {"http://127.0.0.1:8177.evil.example", "127.0.0.1:8177", 403},
        {"ftp://127.0.0.1:8177", "127.0.0.1:8177", 403},
        {"http://", "", 403},
        {"null", "127.0.0.1:8177", 403},
        {"", "127.0.0.1:8177", 403},
        {"http://127.0.0.1:8177", NULL, 403},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        handshake h = sound;
        h.origin = cases[i].origin;
        h.host = cases[i].host;
        assert_int_equal(answer(&h, NULL), cases[i].status);
    }
    char page[] = "https://page.example", all[] = "*", *items[] = {page};
    handshake_welcome allowed = {.origins = {.items = items, .n = 1}};
    handshake h = sound;
    h.origin = "https://page.example";
    assert_int_equal(answer(&h, &allowed), 101);
    h.origin = "http://page.example";
    assert_int_equal(answer(&h, &allowed), 403);
    items[0] = all;
    assert_int_equal(answer(&h, &allowed), 101);
}

/* A stranger's name that now means this machine: the page's origin is the Host, and yet it is not the daemon's page. */
static void test_names_of_the_daemon(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *host;
        unsigned nobody, welcome; /* status without --allowed-host, and with Captions.example,proxy.example:444 */
    } cases[] = {
        {"http://evil.example:8177", "evil.example:8177", 403, 403},
        {"http://127.0.0.1.evil.example:8177", "127.0.0.1.evil.example:8177", 403, 403},
        {"http://localhost.evil.example", "localhost.evil.example", 403, 403},
        {"http://evillocalhost", "evillocalhost", 403, 403},
        {"http://[::1].evil.example", "[::1].evil.example", 403, 403},
        {"http://[evil.example]:1", "[evil.example]:1", 403, 403},
        {"http://127.0.0.1:8177", "127.0.0.1:8177", 101, 101},
        {"http://localhost", "localhost", 101, 101},
        {"https://captions.example", "captions.example:443", 403, 101},
        {"http://captions.EXAMPLE:8177", "captions.EXAMPLE:8177", 403, 101},
        {"https://my.captions.example", "my.captions.example", 403, 403},
        {"https://captions.example.evil.example", "captions.example.evil.example", 403, 403},
        {"https://proxy.example:444", "proxy.example:444", 403, 101},
        {"https://proxy.example", "proxy.example", 403, 403},
        {"https://captions.example", "127.0.0.1:8177", 403, 403}, /* another page, as before */
        {NULL, "evil.example", 101, 101},                         /* no browser */
        {NULL, NULL, 101, 101},
    };
    char name[] = "Captions.example", with_port[] = "proxy.example:444", all[] = "*", *items[] = {name, with_port};
    handshake_welcome welcome = {.hosts = {.items = items, .n = 2}};
    handshake h = sound;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        h.origin = cases[i].origin;
        h.host = cases[i].host;
        const unsigned a = answer(&h, NULL), b = answer(&h, &welcome);
        if (a != cases[i].nobody || b != cases[i].welcome)
            fail_msg("origin %s, host %s: %u, %u", h.origin ? h.origin : "none", h.host ? h.host : "none", a, b);
    }
    items[0] = all;
    h.origin = "http://any.example";
    h.host = "any.example";
    assert_int_equal(answer(&h, &welcome), 101);
    h.host = "other.example";
    assert_int_equal(answer(&h, &welcome), 403); /* not a name of the page's */
    /* whom --allow-origin lets in may call the daemon as it likes */
    char page[] = "https://page.example", *origins[] = {page};
    h.origin = "https://page.example";
    assert_int_equal(answer(&h, &(handshake_welcome){.origins = {.items = origins, .n = 1}}), 101);
}

/* ---- outbox -------------------------------------------------------------------------------------------------------
 */

static void expect(outbox *o, const char *text)
{
    char *got = outbox_take(o);
    if (!text) {
        assert_null(got);
        return;
    }
    assert_non_null(got);
    assert_string_equal(got, text);
    free(got);
}

static void test_outbox_forgets_what_is_out_of_date(void **state)
{
    (void)state;
    outbox *o = outbox_create(1000);
    assert_true(outbox_is_empty(o));
    assert_true(outbox_put(o, OUTBOX_KEEP, strdup("ready")));
    assert_true(outbox_put(o, OUTBOX_STATUS, strdup("status 1")));
    assert_true(outbox_put(o, OUTBOX_TENTATIVE, strdup("maybe 1")));
    assert_true(outbox_put(o, OUTBOX_STATUS, strdup("status 2")));
    assert_true(outbox_put(o, OUTBOX_TENTATIVE, strdup("maybe 2")));
    assert_true(outbox_put(o, OUTBOX_CAPTION, strdup("sure 1")));
    assert_true(outbox_put(o, OUTBOX_CAPTION, strdup("sure 2")));
    assert_true(outbox_put(o, OUTBOX_TENTATIVE, strdup("maybe 3")));
    expect(o, "ready");
    expect(o, "status 2");
    expect(o, "sure 1");
    expect(o, "sure 2");
    expect(o, "maybe 3");
    expect(o, NULL);
    assert_true(outbox_is_empty(o));
    /* the list's end is sound after all that */
    assert_true(outbox_put(o, OUTBOX_KEEP, strdup("done")));
    expect(o, "done");
    assert_false(outbox_put(o, OUTBOX_KEEP, NULL));
    assert_true(outbox_put(o, OUTBOX_KEEP, strdup("left behind")));
    outbox_free(o);
}

static void test_outbox_is_bounded(void **state)
{
    (void)state;
    outbox *o = outbox_create(20);
    assert_true(outbox_put(o, OUTBOX_CAPTION, strdup("0123456789")));
    assert_true(outbox_put(o, OUTBOX_TENTATIVE, strdup("01234567")));
    assert_false(outbox_put(o, OUTBOX_STATUS, strdup("012")));
    /* what is sure drives out what is not */
    assert_true(outbox_put(o, OUTBOX_CAPTION, strdup("abcdefghij")));
    assert_false(outbox_put(o, OUTBOX_CAPTION, strdup("x")));
    expect(o, "0123456789");
    /* nothing comes behind a gap but its reason */
    assert_false(outbox_put(o, OUTBOX_CAPTION, strdup("y")));
    assert_true(outbox_put(o, OUTBOX_KEEP, strdup("why this ends, at any length")));
    assert_false(outbox_put(o, OUTBOX_STATUS, strdup("z")));
    expect(o, "abcdefghij");
    expect(o, "why this ends, at any length");
    expect(o, NULL);
    outbox_free(o);
}

/* ---- frames -------------------------------------------------------------------------------------------------------
 */

struct peer {
    int fd[2]; /* ours, the server's */
    websocket *w;
    size_t n_binary, pieces, texts, too_big;
    uint8_t sum;
    char text[WEBSOCKET_TEXT_BYTES + 1];
};

static void on_binary(void *user, const uint8_t *bytes, size_t n)
{
    struct peer *p = user;
    p->n_binary += n;
    p->pieces++;
    for (size_t i = 0; i < n; i++) p->sum ^= bytes[i];
}

static void on_text(void *user, const char *text, size_t n)
{
    struct peer *p = user;
    assert_int_equal(strlen(text), n);
    memcpy(p->text, text, n + 1);
    p->texts++;
}

static void on_too_big(void *user) { ((struct peer *)user)->too_big++; }

static const websocket_handler handler = {.on_binary = on_binary, .on_text = on_text, .on_too_big = on_too_big};

static void peer_open(struct peer *p, const void *extra, size_t n)
{
    *p = (struct peer){0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p->fd), 0);
    p->w = websocket_open(p->fd[1], extra, n, &handler, p);
    assert_non_null(p->w);
}

static void peer_close(struct peer *p)
{
    websocket_free(p->w);
    close(p->fd[0]);
    close(p->fd[1]);
}

/* A masked frame of n bytes, all `byte`, into out; its length. */
static size_t frame(uint8_t *out, uint8_t first, size_t n, uint8_t byte)
{
    static const uint8_t mask[] = {1, 2, 3, 4};
    size_t at = 0;
    out[at++] = first;
    if (n < 126) {
        out[at++] = (uint8_t)(0x80 | n);
    } else if (n < 1 << 16) {
        out[at++] = 0x80 | 126;
        out[at++] = (uint8_t)(n >> 8);
        out[at++] = (uint8_t)n;
    } else {
        out[at++] = 0x80 | 127;
        for (int i = 7; i >= 0; i--) out[at++] = (uint8_t)((uint64_t)n >> 8 * i);
    }
    memcpy(out + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < n; i++) out[at++] = byte ^ mask[i % 4];
    return at;
}

static void test_messages_in_pieces(void **state)
{
    (void)state;
    struct peer p;
    uint8_t bytes[1 << 12];
    size_t n = frame(bytes, 0x02, 300, 0x55); /* binary, to be continued */
    n += frame(bytes + n, 0x89, 3, 'p');      /* a ping between */
    n += frame(bytes + n, 0x80, 301, 0x0f);
    n += frame(bytes + n, 0x01, 2, 'a');
    n += frame(bytes + n, 0x80, 1, 'b');
    peer_open(&p, bytes, 5); /* the first came with the handshake */
    for (size_t i = 5; i < n; i++) {
        assert_int_equal(write(p.fd[0], bytes + i, 1), 1);
        assert_true(websocket_receive(p.w));
    }
    assert_int_equal(p.n_binary, 601);
    assert_int_equal(p.sum, 0x0f);
    assert_int_equal(p.texts, 1);
    assert_string_equal(p.text, "aab");
    assert_int_equal(websocket_received(p.w), n);
    assert_true(websocket_wants_write(p.w));
    assert_true(websocket_flush(p.w));
    assert_int_equal(read(p.fd[0], bytes, sizeof bytes), 5);
    assert_memory_equal(bytes, "\x8a\x03ppp", 5);
    peer_close(&p);
}

static void test_a_turn_has_an_end(void **state)
{
    (void)state;
    struct peer p;
    size_t size = 200 << 10;
    uint8_t *bytes = malloc(size + 14);
    size_t n = frame(bytes, 0x82, size, 1);
    peer_open(&p, bytes, n);
    assert_true(websocket_has_more(p.w));
    assert_true(websocket_receive(p.w));
    assert_int_equal(websocket_received(p.w), 64 << 10);
    for (int turns = 0; websocket_has_more(p.w); turns++) {
        assert_true(turns < 10);
        assert_true(websocket_receive(p.w));
    }
    assert_int_equal(p.n_binary, size);
    free(bytes);
    peer_close(&p);
}

static void test_too_big(void **state)
{
    (void)state;
    struct peer p;
    static uint8_t bytes[WEBSOCKET_MESSAGE_BYTES + 100];
    size_t n = frame(bytes, 0x82, WEBSOCKET_MESSAGE_BYTES + 1, 1);
    peer_open(&p, bytes, n);
    while (websocket_has_more(p.w)) assert_true(websocket_receive(p.w));
    assert_int_equal(p.too_big, 1);
    assert_int_equal(p.n_binary, 0);
    peer_close(&p);

    n = frame(bytes, 0x02, WEBSOCKET_MESSAGE_BYTES, 1); /* as long as can be, then a byte more */
    n += frame(bytes + n, 0x80, 1, 1);
    peer_open(&p, bytes, n);
    while (websocket_has_more(p.w)) assert_true(websocket_receive(p.w));
    assert_int_equal(p.too_big, 1);
    assert_int_equal(p.n_binary, WEBSOCKET_MESSAGE_BYTES);
    peer_close(&p);

    n = frame(bytes, 0x81, WEBSOCKET_TEXT_BYTES, 't');
    n += frame(bytes + n, 0x81, WEBSOCKET_TEXT_BYTES + 1, 't');
    n += frame(bytes + n, 0x82, 1, 1); /* no message is looked at after it */
    peer_open(&p, bytes, n);
    while (websocket_has_more(p.w)) assert_true(websocket_receive(p.w));
    assert_int_equal(p.texts, 1);
    assert_int_equal(p.too_big, 1);
    assert_int_equal(p.n_binary, 0);
    peer_close(&p);
}

static void test_pings_without_end(void **state)
{
    (void)state;
    struct peer p;
    uint8_t bytes[200 * 6], drained[4096];
    size_t n = 0;
    for (int i = 0; i < 200; i++) n += frame(bytes + n, 0x89, 0, 0);
    peer_open(&p, bytes, n);
    assert_false(websocket_clogged(p.w));
    assert_true(websocket_receive(p.w));
    assert_true(websocket_clogged(p.w));
    assert_true(websocket_flush(p.w));
    assert_false(websocket_clogged(p.w));
    assert_int_equal(read(p.fd[0], drained, sizeof drained), 400);
    peer_close(&p);
}

static void test_goodbye(void **state)
{
    (void)state;
    struct peer p;
    uint8_t bytes[256];
    peer_open(&p, NULL, 0);
    assert_true(websocket_send_text(p.w, "last words", 10));
    assert_true(websocket_flush(p.w));
    assert_true(websocket_close(p.w, WEBSOCKET_GOING_AWAY, "bye"));
    assert_true(websocket_flush(p.w));
    assert_false(websocket_closed(p.w));
    assert_int_equal(read(p.fd[0], bytes, sizeof bytes), 12 + 7);
    assert_memory_equal(bytes,
                        "\x81\x0alast words\x88\x05\x03\xe9"
                        "bye",
                        19);
    size_t n = frame(bytes, 0x88, 0, 0);
    assert_int_equal(write(p.fd[0], bytes, n), n);
    assert_true(websocket_receive(p.w));
    assert_true(websocket_closed(p.w));
    assert_true(websocket_deaf(p.w));
    peer_close(&p);

    peer_open(&p, NULL, 0);
    assert_int_equal(shutdown(p.fd[0], SHUT_RDWR), 0);
    assert_false(websocket_receive(p.w));
    peer_close(&p);
}

static ssize_t read_socket(void *fd, void *bytes, size_t n) { return recv(*(int *)fd, bytes, n, MSG_DONTWAIT); }

static ssize_t write_socket(void *fd, const void *bytes, size_t n, bool more)
{
    (void)more;
    return send(*(int *)fd, bytes, n, MSG_DONTWAIT);
}

struct heard {
    size_t texts, bytes;
};

static void on_long_text(void *user, const char *text, size_t n)
{
    struct heard *h = user;
    assert_int_equal(strlen(text), n);
    h->texts++;
    h->bytes += n;
}

/* A client's end with a server's: sound one way, a text longer than a server takes the other way, goodbyes. */
static void test_both_ends(void **state)
{
    (void)state;
    static char text[3 * WEBSOCKET_TEXT_BYTES];
    static uint8_t spoken[5000];
    struct peer p;
    peer_open(&p, NULL, 0);
    const websocket_io io = {.read = read_socket, .write = write_socket, .user = &p.fd[0]};
    const websocket_handler hears = {.on_text = on_long_text, .on_too_big = on_too_big};
    struct heard heard = {0};
    websocket *c = websocket_open_client(&io, "\x81\x01x", 3, &hears, &heard); /* a frame came with the handshake */
    assert_non_null(c);
    assert_true(websocket_has_more(c));
    memset(spoken, 0x55, sizeof spoken);
    spoken[7] = 0xff;
    assert_true(websocket_send_binary(c, spoken, sizeof spoken));
    assert_true(websocket_flush(c));
    assert_true(websocket_receive(p.w));
    assert_int_equal(p.n_binary, sizeof spoken);
    assert_int_equal(p.sum, 0x55 ^ 0x55 ^ 0xff ^ 0x55);
    memset(text, 't', sizeof text);
    assert_true(websocket_send_text(p.w, text, sizeof text));
    assert_true(websocket_flush(p.w));
    assert_true(websocket_receive(c));
    assert_int_equal(heard.texts, 2);
    assert_int_equal(heard.bytes, 1 + sizeof text);
    assert_int_equal(websocket_peer_code(c), 0);
    assert_true(websocket_close(p.w, WEBSOCKET_GOING_AWAY, ""));
    assert_true(websocket_flush(p.w));
    assert_true(websocket_receive(c));
    assert_int_equal(websocket_peer_code(c), WEBSOCKET_GOING_AWAY);
    assert_true(websocket_flush(c));
    assert_true(websocket_receive(p.w));
    assert_true(websocket_closed(p.w));
    websocket_free(c);
    peer_close(&p);
}

/* ---- messages -----------------------------------------------------------------------------------------------------
 */

static void test_messages(void **state)
{
    (void)state;
    const sotto_word sure[] = {{" caf\xc3\xa9", 0.1, 0.25, 0.98765}, {" \xff", 12345.6789, 12346, 1}};
    const sotto_caption c = {.confirmed = sure,
                             .n_confirmed = 2,
                             .utterance_end = true,
                             .language = "en",
                             .heard_s = 1.0 / 3,
                             .pushed_s = 0.5,
                             .wall_s = 0.0625,
                             .counts.multiply_adds = {1, [SOTTO_PART_COUNT - 1] = (uint64_t)1 << 40}};
    char *text = caption_words(&c, 0.4);
    assert_string_equal(
        text, "{\"type\":\"caption\",\"confirmed\":[{\"text\":\" "
              "caf\xc3\xa9\",\"start\":0.1,\"end\":0.25,\"probability\":0.988},"
              "{\"text\":\" ?\",\"start\":12345.679,\"end\":12346.0,\"probability\":1.0}],\"tentative\":[],"
              "\"utterance_end\":true,\"last\":false,\"heard\":0.333,\"pushed\":0.5,\"lag\":0.167,\"interval\":0.4,"
              "\"language\":\"en\",\"wall\":0.063,\"multiply_adds\":1099511627777}");
    free(text);
    const sotto_caption silent = {0};
    text = caption_words(&silent, 0);
    assert_non_null(strstr(text, "\"language\":null"));
    free(text);
    text = caption_ready("tiny.en", 16000);
    assert_string_equal(text, "{\"type\":\"ready\",\"model\":\"tiny.en\",\"rate\":16000}");
    free(text);
    text = caption_error("what \"went\" wrong");
    assert_string_equal(text, "{\"type\":\"error\",\"message\":\"what \\\"went\\\" wrong\"}");
    free(text);
    text = caption_done("{\"runs\": 1}");
    assert_string_equal(text, "{\"type\":\"done\",\"report\":{\"runs\":1}}");
    free(text);
    const sotto_stream_state s = {.pushed_s = 2, .heard_s = 1.5, .interval_s = 0.4, .level_db = -33.25, .speech = true};
    text = caption_status(&s);
    assert_string_equal(text, "{\"type\":\"status\",\"level_db\":-33.25,\"speech\":true,\"lag\":0.5,\"interval\":0.4,"
                              "\"pushed\":2.0,\"heard\":1.5}");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),           cmocka_unit_test(test_origins),
        cmocka_unit_test(test_names_of_the_daemon), cmocka_unit_test(test_outbox_forgets_what_is_out_of_date),
        cmocka_unit_test(test_outbox_is_bounded),   cmocka_unit_test(test_messages_in_pieces),
        cmocka_unit_test(test_a_turn_has_an_end),   cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_pings_without_end),   cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_both_ends),           cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
