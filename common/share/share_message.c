#include "common/share/share_message.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_NAME "share.sock"

enum { HEADER_LEN = 12, LENGTH_AT = 8 };
static const uint8_t magic[4] = {'S', 'P', 'S', 'H'};

/* --- fields ----------------------------------------------------------------------------------- */

enum field_kind { FIELD_NUMBER, FIELD_TEXT };

/* A message's fields as data: both directions walk the same rows. */
struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;        /* in struct share_message */
    size_t at_least, max; /* bytes of a text */
};
#define NUMBER(member, name_)                                                                      \
    {                                                                                              \
        .name = (name_), .kind = FIELD_NUMBER, .offset = offsetof(struct share_message, member)    \
    }
#define TEXT(member, name_, at_least_, max_)                                                       \
    {                                                                                              \
        .name = (name_), .kind = FIELD_TEXT, .offset = offsetof(struct share_message, member),     \
        .at_least = (at_least_), .max = (max_)                                                     \
    }

static const struct field hello_fields[] = {
    TEXT(hello.program, "program", 0, SHARE_PROGRAM_MAX),
    TEXT(hello.spiffe_id, "spiffe_id", 1, SHARE_SPIFFE_ID_MAX),
    TEXT(hello.name, "name", 0, SHARE_NAME_MAX),
};
static const struct field welcome_fields[] = {
    TEXT(welcome.program, "program", 0, SHARE_PROGRAM_MAX),
    NUMBER(welcome.longest_life_s, "longest_life"),
};
static const struct field cache_fields[] = {NUMBER(cache.generation, "generation")};
static const struct field refused_fields[] = {
    TEXT(refused.reason, "reason", 0, SHARE_REASON_MAX),
    TEXT(refused.text, "text", 0, SHARE_TEXT_MAX),
};

#define FIELDS(rows) .fields = (rows), .count = sizeof(rows) / sizeof((rows)[0])
static const struct layout {
    const char *name;
    const struct field *fields;
    size_t count;
} layouts[] = {
    [SHARE_OTHER] = {.name = "an unknown type"},
    [SHARE_HELLO] = {.name = "HELLO", FIELDS(hello_fields)},
    [SHARE_WELCOME] = {.name = "WELCOME", FIELDS(welcome_fields)},
    [SHARE_CACHE] = {.name = "CACHE", FIELDS(cache_fields)},
    [SHARE_CHANGED] = {.name = "CHANGED", FIELDS(cache_fields)},
    [SHARE_PAGE] = {.name = "PAGE"},
    [SHARE_REFUSED] = {.name = "REFUSED", FIELDS(refused_fields)},
};
#define TYPES (sizeof layouts / sizeof layouts[0])

const char *share_type_name(enum share_type type)
{
    return layouts[type < TYPES ? type : SHARE_OTHER].name;
}

/* How many bytes the first character has, 0 for what is no UTF-8 or a control character. */
static size_t character_len(struct slice s)
{
    static const uint32_t smallest[] = {0, 0x20, 0x80, 0x800, 0x10000};
    uint8_t first = s.data[0];
    size_t len = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : 4;
    uint32_t code = len == 1 ? first : first & (0x7fu >> len);
    if (len > s.len || first >> 6 == 2 || first > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if (s.data[i] >> 6 != 2)
            return 0;
        code = code << 6 | (s.data[i] & 0x3fu);
    }
    bool control = code == 0x7f || (code >= 0x80 && code < 0xa0);
    bool surrogate = code >= 0xd800 && code < 0xe000;
    return code < smallest[len] || code > 0x10ffff || control || surrogate ? 0 : len;
}

static err_t check_text(const struct field *f, struct slice text, struct why *why)
{
    if (text.len > f->max)
        return why_set(why, ERR_TOO_LARGE, "%s has %zu bytes, at most %zu", f->name, text.len,
                       f->max);
    if (text.len < f->at_least)
        return why_set(why, ERR_PARSE, "%s is empty", f->name);
    for (size_t n; text.len > 0; text = slice_of(text.data + n, text.len - n)) {
        n = character_len(text);
        if (n == 0)
            return why_set(why, ERR_PARSE, "%s is not UTF-8 without control characters", f->name);
    }
    return ERR_OK;
}

err_t share_check_name(struct slice name, struct why *why)
{
    static const struct field field = TEXT(hello.name, "name", 0, SHARE_NAME_MAX);
    return check_text(&field, name, why);
}

/* --- encode ----------------------------------------------------------------------------------- */

static void put(struct share_packet *p, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        p->bytes[p->len++] = (uint8_t)(value >> (8 * i));
}

/* There is room: the maxima of all texts together are less than a packet. */
static err_t put_field(struct share_packet *p, const struct field *f, const void *value,
                       struct why *why)
{
    if (f->kind == FIELD_NUMBER) {
        uint64_t number;
        memcpy(&number, value, sizeof number);
        put(p, number, sizeof number);
        return ERR_OK;
    }
    struct slice text;
    memcpy(&text, value, sizeof text);
    err_t err = check_text(f, text, why);
    if (err != ERR_OK)
        return err;
    put(p, text.len, 2);
    if (text.len > 0)
        memcpy(p->bytes + p->len, text.data, text.len);
    p->len += text.len;
    return ERR_OK;
}

err_t share_encode(const struct share_message *m, struct share_packet *ret, struct why *why)
{
    const struct layout *layout = &layouts[m->type];
    err_t err = ERR_OK;
    ret->descriptor = -1;
    memcpy(ret->bytes, magic, sizeof magic);
    ret->len = sizeof magic;
    put(ret, SHARE_VERSION, 2);
    put(ret, m->type, 2);
    put(ret, 0, 4);
    for (size_t i = 0; err == ERR_OK && i < layout->count; i++)
        err =
            put_field(ret, &layout->fields[i], (const uint8_t *)m + layout->fields[i].offset, why);
    if (err != ERR_OK)
        return why_add(why, err, "%s", layout->name);
    size_t len = ret->len;
    ret->len = LENGTH_AT;
    put(ret, len, 4);
    ret->len = len;
    return ERR_OK;
}

/* --- decode ----------------------------------------------------------------------------------- */

/* The caller knows that they are there. */
static uint64_t take(struct slice *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)in->data[i] << (8 * i);
    *in = slice_of(in->data + bytes, in->len - bytes);
    return value;
}

static err_t cut_off(const struct field *f, struct why *why)
{
    return why_set(why, ERR_PARSE, "%s is cut off", f->name);
}

static err_t take_field(struct slice *in, const struct field *f, void *value, struct why *why)
{
    uint64_t number = 0;
    size_t bytes = f->kind == FIELD_NUMBER ? sizeof number : 2;
    if (in->len < bytes)
        return cut_off(f, why);
    number = take(in, bytes);
    if (f->kind == FIELD_NUMBER) {
        memcpy(value, &number, sizeof number);
        return ERR_OK;
    }
    struct slice text = slice_of(in->data, number);
    if (number > in->len)
        return cut_off(f, why);
    err_t err = check_text(f, text, why);
    if (err != ERR_OK)
        return err;
    *in = slice_of(in->data + number, in->len - number);
    memcpy(value, &text, sizeof text);
    return ERR_OK;
}

static err_t take_header(struct slice *in, enum share_type *ret, struct why *why)
{
    size_t len = in->len;
    if (len > SHARE_PACKET_MAX)
        return why_set(why, ERR_TOO_LARGE, "a message of %zu bytes, at most %d", len,
                       SHARE_PACKET_MAX);
    if (len < HEADER_LEN || memcmp(in->data, magic, sizeof magic) != 0)
        return why_set(why, ERR_PARSE, "%zu bytes that are no message of share.sock", len);
    take(in, sizeof magic);
    uint64_t version = take(in, 2), type = take(in, 2), said = take(in, 4);
    if (version != SHARE_VERSION)
        return why_set(why, ERR_UNSUPPORTED,
                       "the other side speaks version %u of share.sock, this program version %d; "
                       "run agent and sidecars of one release",
                       (unsigned)version, SHARE_VERSION);
    if (said != len)
        return why_set(why, ERR_PARSE, "a message of %zu bytes that says it has %u", len,
                       (unsigned)said);
    *ret = type < TYPES ? (enum share_type)type : SHARE_OTHER;
    return ERR_OK;
}

err_t share_decode(struct slice packet, struct share_message *ret, struct why *why)
{
    struct share_message m = {.type = SHARE_OTHER};
    err_t err = take_header(&packet, &m.type, why);
    if (err != ERR_OK)
        return err;
    const struct layout *layout = &layouts[m.type];
    for (size_t i = 0; err == ERR_OK && i < layout->count; i++)
        err =
            take_field(&packet, &layout->fields[i], (uint8_t *)&m + layout->fields[i].offset, why);
    if (err == ERR_OK && m.type == SHARE_WELCOME && m.welcome.longest_life_s < 0)
        err = why_set(why, ERR_PARSE, "longest_life is negative");
    if (err != ERR_OK)
        return why_add(why, err, "%s", layout->name);
    *ret = m;
    return ERR_OK;
}

/* --- the socket ------------------------------------------------------------------------------- */

/* One descriptor and no more: CMSG_SPACE would leave room for a second one. */
union control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(int))];
};
#define CONTROL_LEN CMSG_LEN(sizeof(int))

static void attach(struct msghdr *h, union control *c, int descriptor)
{
    h->msg_control = c->bytes;
    h->msg_controllen = CONTROL_LEN;
    struct cmsghdr *head = CMSG_FIRSTHDR(h);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
}

err_t share_send(int fd, const struct share_packet *p, struct why *why)
{
    union control c = {.bytes = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)p->bytes, .iov_len = p->len};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};
    if (p->descriptor >= 0)
        attach(&h, &c, p->descriptor);
    ssize_t n;
    do
        n = sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)p->len)
        return ERR_OK;
    if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
        return why_set(why, ERR_LIMIT, "the other side does not read");
    bool gone = n < 0 && (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN);
    return why_errno(why, gone ? ERR_PEER_CLOSED : ERR_IO, "share.sock");
}

static int descriptor_of(struct msghdr *h)
{
    int descriptor = -1;
    struct cmsghdr *head = CMSG_FIRSTHDR(h);
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
        head->cmsg_len == CMSG_LEN(sizeof descriptor))
        memcpy(&descriptor, CMSG_DATA(head), sizeof descriptor);
    return descriptor;
}

static ssize_t receive(int fd, struct msghdr *h)
{
    ssize_t n;
    do
        n = recvmsg(fd, h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    return n;
}

err_t share_receive(int fd, struct share_packet *ret, struct why *why)
{
    union control c;
    struct iovec part = {.iov_base = ret->bytes, .iov_len = sizeof ret->bytes};
    struct msghdr h = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = c.bytes, .msg_controllen = CONTROL_LEN};
    ssize_t n = receive(fd, &h);
    if (n < 0 && errno == ECONNRESET)
        n = receive(fd, &h); /* what was said before the reset waits behind it */
    ret->len = 0;
    ret->descriptor = -1;
    if (n < 0 && errno == EAGAIN)
        return ERR_OK;
    if (n < 0)
        return why_errno(why, errno == ECONNRESET ? ERR_PEER_CLOSED : ERR_IO, "share.sock");
    int descriptor = descriptor_of(&h);
    err_t err = ERR_OK;
    if ((h.msg_flags & MSG_TRUNC) != 0)
        err = why_set(why, ERR_TOO_LARGE, "a message of more than %d bytes", SHARE_PACKET_MAX);
    else if ((h.msg_flags & MSG_CTRUNC) != 0)
        err = why_set(why, ERR_PARSE, "more descriptors came than one, or than there is room for");
    else if (n == 0)
        err = why_set(why, ERR_PEER_CLOSED, "the other side closed the connection");
    if (err != ERR_OK) {
        if (descriptor >= 0)
            close(descriptor);
        return err;
    }
    ret->len = (size_t)n;
    ret->descriptor = descriptor;
    return ERR_OK;
}

err_t share_path(const char *api_socket, char out[static SHARE_PATH_MAX], struct why *why)
{
    const char *slash = strrchr(api_socket, '/');
    const char *name = slash != NULL ? slash + 1 : api_socket;
    int folder = (int)(name - api_socket);
    if (strcmp(name, SOCKET_NAME) == 0)
        return why_set(why, ERR_CONFIG,
                       "%.200s: %s is the name of the socket beside it that sidecars use; choose "
                       "another, such as api.sock",
                       api_socket, SOCKET_NAME);
    if (folder >= SHARE_PATH_MAX ||
        snprintf(out, SHARE_PATH_MAX, "%.*s%s", folder, api_socket, SOCKET_NAME) >= SHARE_PATH_MAX)
        return why_set(why, ERR_CONFIG,
                       "%.200s: a socket's path has at most %d bytes, and %s beside it would have "
                       "more; choose a shorter folder",
                       api_socket, SHARE_PATH_MAX - 1, SOCKET_NAME);
    return ERR_OK;
}
