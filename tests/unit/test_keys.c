/* SPDX-License-Identifier: MIT
 * API keys: what a file of them may hold, whom a request's key belongs to, reloading, subprotocols. */
#include "cmocka_all.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"

static char path[] = "/tmp/sotto-keys-XXXXXX";

static void write_file(const char *text)
{
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    assert_true(fputs(text, to) >= 0);
    assert_int_equal(fclose(to), 0);
}

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static void test_keys_and_names(void **state)
{
    keys *k;
    sotto_error err;
    char name[KEYS_NAME_BYTES], longest[KEYS_KEY_BYTES + 8];
    (void)state;
    memset(longest, 'x', sizeof longest);
    longest[KEYS_KEY_BYTES - 1] = '\0';
    char *text;
    assert_true(asprintf(&text, "# who may\n\n  sk-one   kitchen \r\nsk-two\n\t# no more\n%s last@home", longest) > 0);
    write_file(text);
    free(text);
    assert_int_equal(keys_open(&k, path, &err), SOTTO_OK);
    assert_int_equal(keys_count(k), 3);
    assert_true(keys_find(k, "sk-one", name));
    assert_string_equal(name, "kitchen");
    assert_true(keys_find(k, "sk-two", name));
    assert_string_equal(name, "key-4");
    assert_true(keys_find(k, longest, name));
    assert_string_equal(name, "last@home");
    static const char *const strangers[] = {"",         "sk-on",    "sk-one ", "sk-onf",  "tk-one",        "SK-ONE",
                                            "sk-one\1", "sk-three", "#",       "kitchen", "sk-one kitchen"};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        assert_false(keys_find(k, strangers[i], name));
        assert_string_equal(name, "");
    }
    longest[KEYS_KEY_BYTES - 1] = 'x'; /* longer than any key may be */
    longest[KEYS_KEY_BYTES + 1] = '\0';
    assert_false(keys_find(k, longest, name));
    keys_free(k);
}

static void test_bad_files(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "no key"},
        {"# only a comment\n", "no key"},
        {"sk-secret one two\n", "line 1"},
        {"sk-a\nsk-secret na/me\n", "line 2"},
        {"sk-secret\nsk-secret\n", "line 2"},
        {"sk-secret me\nsk-b me\n", "line 2"},
        {"sk-secret key-2\nsk-b\n", "line 2"},
        {"sk-s\303\251cret\n", "line 1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        keys *k;
        sotto_error err;
        write_file(cases[i].text);
        assert_int_equal(keys_open(&k, path, &err), SOTTO_EFORMAT);
        assert_null(k);
        assert_non_null(strstr(err.message, cases[i].words));
        assert_non_null(strstr(err.message, path));
        assert_null(strstr(err.message, "cret"));
    }
    char line[2000];
    keys *k;
    sotto_error err;
    memset(line, 'k', sizeof line);
    line[sizeof line - 1] = '\0';
    write_file(line);
    assert_int_equal(keys_open(&k, path, &err), SOTTO_EFORMAT);
    line[KEYS_KEY_BYTES] = '\0'; /* one more than a key may have */
    write_file(line);
    assert_int_equal(keys_open(&k, path, &err), SOTTO_EFORMAT);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    for (int i = 0; i <= KEYS_MOST; i++) fprintf(to, "sk-%d\n", i);
    fclose(to);
    assert_int_equal(keys_open(&k, path, &err), SOTTO_ELIMIT);
    assert_int_equal(keys_open(&k, "/nowhere/at/all", &err), SOTTO_EIO);
}

static void test_reload(void **state)
{
    keys *k;
    sotto_error err;
    char name[KEYS_NAME_BYTES];
    (void)state;
    write_file("old mine\n");
    assert_int_equal(keys_open(&k, path, &err), SOTTO_OK);
    write_file("bad bad bad\n");
    assert_int_equal(keys_reload(k, &err), SOTTO_EFORMAT);
    assert_true(keys_find(k, "old", name));
    write_file("new yours\nmore\n");
    assert_int_equal(keys_reload(k, &err), SOTTO_OK);
    assert_int_equal(keys_count(k), 2);
    assert_false(keys_find(k, "old", name));
    assert_true(keys_find(k, "new", name));
    assert_string_equal(name, "yours");
    keys_free(k);
}

static void test_headers(void **state)
{
    static const struct {
        const char *authorization, *protocols, *code; /* code NULL: let in */
    } cases[] = {
        {NULL, NULL, "missing_api_key"},
        {"", "", "missing_api_key"},
        {"Bearer", NULL, "missing_api_key"},
        {"Bearer ", NULL, "missing_api_key"},
        {"Basic sk-one", NULL, "missing_api_key"},
        {"sk-one", NULL, "missing_api_key"},
        {"Bearer sk-two", NULL, "invalid_api_key"},
        {"Bearer sk-one ", NULL, "invalid_api_key"},
        {"Bearer sk-one", NULL, NULL},
        {"bearer   sk-one", NULL, NULL},
        {NULL, "realtime, openai-insecure-api-key.sk-one, openai-beta.realtime-v1", NULL},
        {NULL, "openai-insecure-api-key.sk-one", NULL},
        {NULL, "realtime,openai-insecure-api-key.sk-on", "invalid_api_key"},
        {NULL, "realtime,openai-insecure-api-key.", "missing_api_key"},
        {NULL, "realtime", "missing_api_key"},
        {"Bearer sk-two", "openai-insecure-api-key.sk-one", "invalid_api_key"}, /* the header counts */
    };
    keys *k;
    sotto_error err;
    api_error e;
    char client[ACCESS_CLIENT_BYTES];
    (void)state;
    write_file("sk-one me\n");
    assert_int_equal(keys_open(&k, path, &err), SOTTO_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const access_headers h = {cases[i].authorization, cases[i].protocols};
        bool in = access_check(k, &h, client, &e);
        assert_true(in == !cases[i].code);
        assert_string_equal(client, in ? "me" : "");
        if (in) continue;
        assert_int_equal(e.status, 401);
        assert_string_equal(e.code, cases[i].code);
        assert_null(strstr(e.message, "sk-"));
        assert_true(access_check(NULL, &h, client, &e)); /* a daemon without keys */
    }
    keys_free(k);
}

static void test_protocol(void **state)
{
    static const struct {
        const char *offered, *chosen;
    } cases[] = {
        {NULL, ""},
        {"", ""},
        {" , ,", ""},
        {"openai-insecure-api-key.sk-one", ""},
        {"openai-insecure-api-key.sk-one, realtime", "realtime"},
        {"sotto ,openai-insecure-api-key.sk-one", "sotto"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char chosen[ACCESS_PROTOCOL_BYTES];
        access_protocol(cases[i].offered, chosen);
        assert_string_equal(chosen, cases[i].chosen);
    }
}

static void test_addresses(void **state)
{
    static const struct {
        int family;
        const char *text, *client;
    } cases[] = {
        {AF_INET, "192.0.2.7", "192.0.2.7"},
        {AF_INET6, "::ffff:192.0.2.7", "192.0.2.7"},
        {AF_INET6, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
        {AF_INET6, "2001:db8:1:2::9", "2001:db8:1:2::/64"},
        {AF_INET6, "2001:db8:1:3::9", "2001:db8:1:3::/64"},
    };
    char client[ACCESS_CLIENT_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        bool four = cases[i].family == AF_INET;
        assert_int_equal(inet_pton(cases[i].family, cases[i].text, four ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr),
                         1);
        access_address(four ? (void *)&v4 : (void *)&v6, client);
        assert_string_equal(client, cases[i].client);
    }
    access_address(NULL, client);
    assert_string_equal(client, "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_and_names), cmocka_unit_test(test_bad_files), cmocka_unit_test(test_reload),
        cmocka_unit_test(test_headers),        cmocka_unit_test(test_protocol),  cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
