"""The audit log of both programs: what is decided about whom is a line of JSON, whoever tries to
prevent it (docs/audit.md)."""
import json
import os
import re
import signal
import socket
import subprocess

import pytest

import harness
import workload

WEB, CLIENT, OTHER = (f"spiffe://example.org/{name}" for name in ("web", "client", "other"))
NOBODY = 65534


def entry(uid, spiffe_id=WEB, **more):
    return {"id": f"for-{uid}", "spiffe_id": spiffe_id, "selectors": [f"unix:uid:{uid}"], **more}


class Log:
    """The audit file of a program."""

    def __init__(self, path):
        self.path = path

    def lines(self):
        return self.path.read_text().splitlines() if self.path.exists() else []

    def events(self, name=None, **fields):
        found = [json.loads(line) for line in self.lines()]
        return [e for e in found if name in (None, e["event"]) and all(e.get(k) == v for k, v in fields.items())]

    def wait(self, name, count=1, **fields):
        harness.wait_until(lambda: len(self.events(name, **fields)) >= count,
                           f"{count} audit events {name} {fields}, have: " + "\n".join(self.lines()))
        return self.events(name, **fields)[-1]


def audit_of(site, name, **more):
    """(configuration, its log), in a folder of its own as an operator would have it."""
    folder = site.path("audit")
    folder.mkdir(exist_ok=True)
    return {"file": str(folder / f"{name}.log"), **more}, Log(folder / f"{name}.log")


def fields_of(program, site):
    """{event: its fields in order}, from the program's own table."""
    page = site.run(program, "docs", "audit").out
    rows = re.findall(r"^\| `(\w+)` \|((?: `\w+`)*) \|", page, re.MULTILINE)
    table = {name: re.findall(r"`(\w+)`", words) for name, words in rows if name not in ("time",)}
    return table


def check_against_table(program, site, log):
    """Each line has the fields of its row, in that order, and none else."""
    table = fields_of(program, site)
    assert log.lines()
    for line in log.lines():
        event = json.loads(line, object_pairs_hook=list)
        names = [key for key, _ in event]
        assert names[:2] == ["time", "event"], line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event[0][1]), line
        allowed = [*table[event[1][1]], "suppressed"]
        places = [allowed.index(name) for name in names[2:]]
        assert places == sorted(places), line


def fetch(site, agent, **options):
    return site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.socket, "--timeout", "10s",
                    **options)


# ---- agent

def test_the_agent_records_who_got_what_and_who_was_refused(site):
    harness.need_root()
    config, log = audit_of(site, "agent")
    agent = site.agent([entry(0)], audit=config)
    assert log.wait("started")["trust_domain"] == "example.org"
    assert fetch(site, agent).code == 0
    issued = log.wait("issued")
    assert (issued["spiffe_id"], issued["entry"], issued["why"]) == (WEB, "for-0", "first")
    shown = site.run("spindle-agent", "svids", "--admin", agent.admin, "--output", "json").out
    assert issued["serial"] in shown
    assert fetch(site, agent, uid=NOBODY).code == 1
    refused = log.wait("refused")
    assert (refused["reason"], refused["uid"], refused["method"]) == ("no_entry", NOBODY, "FetchX509SVID")
    assert refused["comm"].startswith("spindle-agent"[:15])
    assert "program" not in refused  # no entry asks for it, so nobody looked
    site.write_entries([entry(0), {**entry(1), "selectors": ["unix:path:/bin/true"]}])
    assert log.wait("reloaded")["entries"] == 2
    fetch(site, agent, uid=NOBODY)
    assert log.wait("refused", 2)["program"].endswith("/spindle-agent")
    site.write_entries([{"id": "broken"}])
    assert "entries.yaml" in log.wait("reload_failed")["detail"]
    agent.stop()
    assert log.wait("stopping") == {**log.events("stopping")[0], "signal": "SIGTERM"}
    check_against_table("spindle-agent", site, log)
    assert os.stat(log.path).st_mode & 0o777 == 0o600


def test_renewals_of_svid_and_issuer_are_recorded(site):
    config, log = audit_of(site, "agent")
    agent = site.agent([entry(os.getuid())], svid={"x509_ttl": "6s"}, authority={"issuer_ttl": "12s"},
                       audit=config)
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        assert all(stream.next(60) for _ in range(3))
    log.wait("issuer_renewed")
    log.wait("issued", why="renewal", count=2)
    with workload.connect(agent.socket) as c:
        assert c.call("FetchX509SVID").next()
        assert site.run("spindle-agent", "svids", "renew", WEB, "--admin", agent.admin).code == 0
        log.wait("issued", why="operator")
    assert len({e["serial"] for e in log.events("issued")}) >= 3
    check_against_table("spindle-agent", site, log)


def test_a_connection_that_is_turned_away_is_recorded(site):
    config, log = audit_of(site, "agent")
    agent = site.agent([entry(os.getuid())], audit=config, limits={"streams_per_user": 1})
    with workload.connect(agent.socket) as c:
        assert c.call("FetchX509SVID").next()
        with pytest.raises(workload.Closed):
            workload.fetch(agent.socket)
        refused = log.wait("connection_refused")
    assert (refused["reason"], refused["uid"], refused["pid"]) == ("limit", os.getuid(), os.getpid())
    check_against_table("spindle-agent", site, log)


def test_a_flood_of_refusals_leaves_the_rest_in_the_file(site):
    """A user without an identity tries as fast as it can: the file does not grow with it, and says
    how many tries are not in it."""
    harness.need_root()
    config, log = audit_of(site, "agent")
    agent = site.agent([entry(1)], audit=config)
    with workload.connect(agent.socket) as c:
        for _ in range(1000):
            c.call("FetchX509SVID").end()
    agent.wait_metric("spindle_audit_suppressed_total", 700)
    assert 200 <= len(log.events("refused")) < 300
    lines = len(agent.events("identity_refused"))
    assert 50 <= lines < 1000 and agent.metrics().total("spindle_log_dropped_total") == 1000 - lines


# ---- the file

def test_logrotate_may_rename_and_send_sighup(site):
    config, log = audit_of(site, "agent")
    agent = site.agent([entry(os.getuid())], audit=config)
    log.wait("started")
    log.path.rename(log.path.with_suffix(".moved"))
    agent.send_signal(signal.SIGHUP)
    log.wait("reloaded")
    assert [e["event"] for e in Log(log.path.with_suffix(".moved")).events()] == ["started"]


def test_rotation_by_size_works_inside_the_sandbox(site):
    config, log = audit_of(site, "agent", max_size="64KiB", keep=2)
    agent = site.agent([entry(os.getuid())], audit=config)
    third = log.path.with_suffix(".log.3")

    def reload_some():
        agent.send_signal(signal.SIGHUP)
        for n in range(200):
            fetch_twice(agent, n)
        return log.path.with_suffix(".log.2").exists()

    def fetch_twice(agent, n):
        site.write_entries([entry(os.getuid(), spiffe_id=f"{WEB}/{n}/{'x' * 1500}")])
        agent.wait_event("reloaded")
        with workload.connect(agent.socket) as c:
            c.call("FetchX509SVID").next()

    harness.wait_until(reload_some, "two old files", timeout=harness.DEADLINE * 3)
    sizes = [p.stat().st_size for p in log.path.parent.iterdir()]
    assert max(sizes) <= 64 * 1024 and not third.exists()
    assert not agent.events("audit_rotation_failed")


WRONG = [
    ({"file": "none/here/audit.log"}, "No such file"),
    ({"file": "group.log"}, "chmod go-w"),
    ({"file": "link.log"}, "is a link"),
]


@pytest.mark.parametrize("audit, text", WRONG, ids=[text for _, text in WRONG])
def test_a_file_that_will_not_do_ends_the_start_and_says_why(site, audit, text):
    site.write("group.log", "", mode=0o660)
    site.path("link.log").symlink_to("/dev/null")
    site.write_entries([entry(1)])
    path = site.write_yaml("agent.yaml", site.agent_config(audit={"file": str(site.path(audit["file"]))}))
    got = site.run("spindle-agent", "run", "--config", path)
    assert got.code == 2 and text in got.err and "audit.file" in got.err, got
    path = site.write_yaml("sidecar.yaml", site.sidecar_config(
        "web", audit={"file": str(site.path(audit["file"]))},
        inbound=[{"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": [WEB]}]))
    got = site.run("spindle-sidecar", "run", "--config", path)
    assert got.code == 2 and text in got.err and "audit.file" in got.err, got


def test_two_programs_do_not_share_a_file(site):
    config, _ = audit_of(site, "agent")
    site.agent([entry(os.getuid())], audit=config)
    path = site.write_yaml("sidecar.yaml", site.sidecar_config(
        "web", audit=config, inbound=[{"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": [WEB]}]))
    got = site.run("spindle-sidecar", "run", "--config", path)
    assert got.code != 0 and "another program writes it" in got.err, got


def test_a_reader_that_stalls_stops_nobody(site):
    """A pipe that nobody empties: identities are handed out all the same, and it is counted."""
    config, log = audit_of(site, "agent")
    os.mkfifo(log.path, 0o600)
    agent = site.agent([entry(os.getuid())], audit=config)
    assert fetch(site, agent).code == 0
    assert agent.stop() == 0


# ---- sidecar

def pair(site, **audit):
    config, log = audit_of(site, "web", **audit)
    mine = [f"unix:uid:{os.getuid()}"]
    site.agent([{"spiffe_id": name, "selectors": mine} for name in (WEB, CLIENT, OTHER)])
    host, port = site.tcp_server()
    inbound = site.sidecar("web", identity={"spiffe_id": WEB}, audit=config, workers=2,
                           inbound=[{"listen": "127.0.0.1:0", "forward": f"{host}:{port}", "allow": [CLIENT]}])
    return inbound, log


def outbound(site, name, spiffe_id, inbound):
    there = "{}:{}".format(*inbound.inbound())
    return site.sidecar(name, identity={"spiffe_id": spiffe_id},
                        outbound=[{"listen": "127.0.0.1:0", "forward": there, "expect": [WEB]}])


def ping(sidecar):
    try:
        with socket.create_connection(sidecar.outbound(), timeout=20) as s:
            s.sendall(b"ping")
            return s.recv(4) == b"ping"
    except OSError:
        return False


def test_the_sidecar_records_whom_it_refused(site):
    inbound, log = pair(site)
    assert log.wait("identity_in_use")["spiffe_id"] == WEB
    assert not ping(outbound(site, "other", OTHER, inbound))
    refused = log.wait("peer_refused")
    assert (refused["reason"], refused["peer"], refused["direction"]) == ("peer_not_allowed", OTHER, "inbound")
    assert refused["listen"] == "{}:{}".format(*inbound.inbound())
    assert refused["address"].startswith("127.0.0.1:") and refused["serial"] and refused["issuer"]
    assert ping(outbound(site, "client", CLIENT, inbound))
    assert not log.events("peer_admitted")
    drained = site.run("spindle-sidecar", "quit", "--admin", inbound.admin)
    assert drained.code == 0 and inbound.wait_exit() == 0
    inbound.stopped = True
    order = log.wait("quit")
    assert order["uid"] == os.getuid() and order["pid"] > 0
    assert log.events()[-1]["event"] == "stopped"
    check_against_table("spindle-sidecar", site, log)


def test_admitted_peers_are_recorded_where_that_is_asked_for(site):
    inbound, log = pair(site, connections=True)
    assert ping(outbound(site, "client", CLIENT, inbound))
    admitted = log.wait("peer_admitted")
    assert (admitted["peer"], admitted["rule"], admitted["direction"]) == (CLIENT, CLIENT, "inbound")
    check_against_table("spindle-sidecar", site, log)


def test_a_connection_that_is_cut_is_recorded(site):
    inbound, log = pair(site)
    client = outbound(site, "client", CLIENT, inbound)
    with socket.create_connection(client.outbound(), timeout=20) as s:
        s.sendall(b"ping")
        assert s.recv(4) == b"ping"
        config = json.loads(json.dumps(inbound.config))
        config["inbound"][0]["allow"] = [OTHER]
        site.write_yaml(inbound.config_path.name, config)
        cut = log.wait("connection_cut")
    assert (cut["reason"], cut["peer"]) == ("peer_not_allowed", CLIENT)
    assert log.wait("reloaded")
    client.stop()
    inbound.send_signal(signal.SIGTERM)
    assert log.wait("drain")["signal"] == "SIGTERM"
    check_against_table("spindle-sidecar", site, log)


def test_no_secret_is_in_the_file(site):
    """Neither keys nor what a peer sends; a port scanner's bytes make no line of their own."""
    inbound, log = pair(site)
    secret = b'"}\n{"event":"revoked","secret":"s3cret"}\n'
    with socket.create_connection(inbound.inbound(), timeout=20) as s:
        s.sendall(secret * 10)
        assert s.recv(100) is not None
    log.wait("peer_refused")
    text = log.path.read_text()
    assert "s3cret" not in text and "PRIVATE" not in text
    check_against_table("spindle-sidecar", site, log)


# ---- revoked

def test_who_revoked_what_is_recorded(site):
    config, log = audit_of(site, "agent")
    agent = site.agent([entry(os.getuid())], audit=config)
    assert fetch(site, agent).code == 0

    def order(*words):
        return site.run("spindle-agent", "revoke", *words, "--admin", agent.admin)

    assert order(WEB, "--reason", "keyCompromise").code == 0
    revoked = log.wait("revoked")
    assert (revoked["target"], revoked["reason"], revoked["certificates"]) == (WEB, "keyCompromise", 1)
    assert (revoked["uid"], revoked["generation"] > 0, revoked["pid"] > 0) == (os.getuid(), True, True)
    assert fetch(site, agent).code == 1
    assert log.wait("refused")["reason"] == "revoked"
    assert order(WEB, "--lift").code == 0
    assert log.wait("lifted")["target"] == WEB
    assert fetch(site, agent).code == 0
    assert order("serial:" + log.events("issued")[-1]["serial"]).code == 0
    assert log.wait("revoked", 2)["target"].startswith("serial:")
    assert order("spiffe://example.org/nobody/knows").code in (0, 1)
    check_against_table("spindle-agent", site, log)


# ---- the disk

@pytest.fixture
def small_disk(site):
    """The folder of the audit files on a file system of its own, of 64 KiB."""
    harness.need_root()
    folder = site.path("audit")
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "audit", str(folder)], check=False)
    if done.returncode != 0:
        harness.give_up("cannot mount a tmpfs")
    yield folder
    for program in site.programs:
        program.stop()
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_holds_nothing_up_and_its_events_come_later(site, small_disk):
    config, log = audit_of(site, "agent")
    ballast = small_disk / "ballast"
    agent = site.agent([entry(os.getuid())], audit=config)
    log.wait("started")
    with open(ballast, "wb") as f, pytest.raises(OSError):
        while True:
            os.write(f.fileno(), bytes(1024))
    for n in range(30):  # more than what is left of the file's last page
        site.write_entries([entry(os.getuid(), spiffe_id=f"{WEB}/{n}/{'x' * 200}")])
        agent.wait_event("reloaded", count=n + 1)
        assert fetch(site, agent).code == 0
    assert len(agent.events("audit_write_failed")) == 1
    assert log.path.read_text().endswith("}\n")  # no half line is left
    before = len(log.events("issued"))
    assert before < 30
    ballast.unlink()
    log.wait("issued", 30)
    assert len(agent.events("audit_recovered")) == 1 and not log.events("lost")
    assert agent.metrics().total("spindle_audit_lost_total") == 0
