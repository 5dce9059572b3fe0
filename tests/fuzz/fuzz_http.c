/* Bytes through the HTTP request parser: what it takes whole it takes the same in pieces, and
 * nothing grows past its bound. The first byte sets the size of the pieces. */
#include "common/http/http_parser.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(const struct http_parser *p)
{
    struct http_request r;
    http_parser_request(p, &r);
    if (r.path.len > HTTP_HEAD_MAX || r.accept.len > HTTP_HEAD_MAX || r.body.len > HTTP_BODY_MAX ||
        r.method == NULL)
        abort();
}

/* How many requests came; -status when it ended in an error. */
static int read_all(struct slice in, size_t piece)
{
    struct http_parser *p = NULL;
    enum http_progress got = HTTP_PARSER_MORE;
    int requests = 0;
    if (http_parser_new(&p) != ERR_OK)
        abort();
    while (in.len > 0 && got != HTTP_PARSER_BAD) {
        size_t used = 0;
        got = http_parser_feed(p, slice_of(in.data, in.len < piece ? in.len : piece), &used);
        if (got == HTTP_PARSER_REQUEST) {
            check_request(p);
            http_parser_reset(p);
            requests++;
            if (used == 0)
                abort();
        }
        in = slice_of(in.data + used, in.len - used);
    }
    if (got == HTTP_PARSER_BAD)
        requests = -http_parser_status(p);
    http_parser_free(p);
    return requests;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct slice in = slice_of(data + 1, size - 1);
    size_t piece = 1u + data[0];
    if (read_all(in, in.len) != read_all(in, piece))
        abort();
    return 0;
}
