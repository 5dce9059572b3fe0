#include "common/http/http_parser.h"

#include "common/base/mem.h"

#include <llhttp.h>
#include <strings.h>

#define FIELD_MAX 16
/* What a request may take on the wire: chunk headers and the like are not kept, yet bounded. */
#define WIRE_MAX (2 * (HTTP_HEAD_MAX + HTTP_BODY_MAX))

enum header { HEADER_OTHER, HEADER_ACCEPT, HEADER_HOST };

struct http_parser {
    llhttp_t llhttp;
    llhttp_settings_t settings;
    struct buf target;
    struct buf accept;
    struct buf host;
    struct buf body;
    size_t head; /* bytes of request line and headers */
    size_t wire; /* bytes taken for this request */
    size_t hosts;
    char field[FIELD_MAX]; /* header name so far; longer names are none of ours */
    size_t field_len;
    enum header header;
    int status; /* of HTTP_PARSER_BAD; 0: none yet */
    bool has_head, complete;
    bool keep_alive;
};

static int refuse(struct http_parser *p, int status)
{
    p->status = status;
    return HPE_USER;
}

static int keep(struct http_parser *p, struct buf *b, const char *at, size_t len, int too_large)
{
    switch (buf_append(b, at, len)) {
    case ERR_OK:
        return 0;
    case ERR_TOO_LARGE:
        return refuse(p, too_large);
    default:
        return refuse(p, 500);
    }
}

static int count_head(struct http_parser *p, size_t len)
{
    p->head += len;
    return p->head <= HTTP_HEAD_MAX ? 0 : refuse(p, 431);
}

static int on_url(llhttp_t *l, const char *at, size_t len)
{
    struct http_parser *p = l->data;
    int refused = count_head(p, len);
    return refused != 0 ? refused : keep(p, &p->target, at, len, 431);
}

static int on_field(llhttp_t *l, const char *at, size_t len)
{
    struct http_parser *p = l->data;
    size_t room = sizeof p->field - p->field_len;
    memcpy(p->field + p->field_len, at, len < room ? len : room);
    p->field_len += len < room ? len : room;
    return count_head(p, len);
}

static int on_field_complete(llhttp_t *l)
{
    struct http_parser *p = l->data;
    p->header = HEADER_OTHER;
    if (p->field_len == 6 && strncasecmp(p->field, "accept", 6) == 0)
        p->header = HEADER_ACCEPT;
    if (p->field_len == 4 && strncasecmp(p->field, "host", 4) == 0)
        p->header = HEADER_HOST;
    p->field_len = 0;
    p->hosts += p->header == HEADER_HOST;
    /* Several Accept lines are one list (RFC 9110 section 5.3). */
    if (p->header == HEADER_ACCEPT && p->accept.len > 0)
        return keep(p, &p->accept, ",", 1, 431);
    return count_head(p, 4);
}

static int on_value(llhttp_t *l, const char *at, size_t len)
{
    struct http_parser *p = l->data;
    int refused = count_head(p, len);
    if (refused != 0 || p->header == HEADER_OTHER)
        return refused;
    return keep(p, p->header == HEADER_HOST ? &p->host : &p->accept, at, len, 431);
}

static int on_headers_complete(llhttp_t *l)
{
    struct http_parser *p = l->data;
    if (l->http_major != 1 || l->http_minor > 1)
        return refuse(p, 505);
    /* RFC 9112 section 3.2: exactly one Host, from HTTP/1.1 on. */
    if (p->hosts > 1 || (p->hosts == 0 && l->http_minor == 1))
        return refuse(p, 400);
    if ((l->flags & F_CONTENT_LENGTH) != 0 && l->content_length > HTTP_BODY_MAX)
        return refuse(p, 413);
    p->has_head = true;
    return 0;
}

static int on_body(llhttp_t *l, const char *at, size_t len)
{
    struct http_parser *p = l->data;
    return keep(p, &p->body, at, len, 413);
}

static int on_message_complete(llhttp_t *l)
{
    struct http_parser *p = l->data;
    p->complete = true;
    p->keep_alive = llhttp_should_keep_alive(l) == 1;
    return HPE_PAUSED;
}

err_t http_parser_new(struct http_parser **ret)
{
    struct http_parser *p = mem_alloc(sizeof *p);
    if (p == NULL)
        return ERR_NO_MEMORY;
    llhttp_settings_init(&p->settings);
    p->settings.on_url = on_url;
    p->settings.on_header_field = on_field;
    p->settings.on_header_field_complete = on_field_complete;
    p->settings.on_header_value = on_value;
    p->settings.on_headers_complete = on_headers_complete;
    p->settings.on_body = on_body;
    p->settings.on_message_complete = on_message_complete;
    buf_init(&p->target, HTTP_HEAD_MAX);
    buf_init(&p->accept, HTTP_HEAD_MAX);
    buf_init(&p->host, HTTP_HEAD_MAX);
    buf_init(&p->body, HTTP_BODY_MAX);
    http_parser_reset(p);
    *ret = p;
    return ERR_OK;
}

void http_parser_free(struct http_parser *p)
{
    if (p == NULL)
        return;
    buf_done(&p->target);
    buf_done(&p->accept);
    buf_done(&p->host);
    buf_done(&p->body);
    mem_free(p);
}

/* A fresh llhttp for each request: its own notion of upgrades and trailing data never matters. */
void http_parser_reset(struct http_parser *p)
{
    llhttp_init(&p->llhttp, HTTP_REQUEST, &p->settings);
    p->llhttp.data = p;
    buf_clear(&p->target);
    buf_clear(&p->accept);
    buf_clear(&p->host);
    buf_clear(&p->body);
    p->head = p->wire = p->hosts = p->field_len = 0;
    p->header = HEADER_OTHER;
    p->status = 0;
    p->has_head = p->complete = p->keep_alive = false;
}

enum http_progress http_parser_feed(struct http_parser *p, struct slice in, size_t *ret_used)
{
    const char *data = (const char *)in.data;
    *ret_used = in.len;
    if (p->status != 0)
        return HTTP_PARSER_BAD;
    if (in.len == 0)
        return HTTP_PARSER_MORE;
    llhttp_errno_t e = llhttp_execute(&p->llhttp, data, in.len);
    if (p->complete) {
        *ret_used = (size_t)(llhttp_get_error_pos(&p->llhttp) - data);
        return HTTP_PARSER_REQUEST;
    }
    p->wire += in.len;
    if (e == HPE_OK && p->wire > WIRE_MAX)
        p->status = 413;
    else if (e != HPE_OK && p->status == 0)
        p->status = 400;
    return p->status != 0 ? HTTP_PARSER_BAD : HTTP_PARSER_MORE;
}

/* The path of an absolute target (RFC 9112 section 3.2.2) starts after the authority, which then
 * stands in for the Host. */
static struct slice origin_form(struct slice target, struct slice *host)
{
    static const char scheme[] = "http://";
    size_t n = sizeof scheme - 1;
    if (target.len < n || strncasecmp((const char *)target.data, scheme, n) != 0)
        return target;
    const uint8_t *slash = memchr(target.data + n, '/', target.len - n);
    size_t end = slash != NULL ? (size_t)(slash - target.data) : target.len;
    *host = slice_of(target.data + n, end - n);
    return slash != NULL ? slice_of(slash, target.len - end) : slice_str("/");
}

void http_parser_request(const struct http_parser *p, struct http_request *ret)
{
    struct slice host = buf_slice(&p->host), query = slice_of(NULL, 0);
    struct slice path = origin_form(buf_slice(&p->target), &host);
    const uint8_t *mark = path.len > 0 ? memchr(path.data, '?', path.len) : NULL;
    if (mark != NULL) {
        size_t at = (size_t)(mark - path.data);
        query = slice_of(mark + 1, path.len - at - 1);
        path.len = at;
    }
    *ret = (struct http_request){.method = llhttp_method_name(p->llhttp.method),
                                 .path = path,
                                 .query = query,
                                 .accept = buf_slice(&p->accept),
                                 .host = host,
                                 .body = buf_slice(&p->body)};
}

bool http_parser_keep_alive(const struct http_parser *p)
{
    return p->keep_alive;
}

int http_parser_status(const struct http_parser *p)
{
    return p->status;
}

bool http_parser_has_head(const struct http_parser *p)
{
    return p->has_head;
}

bool http_parser_started(const struct http_parser *p)
{
    return p->wire > 0;
}
