"""explain: why a process gets an identity or none, and why a peer is accepted or not, asked of the
running programs."""
import os
import socket
import ssl
import subprocess

import pytest

import harness
import workload

WEB, CLIENT, OTHER = (f"spiffe://example.org/{name}" for name in ("web", "client", "other"))
NOBODY = 65534


def explain(site, agent, pid, **options):
    got = site.run("spindle-agent", "explain", "--pid", pid, "--admin", agent.admin, "--output", "json", **options)
    assert got.code == 0, got
    return got.json()


def words(site, agent, pid):
    got = site.run("spindle-agent", "explain", "--pid", pid, "--admin", agent.admin)
    assert got.code == 0, got
    return got.out


@pytest.fixture
def sleeper():
    """A process that only waits, of another user where we can choose."""
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen(["/bin/sleep", "1000"], **user)
    yield process
    process.kill()
    process.wait()


def test_a_process_that_is_entitled(site):
    me = [f"unix:uid:{os.getuid()}"]
    agent = site.agent([{"id": "web", "spiffe_id": WEB, "selectors": me},
                        {"id": "far", "spiffe_id": OTHER, "selectors": ["unix:uid:4242"]}])
    told = explain(site, agent, os.getpid())
    assert (told["verdict"], told["match_count"], told["nearest"]) == ("entitled", 1, [])
    assert told["matches"][0]["spiffe_id"] == WEB and told["matches"][0]["state"] == "ok"
    assert told["matches"][0]["subscribers"] == 0 and "serial" not in told["matches"][0]
    assert told["uid"] == os.getuid() and me[0] in told["selectors"]
    kinds = {s.rsplit(":", 1)[0] for s in told["selectors"]}
    assert {"unix:uid", "unix:gid", "unix:path", "unix:sha256"} <= kinds  # nobody asks for the last two
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        assert stream.next()
        told = explain(site, agent, os.getpid())
        assert told["matches"][0]["subscribers"] == 1 and told["matches"][0]["serial"]
    assert "entitled to:\n  " + WEB in words(site, agent, os.getpid())


def test_a_process_that_matches_nothing_is_told_the_nearest_entry_and_what_fails(site, sleeper):
    agent = site.agent([
        {"id": "far", "spiffe_id": OTHER, "selectors": ["unix:uid:4242", "unix:gid:4242"]},
        {"id": "near", "spiffe_id": WEB, "selectors": [f"unix:gid:{NOBODY if os.geteuid() == 0 else os.getgid()}",
                                                       "unix:path:/usr/bin/slumber"]}])
    told = explain(site, agent, sleeper.pid)
    assert told["verdict"] == "no_entry" and told["matches"] == []
    nearest = told["nearest"][0]
    assert (nearest["entry"], len(nearest["present"])) == ("near", 1)
    assert [(m["selector"], m["found"]) for m in nearest["missing"]] == [
        ("unix:path:/usr/bin/slumber", [f"unix:path:{os.path.realpath('/bin/sleep')}"])]
    text = words(site, agent, sleeper.pid)
    assert "FAILS  unix:path:/usr/bin/slumber   it has unix:path:" in text
    assert text.index("verdict: no_entry") < text.index("what to do:\n  If it is meant to be " + WEB)
    assert max(map(len, text.splitlines())) <= 110


def test_what_could_not_be_found_out_is_told(site):
    """A program that was deleted since it started has no path; a user without a name none."""
    harness.need_root()
    program = site.path("shortlived")
    program.write_bytes(open("/bin/sleep", "rb").read())
    program.chmod(0o755)
    process = subprocess.Popen([program, "1000"], user=54321, group=54321, extra_groups=[])
    try:
        program.unlink()
        agent = site.agent([{"id": "web", "spiffe_id": WEB, "selectors": [f"unix:path:{program}"]}])
        told = explain(site, agent, process.pid)
        parts = {p["part"]: p for p in told["problems"]}
        assert parts["path"]["reason"] == "not_found"
        assert "no name for uid 54321" in parts["user"]["detail"]
        text = words(site, agent, process.pid)
        assert "not found out:\n" in text and "restart the workload" in " ".join(text.split())
    finally:
        process.kill()
        process.wait()


def test_no_such_process_and_wrong_numbers(site):
    agent = site.agent([{"id": "web", "spiffe_id": WEB, "selectors": ["unix:uid:1"]}])
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    told = explain(site, agent, gone.pid)
    assert told["verdict"] == "no_process" and told["selectors"] == []
    assert "pid namespace" in told["next"]
    assert "verdict: no_process" in words(site, agent, gone.pid)
    for pid in ("0", "-1", "x", "99999999999999", "1 2", ""):
        got = site.run("spindle-agent", "explain", "--pid=" + pid, "--admin", agent.admin)
        assert got.code == 2 and "pid: expected" in got.err, got
    got = site.run("spindle-agent", "explain", "--admin", agent.admin)
    assert got.code == 2 and "--pid N" in got.err, got


def test_without_entries_the_words_say_so(site):
    agent = site.agent([])
    told = explain(site, agent, os.getpid())
    assert told["verdict"] == "no_entries" and "no registration entries" in told["next"]


def test_an_explanation_under_way_does_not_hold_up_the_end(site):
    """A program that takes long to hash, and the agent is told to end meanwhile."""
    big = site.path("big")
    big.write_bytes(open("/bin/sleep", "rb").read())
    with open(big, "ab") as f:
        f.truncate(200 << 20)
    big.chmod(0o755)
    process = subprocess.Popen([big, "1000"])
    try:
        agent = site.agent([])
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(agent.admin))
            s.sendall(f"GET /v1/explain?pid={process.pid} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert agent.stop() == 0
    finally:
        process.kill()
        process.wait()


# ---- sidecar

def ask(site, sidecar, peer=None):
    words = ["explain", "--admin", sidecar.admin, "--output", "json"]
    got = site.run("spindle-sidecar", *words, *(["--peer", peer] if peer else []))
    assert got.code == 0, got
    return got.json()


def ask_words(site, sidecar, *options):
    got = site.run("spindle-sidecar", "explain", "--admin", sidecar.admin, *options)
    assert got.code == 0, got
    return got.out


def pair(site):
    """An inbound sidecar that lets CLIENT in, and an outbound one as OTHER that it refuses."""
    mine = [f"unix:uid:{os.getuid()}"]
    site.agent([{"spiffe_id": name, "selectors": mine} for name in (WEB, CLIENT, OTHER)])
    host, port = site.tcp_server()
    inbound = site.sidecar("web", identity={"spiffe_id": WEB}, workers=2, inbound=[
        {"listen": "127.0.0.1:0", "forward": f"{host}:{port}", "allow": [CLIENT, "spiffe://example.org/ns/*"]}])
    there = "{}:{}".format(*inbound.inbound())
    other = site.sidecar("other", identity={"spiffe_id": OTHER}, outbound=[
        {"listen": "127.0.0.1:0", "forward": there, "expect": [WEB]}])
    return inbound, other


def knock(sidecar):
    """True when an echo comes back."""
    try:
        with socket.create_connection(sidecar.outbound(), timeout=20) as s:
            s.sendall(b"ping")
            return s.recv(4) == b"ping"
    except OSError:
        return False


def test_a_peer_that_is_let_in_and_by_which_rule(site):
    inbound, _ = pair(site)
    told = ask(site, inbound, "spiffe://example.org/ns/shop/web")
    assert (told["verdict"], told["trusted"], told["revocation"]["held"]) == ("accepted", True, False)
    assert told["routes"] == [{"key": "inbound[0].allow", "direction": "inbound", "listed": True,
                               "listen": inbound.config["inbound"][0]["listen"],
                               "rule": "spiffe://example.org/ns/*"}]
    assert told["refusals"] == []
    assert "listed, by the rule spiffe://example.org/ns/*" in ask_words(site, inbound, "--peer",
                                                                        "spiffe://example.org/ns/a")


def test_a_peer_that_was_refused_and_what_differs(site):
    inbound, other = pair(site)
    for _ in range(3):
        assert not knock(other)
    told = ask(site, inbound, OTHER)
    route = told["routes"][0]
    assert (told["verdict"], route["listed"], route["nearest"]) == ("not_listed", False, CLIENT)
    assert route["differs"] == 'segment 1 is "other" in the ID, "client" in the rule'
    refusal, = told["refusals"]
    assert (refusal["reason"], refusal["count"], refusal["peer"]) == ("peer_not_allowed", 3, OTHER)
    assert refusal["address"].startswith("127.0.0.1:") and refusal["serial"]
    assert refusal["first"] <= refusal["last"]
    text = ask_words(site, inbound, "--peer", OTHER)
    assert "NOT LISTED\n    nearest rule  " + CLIENT in text and "3 times since" in text
    assert "what to do:\n  Add \"" + OTHER in text
    assert "its last refusals:" not in ask_words(site, inbound, "--peer", CLIENT)


def test_a_trust_domain_without_roots(site):
    inbound, _ = pair(site)
    told = ask(site, inbound, "spiffe://partner.test/web")
    assert (told["verdict"], told["trusted"]) == ("no_trust", False)
    assert told["trust_domains"] == ["example.org"]
    assert "NOT TRUSTED; trusted are example.org\n" in ask_words(site, inbound, "--peer",
                                                                 "spiffe://partner.test/web")


def test_the_last_refusals_of_all(site):
    inbound, other = pair(site)
    assert "nobody was refused" in ask_words(site, inbound)
    with socket.create_connection(inbound.inbound(), timeout=20) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        s.recv(100)
    assert not knock(other)
    rows = ask(site, inbound)["refusals"]
    assert [r["reason"] for r in rows] == ["peer_not_allowed", "tls_not_tls"]
    assert rows[1]["peer"] == ""
    text = ask_words(site, inbound)
    assert text.index("peer_not_allowed") < text.index("tls_not_tls")


def test_a_sidecar_without_identity_names_its_own_process(site):
    sidecar = site.sidecar("web", wait=False, identity={"workload_api": f"unix://{site.path('none.sock')}"},
                           inbound=[{"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": [CLIENT]}])
    sidecar.wait_event("started")
    told = ask(site, sidecar, CLIENT)
    assert told["verdict"] == "no_identity" and f"explain --pid {sidecar.pid}" in told["next"]


def test_wrong_ids_are_wrong_use(site):
    inbound, _ = pair(site)
    for peer in ("web", "spiffe://example.org/%41", "spiffe://Example.org/a", "spiffe://a/" + "x" * 3000):
        got = site.run("spindle-sidecar", "explain", "--peer", peer, "--admin", inbound.admin)
        assert got.code == 2 and "peer: " in got.err, got


def test_what_a_peer_claims_cannot_move_the_cursor(site):
    """A certificate whose name has escape sequences in it: no control byte reaches the terminal."""
    inbound, _ = pair(site)
    leaf = site.ca("evil").leaf("spiffe://example.org/\x1b]0;x\x07y")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.load_cert_chain(leaf.certificate, leaf.key)
    with socket.create_connection(inbound.inbound(), timeout=20) as raw, tls.wrap_socket(raw) as s:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            assert s.recv(1) != b""
            pytest.fail("it was let in")
    refusal, = ask(site, inbound)["refusals"]
    assert refusal["peer"] == "spiffe://example.org/?]0;x?y", refusal
    assert not [c for c in ask_words(site, inbound) if c < " " and c != "\n"]


# ---- revoked

def test_what_is_revoked_is_said_with_how_to_lift_it(site):
    mine = [f"unix:uid:{os.getuid()}"]
    agent = site.agent([{"id": "web", "spiffe_id": WEB, "selectors": mine},
                        {"id": "other", "spiffe_id": OTHER, "selectors": mine}])

    def order(*words):
        got = site.run("spindle-agent", "revoke", *words, "--admin", agent.admin)
        assert got.code == 0, got

    order(WEB, "--reason", "keyCompromise")
    told = explain(site, agent, os.getpid())
    held, fine = told["matches"]
    assert (told["verdict"], held["state"], fine["state"]) == ("entitled", "held", "ok")
    assert (held["reason"], held["lift"]) == ("keyCompromise", WEB) and held["since"]
    assert f"revoke --lift {WEB}" in told["next"]
    order("entry:other")
    told = explain(site, agent, os.getpid())
    assert told["verdict"] == "held" and told["matches"][1]["lift"] == "entry:other"
    assert "lifted by: spindle-agent revoke --lift entry:other" in words(site, agent, os.getpid())
    order(WEB, "--lift")
    order("entry:other", "--lift")
    assert explain(site, agent, os.getpid())["verdict"] == "entitled"


def test_a_held_peer_is_refused_and_explain_says_since_when(site):
    inbound, other = pair(site)
    agent = next(p for p in site.programs if isinstance(p, harness.Agent))
    got = site.run("spindle-agent", "revoke", OTHER, "--reason", "superseded", "--admin", agent.admin)
    assert got.code == 0, got
    harness.wait_until(lambda: ask(site, inbound, OTHER)["revocation"]["held"], "the sidecar to hear of it")
    told = ask(site, inbound, OTHER)
    assert told["verdict"] == "held" and told["revocation"]["reason"] == "superseded"
    assert f"revoke --lift {OTHER}" in told["next"]
    assert "REVOKED since" in ask_words(site, inbound, "--peer", OTHER)
    assert not knock(other)
