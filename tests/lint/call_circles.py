#!/usr/bin/env python3
"""Nouns that call one another in a circle, found in the objects of a build: tests/lint/call_circles.py
BUILD. Includes do not show them where one of the two declares for the other. The files of a noun that is
several (folders.noun) count as one. Prints each circle with its calls; exit code 1 when there is one."""
import json
import os
import pathlib
import shlex
import subprocess
import sys

sys.dont_write_bytecode = True
from folders import TOPS, circles, noun  # noqa: E402
from sources import ROOT  # noqa: E402


def objects(build):
    """(noun, object file) of the sources of the programs, each once."""
    for row in json.loads((build / "compile_commands.json").read_text()):
        source, words = pathlib.Path(row["file"]), shlex.split(row["command"])
        if source.is_relative_to(ROOT) and source.relative_to(ROOT).parts[0] in TOPS:
            yield noun(str(source.relative_to(ROOT))), build / words[words.index("-o") + 1]


def symbols(paths):
    """(object file, kind as nm says it, name) of all that the objects define and want."""
    said = subprocess.run(["nm", "-A", *paths], capture_output=True, text=True, check=True).stdout
    for line in said.splitlines():
        path, _, rest = line.partition(":")
        yield (path, *rest.split()[-2:])


def main(build):
    os.chdir(ROOT)
    home, calls = {}, {}
    nouns = {str(path): name for name, path in objects(build)}
    for path, kind, name in symbols(nouns):
        if kind in "TDRBC":
            home[name] = nouns[path]
        elif kind == "U":
            calls.setdefault(nouns[path], set()).add(name)
    graph = {name: {home[w] for w in wanted if home.get(w, name) != name} for name, wanted in calls.items()}
    found = circles(graph)
    for circle in found:
        print("a circle of nouns that call one another:", *circle)
        for caller in circle:
            for called in sorted(graph[caller] & set(circle)):
                print(f"  {caller} -> {called}:", *sorted(w for w in calls[caller] if home.get(w) == called))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
