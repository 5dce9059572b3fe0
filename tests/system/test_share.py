"""share.sock with the real programs: sidecars with and without it, over restarts of the agent, and
strangers who may connect to it as everybody may."""
import array
import contextlib
import os
import pathlib
import random
import signal
import socket
import struct
import threading
import time

import pytest

import harness
import share_client
from fake_agent import FakeAgent, response, svid
from share_client import CACHE, PAGE, REFUSED as REFUSED_KIND, WELCOME, Guest

WEB, DB = "spiffe://example.org/web", "spiffe://example.org/db"
ROUTE = [{"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": [WEB]}]
MINE = [f"unix:uid:{os.getuid()}"]
ENTRIES = [{"spiffe_id": WEB, "selectors": MINE}]
CONNECTED, CONNECTS = "spindle_sidecar_share_connected", "spindle_sidecar_share_connects_total"
SIDECARS, REFUSED = "spindle_agent_share_sidecars", "spindle_agent_share_refused_total"


SO_PASSRIGHTS = 83  # Linux 6.16


def descriptors(program):
    """But for metrics pages, which the agent keeps for who comes again."""
    folder, count = f"/proc/{program.pid}/fd", 0
    for fd in os.listdir(folder):
        try:
            count += not os.readlink(f"{folder}/{fd}").startswith("/memfd:")
        except FileNotFoundError:
            pass
    return count


def wait_descriptors(program, at_most):
    harness.wait_until(lambda: descriptors(program) <= at_most,
                       f"no more than {at_most} descriptors of {program.name}")


def own(program, name):
    """A sidecar's own number; the agent shows it too, for all sidecars of the node."""
    return program.metrics().total(name)


def sidecar(site, name="sidecar", **changes):
    return site.sidecar(name, **{"inbound": ROUTE, **changes})


# ---- with and without it

def test_a_sidecar_and_its_agent_meet(site):
    """In the sandbox, as all programs here."""
    agent = site.agent(entries=ENTRIES)
    side = sidecar(site)
    connected = side.wait_event("share_connected")
    assert connected["path"] == share_client.path_of(agent)
    let_in = agent.wait_event("sidecar_connected", spiffe_id=WEB)
    assert int(let_in["pid"]) == side.pid
    side.wait_metric(CONNECTED)
    agent.wait_metric(SIDECARS)
    told = side.wait_event("longest_life_told")
    assert int(told["seconds"]) == 3600 + 10
    if not harness.SANDBOX:
        status = pathlib.Path(f"/proc/{side.pid}/status").read_text()
        assert "Seccomp:\t2" in status
    side.stop()
    agent.wait_event("sidecar_left", spiffe_id=WEB)
    assert agent.metrics().total(SIDECARS) == 0
    assert agent.metrics().total(REFUSED) == 0


def test_the_socket_is_open_to_all_users_and_goes_with_the_agent(site):
    agent = site.agent(entries=ENTRIES)
    path = pathlib.Path(share_client.path_of(agent))
    assert path.stat().st_mode & 0o777 == 0o777
    assert agent.address("share") == str(path)
    agent.stop()
    assert not path.exists()


def test_a_sidecar_of_another_vendors_agent_works_without(site):
    """One info line, then quiet."""
    ca = site.ca()
    FakeAgent(site, response([svid(ca.leaf(WEB), WEB)]))
    side = sidecar(site)
    absent = side.wait_event("share_absent")
    assert absent.level == "INFO"
    assert side.ready()[0] == 200
    assert own(side, CONNECTED) == 0 and own(side, CONNECTS) == 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(site.path("share.sock")))
    side.wait_event("share_absent", count=2)
    assert not [e for e in side.events() if e.level in ("WARN", "ERROR") and e.name != "sandbox"]
    assert side.ready()[0] == 200


def test_a_sidecar_with_files_looks_for_no_agent(site):
    site.agent(entries=ENTRIES)
    leaf = site.ca().leaf(WEB)
    side = sidecar(site, identity={"files": {"certificate": str(leaf.certificate), "key": str(leaf.key),
                                             "bundle": str(leaf.bundle)}})
    assert not [e for e in side.events() if e.name.startswith("share_")]
    assert side.metrics().total(CONNECTED) == 0


def test_a_name_that_fits_no_message_is_a_configuration_error(site):
    for name, said in (("n" * 256, "name has 256 bytes, at most 255"), ("n" * 255, "")):
        path = site.write_yaml("bad.yaml", {**site.sidecar_config("bad", inbound=ROUTE), "name": name})
        got = site.run("spindle-sidecar", "config", "check", "--config", path)
        assert got.code == (2 if said else 0) and said in got.out + got.err, got


# ---- the agent goes and comes

def test_an_agent_that_is_killed_is_found_again(site):
    agent = site.agent(entries=ENTRIES)
    sides = [sidecar(site, f"side-{i}") for i in range(3)]
    for side in sides:
        side.wait_metric(CONNECTS)
    for round_ in range(1, 4):
        agent.kill()
        for side in sides:
            side.wait_event("share_lost", count=round_)
            harness.wait_until(lambda s=side: own(s, CONNECTED) == 0, "the gauge to fall")
            assert side.ready()[0] == 200
        agent = site.agent(entries=ENTRIES, name=f"agent-{round_}")
        for side in sides:
            side.wait_metric(CONNECTS, at_least=1 + round_)
            assert own(side, CONNECTED) == 1
    agent.wait_metric(SIDECARS, at_least=3)
    for side in sides:
        assert not [e for e in side.events() if e.name == "share_failed"]


def test_an_agent_that_stops_in_order_is_found_again(site):
    agent = site.agent(entries=ENTRIES)
    side = sidecar(site)
    side.wait_metric(CONNECTS)
    assert agent.stop() == 0
    side.wait_event("share_lost")
    side.wait_event("share_absent")  # the socket went with it
    site.agent(entries=ENTRIES, name="agent-again")
    side.wait_metric(CONNECTS, at_least=2)


# ---- who may

def test_a_caller_without_an_entry_is_refused(site):
    agent = site.agent(entries=[{"spiffe_id": WEB, "selectors": ["unix:uid:54321"]}])
    with Guest(agent) as g:
        g.hello(WEB)
        assert g.refused() == "no_entry"
    event = agent.wait_event("sidecar_refused", reason="no_entry")
    assert int(event["pid"]) == os.getpid() and event["spiffe_id"] == WEB
    assert agent.metrics().total(REFUSED, reason="no_entry") == 1


def test_nobody_is_let_in_as_somebody_else(site):
    agent = site.agent(entries=[*ENTRIES, {"spiffe_id": DB, "selectors": ["unix:uid:54321"]}])
    with Guest(agent) as g:
        g.hello(DB)
        assert g.refused() == "no_entry"
    with Guest(agent) as g:
        g.hello(WEB)
        assert g.hear()[0] == WELCOME


def test_a_reload_lets_go_and_lets_in_again(site):
    agent = site.agent(entries=ENTRIES)
    side = sidecar(site)
    side.wait_metric(CONNECTS)
    with Guest(agent) as g:
        g.hello(WEB, "other")
        assert g.hear()[0] == WELCOME
        site.write_entries([{"spiffe_id": WEB, "selectors": ["unix:uid:54321"]}])
        kind = PAGE
        while kind in (PAGE, CACHE):
            kind, body, fds = g.hear()
            for fd in fds:
                os.close(fd)
        assert kind == REFUSED_KIND and share_client.texts(body)[0] == "no_entry"
        assert g.hear() is None
    harness.wait_until(lambda: own(side, CONNECTED) == 0, "the sidecar to be let go")
    assert agent.metrics().total(SIDECARS) == 0
    site.write_entries(ENTRIES)
    side.wait_metric(CONNECTS, at_least=2)


def test_a_sidecar_that_is_somebody_else_now_says_so(site):
    agent = site.agent(entries=ENTRIES)
    sidecar(site)
    agent.wait_event("sidecar_connected", spiffe_id=WEB)
    site.write_entries([{"spiffe_id": DB, "selectors": MINE}])
    agent.wait_event("sidecar_connected", spiffe_id=DB)
    agent.wait_event("sidecar_left", spiffe_id=WEB)


def test_a_longer_life_is_told_after_a_reload(site):
    site.agent(entries=ENTRIES)
    side = sidecar(site)
    side.wait_event("longest_life_told", seconds="3610")
    site.write_entries([{**ENTRIES[0], "x509_ttl": "2h"}])
    side.wait_event("longest_life_told", seconds="7210")


# ---- hostile

class Besieged:
    """An agent with a sidecar that must notice nothing."""

    def __init__(self, site, start=None):
        self.agent = start() if start else site.agent(entries=ENTRIES)
        self.site, self.side = site, sidecar(site)
        self.side.wait_metric(CONNECTS)
        self.agent.wait_metric(SIDECARS)
        self.before = descriptors(self.agent)

    def check(self):
        """Served as ever, and nothing left behind."""
        got = self.site.run("spindle-agent", "api", "fetch", "x509", "--socket", self.agent.socket)
        assert got.code == 0, got
        wait_descriptors(self.agent, self.before + 1)  # they may have used up the user's share
        with Guest(self.agent) as g:
            g.hello(WEB)
            assert g.hear()[0] == WELCOME
        harness.wait_until(lambda: self.agent.metrics().total(SIDECARS) == 1, "the guests to be gone")
        wait_descriptors(self.agent, self.before + 1)  # a scrape
        assert own(self.side, CONNECTS) == 1 and own(self.side, CONNECTED) == 1
        assert self.agent.running


def garbage(rng):
    good = share_client.hello(WEB)
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 5000))
    if kind == 1:
        return good[:rng.randrange(1, len(good))]
    if kind == 2:
        at = rng.randrange(len(good))
        return good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1:]
    return share_client.packet(rng.randrange(8), rng.randbytes(rng.randrange(64)), rng.choice([0, 1, 2]))


def test_garbage_harms_nobody(site):
    siege, rng = Besieged(site), random.Random(4)
    for _ in range(500):
        with Guest(siege.agent) as g:
            for _ in range(rng.randrange(1, 4)):
                try:
                    g.say(garbage(rng))
                except (BrokenPipeError, ConnectionResetError):
                    break
    siege.check()
    assert siege.agent.metrics().total(REFUSED, reason="parse") > 0


def every_kind():
    """A descriptor of every kind, and what keeps them open."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener = socket.create_server(("127.0.0.1", 0))
    files = [os.fdopen(fd) for fd in (*os.pipe()[:1], os.open("/dev/null", os.O_RDONLY), os.memfd_create("x"))]
    return [left, right, listener, *files]


def test_descriptors_that_nobody_asked_for_are_closed(site):
    """One, many, of every kind, with every message, from strangers and from those let in; those that
    wait in the queue of a connection that is closed too."""
    siege, kinds = Besieged(site), every_kind()
    for i in range(300):
        with Guest(siege.agent) as g:
            fds = [kinds[(i + k) % len(kinds)].fileno() for k in range((1, 1, 2, 100)[i % 4])]
            try:
                if i % 2:
                    g.hello(WEB)
                    g.hear()
                g.say(share_client.hello(WEB) if i % 3 else share_client.packet(99), fds)
                for _ in range(5):
                    g.say(share_client.packet(98), fds)
            except OSError:  # refused by the kernel, or by the agent
                pass
    siege.check()
    for kept in kinds:
        kept.close()


def lingering_socket():
    """A TCP socket whose last close takes a minute, and its other end: it has bytes that do not leave."""
    listener = socket.create_server(("127.0.0.1", 0))
    evil = socket.create_connection(listener.getsockname())
    other, _ = listener.accept()
    listener.close()
    evil.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            evil.send(b"x" * 65536)
    evil.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    return evil, other


def test_a_descriptor_that_blocks_who_closes_it_is_not_taken(site):
    """By none of the agent's sockets; from who is let in share.sock takes one message's."""
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS)
        except OSError:
            pytest.skip("a kernel before 6.16 cannot refuse descriptors")
    siege = Besieged(site)
    for kind, path in ((socket.SOCK_SEQPACKET, share_client.path_of(siege.agent)),
                       (socket.SOCK_STREAM, siege.agent.socket), (socket.SOCK_STREAM, siege.agent.admin)):
        evil, other = lingering_socket()
        with evil, other, socket.socket(socket.AF_UNIX, kind) as s:
            s.connect(path)
            with pytest.raises(PermissionError):
                s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [evil.fileno()]))])
    with Guest(siege.agent) as g:
        g.hello(WEB)
        assert g.hear()[0] == WELCOME
        g.say(share_client.packet(PAGE))
        assert next_kind(g, PAGE) == 1
        evil, other = lingering_socket()
        with evil, other, pytest.raises(PermissionError):
            g.say(share_client.packet(99), [evil.fileno()])
    siege.check()


def test_a_sidecar_cannot_hold_the_agent_up_with_one(site):
    """One that was let in may pass a descriptor, and passes many that take a minute to close."""
    siege, ends = Besieged(site), []
    for _ in range(3):
        with Guest(siege.agent) as g:
            g.hello(WEB)
            assert g.hear()[0] == WELCOME
            siege.agent.send_signal(signal.SIGSTOP)  # so that the last close is the agent's
            for kind in (PAGE, 99, PAGE):
                evil, other = lingering_socket()
                ends.append(other)
                g.say(share_client.packet(kind), [evil.fileno()])
                evil.close()
            siege.agent.send_signal(signal.SIGCONT)
            start = time.monotonic()
            siege.check()
            assert time.monotonic() - start < 30
    for end in ends:
        end.close()


def next_kind(guest, kind):
    """The descriptors of the next message of this type."""
    while True:
        got, _, fds = guest.hear()
        for fd in fds:
            os.close(fd)
        if got == kind:
            return len(fds)


def test_a_page_that_is_none_is_not_kept(site):
    siege = Besieged(site)
    for content in (b"", b"x" * 100000):
        fd = os.memfd_create("page")
        os.write(fd, content)
        with Guest(siege.agent) as g:
            g.hello(WEB, "odd")
            assert g.hear()[0] == WELCOME
            g.say(share_client.packet(PAGE), [fd])
            kind = None
            while kind != PAGE:
                kind, _, fds = g.hear()
                assert all(os.fstat(got).st_ino != os.fstat(fd).st_ino for got in fds)
                for got in fds:
                    os.close(got)
        os.close(fd)
    siege.check()


def test_who_holds_more_than_there_is_room_for_makes_room_and_the_rest_is_served(site):
    """A user keeps opening connections; sidecars that are here stay, and who comes is let in."""
    siege = Besieged(site, lambda: site.agent(ENTRIES, nofile=700))
    guests = [Guest(siege.agent) for _ in range(200)]
    siege.agent.wait_metric(REFUSED, reason="limit")
    late = sidecar(site, "late")
    late.wait_metric(CONNECTS)
    got = site.run("spindle-agent", "api", "fetch", "x509", "--socket", siege.agent.socket)
    assert got.code == 0, got
    for g in guests:
        g.__exit__()
    late.stop()
    siege.check()


def test_a_flood_and_sudden_deaths_harm_nobody(site):
    """Threads that send without end, never read, and go in the middle of everything."""
    siege, stop = Besieged(site), threading.Event()
    memory = siege.agent.rss_kib()

    def flood(seed):
        rng = random.Random(seed)
        while not stop.is_set():
            with Guest(siege.agent) as g:
                try:
                    g.socket.setblocking(False)
                    g.hello(WEB, f"flood-{rng.randrange(3)}")
                    for _ in range(rng.randrange(400)):
                        g.say(share_client.packet(77, b"x" * 4000))
                except OSError:
                    pass
    threads = [threading.Thread(target=flood, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for _ in range(20):
        got = site.run("spindle-agent", "api", "fetch", "x509", "--socket", siege.agent.socket)
        assert got.code == 0, got
    stop.set()
    for t in threads:
        t.join()
    siege.check()
    if not harness.SANDBOX:  # a sanitizer keeps what was freed
        assert siege.agent.rss_kib() < memory + 32 * 1024
