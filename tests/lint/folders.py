"""The folders of the programs: what CMake lets each use, what its files include, and where that runs in
a circle."""
import os
import re

from sources import files, matches, read

TOPS = ("common", "agent", "sidecar")
ROW = r"spindle_folder\(([\w/]+)([^)]*)\)"
INCLUDE = r'^\s*#\s*include\s+"([\w/.]+/[\w.]+)"'


def declared():
    """{folder: (its CMakeLists.txt, line, [folders it may use])}, from the bottom up."""
    rows = {}
    for top in TOPS:
        path = f"{top}/CMakeLists.txt"
        for line, m in matches(ROW, read(path)):
            uses = re.search(r"USES([\w/\s]*?)(LIBS|EXCEPT|$)", m[2])
            rows[m[1]] = (path, line, uses[1].split() if uses else [])
    return rows


def includes():
    """(file, line, file that it includes) of all programs. A main.c stands above all folders."""
    for path in files(*(f"{top}/*.{end}" for top in TOPS for end in ("c", "h", "def"))):
        if not path.endswith("/main.c"):
            for line, m in matches(INCLUDE, read(path)):
                yield path, line, m[1]


def noun(path):
    """A .c and its .h are one; so are the files of a noun that is several, which share its _internal.h. Rows
    (.def), which several may read, stand for themselves."""
    stem = re.sub(r"(_internal)?\.(c|h)$", "", path)
    words = stem.split("_")
    for count in range(1, len(words)):
        head = "_".join(words[:count])
        if os.path.exists(f"{head}_internal.h"):
            return head
    return stem


def circles(graph):
    """Each set of nodes of {node: {nodes}} that reach one another, sorted; [] when there is no circle."""
    nodes = set(graph) | {b for after in graph.values() for b in after}
    reach = {node: set(graph.get(node, ())) for node in nodes}
    for middle in nodes:
        for node in nodes:
            if middle in reach[node]:
                reach[node] |= reach[middle]
    return sorted({tuple(sorted(b for b in reach[a] if a in reach[b])) for a in nodes if a in reach[a]})
