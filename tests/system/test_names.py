"""Routes whose destination is a name: files and name servers of each test's own, in a network of its own,
the sandbox on."""
import concurrent.futures
import signal
import socket
import threading
import time

import pytest

import harness
from harness import wait_until
from name_server import AAAA, SERVFAIL, NameServer
from namespaces import network  # noqa: F401  pylint: disable=unused-import
from test_hostile_peers import ME, SECRET, WEB, context, talk

# pylint: disable=redefined-outer-name

SERVER = "nameserver 127.0.0.1\n"


@pytest.fixture
def leaves(site):
    ca = site.ca()
    return ca.leaf(ME), ca.leaf(WEB)


class App:
    """An echo on one address and port; says who it is before."""

    def __init__(self, host, port=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.create_server((host, port), family=family, backlog=64)
        self.host, self.port = self.socket.getsockname()[:2]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(conn,), daemon=True).start()

    @staticmethod
    def _echo(conn):
        with conn:
            try:
                harness.echo(conn)
            except OSError:
                pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Silent:
    """Answers no connect: its queue is full, and nobody empties it."""

    def __init__(self, host, port):
        self.socket = socket.create_server((host, port), backlog=0)
        self.full = [socket.socket() for _ in range(3)]
        for one in self.full:
            one.setblocking(False)
            one.connect_ex((host, port))


class Names:
    """A sidecar with an inbound route for each destination, and a client that is welcome."""

    def __init__(self, site, leaves, *forwards, **changes):
        self.me, self.web = leaves
        self.sidecar = site.sidecar(identity={"files": self.me.files()}, inbound=[
            {"listen": "127.0.0.1:0", "forward": forward, "allow": [WEB]} for forward in forwards], **changes)

    def reach(self, index=0):
        return talk(self.sidecar.inbound(index), context("client", self.web)) == SECRET

    def start(self, index=0):
        """A connection that has only begun."""
        conn = context("client", self.web).wrap_socket(socket.create_connection(self.sidecar.inbound(index), 10))
        conn.sendall(SECRET)
        return conn

    def total(self, name, **labels):
        return self.sidecar.metrics().total(f"spindle_sidecar_{name}", **labels)


def hosts(name, *addresses):
    return "127.0.0.1 localhost\n" + "".join(f"{a} other {name}\n" for a in addresses)


# ---- files

@pytest.mark.parametrize("count", [9, 60])
def test_every_address_of_a_name_in_hosts_is_tried(site, leaves, network, count):
    addresses = [f"127.0.1.{n}" for n in range(1, count + 1)]
    app = App(addresses[-1])
    network.put("/etc/hosts", hosts("SVC.internal", *addresses))
    assert Names(site, leaves, f"svc.Internal:{app.port}").reach()


def test_a_name_among_many_on_its_line_counts(site, leaves, network):
    app = App("127.0.1.1")
    many = " ".join(f"alias-{n}.internal" for n in range(100))
    network.put("/etc/hosts", f"# names\n\n::1 other\n127.0.1.1\tfirst  {many} svc.internal # the last\r\n")
    assert Names(site, leaves, f"svc.internal.:{app.port}").reach()


@pytest.mark.parametrize("name", ["localhost", "app.localhost"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("outside", ["10.9.9.9/32", "fd00::5/128"])
def test_localhost_is_both_loopbacks_on_a_host_of_one_family(site, leaves, network, name, host, outside):
    network.add_address(outside)
    network.put("/etc/hosts", "10.1.1.1 localhost\n")
    app = App(host)
    assert Names(site, leaves, f"{name}:{app.port}").reach()


def test_files_that_change_count_from_the_next_look_up(site, leaves, network):
    """Written anew in place, and replaced by another mount, as a pod's are."""
    app = App("127.0.1.1")
    network.put("/etc/hosts", hosts("other.internal", "127.0.1.1"))
    names = Names(site, leaves, f"svc.internal:{app.port}")
    assert not names.reach()
    names.sidecar.wait_event("connect_failed", reason="resolve_server")
    network.put("/etc/hosts", hosts("svc.internal", "127.0.1.1"))
    wait_until(names.reach, "the line in hosts to count")
    app.close()
    again = App("127.0.1.2", app.port)
    network.replace("/etc/hosts", hosts("svc.internal", "127.0.1.2"))
    wait_until(names.reach, "the new hosts to count")
    network.replace("/etc/hosts", hosts("other.internal", "127.0.1.1"))
    with_server = NameServer(**{"svc.internal.example": ["127.0.1.2"]})
    again.close()
    App("127.0.1.2", app.port)
    network.put("/etc/resolv.conf", SERVER + "search example\noptions ndots:2\n")
    wait_until(lambda: names.reach() and with_server.count("svc.internal.example") > 0, "resolv.conf to count")


def test_the_order_of_nsswitch_is_kept(site, leaves, network):
    app = App("127.0.1.1")
    server = NameServer(**{"svc.internal": ["127.0.1.2"]})
    network.put("/etc/resolv.conf", SERVER)
    network.put("/etc/hosts", hosts("svc.internal", "127.0.1.1"))
    names = Names(site, leaves, f"svc.internal:{app.port}")
    assert names.reach()
    assert not server.asked
    network.put("/etc/nsswitch.conf", "hosts: dns files\n")
    wait_until(lambda: not names.reach(), "the name server to come first")
    assert server.asked


# ---- name servers

def test_an_answer_is_kept_for_its_ttl_and_then_renewed(site, leaves, network):
    app = App("127.0.1.1")
    server = NameServer(ttl=3, **{"svc.internal": ["127.0.1.1"]})
    network.put("/etc/resolv.conf", SERVER)
    names = Names(site, leaves, f"svc.internal:{app.port}", workers=4)
    start = time.monotonic()
    for _ in range(20):
        assert names.reach()
    most = 2 + (time.monotonic() - start) / 3
    assert server.count("svc.internal") <= most, server.asked
    assert names.total("dns_answers_total", source="cache") >= 20 - most
    app.close()
    App("127.0.1.2", app.port)
    server.names["svc.internal"] = ["127.0.1.2"]
    wait_until(names.reach, "the TTL to end")
    assert names.total("dns_lookups_total", result="ok") >= 2


def test_who_asks_at_once_shares_one_look_up(site, leaves, network):
    app = App("127.0.1.1")
    NameServer(ttl=300, **{"svc.internal": ["127.0.1.1"]})
    network.put("/etc/resolv.conf", SERVER)
    names = Names(site, leaves, f"svc.internal:{app.port}", workers=4)
    with concurrent.futures.ThreadPoolExecutor(20) as crew:
        assert all(crew.map(lambda _: names.reach(), range(40)))
    assert names.total("dns_lookups_total") == 1
    assert names.total("dns_answers_total") == 40
    assert names.total("dns_answers_total", source="none") == 0


def test_a_name_server_that_is_silent_stops_no_other_route(site, leaves, network):
    app = App("127.0.1.1")
    NameServer(**{"dead.internal": None, "svc.internal": ["127.0.1.1"]})
    network.put("/etc/resolv.conf", SERVER)
    network.put("/etc/hosts", hosts("file.internal", "127.0.1.1"))
    names = Names(site, leaves, f"dead.internal:{app.port}", f"svc.internal:{app.port}", f"file.internal:{app.port}",
                  f"127.0.1.1:{app.port}", f"localhost:{App('127.0.0.1').port}", timeouts={"connect": "60s"})
    stuck = [names.start() for _ in range(20)]
    wait_until(lambda: names.total("dns_lookups_running") >= 1, "the look-up that hangs")
    for index in range(1, 5):
        assert names.reach(index)
    assert names.sidecar.ready()
    assert names.total("dns_lookups_running") >= 1
    for conn in stuck:
        conn.close()


def test_a_dead_first_name_server_is_passed_over_and_remembered(site, leaves, network):
    app = App("127.0.1.1")
    dead = NameServer("127.0.0.2")
    dead.silent = True
    known = [f"n{n}.internal" for n in range(6)]
    NameServer("127.0.0.3", **{name: ["127.0.1.1"] for name in known})
    network.put("/etc/resolv.conf", "nameserver 127.0.0.2\nnameserver 127.0.0.3\n")
    names = Names(site, leaves, *(f"{name}:{app.port}" for name in known))
    assert all(names.reach(index) for index in range(6))
    assert dead.count(known[0]) >= 1
    assert any(dead.count(name) == 0 for name in known[1:]), dead.asked


@pytest.mark.parametrize("how", ["silent", "gone", "fails"])
def test_the_last_good_answer_is_used_while_no_server_answers(site, leaves, network, how):
    app = App("127.0.1.1")
    server = NameServer(ttl=1, **{"svc.internal": ["127.0.1.1"]})
    network.put("/etc/resolv.conf", SERVER)
    names = Names(site, leaves, f"svc.internal:{app.port}")
    assert names.reach()
    if how == "gone":
        server.close()
    elif how == "fails":
        server.names["svc.internal"] = SERVFAIL
    else:
        server.silent = True

    def stale_used():
        assert names.reach()
        return names.total("dns_answers_total", source="stale") >= 2

    wait_until(stale_used, "the old answer to be used")
    lost = names.sidecar.wait_event("name_failing")
    assert lost["reason"] == ("resolve_timeout" if how == "silent" else "resolve_server"), lost
    assert lost["name"] == "svc.internal" and "last good answer" in lost["next"], lost
    assert names.total("dns_names_failing") == 1
    assert names.sidecar.ready()
    if how == "gone":
        server = NameServer(ttl=1)
    server.silent, server.names["svc.internal"] = False, ["127.0.1.1"]
    wait_until(lambda: names.reach() and names.sidecar.events("name_back"), "the name to be back")
    assert len(names.sidecar.events("name_failing")) == 1


def test_a_name_that_the_server_denies_is_not_used_any_more(site, leaves, network):
    app = App("127.0.1.1")
    server = NameServer(ttl=1, **{"svc.internal": ["127.0.1.1"]})
    network.put("/etc/resolv.conf", SERVER)
    names = Names(site, leaves, f"svc.internal:{app.port}")
    assert names.reach()
    del server.names["svc.internal"]
    wait_until(lambda: not names.reach(), "the denial to count")
    names.sidecar.wait_event("connect_failed", reason="resolve")


def test_sixty_addresses_come_by_tcp_and_are_all_tried(site, leaves, network):
    addresses = [f"127.0.1.{n}" for n in range(1, 101)]
    app = App(addresses[-1])
    server = NameServer(**{"svc.internal": addresses})
    network.put("/etc/resolv.conf", SERVER)
    assert Names(site, leaves, f"svc.internal:{app.port}").reach()
    assert server.by_tcp > 0


def test_a_name_of_ipv6_alone_is_reached(site, leaves, network):
    network.add_address("fd00::5/128")
    app = App("fd00::5")
    server = NameServer(**{"svc.internal": ["fd00::5"]})
    network.put("/etc/resolv.conf", SERVER)
    assert Names(site, leaves, f"svc.internal:{app.port}").reach()
    assert server.count("svc.internal", AAAA) >= 1


def test_addresses_that_swallow_everything_do_not_use_up_the_time(site, leaves, network):
    app = App("127.0.1.1")
    silent = [f"127.0.2.{n}" for n in range(1, 31)]
    kept = [Silent(host, app.port) for host in silent]
    NameServer(**{"svc.internal": [*silent, "127.0.1.1"]})
    network.put("/etc/resolv.conf", SERVER)
    names = Names(site, leaves, f"svc.internal:{app.port}", timeouts={"connect": "8s"})
    assert names.reach()
    del kept


# ---- words

WORDS = [("unknown.internal", "resolve", "no such name"), ("empty.internal", "resolve", "has no address"),
         ("fails.internal", "resolve_server", "cannot answer"), ("silent.internal", "resolve_timeout", "in time"),
         ("refuses.internal", "connect", "none of 3 addresses could be connected; connect to 127.0.1.")]


def test_each_way_to_fail_has_its_reason(site, leaves, network):
    NameServer(**{"empty.internal": [], "fails.internal": SERVFAIL, "silent.internal": None,
                  "refuses.internal": ["127.0.1.1", "127.0.1.2", "127.0.1.3"]})
    network.put("/etc/resolv.conf", SERVER)
    names = Names(site, leaves, *(f"{name}:9" for name, _, _ in WORDS), timeouts={"connect": "60s"})
    for index, (name, reason, words) in enumerate(WORDS):
        assert not names.reach(index)
        event = names.sidecar.wait_event("connect_failed", forward=f"{name}:9", reason=reason, timeout=30)
        assert words in event["detail"] and name in event["detail"], event
    assert names.total("connect_failures_total", reason="resolve") == 4
    assert names.sidecar.ready()


def test_the_deadline_says_that_the_name_server_was_silent(site, leaves, network):
    NameServer(**{"silent.internal": None})
    network.put("/etc/resolv.conf", SERVER)
    names = Names(site, leaves, "silent.internal:9", timeouts={"connect": "1s"})
    assert not names.reach()
    event = names.sidecar.wait_event("connect_failed", reason="resolve_timeout")
    assert "silent.internal: no name server answered within the connect timeout" in event["detail"], event


def test_addresses_ask_no_name_server(site, leaves, network):
    app = App("127.0.1.1")
    server = NameServer()
    network.put("/etc/resolv.conf", SERVER)
    names = Names(site, leaves, f"127.0.1.1:{app.port}")
    assert names.reach()
    assert not server.asked
    assert names.total("dns_names") == 0


# ---- the end

@pytest.mark.parametrize("workers", [1, 3])
def test_a_dead_name_server_holds_up_no_shutdown(site, leaves, network, workers):
    server = NameServer()
    server.silent = True
    network.put("/etc/resolv.conf", SERVER)
    names = Names(site, leaves, *(f"n{n}.internal:9" for n in range(6)), workers=workers, drain_limit="1s",
                  timeouts={"connect": "10m"})
    stuck = [names.start(index) for index in range(6) for _ in range(4)]
    wait_until(lambda: names.total("dns_lookups_running") >= 6, "the look-ups that hang")
    begin = time.monotonic()
    names.sidecar.send_signal(signal.SIGTERM)
    assert names.sidecar.wait_exit(timeout=30) == 0
    took = time.monotonic() - begin
    assert names.sidecar.events("drain_limit_reached")
    assert took < 7, took  # a look-up alone would be 7.5 s
    for conn in stuck:
        conn.close()
