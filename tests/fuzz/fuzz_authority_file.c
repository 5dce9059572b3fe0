/* Files of the embedded authority: nothing but a whole file is read. The check sum would keep a
 * fuzzer at the door, so inputs are tried as they are, with a right sum behind them, and as a list
 * of changes to a good file (two bytes where, one byte what), again with a right sum. */
#include "agent/authority/authority_file.h"
#include "common/crypto/key_store.h"
#include "common/encode/pem.h"
#include "common/x509/x509_build.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void parse(struct slice text)
{
    struct authority_cert c = {0};
    struct why why = {0};
    err_t err = authority_file_parse(text, &key_store_memory, &c, &why);
    check((err == ERR_OK) == (c.keys != NULL));
    if (err == ERR_OK)
        check(slice_eq(c.signer.spki(c.signer.self), c.cert.spki));
    else
        check(why.text[0] != '\0');
    authority_cert_done(&c);
}

static void parse_with_sum(struct buf *text)
{
    uint8_t digest[SHA256_LEN];
    sha256_of(buf_slice(text), digest);
    check(buf_append_str(text, "sha256 ") == ERR_OK);
    for (size_t i = 0; i < SHA256_LEN; i++)
        check(buf_printf(text, "%02x", digest[i]) == ERR_OK);
    check(buf_append_str(text, "\n") == ERR_OK);
    parse(buf_slice(text));
}

static void make_cert(struct key *key, struct buf *der)
{
    struct buf name;
    buf_init(&name, 256);
    check(x509_build_name(&name, NULL, "Spindle", "root") == ERR_OK);
    struct slice uri = slice_str("spiffe://example.org");
    const struct x509_template t = {
        .serial = slice_str("s"),
        .issuer = buf_slice(&name),
        .subject = buf_slice(&name),
        .not_after = 4000000000,
        .spki = key_spki(key),
        .is_ca = true,
        .path_len = 1,
        .key_usage = X509_KU_CERT_SIGN,
        .uris = &uri,
        .uri_count = 1,
    };
    struct signer signer = signer_of_key(key);
    check(x509_build(&t, &signer, der, NULL) == ERR_OK);
    buf_done(&name);
}

/* A good file but for its sum; made once. */
static struct slice good_file(void)
{
    static struct buf text;
    if (text.len > 0)
        return buf_slice(&text);
    struct key *key = NULL;
    struct buf der;
    buf_init(&text, AUTHORITY_FILE_MAX);
    buf_init(&der, AUTHORITY_FILE_MAX);
    check(key_generate(KEY_EC_P256, &key, NULL) == ERR_OK);
    make_cert(key, &der);
    check(buf_append_str(&text, "spindle-authority 1\n") == ERR_OK);
    check(pem_write(&text, "CERTIFICATE", buf_slice(&der)) == ERR_OK);
    check(pem_write(&text, "PRIVATE KEY", key_pkcs8(key)) == ERR_OK);
    buf_done(&der);
    key_free(key);
    return buf_slice(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice good = good_file();
    struct buf text;
    buf_init(&text, 2 * AUTHORITY_FILE_MAX);
    if (size > AUTHORITY_FILE_MAX)
        return 0;
    parse(slice_of(data, size));
    check(buf_append(&text, data, size) == ERR_OK);
    parse_with_sum(&text);
    buf_clear(&text);
    check(buf_append(&text, good.data, good.len) == ERR_OK);
    for (size_t i = 0; i + 3 <= size; i += 3)
        text.data[(data[i] * 256u + data[i + 1]) % good.len] = data[i + 2];
    parse_with_sum(&text);
    buf_done(&text);
    return 0;
}
