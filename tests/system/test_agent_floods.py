"""An agent whose sockets are flooded by one user, and a sidecar whose share.sock says that there is no
room: everything else goes on, and nobody who is revoked comes in meanwhile."""
import contextlib
import os
import socket
import threading

import pytest
from floods import Flood, descriptors
from harness import http_get, need_root, wait_until
from test_http_floods import unix_get
from test_sidecar_floods import talks
from test_sidecar_life import CLIENT, WEB, ask, connect, entries, pair_from_agent, text


@pytest.mark.parametrize("nofile", [64, 256, 1024])
def test_connections_to_the_workload_api_leave_all_else_its_part(site, nofile):
    agent = site.agent(entries=entries(), nofile=nofile)
    before = descriptors(agent)
    with Flood(agent.socket, nofile + 200):
        for what in ("/live", "/ready", "/metrics"):
            assert http_get(agent.address("metrics"), what)[0] == 200
        status, _ = unix_get(agent.admin, "/v1/entries")
        assert status == 200
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as guest:
            guest.settimeout(20)
            guest.connect(str(site.path("share.sock")))
            guest.send(b"no message")
            assert guest.recv(4096).startswith(b"SPSH"), "share.sock answers"
    wait_until(lambda: descriptors(agent) <= before, "all descriptors to be given back")
    assert site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.socket).code == 0
    assert agent.stop() == 0


def test_a_flood_of_share_sock_by_another_user_keeps_no_sidecar_out(site):
    need_root()
    agent = site.agent(entries=entries(), nofile=256)
    flood = site.write("flood.py", "import socket, sys, time\nheld = []\nend = time.time() + 60\n"
                       "while time.time() < end:\n"
                       "    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
                       "    s.setblocking(False)\n    try: s.connect(sys.argv[1])\n"
                       "    except OSError: s.close(); time.sleep(.001); continue\n"
                       "    held.append(s)\n    if len(held) > 500: held.pop(0).close()\n")
    site.start("flood", "/usr/bin/python3", flood, site.path("share.sock"), uid=65534)
    agent.wait_metric("spindle_agent_share_refused_total", at_least=100, reason="limit")
    web, client = pair_from_agent(site, site.tcp_server())
    for side in (web, client):
        side.wait_event("share_connected")
    talks(client)
    assert agent.metrics().total("spindle_agent_share_sidecars") == 2


class NoRoom:
    """A share.sock that refuses everybody, as an agent without room does."""

    REFUSED = b"".join([b"SPSH", (1).to_bytes(2, "little"), (6).to_bytes(2, "little")])

    def __init__(self, path):
        os.unlink(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(str(path))
        os.chmod(path, 0o777)
        self.socket.listen(64)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        body = b"".join(len(t).to_bytes(2, "little") + t for t in (b"limit", b"a limit was reached"))
        packet = self.REFUSED + (12 + len(body)).to_bytes(4, "little") + body
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.socket.accept()
                with conn, contextlib.suppress(OSError):
                    conn.send(packet)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


def pair_from_agent_unready(site, app):
    web = site.sidecar("web", wait=False, identity={"spiffe_id": WEB}, inbound=[
        {"listen": "127.0.0.1:0", "forward": text(app), "allow": [CLIENT]}])
    client = site.sidecar("client", wait=False, identity={"spiffe_id": CLIENT}, outbound=[
        {"listen": "127.0.0.1:0", "forward": text(web.inbound()), "expect": [WEB]}])
    return web, client


def test_newcomers_wait_while_the_agent_is_there_and_does_not_say_what_is_revoked(site):
    """With the policy soft, which admits where nobody can know."""
    agent = site.agent(entries=entries())
    none = NoRoom(site.path("share.sock"))
    web, client = pair_from_agent_unready(site, site.tcp_server())
    for side in (web, client):
        side.wait_event("newcomers_held", reason="limit")
        status, said = side.ready()
        assert status == 503 and "gives no revocation cache" in said
        assert side.metrics().total("spindle_sidecar_newcomers_held") == 1
    with connect(client) as waits:
        waits.sendall(b"ping")
        client.wait_metric("spindle_sidecar_connections_waiting")
        waits.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waits.recv(4)
        none.close()
        agent.stop()
        agent = site.agent(name="agent-again")
        for side in (web, client):
            side.wait_event("newcomers_go_on")
        waits.settimeout(20)
        assert waits.recv(4) == b"ping"
        for side in (web, client):
            side.wait_ready()


def test_who_waits_too_long_for_the_agent_is_closed_and_live_connections_go_on(site):
    agent = site.agent(entries=entries())
    web, client = pair_from_agent(site, site.tcp_server(), timeouts={"connect": "500ms"})
    with connect(client) as live:
        ask(live)
        for side in (web, client):
            side.wait_event("share_connected")
        agent.kill()
        none = NoRoom(site.path("share.sock"))
        client.wait_event("newcomers_held")
        with connect(client) as late, contextlib.suppress(ConnectionResetError):
            assert late.recv(1) == b""
        refusal = client.wait_event("connection_refused", reason="revocation_unknown")
        assert "gave no revocation cache" in refusal["detail"]
        ask(live)
        none.close()
