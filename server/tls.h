/* SPDX-License-Identifier: MIT
 * The daemon's certificate: PEM files -> what libmicrohttpd asks for at each handshake. The only file with GnuTLS.
 *
 * There is one certificate in a process, as the callback of the handshake knows nothing of whose it is. */
#ifndef SOTTOD_TLS_H
#define SOTTOD_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "sotto.h"

/* TLS 1.2 and 1.3, in GnuTLS's words. */
extern const char tls_priorities[];

/* Reads a chain (the daemon's own certificate first) and its key, both PEM; the paths must outlive the use. Errors name
 * the file, or tell that the two do not belong together. */
sotto_status tls_open(const char *certificate, const char *key, sotto_error *err);
/* Reads both again, for handshakes from now on; on failure what there is stays. Any thread. */
sotto_status tls_reload(sotto_error *err);
/* After the last handshake. */
void tls_close(void);

/* A gnutls_certificate_retrieve_function3. */
typedef void (*tls_callback)(void);
tls_callback tls_certificate(void);

/* Sends all `n` bytes on `session` (a gnutls_session_t), which does not block: false when they did not fit. */
bool tls_send(void *session, const void *bytes, size_t n);

#endif
