#!/usr/bin/env python3
"""Draws who uses whom among the folders of the programs, as their CMakeLists.txt declare it:
tests/lint/draw_folders.py writes docs/folders.svg, lower folders lower. A line that follows from others
is left out."""
from folders import declared
from sources import ROOT

PICTURE = "docs/folders.svg"
WIDTH, HEIGHT, ROW, COLUMN = 132, 30, 74, 156
COLOURS = {"common": "#dbe7f3", "agent": "#f6e3cf", "sidecar": "#dcefdc"}
BAND = ("agent", "common", "sidecar")
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="white"/>
<g stroke="#8a94a0" stroke-width="1" fill="none">"""


def reduced(graph):
    """The graph without the edges that follow from others."""
    below = {}

    def all_below(node):
        if node not in below:
            below[node] = set()
            below[node] = set().union(*({n} | all_below(n) for n in graph[node]))
        return below[node]
    return {node: {n for n in uses if not any(n in all_below(other) for other in uses if other != n)}
            for node, uses in graph.items()}


def levels(rows, graph):
    """{folder: its row from the bottom}: one above the highest that it uses."""
    level = {}
    for node in rows:
        level[node] = 1 + max((level.get(n, -1) for n in graph[node]), default=-1)
    return level


def places(rows, level):
    """{folder: (x, y)} of the boxes' middles: agent left, common in the middle, sidecar right."""
    in_row = {}
    for node in rows:
        in_row.setdefault((node.split("/")[0], level[node]), []).append(node)
    most = {top: max((len(nodes) for (t, _), nodes in in_row.items() if t == top), default=0) for top in BAND}
    left, place = 0, {}
    for top in BAND:
        for (t, row), nodes in in_row.items():
            if t == top:
                shift = left + (most[top] - len(nodes)) * COLUMN / 2
                for i, node in enumerate(nodes):
                    place[node] = (shift + (i + 0.5) * COLUMN, (max(level.values()) - row + 0.5) * ROW)
        left += most[top] * COLUMN
    return place, left, (max(level.values()) + 1) * ROW


def svg(rows):
    """The picture of what folders.declared() returned."""
    graph = {node: set(uses) for node, (_, _, uses) in rows.items()}
    place, width, height = places(rows, levels(rows, graph))
    out = [HEAD.format(width=int(width), height=height)]
    for node, uses in reduced(graph).items():
        (x, y) = place[node]
        for used in sorted(uses):
            (to_x, to_y) = place[used]
            out.append(f'<path d="M{x:g} {y + HEIGHT / 2:g} C{x:g} {y + ROW / 2:g} {to_x:g} {to_y - ROW / 2:g} '
                       f'{to_x:g} {to_y - HEIGHT / 2:g}"/>')
    out.append('</g>')
    for node, (x, y) in place.items():
        out.append(f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="5" '
                   f'fill="{COLOURS[node.split("/")[0]]}" stroke="#5a6570"/>'
                   f'<text x="{x:g}" y="{y + 5:g}" text-anchor="middle">{node}</text>')
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    (ROOT / PICTURE).write_text(svg(declared()))
