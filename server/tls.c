/* SPDX-License-Identifier: MIT
 * Certificate and key at handshakes (tls.h). They are kept as the files have them and parsed for each handshake, which
 * GnuTLS then owns: so they can be exchanged while handshakes go on. */
#include "tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <string.h>

#include "options.h"

enum { CHAIN_MOST = 16 };

const char tls_priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

static struct {
    const char *certificate_path, *key_path;
    pthread_mutex_t lock; /* of what follows */
    gnutls_datum_t certificate, key;
} tls = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void forget(gnutls_datum_t *d)
{
    if (d->data) explicit_bzero(d->data, d->size);
    gnutls_free(d->data);
    *d = (gnutls_datum_t){0};
}

/* Are these a certificate and its key? */
static int try_pair(const gnutls_datum_t *certificate, const gnutls_datum_t *key)
{
    gnutls_certificate_credentials_t c;
    int code = gnutls_certificate_allocate_credentials(&c);
    if (code < 0) return code;
    code = gnutls_certificate_set_x509_key_mem(c, certificate, key, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(c);
    return code < 0 ? code : 0;
}

static sotto_status read_pair(gnutls_datum_t *certificate, gnutls_datum_t *key, sotto_error *err)
{
    int code;
    *certificate = *key = (gnutls_datum_t){0};
    if ((code = gnutls_load_file(tls.certificate_path, certificate)) < 0)
        return options_fail(err, SOTTO_EIO, "certificate %.200s cannot be read: %s", tls.certificate_path,
                            gnutls_strerror(code));
    if ((code = gnutls_load_file(tls.key_path, key)) < 0) {
        forget(certificate);
        return options_fail(err, SOTTO_EIO, "key %.200s cannot be read: %s", tls.key_path, gnutls_strerror(code));
    }
    if ((code = try_pair(certificate, key)) == 0) return SOTTO_OK;
    forget(certificate);
    forget(key);
    return options_fail(err, SOTTO_EFORMAT, "%.150s and %.150s are no PEM certificate with its key: %s",
                        tls.certificate_path, tls.key_path, gnutls_strerror(code));
}

sotto_status tls_reload(sotto_error *err)
{
    gnutls_datum_t certificate, key;
    sotto_status st = read_pair(&certificate, &key, err);
    if (st != SOTTO_OK) return st;
    pthread_mutex_lock(&tls.lock);
    forget(&tls.certificate);
    forget(&tls.key);
    tls.certificate = certificate;
    tls.key = key;
    pthread_mutex_unlock(&tls.lock);
    return SOTTO_OK;
}

sotto_status tls_open(const char *certificate, const char *key, sotto_error *err)
{
    tls.certificate_path = certificate;
    tls.key_path = key;
    return tls_reload(err);
}

void tls_close(void)
{
    pthread_mutex_lock(&tls.lock);
    forget(&tls.certificate);
    forget(&tls.key);
    pthread_mutex_unlock(&tls.lock);
}

/* The lock is held. On success the caller owns chain[*n] and *key. */
static int parse(gnutls_pcert_st *chain, unsigned *n, gnutls_privkey_t *key)
{
    *n = CHAIN_MOST;
    int code = gnutls_pcert_list_import_x509_raw(chain, n, &tls.certificate, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0) return code;
    if ((code = gnutls_privkey_init(key)) >= 0) {
        if ((code = gnutls_privkey_import_x509_raw(*key, &tls.key, GNUTLS_X509_FMT_PEM, NULL, 0)) >= 0) return code;
        gnutls_privkey_deinit(*key);
    }
    for (unsigned i = 0; i < *n; i++) gnutls_pcert_deinit(&chain[i]);
    return code;
}

static int retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **chain,
                    unsigned *n, gnutls_ocsp_data_st **ocsp, unsigned *n_ocsp, gnutls_privkey_t *key, unsigned *flags)
{
    (void)session, (void)info;
    *ocsp = NULL;
    *n_ocsp = 0;
    if (!(*chain = gnutls_calloc(CHAIN_MOST, sizeof **chain))) return -1;
    pthread_mutex_lock(&tls.lock);
    int code = parse(*chain, n, key);
    pthread_mutex_unlock(&tls.lock);
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    if (code >= 0) return 0;
    gnutls_free(*chain);
    *chain = NULL;
    return -1;
}

tls_callback tls_certificate(void) { return (tls_callback)retrieve; }

bool tls_send(void *session, const void *bytes, size_t n)
{
    return gnutls_record_send(session, bytes, n) == (ssize_t)n;
}
