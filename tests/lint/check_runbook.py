#!/usr/bin/env python3
"""What the pages for operators name in `code` is there: events of the log, reasons, metrics, options,
commands."""
import re

from promql import PREFIX, complaints_about, families
from sources import c_files, files, matches, read, report

WORD = r"[a-z0-9]+(?:_[a-z0-9]+)+"
DOTTED = r"[a-z_]+(?:\.[a-z_]+)+"
PROGRAMS = {"spindle-agent": "agent", "spindle-sidecar": "sidecar"}


def known_words():
    """Every string of the sources, the words of the rules, each error in lower case."""
    words = set()
    for path in c_files():
        words.update(re.findall(r'"([^"\n]+)"', read(path)))
    for path in files("deploy/prometheus/*.yaml"):
        words.update(re.findall(WORD, read(path)))
    words.update(m.lower() for m in re.findall(r"^X\((\w+),", read("common/base/errors.def"), re.MULTILINE))
    return words


def option_keys():
    """Dotted keys; those of a route stand after inbound[] and outbound[]."""
    return {key for path in files("*.def") for key in re.findall(r'^OPTION\("([\w.]+)"', read(path), re.MULTILINE)}


def commands(program):
    rows = re.findall(r'^COMMAND\("([^"]+)"', read(files(f"{program}/*commands.def")[0]), re.MULTILINE)
    return sorted(rows, key=len, reverse=True)


def complaint(text, words, keys, known):
    """What is wrong with one piece of code, or nothing."""
    program, _, rest = text.partition(" ")
    if program in PROGRAMS and rest:
        named = re.match(r"[a-z0-9 ]*", rest)[0].strip()
        if not any(named == c or named.startswith(c + " ") for c in commands(PROGRAMS[program])):
            return f"{program} has no command {named}"
    elif re.search(rf"\b{PREFIX}\w+", text):
        return "; ".join(complaints_about(text, known))
    elif re.fullmatch(WORD, text) and text not in words:
        return f"{text} is nothing that the programs say"
    elif m := re.fullmatch(rf"({DOTTED})(?:: .*)?", text):
        named = any(key == m[1] or key.startswith(m[1] + ".") for key in keys)
        if not named and not m[1].endswith((".sock", ".yaml", ".md")):
            return f"{m[1]} is no option"
    elif m := re.fullmatch(r"reason=(\w+)", text):
        return "" if m[1] in words else f"{m[1]} is no reason"
    return ""


def main():
    words, keys, known = known_words(), option_keys(), families()
    found = []
    for page in files("docs/runbooks/*.md", "docs/monitoring.md"):
        for line, m in matches(r"`([^`\n]+)`", read(page)):
            what = complaint(m[1], words, keys, known)
            if what:
                found.append((page, line, what))
    report(found)


main()
