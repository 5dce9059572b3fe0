/* The files and addresses that a configuration names, looked at on this machine before anything is
 * opened: `config check` and the start of `run` say the same. */
#include "common/loop/socket_folder.h"
#include "common/tls/tls.h"
#include "sidecar/config/config.h"
#include "sidecar/identity/identity_files.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct looks {
    const struct sidecar_config *config;
    struct buf *report;
    err_t err;
};

#define PROBLEM(l, ...) option_problem((l)->config->origins, (l)->report, &(l)->err, __VA_ARGS__)
#define WARNING(l, ...) option_warning((l)->config->origins, (l)->report, &(l)->err, __VA_ARGS__)

static void look_at_file(struct looks *l, const char *key, const char *path, bool secret)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        PROBLEM(l, key, "%s cannot be read: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        PROBLEM(l, key, "%s is no file", path);
    } else if (secret && (st.st_mode & 077) != 0) {
        PROBLEM(l, key, "%s holds a key and is open to others: expected mode 0600, found %04o",
                path, (unsigned)(st.st_mode & 07777));
    }
    if (fd >= 0)
        close(fd);
}

/* Can a handshake carry it, on either side? */
static err_t look_at_handshake(struct identity *id, struct why *why)
{
    err_t err = ERR_OK;
    for (int side = TLS_SERVER; side <= TLS_CLIENT && err == ERR_OK; side++) {
        struct tls_context *tls = NULL;
        err = tls_context_new((enum tls_side)side, TLS_CLIENT_REQUIRED, id, &tls, why);
        tls_context_unref(tls);
    }
    return err;
}

/* Do the three belong together? */
static void look_at_identity(struct looks *l, int64_t now)
{
    const struct sidecar_config *c = l->config;
    struct identity_files files = {c->file_certificate, c->file_key, c->file_bundle};
    struct pem_unused unused = {0};
    struct identity *id = NULL;
    struct why why = {0};
    err_t err = identity_files_load(&files, now, &unused, &id, &why);
    if (err == ERR_OK)
        err = look_at_handshake(id, &why);
    if (err == ERR_CERT_EXPIRED || err == ERR_CERT_NOT_YET_VALID)
        WARNING(l, "identity.files", "%s; no peer is served until the files are replaced",
                why_text(&why));
    else if (err == ERR_NO_MEMORY)
        l->err = err;
    else if (err != ERR_OK)
        PROBLEM(l, "identity.files", "%s", why_text(&why));
    if (unused.count > 0)
        WARNING(l, "identity.files", "%u PEM blocks are not used: %s", unused.count, unused.text);
    identity_unref(id);
}

/* Is it an address of one of this machine's interfaces? */
static bool is_own(const struct address *a, const struct ifaddrs *interfaces)
{
    struct sockaddr_storage want;
    socklen_t len;
    if (address_sockaddr(a, &want, &len) != ERR_OK)
        return false;
    const struct sockaddr_in *want4 = (const struct sockaddr_in *)&want;
    const struct sockaddr_in6 *want6 = (const struct sockaddr_in6 *)&want;
    for (const struct ifaddrs *i = interfaces; i != NULL; i = i->ifa_next) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)i->ifa_addr;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)i->ifa_addr;
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != want.ss_family)
            continue;
        if (want.ss_family == AF_INET && v4->sin_addr.s_addr == want4->sin_addr.s_addr)
            return true;
        if (want.ss_family == AF_INET6 &&
            memcmp(&v6->sin6_addr, &want6->sin6_addr, sizeof v6->sin6_addr) == 0)
            return true;
    }
    return false;
}

/* An app on another machine is reached in plain text. */
static void look_at_forwards(struct looks *l)
{
    const struct sidecar_config *c = l->config;
    struct ifaddrs *interfaces = NULL;
    char key[ROUTE_KEY_LEN], text[ADDRESS_TEXT_LEN];
    if (getifaddrs(&interfaces) != 0)
        return; /* then nobody can say */
    for (size_t i = 0; i < c->route_count; i++) {
        const struct address *to = &c->routes[i].forward;
        if (c->routes[i].direction != ROUTE_INBOUND || address_is_loopback(to) ||
            address_is_any(to) || is_own(to, interfaces))
            continue;
        WARNING(l, sidecar_route_key(c, i, "forward", key),
                "%s %s: what arrives over mutual TLS goes on in plain text from here",
                address_text(to, text),
                to->kind == ADDRESS_NAME ? "may lead off this machine" : "is not of this machine");
    }
    freeifaddrs(interfaces);
}

static void look_at_folder(struct looks *l, const char *key, const char *path)
{
    struct why why = {0};
    if (path != NULL && socket_folder_check_modes(path, &why) != ERR_OK)
        PROBLEM(l, key, "%s", why_text(&why));
}

static void look_at_route(struct looks *l, size_t route)
{
    const struct route_config *r = &l->config->routes[route];
    struct why why = {0};
    char key[ROUTE_KEY_LEN];
    uid_t user;
    gid_t group;
    if (r->listen.kind != ADDRESS_UNIX)
        return;
    look_at_folder(l, sidecar_route_key(l->config, route, "listen", key), r->listen.host);
    err_t err =
        r->socket_owner != NULL ? route_socket_owner(r->socket_owner, &user, &group, &why) : ERR_OK;
    if (err == ERR_NO_MEMORY)
        l->err = err;
    else if (err != ERR_OK)
        PROBLEM(l, sidecar_route_key(l->config, route, "owner", key), "%s", why_text(&why));
}

/* Owners are known, no folder is open to all. */
static void look_at_sockets(struct looks *l)
{
    const struct sidecar_config *c = l->config;
    for (size_t i = 0; i < c->route_count; i++)
        look_at_route(l, i);
    look_at_folder(l, "admin.socket", c->admin_socket);
    if (c->metrics_on && c->metrics_listen.kind == ADDRESS_UNIX)
        look_at_folder(l, "metrics.listen", c->metrics_listen.host);
}

err_t sidecar_config_check_files(const struct sidecar_config *c, int64_t now, struct buf *report)
{
    struct looks l = {.config = c, .report = report};
    look_at_sockets(&l);
    look_at_forwards(&l);
    if (c->file_certificate == NULL || c->file_key == NULL || c->file_bundle == NULL)
        return l.err;
    look_at_file(&l, "identity.files.certificate", c->file_certificate, false);
    look_at_file(&l, "identity.files.key", c->file_key, true);
    look_at_file(&l, "identity.files.bundle", c->file_bundle, false);
    if (l.err == ERR_OK)
        look_at_identity(&l, now);
    return l.err;
}
