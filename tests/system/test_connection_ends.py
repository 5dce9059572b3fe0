"""Who ends a connection, how, and with what queued in which direction: whatever has arrived is handed
over before the end is told, and the end is told as what it was."""
import contextlib
import os
import socket
import threading
import time

import pytest

from certs import Authority
from harness import wait_until
from test_hostile_peers import ME, WEB, context, text
from tls_end import TlsEnd, acked, read_to_end, reset, unsent

SIZE = 2_500_000                # fits into what three kernels and the sidecar hold while nobody reads
DATA = os.urandom(SIZE)
QUICK = {"unclean_close": "300ms"}
CLOSED = "spindle_sidecar_connections_closed_total"
HANDSHAKE_MAX = 16384
SIDES = ["inbound", "outbound"]


@pytest.fixture(scope="module")
def leaves(tmp_path_factory):
    ca = Authority(tmp_path_factory.mktemp("ends"), "ca", "example.org")
    return {"me": ca.leaf(ME), "web": ca.leaf(WEB)}


class Ends:
    """One connection through a sidecar: .app, a plain socket, and .peer, a TlsEnd."""

    def __init__(self, site, leaves, side, unix=False, timeouts=None, route=None, **changes):
        self.side = side
        accepted = self.listen(site.path("app.sock") if unix and side == "inbound" else None)
        forward = accepted.getsockname()
        forward = forward if isinstance(forward, str) else text(forward)
        listen = site.path("listen.sock") if unix and side == "outbound" else "127.0.0.1:0"
        who = {"inbound": "allow", "outbound": "expect"}[side]
        self.sidecar = site.sidecar(
            identity={"files": leaves["me"].files()}, timeouts={**QUICK, **(timeouts or {})}, **changes,
            **{side: [{"listen": str(listen), "forward": forward, who: [WEB], **(route or {})}]})
        address = self.sidecar.address(side)
        dialled = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
        dialled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        dialled.settimeout(60)
        dialled.connect(address)
        tls = context("client" if side == "inbound" else "server", leaves["web"])
        if side == "inbound":
            self.peer = TlsEnd(tls, dialled, server=False)
            self.app = accepted.accept()[0]
        else:
            self.app = dialled
            self.peer = TlsEnd(tls, accepted.accept()[0], server=True)
        accepted.close()
        for sock in (self.app, self.peer.sock):
            sock.settimeout(60)
            site.closers.append(sock.close)
        self.sidecar.wait_metric("spindle_sidecar_connections_opened_total")

    def listen(self, path):
        made = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        if not path:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        made.bind(str(path) if path else ("127.0.0.1", 0))
        made.listen()
        return made

    def ended(self, reason):
        self.sidecar.wait_metric(CLOSED, direction=self.side, reason=reason)
        assert self.sidecar.metrics().total(CLOSED) == 1
        assert self.sidecar.metrics().total("spindle_sidecar_connections_untaken_total") == 0


def peer_fin(ends):
    ends.peer.fin()


def peer_close(ends):
    wait_until(lambda: unsent(ends.peer.sock) == 0, "the bytes to be acknowledged")
    ends.peer.sock.close()


def peer_reset(ends):
    reset(ends.peer.sock)


def peer_garbage(ends):
    ends.peer.garbage()


def peer_in_order(ends):
    ends.peer.say_close()
    ends.peer.fin()


# How the peer ends; what the app sees behind the bytes (on a TCP socket), by unclean_close; reason.
PEER_ENDS = [
    (peer_fin, {"reset": "reset", "eof": "eof"}, "tls_truncated"),
    (peer_close, {"reset": "reset", "eof": "eof"}, "tls_truncated"),
    (peer_reset, {"reset": "reset", "eof": "reset"}, "peer_reset"),
    (peer_garbage, {"reset": "reset", "eof": "reset"}, "tls_protocol"),
    (peer_in_order, {"reset": "eof", "eof": "eof"}, "ok"),
]


@pytest.mark.parametrize("mode", ["reset", "eof"])
@pytest.mark.parametrize("end, seen, reason", PEER_ENDS, ids=[end.__name__ for end, _, _ in PEER_ENDS])
@pytest.mark.parametrize("side", SIDES)
def test_what_a_peer_sent_reaches_a_slow_app_however_the_peer_ends(site, leaves, side, end, seen, reason, mode):
    ends = Ends(site, leaves, side, route={"unclean_close": mode})
    ends.peer.send(DATA)
    end(ends)
    got, how = read_to_end(ends.app)
    assert (len(got), how) == (SIZE, seen[mode]) and got == DATA
    if how == "eof":
        ends.app.close()
    ends.ended(reason)


@pytest.mark.parametrize("end, seen, reason", PEER_ENDS, ids=[end.__name__ for end, _, _ in PEER_ENDS])
@pytest.mark.parametrize("side", SIDES)
def test_an_app_on_a_unix_socket_gets_all_too_and_an_end_of_file(site, leaves, side, end, seen, reason):
    """There is no reset to send on such a socket."""
    ends = Ends(site, leaves, side, unix=True)
    sender = threading.Thread(target=lambda: (ends.peer.send(DATA), end(ends)))
    sender.start()
    got, how = read_to_end(ends.app)
    sender.join()
    assert (len(got), how) == (SIZE, "eof") and got == DATA
    ends.app.close()
    ends.ended(reason)


def app_fin(ends):
    ends.app.shutdown(socket.SHUT_WR)


def app_reset(ends):
    reset(ends.app)


def app_closes_on_unread_bytes(ends):
    wait_until(lambda: unsent(ends.app) == 0, "the bytes to be acknowledged")
    ends.app.recv(1, socket.MSG_PEEK)
    ends.app.close()


# How the app ends, what the peer sees behind the bytes, reason.
APP_ENDS = [(app_fin, "close_notify", "ok"), (app_reset, "reset", "peer_reset"),
            (app_closes_on_unread_bytes, "reset", "peer_reset")]


@pytest.mark.parametrize("end, seen, reason", APP_ENDS, ids=[end.__name__ for end, _, _ in APP_ENDS])
@pytest.mark.parametrize("side", SIDES)
def test_what_an_app_sent_reaches_a_slow_peer_however_the_app_ends(site, leaves, side, end, seen, reason):
    ends = Ends(site, leaves, side)
    ends.peer.send(b"unread")
    ends.app.sendall(DATA)
    end(ends)
    got, how = ends.peer.read_to_end()
    assert (len(got), how) == (SIZE, seen) and got == DATA
    if how == "close_notify":
        peer_in_order(ends)
        assert read_to_end(ends.app) == (b"unread", "eof")
    ends.ended(reason)


@pytest.mark.parametrize("side", SIDES)
def test_an_app_that_is_gone_for_writing_is_still_read_to_its_end(site, leaves, side):
    """The peer's bytes meet the reset first; the app's, which waited behind a slow peer, are not lost."""
    ends = Ends(site, leaves, side)
    ends.app.sendall(DATA)
    reset(ends.app)
    with contextlib.suppress(OSError):
        ends.peer.send(b"x" * 1000)
    got, how = ends.peer.read_to_end()
    assert (len(got), how) == (SIZE, "reset") and got == DATA
    ends.ended("peer_reset")


@pytest.mark.parametrize("side", SIDES)
def test_a_peer_that_is_gone_for_writing_is_still_read_to_its_end(site, leaves, side):
    """The app's bytes meet the reset first."""
    ends = Ends(site, leaves, side)
    ends.peer.send(DATA)
    reset(ends.peer.sock)
    for _ in range(3):
        ends.app.sendall(b"x" * 1000)
        time.sleep(0.01)
    got, how = read_to_end(ends.app)
    assert (len(got), how) == (SIZE, "reset") and got == DATA
    ends.ended("peer_reset")


@pytest.mark.parametrize("mode", ["reset", "eof"])
@pytest.mark.parametrize("side", SIDES)
def test_after_a_fin_without_close_notify_the_app_answers_to_the_end(site, leaves, side, mode):
    ends = Ends(site, leaves, side, route={"unclean_close": mode}, timeouts={"unclean_close": "20s"})
    ends.peer.send(b"a question")
    ends.peer.fin()
    assert ends.app.recv(100) == b"a question"
    ends.sidecar.wait_event("connection_truncated")
    half = SIZE // 2
    answer = threading.Thread(target=lambda: (ends.app.sendall(DATA[:half]), time.sleep(0.5),
                                              ends.app.sendall(DATA[half:]), ends.app.shutdown(socket.SHUT_WR)))
    answer.start()
    got, how = ends.peer.read_to_end()
    answer.join()
    assert (len(got), how) == (SIZE, "close_notify") and got == DATA
    assert read_to_end(ends.app) == (b"", mode)
    ends.ended("tls_truncated")


def test_an_app_that_goes_on_talking_is_not_cut_off_by_the_bound(site, leaves):
    """It is silence that is bounded, not the answer."""
    ends = Ends(site, leaves, "inbound", timeouts={"unclean_close": "3s"})
    ends.peer.fin()
    ends.sidecar.wait_event("connection_truncated")
    for _ in range(20):
        ends.app.sendall(b".")
        time.sleep(0.2)  # in all more than the bound
    ends.app.shutdown(socket.SHUT_WR)
    assert ends.peer.read_to_end() == (b"." * 20, "close_notify")


def test_an_app_that_takes_nothing_is_reset_after_the_bound_and_counted(site, leaves):
    ends = Ends(site, leaves, "inbound", timeouts={"flush": "300ms"})
    ends.peer.send(DATA)
    reset(ends.peer.sock)
    ends.sidecar.wait_metric("spindle_sidecar_connections_untaken_total", direction="inbound")
    event = ends.sidecar.wait_event("connection_untaken")
    assert int(event["queued"]) > 0 and event["reason"] == "peer_reset", event
    got, how = read_to_end(ends.app)
    assert len(got) < SIZE and how == "reset" and DATA.startswith(got)


def test_an_app_that_takes_little_by_little_is_waited_for(site, leaves):
    ends = Ends(site, leaves, "inbound", timeouts={"flush": "2s"})
    ends.peer.send(DATA)
    reset(ends.peer.sock)
    got = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while part := ends.app.recv(65536):
            got += part
            time.sleep(0.05)  # in all more than the bound
    assert bytes(got) == DATA
    ends.ended("peer_reset")


@pytest.mark.parametrize("timeout", ["idle", "half_close"])
@pytest.mark.parametrize("side", SIDES)
def test_a_timeout_is_an_orderly_end_behind_what_is_queued(site, leaves, side, timeout):
    ends = Ends(site, leaves, side, timeouts={timeout: "500ms"})
    ends.peer.send(DATA)
    if timeout == "half_close":
        ends.app.shutdown(socket.SHUT_WR)
    assert ends.peer.read_to_end() == (b"", "close_notify")
    ends.sidecar.wait_event("conn_state", to="ENDING")
    got, how = read_to_end(ends.app)
    assert (len(got), how) == (SIZE, "eof") and got == DATA
    ends.ended("timeout")


@pytest.mark.parametrize("side", SIDES)
def test_a_timeout_loses_nothing_that_had_arrived(site, leaves, side):
    """More than the sidecar holds itself: what its kernel had is carried too, once the app reads again."""
    ends = Ends(site, leaves, side, timeouts={"idle": "500ms"})

    def send():
        with contextlib.suppress(OSError):
            ends.peer.send(DATA * 8)

    sender = threading.Thread(target=send)
    sender.start()
    ends.sidecar.wait_event("conn_state", to="ENDING")
    arrived = (acked(ends.peer.sock) - HANDSHAKE_MAX) * 16384 // 16406 - 16384  # of whole records
    got, how = read_to_end(ends.app)
    sender.join()
    assert arrived > SIZE and len(got) >= arrived and how == "eof" and (DATA * 8).startswith(got)
    ends.ended("timeout")


@pytest.mark.parametrize("side", SIDES)
def test_what_waits_for_a_peer_goes_out_before_the_alert(site, leaves, side):
    """A record that is none ends the session, and not what was sealed before."""
    ends = Ends(site, leaves, side)
    ends.app.sendall(DATA[:200_000])
    ends.sidecar.wait_metric("spindle_sidecar_transferred_bytes_total", at_least=200_000)
    ends.peer.garbage()
    ends.sidecar.wait_event("conn_state", to="ENDING")
    got, how = ends.peer.read_to_end()
    assert (len(got), how) == (200_000, "torn") and got == DATA[:200_000]
    assert read_to_end(ends.app) == (b"", "reset")
    ends.ended("tls_protocol")


def test_an_idle_timeout_is_no_truncation_to_the_other_sidecar(site, leaves):
    server = site.tcp_server()
    web = site.sidecar("web", identity={"files": leaves["web"].files()}, inbound=[
        {"listen": "127.0.0.1:0", "forward": text(server), "allow": [ME]}])
    client = site.sidecar("client", identity={"files": leaves["me"].files()}, timeouts={"idle": "300ms"}, outbound=[
        {"listen": "127.0.0.1:0", "forward": text(web.inbound()), "expect": [WEB]}])
    with socket.create_connection(client.outbound(), timeout=20) as conn:
        conn.sendall(b"x")
        assert read_to_end(conn) == (b"x", "eof")
    client.wait_metric(CLOSED, reason="timeout")
    web.wait_metric(CLOSED, reason="ok")
    assert not web.events("connection_truncated")


@pytest.mark.parametrize("mode, how", [("reset", "reset"), ("eof", "eof")])
def test_the_drain_limit_cuts_behind_what_the_app_can_take_and_says_so(site, leaves, mode, how):
    ends = Ends(site, leaves, "inbound", drain_limit="0s", route={"unclean_close": mode})
    ends.peer.send(b"x" * 30_000)
    ends.app.sendall(b"y" * 30_000)
    ends.sidecar.send_signal(15)
    assert read_to_end(ends.app) == (b"x" * 30_000, how)
    assert ends.peer.read_to_end() == (b"y" * 30_000, "torn")
    assert ends.sidecar.wait_exit() == 0
    event = ends.sidecar.wait_event("drain_limit_reached")
    assert (event["connections"], event["drain_limit_ms"]) == ("1", "0"), event


def test_the_drain_limit_waits_for_no_app_that_takes_nothing(site, leaves):
    ends = Ends(site, leaves, "inbound", drain_limit="0s")
    ends.peer.send(DATA)
    ends.sidecar.send_signal(15)
    assert ends.sidecar.wait_exit() == 0
    assert int(ends.sidecar.events("connection_untaken")[0]["queued"]) > 0
    assert read_to_end(ends.app)[1] == "reset"


def test_who_hung_up_without_a_word_makes_room_at_the_limit(site, leaves):
    """A peer that ends with a bare FIN is waited for, but costs nobody else a place."""
    app = site.tcp_server()
    sidecar = site.sidecar(identity={"files": leaves["me"].files()}, timeouts={"unclean_close": "1h"},
                           limits={"total": 3}, drain_limit="0s", inbound=[
                               {"listen": "127.0.0.1:0", "forward": text(app), "allow": [WEB]}])
    kept = []
    for number in range(9):
        sock = socket.create_connection(sidecar.inbound(), timeout=60)
        site.closers.append(sock.close)
        peer = TlsEnd(context("client", leaves["web"]), sock, server=False)
        peer.send(b"x")
        assert peer.recv(1) == b"x"
        peer.fin()
        sidecar.wait_event("conn_state", count=number + 1, to="ENDING")
        kept.append(peer)
    assert sidecar.metrics().total("spindle_sidecar_connections_refused_total") == 0
    sidecar.wait_metric(CLOSED, at_least=6, direction="inbound", reason="tls_truncated")
