#include "tests/support/authority_case.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DAY = 24 * 3600 };

static void sign(void *self, struct authority_job *job)
{
    const struct authority_case *c = self;
    struct why why = {0};
    struct authority_answer answer;
    struct buf chain;
    buf_init(&chain, 64 * 1024);
    err_t err = ca_issue(c->ca, &job->request, &chain, &answer, &why);
    job->done(job, err, err == ERR_OK ? &answer : NULL, &why);
    buf_done(&chain);
}

static void cancel(void *self, struct authority_job *job)
{
    (void)self;
    (void)job;
    ck_abort_msg("it is answered at once");
}

static struct slice bundle(void *self)
{
    return ca_bundle(((struct authority_case *)self)->ca);
}

static struct authority_times times(void *self)
{
    return ca_times(((struct authority_case *)self)->ca);
}

void authority_case_setup(struct authority_case *c)
{
    *c = (struct authority_case){.authority = {c, sign, cancel, bundle, times}};
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(c->base, sizeof c->base, "%s/spindle-authority.XXXXXX", where);
    ck_assert_ptr_nonnull(mkdtemp(c->base));
    snprintf(c->dir, sizeof c->dir, "%s/authority", c->base);
}

void authority_case_path(const struct authority_case *c, const char *name, char out[static 128])
{
    ck_assert_int_lt(snprintf(out, 128, "%s/%s", c->dir, name), 128);
}

void authority_case_empty(struct authority_case *c)
{
    static const char *const names[] = {"root", "issuer", ".root.new", ".issuer.new"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        authority_case_path(c, names[i], path);
        unlink(path);
    }
    rmdir(c->dir);
}

void authority_case_teardown(struct authority_case *c)
{
    authority_case_close(c);
    authority_case_empty(c);
    ck_assert_msg(rmdir(c->base) == 0, "something is left in %s", c->base);
}

err_t authority_case_open(struct authority_case *c, int64_t now)
{
    return ca_open(c->dir, "example.org", DAY, &key_store_memory, now, &c->ca, &c->why);
}

void authority_case_must_open(struct authority_case *c, int64_t now)
{
    ck_assert_msg(authority_case_open(c, now) == ERR_OK, "%s", why_text(&c->why));
}

void authority_case_close(struct authority_case *c)
{
    ca_close(c->ca);
    c->ca = NULL;
}

void authority_case_reopen(struct authority_case *c, int64_t now)
{
    authority_case_close(c);
    authority_case_must_open(c, now);
}

err_t authority_case_tick(struct authority_case *c, int64_t now, bool *ret_renewed)
{
    struct authority_cert next = {0};
    err_t err = ca_next(c->ca, now, &next, &c->why);
    bool is_due = next.keys != NULL;
    if (err == ERR_OK && is_due)
        err = ca_store(c->ca, &next, &c->why);
    ca_renewed(c->ca, &next, err, now);
    if (err == ERR_OK)
        *ret_renewed = is_due;
    return err;
}

size_t authority_case_read(const struct authority_case *c, const char *name,
                           char out[static AUTHORITY_TEXT_MAX])
{
    char path[128];
    authority_case_path(c, name, path);
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    size_t len = fread(out, 1, AUTHORITY_TEXT_MAX - 1, f);
    fclose(f);
    out[len] = '\0';
    return len;
}

void authority_case_write(const struct authority_case *c, const char *name, const char *text,
                          size_t len, mode_t mode)
{
    char path[128];
    authority_case_path(c, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}
