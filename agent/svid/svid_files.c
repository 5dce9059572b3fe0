#include "agent/svid/svid_files.h"

#include "common/base/file.h"
#include "common/encode/der.h"
#include "common/encode/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEM_MAX (16u * 1024u * 1024u)
#define MODE_PUBLIC 0644
#define MODE_SECRET 0600

err_t svid_files_pem(struct buf *out, struct slice ders)
{
    struct der_reader r = der_reader_of(ders);
    while (!der_at_end(&r)) {
        struct slice one = der_get_raw(&r, DER_SEQUENCE);
        if (r.bad)
            return ERR_CERT_MALFORMED;
        err_t err = pem_write(out, "CERTIFICATE", one);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static err_t write_certificates(int folder, const char *name, struct slice ders, struct why *why)
{
    struct buf pem;
    buf_init(&pem, PEM_MAX);
    err_t err = svid_files_pem(&pem, ders);
    if (err != ERR_OK)
        why_set(why, err, "%s: %s", name, err_text(err));
    else
        err = file_replace(folder, name, buf_slice(&pem), MODE_PUBLIC, NULL, why);
    buf_done(&pem);
    return err;
}

static err_t write_key(int folder, const char *name, struct slice pkcs8, struct why *why)
{
    struct buf pem;
    buf_init_secret(&pem, PEM_MAX);
    err_t err = pem_write(&pem, "PRIVATE KEY", pkcs8);
    if (err != ERR_OK)
        why_set(why, err, "%s: %s", name, err_text(err));
    else
        err = file_replace(folder, name, buf_slice(&pem), MODE_SECRET, NULL, why);
    buf_wipe(&pem);
    return err;
}

static err_t write_bundles(int folder, size_t n, const struct identity *id, struct why *why)
{
    const struct bundle_set *set = identity_bundles(id);
    size_t federated = 0;
    char name[64];
    for (size_t i = 0; i < set->count; i++) {
        const struct bundle *b = &set->items[i];
        if (slice_eq_str(identity_id(id)->trust_domain, b->trust_domain))
            snprintf(name, sizeof name, "bundle.%zu.pem", n);
        else
            snprintf(name, sizeof name, "federated_bundle.%zu.%zu.pem", n, federated++);
        err_t err = write_certificates(folder, name, slice_of(b->der, b->der_len), why);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static err_t write_one(int folder, size_t n, const struct identity *id, struct why *why)
{
    char name[64];
    snprintf(name, sizeof name, "svid.%zu.key", n);
    err_t err = write_key(folder, name, identity_key_pkcs8(id), why);
    snprintf(name, sizeof name, "svid.%zu.pem", n);
    if (err == ERR_OK)
        err = write_certificates(folder, name, identity_chain(id), why);
    if (err == ERR_OK)
        err = write_bundles(folder, n, id, why);
    return err;
}

err_t svid_files_write(const char *dir, const struct workload_svids *svids, struct why *why)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return why_errno(why, ERR_IO, "%s", dir);
    int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return why_errno(why, ERR_IO, "%s", dir);
    err_t err = ERR_OK;
    for (size_t i = 0; i < svids->count && err == ERR_OK; i++)
        err = write_one(folder, i, svids->items[i], why);
    close(folder);
    return err == ERR_OK ? err : why_add(why, err, "%s", dir);
}
