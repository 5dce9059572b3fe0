#!/usr/bin/env python3
"""Calls that we do not make, and where the few exceptions are."""
import re

from sources import c_files, code, matches, report

TESTS = r"tests/"
# What, why not, the paths where it is fine all the same.
RULES = [
    (r"\b(strcpy|strcat|sprintf|vsprintf|strncpy|strncat|gets)\s*\(", "use buf or snprintf, which know the room", TESTS),
    (r"\b(strtok|strtok_r)\s*\(", "hides state and changes its input: use slice", TESTS),
    (r"\b(atoi|atol|atoll|atof)\s*\(", "accepts anything: use quantity or strtoll with checks", r"tests/bench/"),
    (r"\balloca\s*\(", "has no bound", None),
    (r"\b(system|popen)\s*\(", "we run no shell", None),
    (r"\b(rand|srand|random|drand48)\s*\(", "predictable: use rand_bytes", r"tests/(bench|fuzz)/"),
    (r"\b(localtime|gmtime|ctime|asctime)\s*\(", "not thread-safe: use the _r form", TESTS),
    (r"\b(malloc|calloc|realloc|reallocarray|strdup|strndup|asprintf|vasprintf)\s*\(",
     "memory goes through mem_alloc", r"common/(\w+/)?mem\.c$|" + TESTS),
    # json_answer: what jansson's json_dumps gave
    (r"\bfree\s*\(", "memory goes through mem_free", r"common/(\w+/)?mem\.c$|/json_answer\.c$|" + TESTS),
    (r"\b_?exit\s*\(", "only main.c ends the program, and last_call.c one that hangs",
     r"/main\.c$|^sidecar/last_call\.c$|" + TESTS),
    (r"\b(sleep|usleep|nanosleep)\s*\(", "wait for an event", r"tests/bench/"),
    (r"\b(time|gettimeofday|clock_gettime)\s*\((?!CLOCK_PROCESS_CPUTIME_ID)", "time comes from clock", r"common/(\w+/)?clock\.c$|" + TESTS),
    (r"\bmemcmp\s*\([^;()]*(key|secret|private|password|token)", "secrets are compared by mem_compare_secret", TESTS),
    (r"\bstruct \w+ \*(prev|older|next|newer)\b, ?\*", "lists come from common/base/list.h", None),
    (r"^\s*#\s*if\s+0\b", "dead code goes", None),
]


def main():
    complaints = []
    for path in c_files():
        text = code(path)
        for pattern, why, fine in RULES:
            if fine and re.search(fine, path):
                continue
            complaints += [(path, line, f"{m[0].strip()[:40]}: {why}") for line, m in matches(pattern, text)]
    report(complaints)


main()
