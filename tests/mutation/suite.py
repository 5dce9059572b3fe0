"""One suite, run within bounds, and which lines of a file it reaches."""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time

from tree import LIBRARY, Broken, called

MEMORY_MAX, FILE_MAX = 4 << 30, 1 << 30
SLOW = 10  # a suite that takes so many times as long as without a change, and some seconds, hangs
SLOW_S = 10


def bounded(is_sanitized):
    def set_limit(what, most):
        """The soft one: suites set limits of their own."""
        resource.setrlimit(what, (most, resource.getrlimit(what)[1]))

    def set_limits():
        if not is_sanitized:  # the address sanitizer maps terabytes
            set_limit(resource.RLIMIT_AS, MEMORY_MAX)
        set_limit(resource.RLIMIT_FSIZE, FILE_MAX)
        set_limit(resource.RLIMIT_CORE, 0)
    return set_limits


def end_session(session):
    """Kills what is left of a suite: libcheck gives each test a process group of its own."""
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session:
                os.kill(int(entry.parent.name), signal.SIGKILL)
        except (OSError, IndexError):
            continue


running = set()  # sessions


def end_all():
    """When the program itself is to end."""
    for session in list(running):
        end_session(session)


def run(program, folder, limit, is_sanitized=False):
    """"passed", "failed" or "hangs"; folder: has the changed library, and room for temporary files."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    environment = {**os.environ, "TMPDIR": str(temporary), "CK_DEFAULT_TIMEOUT": str(int(limit) + 1), "CK_VERBOSITY": "silent", "LD_LIBRARY_PATH": str(folder)}
    if is_sanitized:
        environment |= {"CK_FORK": "no", "ASAN_OPTIONS": "detect_stack_use_after_return=1"}
    started = subprocess.Popen([program], cwd=temporary, env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                               preexec_fn=bounded(is_sanitized))
    running.add(started.pid)
    try:
        return "passed" if started.wait(limit) == 0 else "failed"
    except subprocess.TimeoutExpired:
        return "hangs"
    finally:
        running.discard(started.pid)
        end_session(started.pid)
        started.wait()
        shutil.rmtree(temporary, ignore_errors=True)


class Reach:
    """What the suites reach of one file: lines per suite, and how long each may take."""

    def __init__(self, tree, path, suites, folder):
        self.limit, self.seconds, self.lines, self.wraps = {}, {}, {}, {}
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if not tree.compile(path, tree.source / path, folder / "reach.o", "--coverage"):
            raise Broken(f"{path} does not compile")
        for suite in suites:
            self.wraps[suite] = tree.wraps(suite)
            tree.share(folder / "reach.o", folder / LIBRARY, "--coverage", *self.wraps[suite])
            tree.link(suite, folder / LIBRARY, self.program(suite))
            start = time.monotonic()
            if run(self.program(suite), folder, 300, tree.sanitize) != "passed":
                raise Broken(f"{suite} fails without any change")
            self.seconds[suite] = time.monotonic() - start
            self.limit[suite] = SLOW * self.seconds[suite] + SLOW_S
            self.lines[suite] = counted(folder)
        self.known = set().union(*(set(lines) for lines in self.lines.values()))

    def program(self, suite):
        return self.folder / suite

    def of(self, line, first):
        """The suites that run a line, likeliest first. One without code of its own goes with that above it."""
        while line >= first and line not in self.known:
            line -= 1
        reached = [s for s in self.lines if line < first or self.lines[s].get(line, 0) > 0]
        return reached


def counted(folder):
    """How often each line was run since the last look."""
    counts = folder / "reach.gcda"
    if not counts.exists():
        return {}
    report = json.loads(called(["gcov", "--json-format", "--stdout", counts], cwd=folder).stdout.split("\n")[0])
    counts.unlink()
    lines = {}
    for file in report["files"]:
        if file["file"].endswith(".c"):
            for line in file["lines"]:
                lines[line["line_number"]] = lines.get(line["line_number"], 0) + line["count"]
    return lines
