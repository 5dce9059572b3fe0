"""What the lint rules share: our files, C text without comments and strings, and how to report."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.DOTALL)


def files(*patterns):
    """Paths (relative, as text) of the files in the repository, new ones too, that match."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
                            cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return sorted(f for f in listed if f and (ROOT / f).is_file())


def c_files():
    return files("*.c", "*.h", "*.def")


def read(path):
    return (ROOT / path).read_text("utf-8")


def blanked(text):
    """C with comments and the insides of strings blanked; every line stays where it is."""
    def blank(m):
        text = m[0]
        if text[0] in "\"'":
            return text[0] + " " * (len(text) - 2) + text[0]
        return re.sub(r"[^\n]", " ", text)
    return TOKEN.sub(blank, text)


def code(path):
    return blanked(read(path))


def matches(pattern, text):
    """(line number, match) of each match."""
    for m in re.finditer(pattern, text, re.MULTILINE):
        yield text.count("\n", 0, m.start()) + 1, m


def anchors(path):
    """What a link may name in a page: its headings, as web pages of Markdown make them."""
    headings = re.findall(r"^#+ (.+)$", read(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings}


def report(complaints):
    """Prints `path:line: what` of each and ends with the code that tests/lint/run expects."""
    for path, line, what in complaints:
        print(f"{path}:{line}: {what}")
    sys.exit(1 if complaints else 0)
