#!/usr/bin/env python3
"""Files of at most 600 lines, headers 100, functions 60. An exception is listed here with its own
limit and its reason; it may shrink, never grow."""
from sources import files, read, report

FILE_MAX, HEADER_MAX, FUNCTION_MAX = 600, 100, 60
# "path" or "path:function": limit
EXCEPTIONS = {
}


def name_of(line):
    """The function's name from the line that opens its declaration."""
    before, _, rest = line.partition("(")
    word = before.split()[-1].lstrip("*") if before.split() else ""
    return rest.split(")")[0] if word == "START_TEST" else word


def functions(text):
    """(name, first line, length) of each function: its braces stand in the first column."""
    start = name = None
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("{"):
            start = number
        elif line.rstrip() == "}" and start:
            yield name, start, number - start + 1
            start = None
        elif start is None and line and not line[0].isspace() and "(" in line:
            name = name_of(line)


def main():
    complaints = []
    for path in files("*.c", "*.h"):
        text = read(path)
        length = text.count("\n")
        limit = EXCEPTIONS.get(path, HEADER_MAX if path.endswith(".h") else FILE_MAX)
        if length > limit:
            complaints.append((path, 1, f"{length} lines, at most {limit}: split it by noun"))
        for name, line, size in functions(text):
            limit = EXCEPTIONS.get(f"{path}:{name}", FUNCTION_MAX)
            if size > limit:
                complaints.append((path, line, f"{name} has {size} lines, at most {limit}: cut it into steps"))
    report(complaints)


main()
