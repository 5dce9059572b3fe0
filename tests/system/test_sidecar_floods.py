"""A sidecar whose places are taken: by half-open connections of a hostile source, by real ones. It
carries others meanwhile, tells how it is, is operated, ends, and has every descriptor back."""
import contextlib
import socket
import ssl
import time

import pytest
from floods import Flood, descriptors
from harness import http_get, wait_until
from test_http_floods import unix_get
from test_sidecar_life import ask, connect, is_refused, pair_from_files

FEW = 256  # descriptors
QUIET = {"level": "info"}  # at debug level a flood writes gigabytes, which the harness reads
HOSTILE, GOOD = "127.0.0.66", "127.0.0.1"


def hello():
    """The first flight of a TLS client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


MODES = {
    "silent": {},
    "hello": {"first": hello()},
    "drip": {"first": hello()[:5], "drip": b"\x01"},
    "big": {"first": b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16380),
            "drip": b"\x16\x03\x01\x40\x00" + bytes(16384)},
}


def talks(client):
    with connect(client) as conn:
        ask(conn)


def gets_in(client):
    try:
        talks(client)
    except (ConnectionError, AssertionError):  # reset, or closed
        return False
    return True


def cut(web, **labels):
    return web.metrics().total("spindle_sidecar_unauthenticated_cut_total", **labels)


# Behind the same address a handshake must be done before as many new ones came as the share holds: on
# a busy machine that takes more than one try.
@pytest.mark.parametrize("source,nofile", [(HOSTILE, FEW), (GOOD, 2048)],
                         ids=["another_source", "the_same_source"])
@pytest.mark.parametrize("mode", MODES)
def test_good_peers_get_in_while_one_source_opens_what_it_can(site, mode, source, nofile):
    web, client = pair_from_files(site, site.tcp_server(), nofile=nofile, log=QUIET)
    talks(client)
    before = descriptors(web)
    with Flood(web.inbound(), nofile // 2, source=source, **MODES[mode]):
        for _ in range(20):
            if source == GOOD:
                wait_until(lambda: gets_in(client), "a peer behind the same address to get in")
            else:
                talks(client)
        assert http_get(web.address("metrics"), "/live")[0] == 200
    wait_until(lambda: descriptors(web) <= before, "all descriptors to be given back")
    wait_until(lambda: web.metrics().total("spindle_sidecar_connections_unauthenticated") == 0,
               "the flood to be forgotten")
    if source != GOOD:
        assert client.metrics().total("spindle_sidecar_tls_handshake_failures_total") == 0
    if mode != "big":  # those end by themselves, with an alert
        assert cut(web, bound="source") > 0
        line = web.wait_event("newcomer_cut")
        assert line["peer"].startswith(source) and "unauthenticated_per_source" in line["detail"]


def test_the_share_of_a_source_is_what_is_configured(site):
    web, _ = pair_from_files(site, site.tcp_server(), limits={"unauthenticated_per_source": 5}, log=QUIET)
    with Flood(web.inbound(), 20, source=HOSTILE):
        wait_until(lambda: cut(web, bound="source") >= 15, "the flood to be bounded")
        with contextlib.ExitStack() as kept:
            others = [kept.enter_context(socket.create_connection(web.inbound())) for _ in range(5)]
            wait_until(lambda: web.metrics().total("spindle_sidecar_connections_unauthenticated") == 10,
                       "five of each source")
            for conn in others:  # none of them was put out by the other source
                conn.setblocking(False)
                with pytest.raises(BlockingIOError):
                    conn.recv(1)


def test_many_sources_put_out_who_has_taken_longest(site):
    """Each within its share: the bound of all together holds."""
    web, client = pair_from_files(site, site.tcp_server(), nofile=FEW, log=QUIET)
    with contextlib.ExitStack() as floods:
        for i in range(100, 120):
            floods.enter_context(Flood(web.inbound(), 10, source=f"127.0.0.{i}"))
        for _ in range(10):
            talks(client)
        assert cut(web, bound="unauthenticated") > 0
        assert cut(web, bound="source") == 0


def test_half_open_connections_make_room_for_real_ones_at_every_limit(site):
    """limits.connections is reached by real connections and a flood together."""
    web, client = pair_from_files(site, site.tcp_server(), inbound={}, nofile=FEW, log=QUIET,
                                  limits={"connections": 12, "unauthenticated_per_source": 100})
    with Flood(web.inbound(), 30, source=HOSTILE), contextlib.ExitStack() as kept:
        held = []
        for _ in range(8):
            held.append(kept.enter_context(connect(client)))
            ask(held[-1])
        assert cut(web, bound="listener") > 0
        for conn in held:  # nobody who has shown who it is makes room
            ask(conn)


@pytest.mark.parametrize("nofile", [64, 256, 1024])
def test_all_places_taken_by_real_connections_and_everything_else_works(site, nofile):
    web, client = pair_from_files(site, site.tcp_server(), nofile=nofile)
    limit = int(web.metrics().total("spindle_sidecar_connections_limit"))
    assert 2 <= limit < nofile // 2
    before = descriptors(client)
    with contextlib.ExitStack() as kept:
        held = []
        for _ in range(limit):  # one after another: all come from one source
            held.append(kept.enter_context(connect(client)))
            ask(held[-1])
        assert all(is_refused(client) for _ in range(20))
        for side in (web, client):
            for what in ("/live", "/metrics"):
                assert http_get(side.address("metrics"), what)[0] == 200
            status, body = unix_get(str(side.admin), "/v1/conns")
            assert status == 200 and body.count(b'"state"') == limit
        refusal = client.wait_event("connection_refused", reason="limit")
        assert f"limits.total reached ({limit})" in refusal["detail"]
        for conn in held:
            ask(conn)
    wait_until(lambda: descriptors(client) <= before, "all descriptors to be given back")
    talks(client)
    for side in (client, web):
        assert side.stop() == 0


def test_a_plain_flood_at_the_outbound_side_leaves_the_inbound_side_its_part(site):
    web, client = pair_from_files(site, site.tcp_server(), limits={"total": 40}, log=QUIET)
    ca_files = client.config["identity"]
    both = site.sidecar("both", identity=ca_files, limits={"total": 40},
                        inbound=[{"listen": "127.0.0.1:0", "forward": "127.0.0.1:9",
                                  "allow": ["spiffe://example.org/*"]}],
                        outbound=[{"listen": "127.0.0.1:0", "forward": "%s:%d" % web.inbound(),
                                   "expect": ["spiffe://example.org/*"]}])
    with Flood(both.outbound(), 60):
        both.wait_metric("spindle_sidecar_connections_refused_total", direction="outbound", reason="limit")
        refused = both.metrics().total("spindle_sidecar_connections_refused_total", direction="inbound")
        with socket.create_connection(both.inbound()) as conn:
            conn.sendall(MODES["hello"]["first"])
            assert conn.recv(100), "the inbound side answers a ClientHello"
        assert refused == 0


def test_more_than_the_descriptors_allow_is_told_before_it_runs(site):
    web, _ = pair_from_files(site, site.tcp_server(), limits={"total": 2000, "connections": 1900})
    path = str(web.config_path)
    program = site.argv("spindle-sidecar", [])[0]
    few = site.run("/usr/bin/prlimit", "--nofile=1024:1024", program, "config", "check", "--config", path)
    assert few.code == 0
    said = few.out + few.err
    assert "limits.total: warning: 2000 connections need " in said
    assert "limits.connections: warning: 1900 connections need " in said
    assert "allows 1024" in said
    none = site.run("/usr/bin/prlimit", "--nofile=40:40", program, "config", "check", "--config", path)
    assert none.code == 2
    assert "needs at least 5" in none.err + none.out and "allows 40" in none.err + none.out
    run = site.run("/usr/bin/prlimit", "--nofile=40:40", program, "run", "--config", path)
    assert run.code == 2 and "needs at least 5" in run.err
