#!/usr/bin/env python3
"""A file of more than 600 lines is asked whether it holds two nouns (a warning); more than 1,000 are an
error, as are headers above 100 and functions above 60. A file ends where its noun ends: none is cut to
stay below."""
from sources import files, read, report

FILE_ASKED, FILE_MAX, HEADER_MAX, FUNCTION_MAX = 600, 1000, 100, 60


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
        limit = HEADER_MAX if path.endswith(".h") else FILE_MAX
        if FILE_ASKED < length <= limit:
            print(f"{path}:1: warning: {length} lines: does it hold two nouns?")
        if length > limit:
            complaints.append((path, 1, f"{length} lines, at most {limit}: split it by noun"))
        for name, line, size in functions(text):
            if size > FUNCTION_MAX:
                complaints.append((path, line, f"{name} has {size} lines, at most {FUNCTION_MAX}: cut it into steps"))
    report(complaints)


main()
