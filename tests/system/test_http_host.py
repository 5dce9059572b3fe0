"""Metrics listeners on loopback and requests that are for somebody else, as a web page of this machine's browser sends
them when its name is made to lead to 127.0.0.1."""
import socket

import pytest

import harness
from test_hostile_peers import WEB

ROUTE = {"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": [WEB]}


def start(site, kind, **metrics):
    metrics = {"listen": "127.0.0.1:0", **metrics}
    if kind == "agent":
        return site.agent([], metrics=metrics)
    return site.sidecar(identity={"files": site.ca().leaf(WEB).files()}, inbound=[ROUTE], metrics=metrics)


def status(program, host, path="/live"):
    return harness.http_get(program.address("metrics"), path, headers={"Host": host})[0]


def raw(address, text):
    with socket.create_connection(address, timeout=harness.DEADLINE) as s:
        s.sendall(text.encode())
        s.shutdown(socket.SHUT_WR)
        return s.makefile("rb").readline().decode()


@pytest.mark.parametrize("kind", ["agent", "sidecar"])
def test_a_loopback_listener_answers_to_no_foreign_name(site, kind):
    program = start(site, kind)
    for path in ("/metrics", "/live", "/ready", "/nothing"):
        assert status(program, "evil.example:9464", path) == 421
    event = program.wait_event("http_foreign_host")
    assert event["host"] == "evil.example:9464" and "metrics.hosts" in event["help"]
    assert status(program, "web", "/metrics") == 421  # one label is enough for probes alone
    port = program.address("metrics")[1]
    for host in ("127.0.0.1", f"127.0.0.1:{port}", "localhost", f"LOCALHOST:{port}", "app.localhost", "[::1]:80", "10.0.0.7",
                 "web", f"web:{port}"):
        assert status(program, host) == 200, host
    assert "421" in raw(program.address("metrics"), "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert "200" in raw(program.address("metrics"), "GET /live HTTP/1.0\r\n\r\n")
    assert program.metrics().total("http_foreign_host_total") == 0  # under the program's prefix
    assert program.wait_metric("spindle_http_foreign_host_total", at_least=6) == 6


@pytest.mark.parametrize("kind", ["agent", "sidecar"])
def test_a_name_of_the_configuration_is_answered(site, kind):
    program = start(site, kind, hosts=["node7.example.internal"])
    assert status(program, "node7.example.internal:9464") == 200
    assert status(program, "node8.example.internal:9464") == 421


def test_a_listener_for_the_network_answers_to_all_names(site):
    """Prometheus asks by the name that it was given."""
    program = start(site, "agent", listen="0.0.0.0:0")
    port = program.address("metrics")[1]
    assert harness.http_get(("127.0.0.1", port), "/live", headers={"Host": "node7.example.internal"})[0] == 200
