#!/usr/bin/env python3
"""Counts what a test tool ran, for tests/run: tally.py ctest LOG (of ctest -V) | junit FILE.

Prints the output of ctest's failures, then one line `N passed, N failed, N skipped`. A libcheck
suite counts as many tests as it says that it ran; any other test of ctest counts as one."""
import re
import sys
import xml.etree.ElementTree as ET

CHECKS = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.MULTILINE)
OUTPUT = re.compile(r"^(\d+): (.*)$")
NOISE = re.compile(r"Test command: |Working Directory: |Test timeout computed|Environment variables:| CK_FORK=| [AU]\w*SAN_OPTIONS=")
RESULT = re.compile(r"^\s*\d+/\d+ Test +#(\d+): (\S+) \.*\s*(\*\*\*)?\s*(.*?)\s+[\d.]+ sec")


def tally_ctest(text):
    """(passed, failed, skipped, output of the failed)."""
    output, results = {}, []
    for line in text.splitlines():
        m = OUTPUT.match(line)
        if m and not NOISE.match(m[2]):
            output.setdefault(m[1], []).append(m[2])
        m = RESULT.match(line)
        if m:
            results.append((m[1], m[2], m[4]))
    passed = failed = skipped = 0
    shown = []
    for number, name, result in results:
        said = "\n".join(output.get(number, []))
        checks = [tuple(map(int, m.groups())) for m in CHECKS.finditer(said)]
        bad = sum(f + e for _, f, e in checks)
        good = sum(n for n, _, _ in checks) - bad
        if result == "Skipped":
            skipped += 1
        elif result == "Passed":
            passed += good if checks else 1
        else:
            passed += good
            failed += max(bad, 1)  # a crash or a leak after the last check is a failure too
            shown.append(f"--- {name}: {result}\n{said}")
    return passed, failed, skipped, "\n".join(shown)


def tally_junit(path):
    suites = ET.parse(path).getroot().iter("testsuite")
    passed = failed = skipped = 0
    for suite in suites:
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skip = int(suite.get("skipped", 0))
        failed, skipped = failed + bad, skipped + skip
        passed += max(0, int(suite.get("tests", 0)) - bad - skip)
    return passed, failed, skipped


def main():
    kind, path = sys.argv[1:]
    if kind == "ctest":
        with open(path, encoding="utf-8", errors="replace") as log:
            *counts, shown = tally_ctest(log.read())
        if shown:
            print(shown)
    else:
        counts = tally_junit(path)
    print("{} passed, {} failed, {} skipped".format(*counts))


main()
