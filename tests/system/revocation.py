"""A node with many live connections, of which those of one identity are revoked.

    client sidecar ─┐                ┌─> web-1 ─┐
                    ├─ mTLS, half ───┤          ├─> app (echo, a process of its own)
    other sidecar ──┘  to each       └─> web-2 ─┘

    node = Node(site, 500, 500); node.open(); took = node.revoke(); node.lift()
"""
import contextlib
import json
import multiprocessing
import os
import select
import signal
import socket
import ssl
import subprocess
import threading
import time

import harness
from certs import openssl

CLIENT, OTHER = "spiffe://example.org/client", "spiffe://example.org/other"
WEBS = ["spiffe://example.org/web-1", "spiffe://example.org/web-2"]
CUT = "spindle_sidecar_connections_cut_total"
AT_ONCE = 64  # connections that are made side by side
ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


def echo_forever(listener):
    """The app: one process, so that it takes no time from who measures."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # whatever our parent does
    ready, conns = select.epoll(), {}
    ready.register(listener, select.EPOLLIN)
    while True:
        for number, _ in ready.poll():
            if number == listener.fileno():
                conn, _ = listener.accept()
                conns[conn.fileno()] = conn
                ready.register(conn, select.EPOLLIN)
                continue
            conn = conns[number]
            with contextlib.suppress(OSError):
                if data := conn.recv(4096):
                    conn.sendall(data)
                    continue
            del conns[number]
            conn.close()


def start_app(site):
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    app = multiprocessing.get_context("fork").Process(target=echo_forever, args=(listener,), daemon=True)
    app.start()
    site.closers.append(app.terminate)
    address = listener.getsockname()
    listener.close()
    return address


class Held:
    """Plain connections to the outbound side of one sidecar, held open."""

    def __init__(self, sidecar, count):
        self.sidecar, self.count, self.sockets = sidecar, count, []
        self.events = select.epoll()
        self.ended = set()

    def open(self):
        """As many as there should be, each answered by the app."""
        self.close()
        addresses = [self.sidecar.outbound(i) for i in range(len(WEBS))]
        for start in range(0, self.count, AT_ONCE):
            batch = [socket.create_connection(addresses[i % len(addresses)], timeout=harness.DEADLINE)
                     for i in range(start, min(start + AT_ONCE, self.count))]
            self.sockets += batch
            self.check(batch)
        for conn in self.sockets:
            self.events.register(conn, ENDED | select.EPOLLET)
        return self

    def check(self, sockets=None):
        """Each is answered; so none was touched."""
        for conn in sockets or self.sockets:
            conn.sendall(b"x")
        for conn in sockets or self.sockets:
            assert conn.recv(1) == b"x", "a connection was cut"
        return self

    def look(self, timeout):
        """Takes note of those that have ended."""
        self.ended.update(number for number, _ in self.events.poll(timeout, self.count or 1))
        return len(self.ended)

    def wait_all_ended(self):
        end = time.monotonic() + harness.DEADLINE
        while self.look(1) < self.count:
            assert time.monotonic() < end, f"{self.count - len(self.ended)} of {self.count} live"

    def close(self):
        for conn in self.sockets:
            conn.close()
        self.events.close()
        self.__init__(self.sidecar, self.count)


class Node:
    """Agent, two inbound sidecars, two outbound ones; `mine` connections of CLIENT's and `others`."""

    def __init__(self, site, mine, others, entries=None, **changes):
        self.site, uid = site, f"unix:uid:{os.getuid()}"
        quiet = {"log": {"level": "debug" if mine < 100 else "info"}, "drain_limit": "0s", **changes}
        entries = entries or [{"spiffe_id": i, "selectors": [uid]} for i in [CLIENT, OTHER, *WEBS]]
        self.agent = site.agent(entries=entries, log=quiet["log"])
        app = start_app(site)
        self.webs = [site.sidecar(f"web-{i}", identity={"spiffe_id": web}, **quiet, inbound=[
            {"listen": "127.0.0.1:0", "forward": f"{app[0]}:{app[1]}", "allow": [CLIENT, OTHER]}])
            for i, web in enumerate(WEBS)]
        self.client, self.other = (site.sidecar(name, identity={"spiffe_id": identity}, **quiet, outbound=[
            {"listen": "127.0.0.1:0", "forward": "{}:{}".format(*web.inbound()), "expect": WEBS}
            for web in self.webs]) for name, identity in (("client", CLIENT), ("other", OTHER)))
        self.mine, self.others = Held(self.client, mine), Held(self.other, others)
        for web in self.webs:
            web.wait_metric("spindle_sidecar_share_connected")

    def open(self):
        self.others.open()
        return self

    def command(self, *args):
        return subprocess.Popen([str(harness.program_path("spindle-agent")), "revoke", *args,
                                 "--admin", self.agent.admin, "--output", "json"],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, command):
        out, _ = command.communicate(timeout=harness.DEADLINE)
        assert command.returncode == 0, out
        return json.loads(out)

    def stolen(self):
        """A TLS client with the certificate and key that CLIENT has now."""
        folder = self.site.path("stolen")
        done = self.site.run("spindle-agent", "api", "fetch", "x509", "--socket", self.agent.socket,
                             "--write", folder)
        assert done.code == 0, done
        for path in folder.glob("svid.*.pem"):
            if f"URI:{CLIENT}\n" in openssl("x509", "-in", path, "-noout", "-ext", "subjectAltName") + "\n":
                made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
                made.load_cert_chain(path, path.with_suffix(".key"))
                return made
        raise AssertionError("no SVID of the client")

    def admits(self, tls, webs=None):
        """Does some web sidecar still let it through to the app?"""
        for web in webs or self.webs:
            with contextlib.suppress(OSError), socket.create_connection(web.inbound(), harness.DEADLINE) as raw:
                conn = tls.wrap_socket(raw)
                conn.sendall(b"x")
                if conn.recv(1) == b"x":
                    return True
        return False

    def knock(self, tls, web, refused):
        """Tries again and again, until it is refused; refused: when that try began."""
        end = time.monotonic() + harness.DEADLINE
        while (began := time.monotonic()) < end:
            if not self.admits(tls, [web]):
                refused.append(began)
                return

    def revoke(self, *options):
        """One round: all of CLIENT's connections live. Returns seconds from the start of the command:
        (all cut, all cut and every new one refused, command done)."""
        self.mine.open()
        tls, before, refused = self.stolen(), self.cut(), []
        assert self.admits(tls) and self.mine.look(0) == 0 and self.others.look(0) == 0
        start = time.monotonic()
        command = self.command(CLIENT, *options)
        knocks = [threading.Thread(target=self.knock, args=(tls, web, refused)) for web in self.webs]
        for knock in knocks:
            knock.start()
        self.mine.wait_all_ended()
        cut = time.monotonic() - start
        self.finish(command)
        done = time.monotonic() - start
        for knock in knocks:
            knock.join()
        assert len(refused) == len(self.webs), "new connections are let in"
        assert not self.admits(tls), "a new connection is let in after one was refused"
        refused = max(cut, max(refused) - start)
        assert self.others.look(0) == 0, f"{len(self.others.ended)} connections of others were touched"
        self.others.check().events.poll(0)
        harness.wait_until(lambda: self.cut() - before >= self.mine.count, "the cuts are counted")
        assert self.other.metrics().total(CUT) == 0
        return cut, refused, done

    def cut(self):
        """By the sidecar of either end; both may be at it at once."""
        return sum(side.metrics().total(CUT, reason="cert_revoked") for side in [self.client, *self.webs])

    def lift(self):
        """The client gets a certificate again."""
        before = len(self.client.events("identity_rotated"))
        self.finish(self.command(CLIENT, "--lift"))
        self.client.wait_event("identity_rotated", count=before + 1)


def percentile(ordered, percent):
    """The least value that so many percent of all do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1]


def percentiles(values):
    """p50, p99 and the largest, of seconds, in ms as text."""
    ordered = sorted(values)
    p50, p99 = percentile(ordered, 50), percentile(ordered, 99)
    return f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, max {ordered[-1] * 1000:.0f} ms"
