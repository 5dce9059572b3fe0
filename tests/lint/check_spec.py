#!/usr/bin/env python3
"""docs/spec-coverage.md against the tests: each item of the SPIFFE requirements has a row, each row
names a test or says `open`, and each test that it names is there. A row is a table row whose first
cell has the item (or `X5-1…X5-3`, or several)."""
import re
import sys

from sources import ROOT, files, matches, read, report

PAGE = "docs/spec-coverage.md"
# Area: how many items it has, the numbers that are not in use.
ITEMS = {"X5": (21, ()), "ID": (10, ()), "EP": (8, ()), "WA": (37, (18, 19)), "AG": (27, ())}
AREAS = "|".join(ITEMS)
ROW = rf"^\|\s*[*`]*((?:{AREAS})-\d+[^|]*)\|(.*)$"
ITEM = re.compile(rf"\b({AREAS})-(\d+)")
RANGE = re.compile(rf"\b({AREAS})-(\d+)\s*(?:…|\.{{2,3}}|–|to)\s*(?:\1-)?(\d+)")
TEST = re.compile(r"\b(?:test_\w+|Test[A-Z]\w+)")
DEFINED = re.compile(r"(?:START_TEST\(|def |func )(test_\w+|Test\w+)")


def test_names():
    """Names of all test functions and of the files they are in."""
    names = set()
    for path in files("tests/*.c", "tests/*.py", "tests/*.go", "tests/*.sh"):
        names.add(path.rsplit("/", 1)[-1].rsplit(".", 1)[0])
        names.update(DEFINED.findall(read(path)))
    return names


def items_of(cell):
    found = {f"{area}-{n}" for area, n in ITEM.findall(cell)}
    for area, first, last in RANGE.findall(cell):
        found.update(f"{area}-{n}" for n in range(int(first), int(last) + 1))
    return found


def main():
    if not (ROOT / PAGE).exists():
        print(f"{PAGE} is not there")
        sys.exit(77)
    known, complaints, seen = test_names(), [], set()
    for line, row in matches(ROW, read(PAGE)):
        seen |= items_of(row[1])
        tests = set(TEST.findall(row[2]))
        complaints += [(PAGE, line, f"{t}: no such test") for t in sorted(tests - known)]
        if not tests and not re.search(r"\bopen\b", row[2], re.IGNORECASE):
            complaints.append((PAGE, line, f"{row[1].strip()}: neither a test nor `open`"))
    for area, (count, left_out) in ITEMS.items():
        complaints += [(PAGE, 1, f"{area}-{n} has no row") for n in range(1, count + 1)
                       if n not in left_out and f"{area}-{n}" not in seen]
    report(complaints)


main()
