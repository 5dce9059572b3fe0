#include "tests/support/config_case.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void config_case_folder(void)
{
    char folder[] = "/tmp/spindle_config.XXXXXX";
    if (mkdtemp(folder) == NULL || chdir(folder) != 0)
        abort();
}

int config_case_folder_done(int code)
{
    char folder[4096];
    DIR *dir = opendir(".");
    for (struct dirent *d = NULL; dir != NULL && (d = readdir(dir)) != NULL;) {
        if (d->d_name[0] != '.' && unlink(d->d_name) != 0)
            code = EXIT_FAILURE;
    }
    if (dir == NULL || getcwd(folder, sizeof folder) == NULL || rmdir(folder) != 0)
        code = EXIT_FAILURE;
    if (dir != NULL)
        closedir(dir);
    return code;
}

void config_case_file(const char *name, const char *text, unsigned mode)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

void config_case_write(const struct config_case *c)
{
    if (c->text != NULL)
        config_case_file("x.yaml", c->text, 0600);
    else
        unlink("x.yaml");
}

void config_case_expand(const char *want, char *out, size_t size)
{
    char here[4096];
    size_t len = 0;
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    for (const char *at; (at = strstr(want, "$HERE")) != NULL; want = at + 5)
        len += (size_t)snprintf(out + len, size - len, "%.*s%s", (int)(at - want), want, here);
    snprintf(out + len, size - len, "%s", want);
}

void config_case_check(const struct config_case *c, err_t err, const struct buf *report)
{
    char text[16384], want[16384];
    config_case_expand(c->want, want, sizeof want);
    ck_assert_uint_lt(report->len, sizeof text);
    if (report->len > 0)
        memcpy(text, report->data, report->len);
    text[report->len] = '\0';
    ck_assert_msg(strcmp(text, want) == 0, "expected\n%sfound\n%s", want, text);
    ck_assert_msg(err == c->err, "expected %s, found %s\n%s", err_name(c->err), err_name(err),
                  text);
}
