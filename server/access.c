/* SPDX-License-Identifier: MIT
 * Headers -> client or refusal (access.h). */
#include "access.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "job.h"

static const char key_protocol[] = "openai-insecure-api-key.";

/* The next of comma-separated words and its length; NULL at the end. */
static const char *next_word(const char **list, size_t *n)
{
    const char *word = *list + strspn(*list, " \t,");
    size_t length = strcspn(word, ",");
    *list = word + length;
    while (length && (word[length - 1] == ' ' || word[length - 1] == '\t')) length--;
    *n = length;
    return length ? word : NULL;
}

static bool is_key(const char *word, size_t n)
{
    return n >= sizeof key_protocol - 1 && strncmp(word, key_protocol, sizeof key_protocol - 1) == 0;
}

/* The key that the request brings, "" for none. What is too long is cut to KEYS_KEY_BYTES, which no key has. */
static void find_key(const access_headers *h, char key[KEYS_KEY_BYTES + 1])
{
    static const char scheme[] = "Bearer ";
    const char *found = NULL, *word;
    size_t n = 0, length;
    if (h->authorization && strncasecmp(h->authorization, scheme, sizeof scheme - 1) == 0) {
        found = h->authorization + sizeof scheme - 1;
        found += strspn(found, " ");
        n = strlen(found);
    }
    for (const char *list = h->protocols; list && !found && (word = next_word(&list, &length));) {
        if (!is_key(word, length)) continue;
        found = word + sizeof key_protocol - 1;
        n = length - (sizeof key_protocol - 1);
    }
    if (n > KEYS_KEY_BYTES) n = KEYS_KEY_BYTES;
    if (found) memcpy(key, found, n);
    key[n] = '\0';
}

bool access_check(keys *k, const access_headers *h, char client[ACCESS_CLIENT_BYTES], api_error *e)
{
    char key[KEYS_KEY_BYTES + 1], name[KEYS_NAME_BYTES];
    client[0] = '\0';
    if (!k) return true;
    find_key(h, key);
    bool known = keys_find(k, key, name), given = key[0];
    explicit_bzero(key, sizeof key);
    if (known) {
        snprintf(client, ACCESS_CLIENT_BYTES, "%s", name);
        return true;
    }
    if (given) return api_error_set(e, 401, NULL, "invalid_api_key", "The API key is none of this server's");
    return api_error_set(e, 401, NULL, "missing_api_key",
                         "This server wants an API key: send the header \"Authorization: Bearer KEY\"");
}

void access_address(const struct sockaddr *a, char client[ACCESS_CLIENT_BYTES])
{
    struct in6_addr v6 = {0};
    snprintf(client, ACCESS_CLIENT_BYTES, "unknown");
    if (a && a->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)a)->sin_addr, client, ACCESS_CLIENT_BYTES);
    } else if (a && a->sa_family == AF_INET6) {
        v6 = ((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&v6)) {
            inet_ntop(AF_INET, &v6.s6_addr[12], client, ACCESS_CLIENT_BYTES);
            return;
        }
        memset(&v6.s6_addr[8], 0, 8);
        inet_ntop(AF_INET6, &v6, client, ACCESS_CLIENT_BYTES - 3);
        strcat(client, "/64");
    }
}

void access_request_id(const char *given, char id[ACCESS_ID_BYTES])
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    uint64_t random = 0;
    if (given && *given && strlen(given) < ACCESS_ID_BYTES && strspn(given, allowed) == strlen(given)) {
        snprintf(id, ACCESS_ID_BYTES, "%s", given);
        return;
    }
    if (getrandom(&random, sizeof random, 0) < 0) random = (uint64_t)(clock_now_s() * 1e9);
    snprintf(id, ACCESS_ID_BYTES, "req_%016llx", (unsigned long long)random);
}

void access_protocol(const char *offered, char chosen[ACCESS_PROTOCOL_BYTES])
{
    const char *word;
    size_t n;
    chosen[0] = '\0';
    while (offered && (word = next_word(&offered, &n))) {
        if (is_key(word, n) || n >= ACCESS_PROTOCOL_BYTES) continue;
        memcpy(chosen, word, n);
        chosen[n] = '\0';
        return;
    }
}
