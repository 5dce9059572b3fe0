#include "common/base/nearest.h"

#define WORD_MAX NEAREST_WORD_MAX

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t min = a < b ? a : b;
    return min < c ? min : c;
}

/* Edits from one word to the other: insert, drop, change, or swap two neighbours. */
static size_t edits(struct slice a, struct slice b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    memset(rows, 0, sizeof rows);
    for (size_t j = 0; j <= b.len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = a.data[i - 1] == b.data[j - 1] ? 0 : 1;
            row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + change);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1] && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b.len];
}

struct nearest nearest_to(struct slice text)
{
    return (struct nearest){.text = text, .distance = SIZE_MAX};
}

void nearest_offer(struct nearest *n, const char *word)
{
    struct slice w = slice_str(word);
    if (n->text.len == 0 || n->text.len > WORD_MAX || w.len > WORD_MAX)
        return;
    size_t distance = edits(n->text, w);
    if (distance < n->distance) {
        n->distance = distance;
        memcpy(n->best, word, w.len + 1);
    }
}

const char *nearest_best(const struct nearest *n)
{
    size_t limit = n->text.len <= 3 ? 1 : n->text.len / 4 + 1;
    return n->distance <= limit ? n->best : NULL;
}
