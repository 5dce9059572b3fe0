"""SPIFFE IDs at every place where one comes in: trust domain, entries, the sidecar's lists."""
import os

import pytest

from certs import openssl
from test_hostile_peers import SECRET, talk

ME = [f"unix:uid:{os.getuid()}"]
LONGEST = "spiffe://example.org/" + "a" * (2048 - len("spiffe://example.org/"))
# ID-1, ID-2, ID-3, ID-4, X5-2 (no path), ID-6 (one byte too many)
BAD = ["http://example.org/x", "example.org/x", "spiffe:/example.org/x", "spiffe://example.org/x?q=1",
       "spiffe://example.org/x#f", "spiffe://u@example.org/x", "spiffe://example.org:443/x",
       "spiffe://", "spiffe:///x", "spiffe://[::1]/x", "spiffe://%65xample.org/x", "spiffe://ex*mple.org/x",
       "SPIFFE://example.org/x", "spiffe://Example.org/x",
       "spiffe://example.org/a//b", "spiffe://example.org/a/", "spiffe://example.org/a/./b",
       "spiffe://example.org/a/..", "spiffe://example.org/a%20b", "spiffe://example.org/a b",
       "spiffe://example.org/", "spiffe://example.org", LONGEST + "a"]
GOOD = ["spiffe://example.org/...", "spiffe://example.org/a.b", "spiffe://example.org/A_b-C.9/x", LONGEST]


def lines_of(path, word):
    """Numbers of the lines of a file that have this word."""
    return [n for n, line in enumerate(path.read_text().splitlines(), 1) if word in line]


def check_agent(site, entries, **changes):
    path = site.write_entries([{"spiffe_id": i, "selectors": ME} for i in entries])
    config = site.write_yaml("agent.yaml", site.agent_config(**changes))
    return path, site.run("spindle-agent", "config", "check", "--config", config)


def test_every_bad_id_of_an_entry_is_refused_at_its_line(site):
    """ID-1, ID-2, ID-3, ID-4, ID-6, X5-2: one line each, which names the key."""
    path, got = check_agent(site, BAD)
    problems = [line for line in got.err.splitlines() if "warning" not in line]
    assert got.code == 2 and len(problems) == len(BAD), got
    numbers = [n for n, line in enumerate(path.read_text().splitlines(), 1) if "spiffe_id" in line]
    for number, line, index in zip(numbers, problems, range(len(BAD))):
        assert line.startswith(f"{path}:{number}: entries[{index}].spiffe_id: "), line
    assert not site.path("data").exists()


def test_every_bad_id_of_a_sidecars_lists_is_refused(site):
    """ID-1, ID-2, ID-3, ID-4, ID-6: `allow`, `expect` and `identity.spiffe_id` alike."""
    route = {"listen": "127.0.0.1:0", "forward": "127.0.0.1:1"}
    for key, changes in (("allow", {"inbound": [{**route, "allow": BAD}]}),
                         ("expect", {"outbound": [{**route, "expect": BAD}]})):
        config = site.write_yaml("sidecar.yaml", site.sidecar_config("web", **changes))
        got = site.run("spindle-sidecar", "config", "check", "--config", config)
        problems = [line for line in got.err.splitlines() if "warning" not in line]
        assert got.code == 2 and len(problems) == len(BAD), got
        assert all(f"[0].{key}" in line for line in problems), got
    config = site.write_yaml("sidecar.yaml", site.sidecar_config(
        "web", inbound=[{**route, "allow": GOOD}], identity={"spiffe_id": "spiffe://Example.org/x"}))
    got = site.run("spindle-sidecar", "config", "check", "--config", config)
    assert got.code == 2 and "identity.spiffe_id" in got.err and len(got.err.splitlines()) == 1, got


def test_good_ids_are_accepted(site):
    """ID-2, ID-4, ID-6"""
    _, got = check_agent(site, GOOD)
    assert got.code == 0, got


def test_a_path_of_spires_own_is_said(site):
    """ID-10"""
    path, got = check_agent(site, ["spiffe://example.org/spire/agent/x", "spiffe://example.org/spire"])
    for number in lines_of(path, "spiffe_id"):
        assert f"{path}:{number}: " in got.err and "/spire" in got.err, got


@pytest.mark.parametrize("name, code", [
    ("a" * 255, 0), ("a" * 256, 2), ("10.0.0.1", 0), ("a_b-c.d", 0), ("Example.org", 2), ("a:80", 2),
    ("[::1]", 2), ("%61", 2), ("spiffe://example.org", 2), ("a/b", 2), ("", 2)])
def test_the_name_of_a_trust_domain_is_checked(site, name, code):
    """ID-2, ID-3, ID-7"""
    _, got = check_agent(site, [], trust_domain=name)
    assert got.code == code, got
    problems = [line for line in got.err.splitlines() if "warning" not in line]
    assert len(problems) == (code == 2) and all("trust_domain" in p for p in problems), got


@pytest.mark.parametrize("domain, client, server", [
    ("127.0.0.1", "spiffe://127.0.0.1/a", "spiffe://127.0.0.1/b"),
    ("example.org", LONGEST, LONGEST[:-1] + "b"),
    ("a" * 255, f"spiffe://{'a' * 255}/x", f"spiffe://{'a' * 255}/y")],
    ids=["like an address", "2048 bytes", "a trust domain of 255 bytes"])
def test_unusual_ids_work_from_entry_to_handshake(site, domain, client, server):
    """ID-6, ID-7, ID-8, ID-5: issued, read back, and the exact match of both ends."""
    agent = site.agent([{"spiffe_id": i, "selectors": ME} for i in (client, server)], trust_domain=domain)
    got = site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.socket, "--output", "json")
    assert [s["spiffe_id"] for s in got.json()["svids"]] == [client, server]
    pem = got.json()["svids"][0]["x509_svid"]
    shown = openssl("x509", "-noout", "-ext", "subjectAltName", stdin=pem)
    assert f"URI:{client}" in shown.split()
    host, port = site.tcp_server()
    inbound = site.sidecar("inbound", identity={"spiffe_id": server}, inbound=[
        {"listen": "127.0.0.1:0", "forward": f"{host}:{port}", "allow": [client]}])
    forward = "{}:{}".format(*inbound.inbound())
    outbound = site.sidecar("outbound", identity={"spiffe_id": client}, outbound=[
        {"listen": "127.0.0.1:0", "forward": forward, "expect": [server]},
        {"listen": "127.0.0.1:0", "forward": forward, "expect": [server[:-1] + server[-1].upper()]}])
    assert [talk(outbound.outbound(i)) for i in (0, 1)] == [SECRET, b""]
    assert outbound.wait_event("handshake_failed", reason="peer_not_allowed")["presented"] == server
