#include "common/crypto/key.h"

#include "common/encode/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX (64u * 1024u)

/* Opens the file and judges the descriptor, not the path: what is checked is what is read. */
static err_t open_private(const char *path, int *ret_fd, struct why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return why_errno(why, ERR_IO, "key file %s", path);
    struct stat st;
    err_t err = ERR_OK;
    if (fstat(fd, &st) != 0)
        err = why_errno(why, ERR_IO, "key file %s", path);
    else if (!S_ISREG(st.st_mode))
        err = why_set(why, ERR_IO, "key file %s: not a regular file", path);
    else if ((st.st_mode & 077u) != 0)
        err = why_set(why, ERR_FILE_MODE,
                      "key file %s: mode is %04o, others than its owner may use it; run: "
                      "chmod 600 %s",
                      path, (unsigned)st.st_mode & 07777u, path);
    if (err == ERR_OK)
        *ret_fd = fd;
    else
        close(fd);
    return err;
}

static err_t read_all(int fd, const char *path, struct buf *out, struct why *why)
{
    for (;;) {
        err_t err = buf_reserve(out, out->len < out->max ? out->max - out->len : 1);
        if (err == ERR_TOO_LARGE)
            return why_set(why, err, "key file %s: larger than 64 KiB", path);
        if (err != ERR_OK)
            return why_set(why, err, "key file %s: %s", path, err_text(err));
        ssize_t n = read(fd, out->data + out->len, out->max - out->len);
        if (n == 0)
            return ERR_OK;
        if (n < 0 && errno != EINTR)
            return why_errno(why, ERR_IO, "key file %s", path);
        out->len += n > 0 ? (size_t)n : 0;
    }
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
    int fd = -1;
    err_t err = open_private(path, &fd, why);
    if (err != ERR_OK)
        return err;
    struct buf text;
    buf_init_secret(&text, KEY_FILE_MAX);
    err = read_all(fd, path, &text, why);
    close(fd);
    if (err == ERR_OK) {
        err = is_pem(buf_slice(&text)) ? parse_pem(path, buf_slice(&text), unused, ret_key, why)
                                       : key_parse(buf_slice(&text), ret_key, why);
        if (err != ERR_OK)
            err = why_add(why, err, "key file %s", path);
    }
    buf_wipe(&text);
    return err;
}
