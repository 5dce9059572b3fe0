"""explain: why a process gets an identity or none, and why a peer is accepted or not, asked of the
running programs."""
import json
import os
import socket
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
