#!/usr/bin/env python3
"""Links of our pages to files and headings in the repository lead somewhere."""
import os

from sources import ROOT, anchors, files, matches, read, report

LINK = r"\]\(([^)\s#]*)(?:#([^)\s]+))?\)"


def main():
    complaints = []
    for page in files("*.md"):
        for line, m in matches(LINK, read(page)):
            if "://" in m[1] or m[1].startswith("mailto:"):
                continue
            path = os.path.normpath(os.path.join(os.path.dirname(page), m[1])) if m[1] else page
            if not (ROOT / path).exists():
                complaints.append((page, line, f"{m[1]} is not there"))
            elif m[2] and path.endswith(".md") and m[2] not in anchors(path):
                complaints.append((page, line, f"{m[1]} has no heading {m[2]}"))
    report(complaints)


main()
