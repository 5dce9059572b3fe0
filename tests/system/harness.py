"""What system tests use to run the real programs. No fixed ports, no fixed sleeps: everything waits
for an event with a generous deadline. Fixtures are in conftest.py; the certificate maker in certs.py.

    def test_a_client_gets_its_svid(site):
        agent = site.agent(entries=[{"spiffe_id": "spiffe://example.org/web",
                                     "selectors": ["unix:uid:1000"]}])
        got = site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.socket, uid=1000)
        assert got.code == 0, got
"""
import contextlib
import glob
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest
import yaml

import certs

__tracebackhide__ = True  # pytest: a failure points at the test's line, not in here
ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SPINDLE_BIN", ROOT / "build/bin")).resolve()
# Sanitizers and slow machines: SPINDLE_SLOW=4 multiplies every deadline.
SLOW = float(os.environ.get("SPINDLE_SLOW", "1"))
DEADLINE = 20 * SLOW
# Sanitizers need system calls that a sandboxed program must not have.
SANDBOX = {"sandbox": False} if os.environ.get("SPINDLE_SANDBOX") == "off" else {}
# For a command whose memory the leak sanitizer may not read: of mixed user ids, in a foreign namespace.
NO_LEAK_CHECK = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
SANITIZER_WORDS = re.compile(
    r"ERROR: (Address|Leak|Thread|UndefinedBehavior)Sanitizer|WARNING: ThreadSanitizer|runtime error: ")


def wait_until(check, what, timeout=DEADLINE, step=0.02):
    """Calls check() until it returns something true, and returns that; fails after the deadline."""
    end = time.monotonic() + timeout
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > end:
            pytest.fail(f"waited {timeout:.0f} s for {what}", pytrace=True)
        time.sleep(step)


def program_path(name):
    """Where the program is, in SPINDLE_BIN_AGENT or _SIDECAR when that is set; the test is skipped
    when it is not built (an error when CI=true)."""
    own = os.environ.get("SPINDLE_BIN_" + name.removeprefix("spindle-").upper())
    path = (pathlib.Path(own).resolve() if own else BIN) / name
    if not path.exists():
        give_up(f"{path} is not built")
    return path


def give_up(reason):
    """Skips the test for want of something; where CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need_root():
    if os.geteuid() != 0:
        give_up("needs root")


def has_program(name):
    """The path of a third-party program, or the test is skipped."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    return path or give_up(f"{name} is not installed")


def connectable(address):
    """True when something accepts on (host, port) or on a Unix socket's path."""
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(family) as s:
        s.settimeout(1)
        try:
            s.connect(address if isinstance(address, tuple) else str(address))
        except OSError:
            return False
        return True


def http_get(address, path="/", timeout=5, headers=None):
    """(status, body as text) of a plain GET at (host, port); (0, reason) when there is no answer."""
    conn = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        conn.request("GET", path, headers=headers or {})
        answer = conn.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as e:
        return 0, str(e)
    finally:
        conn.close()


class Metrics(dict):
    """Samples of a /metrics page: {(name, frozenset of (label, value)): number}."""

    SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
    LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        super().__init__()
        for line in text.splitlines():
            m = self.SAMPLE.match(line)
            if m:
                labels = self.LABEL.findall(m[2] or "")
                self[m[1], frozenset(labels)] = float(m[3])

    def total(self, name, /, **labels):
        """The sum of the samples of this name that have these labels; 0 when there is none."""
        want = set(labels.items())
        return sum(v for (n, have), v in self.items() if n == name and want <= have)

    def names(self):
        return {name for name, _ in self}


class Event(dict):
    """One log line of ours: its fields; .name is the event, .level the level, .line the line."""

    LINE = re.compile(r"^\d{4}-\d\d-\d\dT\S+Z (ERROR|WARN|INFO|DEBUG) (\S+)(.*)$")
    FIELD = re.compile(r'([\w.]+)=("(?:[^"\\]|\\.)*"|\S*)')

    @classmethod
    def parse(cls, line):
        """The event of a line in text or JSON form; None for anything else."""
        if line.startswith("{"):
            try:
                event = cls(json.loads(line))
            except ValueError:
                return None
            event.name, event.level, event.line = event.get("event"), event.get("level"), line
            return event
        m = cls.LINE.match(line)
        if not m:
            return None
        event = cls({k: json.loads(v) if v.startswith('"') else v for k, v in cls.FIELD.findall(m[3])})
        event.name, event.level, event.line = m[2], m[1], line
        return event


class Result:
    """What a command that ended left behind."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"$ {' '.join(self.argv)}\nexit code {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


class Program:
    """A program that runs in a process group of its own, its output in one file."""

    def __init__(self, name, argv, folder, env=None):
        self.name, self.argv = name, [str(a) for a in argv]
        self.log_path = folder / f"{name}.log"
        self.stopped = False  # by the test: an exit code from a signal is no surprise then
        with open(self.log_path, "ab") as log:
            # Python ignores SIGPIPE and its children must not inherit that: it would hide who dies of it.
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                env={**os.environ, **(env or {})}, start_new_session=True, restore_signals=True)

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process.poll() is None

    def log(self):
        return self.log_path.read_text("utf-8", "replace")

    def events(self, name=None, **fields):
        """Its events so far, of this name and with these fields."""
        whole, _, _ = self.log().rpartition("\n")  # the last line may be half written
        found = map(Event.parse, whole.splitlines())  # an event without fields is an empty dict
        return [e for e in found if e is not None and (name is None or e.name == name)
                and all(e.get(k) == v for k, v in fields.items())]

    def wait_event(self, name, count=1, timeout=DEADLINE, **fields):
        """Waits until there were `count` such events and returns the last of them."""
        what = f"event {name} {fields or ''} of {self.name} ({count} times)"
        got = self._wait(lambda: len(self.events(name, **fields)) >= count, what, timeout)
        return got and self.events(name, **fields)[-1]

    def wait_log(self, pattern, timeout=DEADLINE):
        """Waits for a line of its output that matches the regular expression; returns the match."""
        rule = re.compile(pattern, re.MULTILINE)
        return self._wait(lambda: rule.search(self.log()), f"/{pattern}/ in {self.name}.log", timeout)

    def _wait(self, check, what, timeout):
        def look():
            alive = self.running  # before the look: what it said last still counts
            got = check()
            if not got and not alive:
                pytest.fail(f"{self.name} ended with {self.process.returncode} before {what}")
            return got
        return wait_until(look, what, timeout)

    def addresses(self, kind):
        """(host, port) or path of each `listening` event of this kind, in the order it said them."""
        return [as_address(e["address"]) for e in self.events("listening", kind=kind)]

    def address(self, kind, index=0):
        """The same, waited for; index counts the listeners of one kind."""
        self.wait_event("listening", count=index + 1, kind=kind)
        return self.addresses(kind)[index]

    def metrics(self):
        status, body = http_get(self.address("metrics"), "/metrics")
        assert status == 200, f"/metrics of {self.name} answered {status}: {body}"
        return Metrics(body)

    def ready(self):
        """(status, body) of /ready."""
        return http_get(self.address("metrics"), "/ready")

    def wait_ready(self, timeout=DEADLINE):
        self._wait(lambda: self.ready()[0] == 200, f"{self.name} /ready 200", timeout)
        return self

    def wait_metric(self, name, /, at_least=1, timeout=DEADLINE, **labels):
        """Waits until the sum of these samples is at least so much; returns it."""
        def look():
            total = self.metrics().total(name, **labels)
            return total if total >= at_least else None
        return self._wait(look, f"{name}{labels or ''} >= {at_least} in {self.name}", timeout)

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=DEADLINE):
        """Waits for it to end by itself; returns the exit code, negative for a signal."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return pytest.fail(f"{self.name} did not end within {timeout:.0f} s")

    def stop(self, number=signal.SIGTERM, timeout=DEADLINE):
        """Asks it to end and waits; whatever is left of its group is killed. Returns the code."""
        self.stopped = True
        if self.running:
            self.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return pytest.fail(f"{self.name} did not end within {timeout:.0f} s of signal {number}")
        finally:
            self._kill_group()

    def kill(self):
        """SIGKILL, and waits for the end."""
        self.stopped = True
        self._kill_group()
        self.process.wait()

    def _kill_group(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def as_address(text):
    """(host, port) from 127.0.0.1:80 or [::1]:80; a path from /run/x or unix:/run/x."""
    text = text.removeprefix("unix://").removeprefix("unix:")
    if text.startswith("/"):
        return text
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def deep_merge(base, over):
    """A copy of base with over's keys put in, dicts merged; a value None removes the key."""
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = deep_merge(merged[key], value)
        else:
            merged[key] = value
    return merged


class PlainDumper(yaml.SafeDumper):
    """Writes a value that stands twice in full each time: our configuration has no anchors."""

    def ignore_aliases(self, _data):
        return True


class Agent(Program):
    """A running spindle-agent; .socket, .admin, .config (dict), .config_path, .entries_path."""


class Sidecar(Program):
    """A running spindle-sidecar; .config (dict), .config_path; inbound(n), outbound(n) addresses."""

    def inbound(self, index=0):
        return self.address("inbound", index)

    def outbound(self, index=0):
        return self.address("outbound", index)


class Site:
    """A temporary folder and the programs that run in it. One per test, from the fixture `site`."""

    def __init__(self):
        # Short, for the limit of a socket's path; open to other users, who connect to sockets here.
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sp-", dir="/tmp"))
        self.dir.chmod(0o755)
        self.programs = []
        self.closers = []
        self.inherit = []  # options of env: the signals that what is started from now on is left with

    # ---- files

    def path(self, name):
        return self.dir / name

    def write(self, name, text, mode=0o644):
        """Writes a file whole or not at all (a watcher never sees half of it); returns its path."""
        path, part = self.dir / name, self.dir / f".{name.replace('/', '_')}.part"
        part.write_text(text) if isinstance(text, str) else part.write_bytes(text)
        part.chmod(mode)
        part.replace(path)
        return path

    def write_yaml(self, name, value):
        return self.write(name, yaml.dump(value, Dumper=PlainDumper, sort_keys=False))

    def write_entries(self, entries, name="entries.yaml"):
        return self.write_yaml(name, {"entries": entries})

    def ca(self, name="ca", trust_domain="example.org", **options):
        """A certificate authority made with openssl; see certs.py."""
        folder = self.dir / f"certs-{name}"
        folder.mkdir()
        return certs.Authority(folder, name, trust_domain, **options)

    # ---- commands

    def argv(self, program, args, uid=None):
        path = program_path(program) if "/" not in str(program) else pathlib.Path(program)
        if uid is None:
            return [str(path), *map(str, args)]
        need_root()
        return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--",
                str(self.readable_by_all(path)), *map(str, args)]

    def readable_by_all(self, path):
        """The path itself, or a copy in our folder when other users cannot reach it."""
        if all(p.stat().st_mode & 0o001 for p in [path, *path.parents]):
            return path
        copy = self.dir / "bin" / path.name
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(path, copy)
        return copy

    def run(self, program, *args, uid=None, env=None, stdin=None, timeout=DEADLINE):
        """Runs a command (one of ours by name, or any by path) to its end."""
        argv = self.argv(program, args, uid)
        done = subprocess.run(argv, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=timeout,
                              cwd=self.dir, env={**os.environ, **(env or {})}, check=False)
        result = Result(argv, done.returncode, done.stdout, done.stderr)
        assert not SANITIZER_WORDS.search(done.stderr), result
        return result

    def start(self, name, program, *args, uid=None, env=None, kind=Program, nofile=None):
        """Starts a program that stays; it is stopped with the test. Names are unique. nofile: how many
        descriptors it may have."""
        assert all(p.name != name or not p.running for p in self.programs), f"{name} runs already"
        left = ["env", *self.inherit] if self.inherit else []
        few = ["prlimit", f"--nofile={nofile}:{nofile}", "--"] if nofile else []
        started = kind(name, [*left, *few, *self.argv(program, args, uid)], self.dir, env)
        self.programs.append(started)
        return started

    # ---- the agent and the sidecar

    def agent_config(self, **changes):
        base = {
            "trust_domain": "example.org",
            "data_dir": str(self.dir / "data"),
            "workload_api": {"socket": str(self.dir / "api.sock")},
            "admin": {"socket": str(self.dir / "admin.sock")},
            "metrics": {"listen": "127.0.0.1:0"},
            "entries": str(self.dir / "entries.yaml"),
            "log": {"level": "debug"},
            **SANDBOX,
        }
        return deep_merge(base, changes)

    def agent(self, entries=None, name="agent", wait=True, args=(), env=None, nofile=None, **changes):
        """Writes NAME.yaml and entries.yaml and starts the agent; changes are keys of the config.
        entries=None leaves the file as it is (or writes an empty list when there is none)."""
        config = self.agent_config(**changes)
        entries_path = pathlib.Path(config.get("entries", self.dir / "entries.yaml"))
        if entries is not None or not entries_path.exists():
            self.write_entries(entries or [], entries_path.name)
        path = self.write_yaml(f"{name}.yaml", config)
        agent = self.start(name, "spindle-agent", "run", "--config", path, *args, env=env, kind=Agent,
                           nofile=nofile)
        agent.config, agent.config_path, agent.entries_path = config, path, entries_path
        agent.socket = config["workload_api"]["socket"]
        agent.admin = config["admin"]["socket"]
        return agent.wait_ready() if wait else agent

    def fake_clock(self):
        """What agent() needs so that set_clock sets its wall clock."""
        library = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
        if SANDBOX:
            pytest.skip("sanitizers must be the first library that is loaded")
        if library is None:
            give_up("libfaketime (Debian package faketime) is not installed")
        return {"sandbox": False, "env": {
            "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(self.set_clock(0)), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1"}}

    def set_clock(self, hours):
        return self.write("offset", f"{hours:+d}h")

    def sidecar_config(self, name, **changes):
        base = {
            "identity": {} if "files" in changes.get("identity", {})
            else {"workload_api": f"unix://{self.dir / 'api.sock'}"},
            "metrics": {"listen": "127.0.0.1:0"},
            "admin": {"socket": str(self.dir / f"{name}.sock")},
            "drain_delay": "0s",
            "log": {"level": "debug"},
            **SANDBOX,
        }
        return deep_merge(base, changes)

    def sidecar(self, name="sidecar", wait=True, uid=None, args=(), env=None, nofile=None, **changes):
        """Writes NAME.yaml and starts a sidecar; changes are keys of the config, e.g.
        inbound=[{"listen": "127.0.0.1:0", "forward": "127.0.0.1:8080", "allow": [...]}]."""
        config = self.sidecar_config(name, **changes)
        path = self.write_yaml(f"{name}.yaml", config)
        sidecar = self.start(name, "spindle-sidecar", "run", "--config", path, *args, uid=uid,
                             env=env, kind=Sidecar, nofile=nofile)
        sidecar.config, sidecar.config_path = config, path
        sidecar.admin = config.get("admin", {}).get("socket")
        return sidecar.wait_ready() if wait else sidecar

    # ---- real ends

    def tcp_server(self, handle=None):
        """A TCP server in threads of this process, by default an echo. handle(socket) serves one
        connection. Returns its (host, port)."""
        server = TcpServer(handle or echo)
        self.closers.append(server.close)
        return server.address

    # ---- the end

    def close(self):
        """Stops all; fails the test for a crash or a sanitizer's report."""
        problems = []
        for program in reversed(self.programs):
            died = not program.running and not program.stopped and program.process.returncode < 0
            if died:
                problems.append(f"{program.name} died of signal {-program.process.returncode}")
            try:
                program.stop()
            except BaseException as e:  # pytest.fail is no Exception; the rest must still be stopped
                problems.append(str(e))
            found = SANITIZER_WORDS.search(program.log())
            if found:
                problems.append(f"{program.name}: {found[0]} (see its log)")
        for closer in self.closers:
            closer()
        return problems

    def remove(self):
        if "SPINDLE_KEEP" not in os.environ:
            shutil.rmtree(self.dir, ignore_errors=True)


def echo(conn):
    while True:
        data = conn.recv(65536)
        if not data:
            break
        conn.sendall(data)
    conn.shutdown(socket.SHUT_WR)


class TcpServer:
    """Accepts on a port of the kernel's choice, one thread a connection."""

    def __init__(self, handle):
        self.handle = handle
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = self.socket.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with conn, contextlib.suppress(OSError):
            self.handle(conn)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes the accept
        self.socket.close()
