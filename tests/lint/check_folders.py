#!/usr/bin/env python3
"""The order of the folders: each includes from those alone that its line in CMakeLists.txt names, all of
which stand above it there; no nouns include one another in a circle; docs/folders.svg is of today."""
import os

from draw_folders import PICTURE, svg
from folders import circles, declared, includes, noun
from sources import ROOT, read, report


def complaints_of_order(rows, edges):
    """rows as of folders.declared(); edges: {(folder, folder): (file, line, header)}."""
    order = list(rows)
    for folder, (path, line, uses) in rows.items():
        for used in uses:
            if used not in rows:
                yield path, line, f"{folder} uses {used}, which is no folder"
            elif order.index(used) > order.index(folder):
                yield path, line, f"{folder} uses {used}, which stands below it: a circle, or a line in the wrong place"
            elif (folder, used) not in edges:
                yield path, line, f"{folder} includes nothing from {used}: take it off the line"
    for (folder, used), (path, line, header) in edges.items():
        if folder not in rows:
            yield path, line, f"{folder} has no line in a CMakeLists.txt"
        elif used not in rows[folder][2]:
            yield path, line, f"{header}: {folder} may not use {used} ({rows[folder][0]}:{rows[folder][1]})"


def complaints_of_circles(rows, nouns):
    for circle in circles({folder: set(uses) for folder, (_, _, uses) in rows.items()}):
        yield rows[circle[0]][0], rows[circle[0]][1], "a circle of folders: " + " ".join(circle)
    for circle in circles(nouns):
        yield circle[0], 1, "a circle of nouns that include one another: " + " ".join(circle)


def main():
    os.chdir(ROOT)
    rows, edges, nouns = declared(), {}, {}
    for path, line, header in includes():
        folders, pair = (os.path.dirname(path), os.path.dirname(header)), (noun(path), noun(header))
        if folders[0] != folders[1]:
            edges.setdefault(folders, (path, line, header))
        if pair[0] != pair[1]:
            nouns.setdefault(pair[0], set()).add(pair[1])
    complaints = [*complaints_of_order(rows, edges), *complaints_of_circles(rows, nouns)]
    if not (ROOT / PICTURE).exists() or read(PICTURE) != svg(rows):
        complaints.append((PICTURE, 1, "is not of today: run tests/lint/draw_folders.py"))
    report(complaints)


main()
