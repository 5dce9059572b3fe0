"""The Workload API as a client without a library sees it: endpoint rules, streams, entries."""
import contextlib
import json
import os
import subprocess
import time

import pytest

import harness
import workload

WEB = {"spiffe_id": "spiffe://example.org/web", "selectors": [f"unix:uid:{os.getuid()}"]}
METHODS = ["FetchX509SVID", "FetchX509Bundles"]


def entry(name, **more):
    return {"id": name, "spiffe_id": f"spiffe://example.org/{name}", "selectors": list(WEB["selectors"]),
            **more}


def reloads(agent):
    return len(agent.events("reloaded"))


def change_entries(site, agent, entries, name="entries.yaml"):
    """Writes the entries and waits until the agent has them."""
    before = reloads(agent)
    site.write_entries(entries, name)
    agent.send_signal(harness.signal.SIGHUP)
    agent.wait_event("reloaded", count=before + 1)


# ---- the endpoint

@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("headers", [[], [("workload.spiffe.io", "True")], [("workload.spiffe.io", "1")],
                                     [("workload.spiffe.io", "")], workload.HEADER * 2])
def test_a_call_without_the_exact_security_header_is_refused(site, method, headers):
    """EP-2: none, another value, twice."""
    agent = site.agent([WEB])
    with workload.connect(agent.socket) as c:
        assert c.call(method, headers=headers).end() == (
            workload.INVALID_ARGUMENT, "security header missing from request")
        assert workload.svids(c.call("FetchX509SVID").next()), "the connection is still good"
    assert agent.metrics().total("spindle_agent_attestation_duration_seconds_count") == 1, \
        "refused before any work"


def test_a_bare_client_over_plain_http2_is_served(site):
    """EP-1, EP-3, WA-2: no TLS, no credential, the first message at once."""
    agent = site.agent([WEB])
    started = time.monotonic()
    [svid] = workload.svids(workload.fetch(agent.socket))
    assert svid.id == WEB["spiffe_id"]
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("method", ["FetchJWTSVID", "FetchJWTBundles", "ValidateJWTSVID", "FetchWITSVID",
                                    "NoSuchMethod", "/no.such.Service/Method"])
def test_a_method_that_is_not_served_is_unimplemented(site, method):
    """EP-5"""
    agent = site.agent([WEB])
    with workload.connect(agent.socket) as c:
        assert c.call(method).end()[0] == workload.UNIMPLEMENTED


def test_health_answers_for_the_whole_server_only(site):
    """AG-9: no header is needed; a named service is an error."""
    agent = site.agent([WEB])
    with workload.connect(agent.socket) as c:
        check = c.call("/grpc.health.v1.Health/Check", headers=[])
        assert check.next() == b"\x08\x01" and check.end()[0] == workload.OK
        named = c.call("/grpc.health.v1.Health/Check", headers=[], message=b"\x0a\x03web")
        assert named.end()[0] == workload.INVALID_ARGUMENT
        broken = c.call("/grpc.health.v1.Health/Check", headers=[], message=b"\x0a\xff")
        assert broken.end()[0] == workload.INVALID_ARGUMENT
        watch = c.call("/grpc.health.v1.Health/Watch", headers=[])
        assert watch.next() == b"\x08\x01"
        agent.send_signal(harness.signal.SIGTERM)
        assert watch.end()[0] == workload.UNAVAILABLE


# ---- what a caller gets

def test_the_answer_holds_chain_key_and_roots(site):
    """WA-11, WA-20: leaf first, PKCS#8, the key is the leaf's, the chain verifies with the bundle."""
    agent = site.agent([entry("web", hint="internal")])
    [svid] = workload.svids(workload.fetch(agent.socket))
    assert svid.hint == "internal"
    site.write("chain.der", svid.chain)
    site.write("key.der", svid.key)
    site.write("root.der", svid.bundle)
    openssl = harness.certs.openssl
    path = site.path
    leaf = openssl("x509", "-inform", "DER", "-in", path("chain.der"))
    root = openssl("x509", "-inform", "DER", "-in", path("root.der"))
    first = len(subprocess.run(["openssl", "x509", "-outform", "DER"], input=leaf.encode(),
                               capture_output=True, check=True).stdout)
    site.write("issuer.der", svid.chain[first:])
    issuer = openssl("x509", "-inform", "DER", "-in", path("issuer.der"))
    for name, pem in (("leaf.pem", leaf), ("root.pem", root), ("issuer.pem", issuer)):
        site.write(name, pem)
    openssl("verify", "-CAfile", path("root.pem"), "-untrusted", path("issuer.pem"), path("leaf.pem"))
    key = openssl("pkey", "-inform", "DER", "-in", path("key.der"), "-pubout")
    assert key == openssl("x509", "-in", path("leaf.pem"), "-noout", "-pubkey")
    assert "URI:spiffe://example.org/web" in openssl("x509", "-in", path("leaf.pem"), "-noout", "-text")
    assert workload.bundles(workload.fetch(agent.socket, "FetchX509Bundles")) == {
        "spiffe://example.org": svid.bundle}


@pytest.mark.parametrize("method", METHODS)
def test_a_caller_without_an_entry_is_told_so(site, method):
    """WA-10, WA-20, AG-8: PermissionDenied; the log names the caller and no selector at info."""
    agent = site.agent([{**WEB, "selectors": ["unix:uid:54321"]}], log={"level": "info"})
    assert workload.fetch(agent.socket, method) == (workload.PERMISSION_DENIED, "no identity issued")
    [event] = agent.events("identity_refused")
    assert (event["reason"], event["uid"], event["pid"]) == ("no_entry", str(os.getuid()), str(os.getpid()))
    assert "unix:" not in agent.log().replace("unix:/", "")
    agent.wait_metric("spindle_agent_workload_api_requests_total", method=method,
                      code="PermissionDenied", reason="no_entry")


def test_no_entries_file_means_no_identity(site):
    """WA-10: an empty set is a loaded, valid set."""
    agent = site.agent([])
    assert workload.fetch(agent.socket)[0] == workload.PERMISSION_DENIED


def test_entries_that_ask_for_more_than_the_caller_has_do_not_match(site):
    """WA-16: the entry's selectors are a subset of the caller's."""
    mine = f"unix:uid:{os.getuid()}"
    agent = site.agent([entry("both", selectors=[mine, f"unix:gid:{os.getgid()}"]),
                        entry("more", selectors=[mine, "unix:gid:54321"])])
    assert [s.id for s in workload.svids(workload.fetch(agent.socket))] == ["spiffe://example.org/both"]


def test_identities_come_in_the_order_of_the_entries(site):
    """WA-13, WA-15: file by file, several without a hint, the same after a rotation."""
    names = ["zeta", "alpha", "mid"]
    agent = site.agent([entry(n, x509_ttl="3s") for n in names])
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        first = workload.svids(stream.next())
        later = workload.svids(stream.next())
    for got in (first, later):
        assert [s.id for s in got] == [f"spiffe://example.org/{n}" for n in names]
    assert [s.key for s in first] != [s.key for s in later]


def test_svids_renewed_together_come_in_one_message(site):
    """A caller with many identities is not sent one message that the next one replaces at once."""
    agent = site.agent([entry(f"n{n}", x509_ttl="4s") for n in range(24)])
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        seen, rounds = {s.id: s.chain for s in workload.svids(stream.next())}, []
        for _ in range(3):  # one may fall on the turn of a second
            before, now, messages = seen, seen, 0
            while any(now[n] == before[n] for n in before):
                now = {s.id: s.chain for s in workload.svids(stream.next())}
                messages += 1
            seen = now
            rounds.append(messages)
        assert min(rounds) == 1, rounds


def test_of_two_entries_with_one_hint_the_first_is_given(site):
    """WA-14"""
    agent = site.agent([entry("a", hint="x"), entry("b", hint="x"), entry("c", hint="y"), entry("d")])
    got = workload.svids(workload.fetch(agent.socket))
    assert [(s.id[-1], s.hint) for s in got] == [("a", "x"), ("c", "y"), ("d", "")]
    assert agent.events("same_hint_left_out")


def test_a_response_too_large_for_clients_is_logged(site):
    """WA-9"""
    count = 3600
    agent = site.agent([entry(f"web{i}") for i in range(count)], log={"level": "info"})
    with workload.connect(agent.socket, window=1 << 24) as c:
        message = c.call("FetchX509SVID").next(60)
    assert len(message) > 4 << 20 and len(workload.svids(message)) == count
    assert agent.events("response_too_large")


# ---- streams

@pytest.mark.parametrize("method", METHODS)
def test_an_idle_stream_is_silent(site, method):
    """WA-3: reading the same entries anew sends nothing."""
    agent = site.agent([WEB])
    with workload.connect(agent.socket) as c:
        stream = c.call(method)
        assert stream.next()
        for _ in range(3):
            change_entries(site, agent, [WEB])
        assert stream.is_silent(0.3)


def test_a_changed_entry_reaches_a_live_stream(site):
    """AG-22, WA-2: full state, within a second."""
    agent = site.agent([entry("web")])
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        assert [s.hint for s in workload.svids(stream.next())] == [""]
        site.write_entries([entry("web", hint="new"), entry("more")])  # seen without a signal
        started = time.monotonic()
        while [(s.id, s.hint) for s in workload.svids(stream.next())] != [
                ("spiffe://example.org/web", "new"), ("spiffe://example.org/more", "")]:
            assert time.monotonic() - started < 5
        assert time.monotonic() - started < 2


def test_entries_swapped_as_kubernetes_does_are_seen(site):
    """AG-22: a ConfigMap's `..data` link changes, the file itself is a link that does not."""
    for version, name in (("v1", "one"), ("v2", "two")):
        (site.path("map") / version).mkdir(parents=True)
        site.write_entries([entry(name)], f"map/{version}/entries.yaml")
    (site.path("map") / "..data").symlink_to("v1")
    (site.path("map") / "entries.yaml").symlink_to("..data/entries.yaml")
    path = site.write_yaml("agent.yaml", site.agent_config(entries=str(site.path("map/entries.yaml"))))
    agent = site.start("agent", "spindle-agent", "run", "--config", path, kind=harness.Agent).wait_ready()
    with workload.connect(site.path("api.sock")) as c:
        stream = c.call("FetchX509SVID")
        assert [s.id for s in workload.svids(stream.next())] == ["spiffe://example.org/one"]
        (site.path("map") / "..data.new").symlink_to("v2")
        (site.path("map") / "..data.new").rename(site.path("map") / "..data")
        assert [s.id for s in workload.svids(stream.next())] == ["spiffe://example.org/two"]
    assert agent.running


@pytest.mark.parametrize("method", METHODS)
def test_losing_all_identities_ends_the_stream(site, method):
    """WA-6"""
    agent = site.agent([WEB])
    with workload.connect(agent.socket) as c:
        stream = c.call(method)
        assert stream.next()
        change_entries(site, agent, [])
        assert stream.end() == (workload.PERMISSION_DENIED, "no identity issued")
        change_entries(site, agent, [WEB])
        assert c.call(method).next()


def test_an_entry_that_needs_more_selectors_reaches_a_live_stream(site):
    """AG-22, AG-5: the caller is attested anew when entries begin to ask for its program."""
    agent = site.agent([WEB])
    program = os.readlink("/proc/self/exe")
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        assert stream.next()
        change_entries(site, agent, [WEB, entry("program", selectors=[f"unix:path:{program}"])])
        assert [s.id for s in workload.svids(stream.next())] == [
            "spiffe://example.org/web", "spiffe://example.org/program"]


@pytest.mark.parametrize("method", METHODS)
def test_a_stopping_agent_ends_streams_as_unavailable(site, method):
    """WA-7: never Canceled; clients come back."""
    agent = site.agent([WEB])
    with workload.connect(agent.socket) as c:
        stream = c.call(method)
        assert stream.next()
        agent.send_signal(harness.signal.SIGTERM)
        assert stream.end()[0] == workload.UNAVAILABLE
    assert agent.wait_exit() == 0
    assert not os.path.exists(agent.socket)


def test_a_stopping_agent_does_not_wait_for_clients_that_do_not_read(site):
    agent = site.agent([WEB])
    with workload.connect(agent.socket, window=10, refill=False) as c:
        c.call("FetchX509SVID")
        agent.wait_metric("spindle_agent_streams", method="FetchX509SVID")
        started = time.monotonic()
        agent.send_signal(harness.signal.SIGTERM)
        assert agent.wait_exit() == 0
        assert time.monotonic() - started < 5


def test_a_slow_reader_gets_the_newest_state_and_little_else(site):
    """WA-8"""
    changes = 30
    agent = site.agent([entry("web", hint="0")], log={"level": "info"})
    with workload.connect(agent.socket, window=4000, refill=False) as c:
        stream = c.call("FetchX509SVID")
        assert [s.hint for s in workload.svids(stream.next())] == ["0"]
        for i in range(1, changes + 1):
            change_entries(site, agent, [entry("web", hint=str(i))])
        stream.grant(1 << 20)
        seen = []
        while not seen or seen[-1] != str(changes):
            seen.append(workload.svids(stream.next())[0].hint)
        assert len(seen) < 6, seen
        assert stream.is_silent(0.3)


def test_an_expired_svid_is_never_on_a_stream(site):
    """AG-15, AG-14: with a TTL of seconds each message is fresh when it comes."""
    agent = site.agent([entry("web", x509_ttl="2s")])
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        for _ in range(4):
            [svid] = workload.svids(stream.next())
            site.write("leaf.der", svid.chain)
            text = harness.certs.openssl("x509", "-inform", "DER", "-in", site.path("leaf.der"), "-noout",
                                         "-checkend", "0")
            assert "will not expire" in text


# ---- reload

def test_broken_entries_leave_the_last_good_ones_in_use(site):
    """AG-22: said in the log with file and line, in the metric and in /ready."""
    agent = site.agent([WEB])
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        assert stream.next()
        site.write("entries.yaml", "entries:\n  - spiffe_id: spiffe://other.org/x\n    selectors: []\n")
        agent.wait_event("reload_failed")
        assert any("entries.yaml:2" in e["problem"] for e in agent.events("config_problem"))
        assert stream.is_silent(0.2)
        assert workload.svids(workload.fetch(agent.socket))[0].id == WEB["spiffe_id"]
        status, body = agent.ready()
        assert status == 200 and "degraded" in body and "entries.yaml:2" in body
        assert agent.metrics().total("spindle_agent_entries_reloads_total", result="failure") == 1
        change_entries(site, agent, [WEB])
        assert "degraded" not in agent.ready()[1]


def test_entries_broken_at_start_end_the_agent(site):
    """Exit code 2 and the line; nothing listens."""
    agent = site.agent([{"spiffe_id": "spiffe://other.org/x", "selectors": ["unix:uid:0"]}], wait=False)
    assert agent.wait_exit() == 2
    assert "entries.yaml:2" in agent.log() and not os.path.exists(agent.socket)


@pytest.mark.plain_only
def test_a_reader_that_stopped_costs_one_response(site):
    """WA-8: however often its state changes; here 30 responses of more than 300 KiB each."""
    count, changes = 150, 30
    agent = site.agent([entry(f"web{i}") for i in range(count)], log={"level": "info"})
    with workload.connect(agent.socket, window=4000, refill=False) as c:
        stream = c.call("FetchX509SVID")
        agent.wait_metric("spindle_agent_streams", method="FetchX509SVID")
        sizes = []
        for i in range(changes):
            hints = [entry(f"web{n}", hint=f"{i} {n} ".ljust(1000, "x")) for n in range(count)]
            site.write("entries.yaml", json.dumps({"entries": hints}))  # a tenth of the time of YAML
            agent.send_signal(harness.signal.SIGHUP)
            agent.wait_event("reloaded", count=i + 1)
            sizes.append(agent.rss_kib())
        assert sizes[-1] - sizes[3] < 3072, sizes
        stream.grant(1 << 24)
        message = b""
        while f"{changes - 1} 0 ".encode() not in message:
            message = stream.next()
        assert len(message) > 300 << 10


def test_a_reload_that_attests_more_streams_than_fit_at_once_ends_none(site):
    """All are attested anew for a new kind of selector; what does not fit waits."""
    program = os.path.realpath("/proc/self/exe")
    agent = site.agent([entry("web")], log={"level": "info"})
    with contextlib.ExitStack() as stack:
        streams = []
        for _ in range(20):
            c = stack.enter_context(workload.connect(agent.socket))
            streams += [c.call("FetchX509SVID") for _ in range(240)]
        assert all(s.next(60) for s in streams)
        change_entries(site, agent, [entry("web"), entry("more", selectors=[f"unix:path:{program}"])])
        for s in streams:
            assert s.ended is None and len(workload.svids(s.next(60))) == 2, s.ended


# ---- the wall clock

@pytest.mark.parametrize("hours", [2, 30, -1])
def test_an_svid_that_a_clock_jump_made_invalid_is_never_served(site, hours):
    """AG-15: to a new caller, at once, though other streams hold it and no timer has fired. Who has several gets all
    in the first message, also when the issuer has run out and another is written first."""
    names = ["web", "db", "mail", "files"]
    agent = site.agent([entry(name) for name in names], **site.fake_clock())
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        old = workload.svids(stream.next())
        site.set_clock(hours)
        new = workload.svids(workload.fetch(agent.socket))
        assert len(new) == len(old) == len(names)
        assert all(n.chain != o.chain and n.key != o.key for n, o in zip(new, old))
        assert [s.chain for s in workload.svids(stream.next())] == [n.chain for n in new]


@pytest.mark.parametrize("change", [
    {"x509_ttl": "2h"}, {"dns_names": ["web.example.org"]}, {"hint": "new"},
    {"spiffe_id": "spiffe://example.org/other"}, {"selectors": ["unix:uid:54321"]}])
def test_each_part_of_an_entry_reaches_a_live_stream(site, change):
    """AG-22: seen by itself, in less than SPIRE's 5 s."""
    agent = site.agent([entry("web")])
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        [before] = workload.svids(stream.next())
        started = time.monotonic()
        site.write_entries([{**entry("web"), **change}])
        message = stream.next()
        assert time.monotonic() - started < 5
        if "selectors" in change:
            assert message is None and stream.ended[0] == workload.PERMISSION_DENIED
            return
        [after] = workload.svids(message)
        assert (after.id, after.hint) == (change.get("spiffe_id", before.id), change.get("hint", ""))
        assert (after.key == before.key) == ("hint" in change), "a hint is no part of the certificate"
