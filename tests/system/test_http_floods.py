"""The metrics and admin sockets while hostile clients hold all places: who asks is answered."""
import http.client
import json
import socket

import pytest
from floods import Flood, descriptors
from harness import http_get, wait_until

PLACES = 64


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


def unix_get(path, what):
    conn = UnixHttp(path)
    conn.request("GET", what)
    answer = conn.getresponse()
    return answer.status, answer.read()


@pytest.fixture
def both(site):
    site.agent(entries=[{"spiffe_id": "spiffe://example.org/web", "selectors": ["unix:uid:0"]}])
    app = site.tcp_server()
    site.sidecar("web", inbound=[{"listen": "127.0.0.1:0", "forward": f"127.0.0.1:{app[1]}",
                                  "allow": ["spiffe://example.org/*"]}])
    return site.programs


HOSTILE = [
    ("silent", b"", b""),
    ("one_byte", b"G", b""),
    ("drip", b"GET /live HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"a"),
    ("idle", b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
]


@pytest.mark.parametrize("first,drip", [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
def test_probes_are_answered_while_clients_hold_all_places(both, first, drip):
    for program in both:
        address = program.address("metrics")
        with Flood(address, PLACES + 10, first=first, drip=drip) as flood:
            for what in ("/live", "/ready", "/metrics", "/live") * 5:
                wait_until(lambda a=address, w=what: http_get(a, w, timeout=20)[0] == 200,
                           f"{what} of {program.name}")
        assert flood.made >= PLACES
        if first == b"G":
            cut = program.metrics().total("spindle_http_connections_cut_total", reason="room")
            assert cut > 0, program.name


def answered(path, what):
    """None: who came in between put it out before it had asked, as a busy machine may have it."""
    try:
        return unix_get(path, what)
    except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
        return None


def test_the_admin_socket_answers_while_clients_hold_all_places(both):
    for program, what in zip(both, ("/v1/entries", "/v1/conns")):
        with Flood(str(program.admin), PLACES + 10, first=b"G"):
            for _ in range(20):
                status, body = wait_until(lambda p=program, w=what: answered(str(p.admin), w), "an answer")
                assert status == 200 and json.loads(body) is not None, program.name


def test_descriptors_come_back_after_the_flood(both):
    for program in both:
        before = descriptors(program)
        with Flood(program.address("metrics"), 200, first=b"G"):
            wait_until(lambda p=program: http_get(p.address("metrics"), "/live", timeout=20)[0] == 200, "/live")
        wait_until(lambda p=program, n=before: descriptors(p) <= n,
                   f"{program.name} to close what the flood had")
