/* Is this a build with a sanitizer? Its tools stop and read all threads, by calls and across
 * borders that a sandbox is there for, and know the memory of malloc best. */
#ifndef SPINDLE_COMMON_BASE_SANITIZER_H
#define SPINDLE_COMMON_BASE_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

#endif
