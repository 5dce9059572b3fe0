#!/usr/bin/env python3
"""Marks of unfinished work: what is open goes to an issue or an ADR, not into the code."""
from sources import files, matches, read, report

MARKS = r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b"


def main():
    complaints = []
    for path in files("*.c", "*.h", "*.def", "*.py", "*.sh", "*.cmake", "*CMakeLists.txt", "*.md", "*.proto"):
        complaints += [(path, line, f"{m[0]}: open an issue or an ADR") for line, m in matches(MARKS, read(path))]
    report(complaints)


main()
