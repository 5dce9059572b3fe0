#include "common/log/report.h"

#include "common/log/log.h"

struct slice report_next_line(struct slice *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->len);
    size_t len = end != NULL ? (size_t)(end - text->data) : text->len;
    struct slice line = slice_of(text->data, len);
    size_t step = end != NULL ? len + 1 : len;
    *text = slice_of(text->data + step, text->len - step);
    return line;
}

bool report_is_warning(struct slice line)
{
    static const char mark[] = ": warning: ";
    return memmem(line.data, line.len, mark, sizeof mark - 1) != NULL;
}

void report_log(struct slice report)
{
    while (report.len > 0) {
        struct slice line = report_next_line(&report);
        if (line.len == 0)
            continue;
        if (report_is_warning(line))
            log_warn("config_warning", log_slice("problem", line));
        else
            log_error("config_problem", log_slice("problem", line));
    }
}

void report_log_as(struct slice report, enum log_level level, const char *event)
{
    while (report.len > 0) {
        struct slice line = report_next_line(&report); /* a quiet log does not evaluate */
        LOG_EVENT(level, event, log_slice("detail", line));
    }
}
