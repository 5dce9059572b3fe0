/* Linked lists: those of <sys/queue.h>, and what it lacks. LIST where the order does not matter,
 * TAILQ where it does, STAILQ where only the first ever leaves. Elements bear their link and are
 * their owner's: a list allocates nothing and cannot fail. The list's thread. */
#ifndef SPINDLE_COMMON_BASE_LIST_H
#define SPINDLE_COMMON_BASE_LIST_H

#include <sys/queue.h>

/* A link that is zeroed is in no list. */
#define LIST_IS_IN(element, link) ((element)->link.le_prev != NULL)
#define TAILQ_IS_IN(element, link) ((element)->link.tqe_prev != NULL)

/* Out of its list, if it is in one; its link is zeroed then. */
#define LIST_LEAVE(element, link)                                                                  \
    do {                                                                                           \
        if (LIST_IS_IN(element, link))                                                             \
            LIST_REMOVE(element, link);                                                            \
        (element)->link.le_prev = NULL;                                                            \
    } while (0)
#define TAILQ_LEAVE(head, element, link)                                                           \
    do {                                                                                           \
        if (TAILQ_IS_IN(element, link))                                                            \
            TAILQ_REMOVE(head, element, link);                                                     \
        (element)->link.tqe_prev = NULL;                                                           \
    } while (0)

/* The body may take `element` out and free it, no other one. */
#define LIST_FOREACH_SAFE(element, head, link, following)                                          \
    for ((element) = LIST_FIRST(head);                                                             \
         (element) != NULL && ((following) = LIST_NEXT(element, link), 1);                         \
         (element) = (following))
#define TAILQ_FOREACH_SAFE(element, head, link, following)                                         \
    for ((element) = TAILQ_FIRST(head);                                                            \
         (element) != NULL && ((following) = TAILQ_NEXT(element, link), 1);                        \
         (element) = (following))

#endif
