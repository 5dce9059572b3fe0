#include "common/http/http_message.h"

#include "common/base/clock.h"

#include <stdio.h>
#include <time.h>

void http_response_init(struct http_response *res, int status)
{
    res->status = status;
    res->content_type = "text/plain; charset=utf-8";
    buf_init(&res->body, HTTP_RESPONSE_MAX);
}

const char *http_status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 421:
        return "Misdirected Request";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Status";
    }
}

int http_response_head(const struct http_response *res, bool keep_alive, const char *more,
                       char *ret, size_t size)
{
    char date[40];
    struct tm tm;
    time_t now = (time_t)clock_wall_s();
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return snprintf(ret, size,
                    "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s%s\r\n",
                    res->status, http_status_text(res->status), date, res->content_type,
                    res->body.len, more, keep_alive ? "" : "Connection: close\r\n");
}
