/* Bytes as a private key: a key that parses writes a PKCS#8 that parses to the same, and signs. */
#include "common/crypto/key.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct key *key = NULL, *again = NULL;
    struct why why = {0};
    err_t err = key_parse(slice_of(data, size), &key, &why);
    if (err != ERR_OK) {
        if (key != NULL || why.err != err || why.text[0] == '\0')
            abort();
        return 0;
    }
    if (key_parse(key_pkcs8(key), &again, NULL) != ERR_OK ||
        !slice_eq(key_pkcs8(key), key_pkcs8(again)) || !slice_eq(key_spki(key), key_spki(again)))
        abort();
    struct buf sig;
    buf_init(&sig, 1024);
    if (key_sign(again, slice_of(data, size), &sig, NULL) != ERR_OK || sig.len < 64)
        abort();
    buf_done(&sig);
    key_free(key);
    key_free(again);
    return 0;
}
