"""A real web server and real clients around a pair of our sidecars, with SVIDs from our agent.

    client -> outbound -> mTLS -> inbound -> nginx
"""
import http.client
import os
import re
import subprocess
import time

import harness

WEB, CLIENT = "spiffe://example.org/web", "spiffe://example.org/client"

NGINX = """worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {folder}/n1; proxy_temp_path {folder}/n2; fastcgi_temp_path {folder}/n3;
  uwsgi_temp_path {folder}/n4; scgi_temp_path {folder}/n5;
  server {{ listen unix:{folder}/web.sock; location / {{ return 200 "hello from nginx\\n"; }} }}
}}
"""

# A steady load instead of as much as the machine can: wrk waits that long before each request.
PACE = "function delay() return {delay_ms} end\n"


def nginx(site):
    """Starts the web server; returns the path of its socket."""
    config = site.write("nginx.conf", NGINX.format(folder=site.dir))
    site.start("nginx", harness.has_program("nginx"), "-p", site.dir, "-c", config)
    listening = site.path("web.sock")
    harness.wait_until(lambda: harness.connectable(listening), "nginx")
    return listening


class Load:
    """What wrk says it did."""

    def __init__(self, text):
        self.text = text
        self.requests = int(re.search(r"(\d+) requests in", text)[1])
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        answers = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        self.failed = sum(map(int, errors.groups())) if errors else 0
        self.failed += int(answers[1]) if answers else 0


class Pair:
    """Agent, web server and both sidecars, all started."""

    def __init__(self, site, ttl="6s", issuer_ttl="24h", log_level="info"):
        self.site = site
        self.changes = {"svid": {"x509_ttl": ttl}, "authority": {"issuer_ttl": issuer_ttl},
                        "log": {"level": log_level}}
        mine = [f"unix:uid:{os.getuid()}"]
        self.entries = [{"spiffe_id": WEB, "selectors": [*mine]}, {"spiffe_id": CLIENT, "selectors": [*mine]}]
        self.agent = site.agent(entries=self.entries, **self.changes)
        self.inbound = site.sidecar(
            "inbound", identity={"spiffe_id": WEB}, log={"level": log_level},
            inbound=[{"listen": "127.0.0.1:0", "forward": str(nginx(site)), "allow": [CLIENT]}])
        host, port = self.inbound.inbound()
        self.outbound = site.sidecar(
            "outbound", identity={"spiffe_id": CLIENT}, log={"level": log_level},
            outbound=[{"listen": "127.0.0.1:0", "forward": f"{host}:{port}", "expect": [WEB]}])
        self.url = "http://{}:{}/".format(*self.outbound.outbound())

    def restart_agent(self):
        """SIGKILL and a new one on the same data."""
        self.agent.kill()
        self.agent = self.site.agent(entries=self.entries, name="agent-again", **self.changes)

    def rotations(self):
        """Of the sidecar that has had fewer."""
        return min(side.metrics().total("spindle_mtls_certificate_rotations_total")
                   for side in (self.inbound, self.outbound))

    def issuers(self):
        return self.agent.metrics().total("spindle_agent_issuer_rotations_total", result="success")

    def failures(self):
        """Handshakes that failed and destinations that could not be reached, on both sides."""
        names = ("spindle_sidecar_tls_handshake_failures_total",
                 "spindle_sidecar_connect_failures_total", "spindle_sidecar_connections_refused_total")
        return sum(side.metrics().total(name) for side in (self.inbound, self.outbound)
                   for name in names)

    def wrk(self, seconds, connections=4, delay_ms=2, keep_alive=True):
        """Starts wrk in the background; load() reads its result when it has ended."""
        pace = self.site.write("pace.lua", PACE.format(delay_ms=delay_ms))
        name = f"wrk-{'kept' if keep_alive else 'fresh'}"
        fresh = [] if keep_alive else ["-H", "Connection: close"]
        return self.site.start(name, harness.has_program("wrk"), "-t1", f"-c{connections}",
                               f"-d{seconds}s", "-s", pace, *fresh, self.url)

    def curl(self, *options):
        return subprocess.run([harness.has_program("curl"), "--silent", "--show-error",
                               "--max-time", str(int(harness.DEADLINE)), *options, self.url],
                              capture_output=True, text=True, check=False)


def load(program, seconds):
    """Waits for a wrk and returns what it did."""
    assert program.wait_exit(timeout=seconds + harness.DEADLINE) == 0, program.log()
    return Load(program.log())


class SteadyConnection:
    """One TCP connection from start to end that sends a request whenever it is asked to; a fresh
    connection under the hood would hide a dropped one."""

    def __init__(self, pair):
        address = pair.outbound.outbound()
        self.client = http.client.HTTPConnection(*address, timeout=harness.DEADLINE)
        self.client.connect()
        self.socket = self.client.sock

    def request(self):
        self.client.request("GET", "/")
        answer = self.client.getresponse()
        assert answer.status == 200 and answer.read() == b"hello from nginx\n"
        assert self.client.sock is self.socket, "the connection was replaced"


def run_load(pair, until, at_least, limit, each_round=lambda made: None):
    """Loads the pair, with kept and with fresh connections, until the condition holds and so many
    requests were made. Returns (requests made, requests failed)."""
    steady = SteadyConnection(pair)
    end = time.monotonic() + limit
    made = failed = 0
    while made < at_least or not until():
        assert time.monotonic() < end, f"{made} requests, {pair.rotations()} rotations in {limit} s"
        steady.request()
        running = [pair.wrk(2), pair.wrk(2, delay_ms=10, keep_alive=False)]
        done = [load(program, 2) for program in running]
        made += sum(d.requests for d in done)
        failed += sum(d.failed for d in done)
        for program in running:
            program.log_path.unlink()
            pair.site.programs.remove(program)
        each_round(made)
    steady.request()
    return made, failed
