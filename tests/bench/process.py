"""Processes under measurement: start, stop, what they cost in CPU and memory."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path


class Failure(Exception):
    """A measurement that cannot go on; the text says why."""


class Workshop:
    """A temporary folder and the processes that live in it; everything is gone on exit."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="spindle-bench."))
        self.path.chmod(0o755)
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()
        if kind is None:
            shutil.rmtree(self.path, ignore_errors=True)

    def write(self, name, text):
        path = self.path / name
        path.write_text(text)
        return path

    def start(self, argv, log):
        """Starts a program in its own process group, its output in a log file."""
        with open(self.path / log, "ab") as out:
            process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=out, start_new_session=True)
        self.running.append(process)
        return process.pid

    def stop(self):
        for process in self.running:
            signal_group(process, signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                signal_group(process, signal.SIGKILL)
                process.wait()
        self.running.clear()

    def wait_listening(self, *ports, patience=15):
        """Looks instead of connecting: a connection would already be work for the proxy."""
        end = time.monotonic() + patience
        while not set(ports) <= listening_ports():
            if time.monotonic() > end or any(p.poll() is not None for p in self.running):
                raise Failure(f"nothing listens on one of {ports}; logs are in {self.path}")
            time.sleep(0.02)

    def wait_text(self, log, text, patience=15):
        """The first line of a log that holds the text."""
        end = time.monotonic() + patience
        while True:
            path = self.path / log
            for line in path.read_text().splitlines() if path.exists() else []:
                if text in line:
                    return line
            if time.monotonic() > end:
                raise Failure(f"no {text!r} in {path}")
            time.sleep(0.02)


def signal_group(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def listening_ports():
    ports = set()
    with open("/proc/net/tcp") as table:
        for line in table:
            fields = line.split()
            if len(fields) > 3 and fields[3] == "0A":
                ports.add(int(fields[1].split(":")[1], 16))
    return ports


def free_ports(count):
    """Ports the kernel has just called free, for programs that cannot ask themselves."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def family(pid):
    """A process and its descendants."""
    pids = [pid]
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as f:
                for child in f.read().split():
                    pids += family(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return pids


def cpu_seconds(pid):
    """CPU time of all threads so far; the scheduler counts it in nanoseconds."""
    total = 0
    for member in family(pid):
        try:
            for thread in os.listdir(f"/proc/{member}/task"):
                with open(f"/proc/{member}/task/{thread}/schedstat") as f:
                    total += int(f.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / 1e9


def pss_kib(pid):
    """Proportional set size: shared pages are split between those who share them."""
    total = 0
    for member in family(pid):
        try:
            with open(f"/proc/{member}/smaps_rollup") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total
