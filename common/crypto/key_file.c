#include "common/crypto/key.h"

#include "common/base/file.h"
#include "common/encode/pem.h"

#define KEY_FILE_MAX (64u * 1024u)

static err_t check_private(const char *path, const struct stat *st, struct why *why)
{
    err_t err = file_check_regular(path, st, why);
    if (err == ERR_OK && (st->st_mode & 077u) != 0)
        err = why_set(why, ERR_FILE_MODE,
                      "mode is %04o, others than its owner may use it; run: chmod 600 %s",
                      (unsigned)st->st_mode & 07777u, path);
    return err;
}

static bool is_pem(struct slice text)
{
    return text.len > 0 && memmem(text.data, text.len, "-----BEGIN ", 11) != NULL;
}

static bool ends_with(struct slice label, const char *word)
{
    size_t n = strlen(word);
    return label.len >= n && memcmp(label.data + label.len - n, word, n) == 0;
}

/* Goes through all blocks, so that those behind the key are noted too. */
static err_t parse_pem(const char *path, struct slice text, struct pem_unused *unused,
                       struct key **ret_key, struct why *why)
{
    struct key *key = NULL;
    struct buf der;
    err_t err;
    buf_init_secret(&der, KEY_FILE_MAX);
    for (;;) {
        struct slice label;
        buf_clear(&der);
        err = pem_next(&text, &label, &der, why);
        if (err == ERR_OK && key == NULL && ends_with(label, "PRIVATE KEY"))
            err = key_parse(buf_slice(&der), &key, why);
        else if (err == ERR_OK)
            pem_unused_add(unused, path, label);
        if (err != ERR_OK)
            break;
    }
    buf_wipe(&der);
    if (err == ERR_NOT_FOUND && key != NULL) {
        *ret_key = key;
        return ERR_OK;
    }
    key_free(key);
    return err != ERR_NOT_FOUND ? err : why_set(why, ERR_KEY, "no PEM block \"PRIVATE KEY\" in it");
}

err_t key_read_file(const char *path, struct pem_unused *unused, struct key **ret_key,
                    struct why *why)
{
    struct buf text;
    buf_init_secret(&text, KEY_FILE_MAX);
    err_t err = file_read(path, check_private, &text, why);
    if (err == ERR_OK && is_pem(buf_slice(&text)))
        err = parse_pem(path, buf_slice(&text), unused, ret_key, why);
    else if (err == ERR_OK)
        err = key_parse(buf_slice(&text), ret_key, why);
    buf_wipe(&text);
    return err == ERR_OK ? err : why_add(why, err, "key file %s", path);
}
