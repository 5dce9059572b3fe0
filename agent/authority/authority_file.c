#include "agent/authority/authority_file.h"

#include "common/base/file.h"
#include "common/encode/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char magic[] = "spindle-authority ";
static const char version[] = "1";
static const char sum_word[] = "sha256 ";
enum { SUM_LINE_LEN = sizeof sum_word - 1 + 2 * SHA256_LEN + 1 };

void authority_cert_done(struct authority_cert *c)
{
    if (c->keys != NULL)
        c->keys->release(&c->signer);
    buf_done(&c->der);
    *c = (struct authority_cert){0};
}

/* Reading. */

static err_t damaged(struct why *why, const char *what)
{
    return why_set(why, ERR_PARSE, "the file is cut short or damaged: %s", what);
}

static void sum_line(struct slice text, char out[static SUM_LINE_LEN + 1])
{
    uint8_t digest[SHA256_LEN];
    sha256_of(text, digest);
    size_t at = sizeof sum_word - 1;
    memcpy(out, sum_word, at);
    for (size_t i = 0; i < SHA256_LEN; i++, at += 2)
        snprintf(out + at, 3, "%02x", digest[i]);
    memcpy(out + at, "\n", 2);
}

static err_t check_header(struct slice text, struct why *why)
{
    size_t len = sizeof magic - 1;
    if (text.len < len || memcmp(text.data, magic, len) != 0)
        return damaged(why, "it does not begin with \"spindle-authority\" and a version");
    const uint8_t *word = text.data + len, *end = memchr(word, '\n', text.len - len);
    if (end == NULL)
        return damaged(why, "the first line has no end");
    struct slice found = slice_of(word, (size_t)(end - word));
    if (!slice_eq_str(found, version))
        return why_set(why, ERR_UNSUPPORTED,
                       "expected version %s, found \"%.*s\": use the program that wrote it",
                       version, found.len < 16 ? (int)found.len : 16, (const char *)found.data);
    return ERR_OK;
}

static err_t check_sum(struct slice text, struct why *why)
{
    char want[SUM_LINE_LEN + 1];
    if (text.len < SUM_LINE_LEN)
        return damaged(why, "its check sum is missing");
    struct slice body = slice_of(text.data, text.len - SUM_LINE_LEN);
    sum_line(body, want);
    if (!slice_eq_str(slice_of(text.data + body.len, SUM_LINE_LEN), want))
        return damaged(why, "its check sum is missing or wrong");
    return ERR_OK;
}

static err_t next_block(struct slice *text, const char *label, struct buf *der, struct why *why)
{
    struct slice found;
    err_t err = pem_next(text, &found, der, why);
    if (err != ERR_OK)
        return why_add(why, err == ERR_NO_MEMORY ? err : ERR_PARSE, "block %s", label);
    if (!slice_eq_str(found, label))
        return why_set(why, ERR_PARSE, "expected a block %s, found %.*s", label,
                       found.len < 32 ? (int)found.len : 32, (const char *)found.data);
    return ERR_OK;
}

err_t authority_file_parse(struct slice text, const struct key_store *keys,
                           struct authority_cert *ret, struct why *why)
{
    struct authority_cert c = {0};
    struct buf key_der;
    buf_init(&c.der, AUTHORITY_FILE_MAX);
    buf_init_secret(&key_der, AUTHORITY_FILE_MAX);
    err_t err = check_header(text, why);
    if (err == ERR_OK)
        err = check_sum(text, why);
    if (err == ERR_OK)
        err = next_block(&text, "CERTIFICATE", &c.der, why);
    if (err == ERR_OK)
        err = next_block(&text, keys->label, &key_der, why);
    if (err == ERR_OK)
        err = x509_parse(buf_slice(&c.der), &c.cert, why);
    if (err == ERR_OK)
        err = keys->load(keys->self, buf_slice(&key_der), &c.signer, why);
    if (err == ERR_OK)
        c.keys = keys;
    if (err == ERR_OK && !slice_eq(c.signer.spki(c.signer.self), c.cert.spki))
        err = why_set(why, ERR_KEY_MISMATCH, "the key is not the certificate's");
    buf_wipe(&key_der);
    if (err == ERR_OK)
        *ret = c;
    else
        authority_cert_done(&c);
    return err;
}

static err_t check_mode(const char *path, const struct stat *st, struct why *why)
{
    (void)path;
    if (!S_ISREG(st->st_mode))
        return why_set(why, ERR_PARSE, "expected a file, found something else");
    if (st->st_uid != geteuid())
        return why_set(why, ERR_FILE_MODE,
                       "it belongs to user %u, the agent runs as user %u: "
                       "chown it, and take the key as known to that user",
                       (unsigned)st->st_uid, (unsigned)geteuid());
    if ((st->st_mode & 077) != 0)
        return why_set(why, ERR_FILE_MODE,
                       "expected mode 0600, found %04o: chmod 600, and take "
                       "the key as known to others",
                       (unsigned)(st->st_mode & 07777));
    if (st->st_size > (off_t)AUTHORITY_FILE_MAX)
        return damaged(why, "it is too large");
    return ERR_OK;
}

err_t authority_file_read(const char *path, const struct key_store *keys,
                          struct authority_cert *ret, struct why *why)
{
    struct buf text;
    buf_init_secret(&text, AUTHORITY_FILE_MAX);
    err_t err = file_read(path, check_mode, &text, why);
    if (err == ERR_IO && errno == ENOENT)
        err = why_set(why, ERR_NOT_FOUND, "no such file");
    if (err == ERR_OK)
        err = authority_file_parse(buf_slice(&text), keys, ret, why);
    buf_wipe(&text);
    return err == ERR_OK ? ERR_OK : why_add(why, err, "%s", path);
}

/* Writing. */

static err_t authority_file_compose(const struct authority_cert *c, struct buf *text)
{
    char sum[SUM_LINE_LEN + 1];
    err_t err = buf_printf(text, "%s%s\n", magic, version);
    if (err == ERR_OK)
        err = pem_write(text, "CERTIFICATE", buf_slice(&c->der));
    if (err == ERR_OK)
        err = pem_write(text, c->keys->label, c->keys->kept(&c->signer));
    if (err != ERR_OK)
        return err;
    sum_line(buf_slice(text), sum);
    return buf_append(text, sum, SUM_LINE_LEN);
}

static err_t authority_file_replace(const char *dir, const char *name, struct slice text,
                                    struct why *why)
{
    int folder = open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (folder < 0)
        return why_errno(why, ERR_IO, "cannot open the folder");
    err_t err = file_replace(folder, name, text, 0600, NULL, why);
    if (err == ERR_OK && fsync(folder) != 0)
        err = why_errno(why, ERR_IO, "cannot sync the folder");
    close(folder);
    return err;
}

err_t authority_file_write(const char *dir, const char *name, const struct authority_cert *c,
                           struct why *why)
{
    struct buf text;
    buf_init_secret(&text, AUTHORITY_FILE_MAX);
    err_t err = authority_file_compose(c, &text);
    if (err != ERR_OK)
        why_set(why, err, "cannot compose %s: %s", name, err_text(err));
    else
        err = authority_file_replace(dir, name, buf_slice(&text), why);
    buf_wipe(&text);
    return err == ERR_OK ? ERR_OK : why_add(why, err, "%s", dir);
}
