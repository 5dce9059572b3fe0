"""revoke, --lift and revocations on a real agent: what the workload gets, what a restart keeps, what
a full disk and kill -9 leave."""
import contextlib
import http.client
import json
import os
import random
import socket
import threading
import time
import urllib.parse

import pytest

import harness
import workload

ME = f"unix:uid:{os.getuid()}"
WEB, DB = "spiffe://example.org/web", "spiffe://example.org/db"
ENTRIES = [{"id": "web", "spiffe_id": WEB, "selectors": [ME]}]
BOTH = [*ENTRIES, {"id": "db", "spiffe_id": DB, "selectors": [ME], "hint": "db"}]
REVOKED = (workload.PERMISSION_DENIED, "the identity was revoked, until an operator lifts it")
# Rounds of kill -9; 200 by hand.
ROUNDS = int(os.environ.get("SPINDLE_KILL_ROUNDS", "10"))


def revoke(site, agent, *args, code=0):
    got = site.run("spindle-agent", "revoke", *args, "--admin", agent.admin, "--output", "json")
    assert got.code == code, got
    return got.json() if code == 0 else got.err


def revocations(site, agent):
    """{target: row}"""
    got = site.run("spindle-agent", "revocations", "--admin", agent.admin, "--output", "json")
    assert got.code == 0, got
    return {r["target"]: r for r in got.json()["revocations"]}


def serial(svid):
    """Of the leaf, as the agent's listings write it."""
    at = svid.chain.index(b"\xa0\x03\x02\x01\x02") + 5  # behind the version
    assert svid.chain[at] == 2
    return svid.chain[at + 2:at + 2 + svid.chain[at + 1]].hex().removeprefix("00")


def serials(message):
    return {s.id: serial(s) for s in workload.svids(message)}


def states(site, agent):
    """{serial: state} of all that was issued."""
    got = site.run("spindle-agent", "svids", "search", "--limit", "100000", "--admin", agent.admin, "--output", "json")
    assert got.code == 0, got
    return {r["serial"].lstrip("0"): r["state"] for r in got.json()["svids"]}


# ---- what the workload gets

@pytest.mark.parametrize("target", [WEB, "entry:web"])
def test_a_revoked_workload_gets_nothing_over_restarts_until_it_is_lifted(site, target):
    agent = site.agent(ENTRIES)
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        old = serials(stream.next())[WEB]
        done = revoke(site, agent, target, "--reason", "keyCompromise")
        assert (done["changed"], done["certificates"], done["reason"]) == (True, 1, "keyCompromise")
        assert stream.end() == REVOKED
        assert c.call("FetchX509SVID").end() == REVOKED
    assert states(site, agent) == {old: "revoked"}
    assert agent.metrics().total("spindle_agent_revocations_total", reason="keyCompromise") == 1
    assert agent.metrics().total("spindle_agent_revocation_holds") == 1
    assert agent.metrics().total("spindle_agent_revoked_certificates") == 1
    assert agent.metrics().total("spindle_agent_workload_api_requests_total", reason="revoked") == 2

    agent.kill()
    agent = site.agent(name="again")
    assert workload.fetch(agent.socket) == REVOKED
    assert states(site, agent) == {old: "revoked"}
    row = revocations(site, agent)[target]
    assert (row["reason"], row["by_uid"]) == ("keyCompromise", os.getuid())
    done = site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.socket)
    assert done.code == 1 and "PermissionDenied" in done.err and "revoked" in done.err

    assert revoke(site, agent, target, "--lift")["changed"]
    new = serials(workload.fetch(agent.socket))[WEB]
    assert states(site, agent) == {old: "revoked", new: "valid"}
    agent.kill()
    agent = site.agent(name="third")
    assert serials(workload.fetch(agent.socket))[WEB] not in (old, new)
    assert states(site, agent)[old] == "revoked"


def test_an_open_stream_loses_the_revoked_identity_and_gets_it_back(site):
    agent = site.agent(BOTH)
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        first = serials(stream.next())
        revoke(site, agent, WEB)
        assert serials(stream.next()) == {DB: first[DB]}
        revoke(site, agent, WEB, "--lift")
        again = serials(stream.next())
        assert again[DB] == first[DB] and again[WEB] != first[WEB]
        revoke(site, agent, WEB)
        revoke(site, agent, DB)
        assert stream.end() == REVOKED
        site.write_entries([BOTH[1]])  # a reload is no way around
        agent.send_signal(harness.signal.SIGHUP)
        agent.wait_event("reloaded")
        assert c.call("FetchX509SVID").end() == REVOKED


def test_a_revoked_certificate_is_replaced_at_once(site):
    agent = site.agent(ENTRIES)
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        old = serials(stream.next())[WEB]
        assert revoke(site, agent, f"serial:{old}", "--reason", "superseded")["certificates"] == 1
        new = serials(stream.next())[WEB]
        assert states(site, agent) == {old: "revoked", new: "valid"}
        assert revoke(site, agent, f"serial:{old.upper()}", "--lift")["changed"]
        assert states(site, agent) == {old: "valid", new: "valid"}
        assert revoke(site, agent, f"serial:{old}", "--lift")["note"] == "it was not revoked; nothing changed"


def test_others_are_not_touched(site):
    agent = site.agent(BOTH)
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        first = serials(stream.next())
        revoke(site, agent, "spiffe://example.org/we")
        revoke(site, agent, "spiffe://example.org/web/x")
        assert stream.is_silent(0.3)
        assert set(states(site, agent).values()) == {"valid"} and len(first) == 2


# ---- the commands

def test_the_commands_say_what_they_did(site):
    agent = site.agent(ENTRIES)
    workload.fetch(agent.socket)

    def text(command, *args, code=0):
        got = site.run("spindle-agent", command, *args, "--admin", agent.admin)
        assert got.code == code, got
        return got.out if code == 0 else got.err

    assert text("revocations") == "revocations: 0\n"
    assert text("revoke", WEB, "--reason", "superseded") == (
        f"{WEB}: revoked (superseded), 1 certificates, held until it is lifted; sidecars told: 0\n")
    assert text("revoke", WEB) == f"{WEB}: it was revoked before; nothing changed\n"
    listed = text("revocations")
    assert f"{WEB}\n  held since " in listed and "\n  revoked " in listed and "revocations: 2\n" in listed
    assert text("revocations", "--limit", "1").endswith("revocations: 1, and more\n")
    assert text("revoke", "--lift", WEB).startswith(f"{WEB}: lifted; sidecars told: 0\n  note: ")
    assert "held all the same" in text("revoke", "spiffe://example.org/nobody")
    event = agent.events("revoked")[0]
    assert (event["target"], event["by_uid"], event["certificates"]) == (WEB, str(os.getuid()), "1")

    for args, code, words in ((["web"], 2, "expected a SPIFFE ID, serial:HEX or entry:ID"),
                              ([WEB, "--reason", "bored"], 2, "keyCompromise"),
                              (["entry:nobody"], 1, "no entry has the id nobody"),
                              (["serial:77"], 1, "no certificate with the serial 77"),
                              ([], 2, "TARGET")):
        assert words in text("revoke", *args, code=code)
    assert agent.metrics().total("spindle_agent_revocations_total") == 2
    assert agent.metrics().total("spindle_agent_revocations_lifted_total") == 1


def test_a_damaged_journal_keeps_the_agent_from_starting(site):
    agent = site.agent(ENTRIES)
    revoke(site, agent, WEB)
    revoke(site, agent, DB)
    agent.stop()
    journal = site.path("data/revocations")
    assert journal.stat().st_mode & 0o777 == 0o600
    data = journal.read_bytes()
    journal.write_bytes(data[:70] + b"?" + data[71:])
    broken = site.agent(name="broken", wait=False)
    broken.stopped = True
    assert broken.wait_exit() == 1
    assert str(journal) in broken.log() and "move it away" in broken.log()
    journal.write_bytes(data + data[16:60])  # a torn row behind them is none of it
    agent = site.agent(name="again")
    agent.wait_event("revocation_journal_cut")
    assert workload.fetch(agent.socket) == REVOKED
    assert journal.read_bytes() == data


# ---- a full disk

def test_on_a_full_disk_revoking_fails_and_nothing_is_half_done(site):
    harness.need_root()
    config = site.agent_config(record={"on_failure": "continue"})
    site.write_entries(ENTRIES)
    path = site.write_yaml("agent.yaml", config)
    site.path("data").mkdir()
    script = site.write("start", f"mount -t tmpfs -o size=2m,mode=0700 none {site.path('data')} && "
                                 f"exec {harness.program_path('spindle-agent')} run --config {path}\n")
    agent = site.start("agent", "/usr/bin/unshare", "--mount", "/bin/sh", script, kind=harness.Agent)
    agent.admin, agent.socket = config["admin"]["socket"], config["workload_api"]["socket"]
    agent.wait_ready()

    def inside(*command):
        return site.run("/usr/bin/nsenter", "--target", agent.pid, "--mount", "--", *command)

    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        old = serials(stream.next())[WEB]
        inside("/bin/dd", "if=/dev/zero", f"of={site.path('data/fill')}", "bs=4096")
        held = []
        failure = None
        for i in range(20):  # the page that the journal's end lies in has room for some
            name = f"spiffe://example.org/{'x' * 1900}{i}"
            got = site.run("spindle-agent", "revoke", name, "--admin", agent.admin)
            if got.code != 0:
                failure = got
                break
            held.append(name)
        assert failure is not None and failure.code == 1, failure
        assert "nothing was changed" in failure.err and "No space left" in failure.err
        size = int(inside("/usr/bin/stat", "-c", "%s", site.path("data/revocations")).out)
        assert set(revocations(site, agent)) == set(held)
        assert agent.metrics().total("spindle_agent_revocation_journal_failures_total") == 1
        assert agent.metrics().total("spindle_agent_revocation_journal_bytes") == size
        assert states(site, agent) == {old: "valid"}
        assert stream.is_silent(0.2)
        assert serials(workload.fetch(agent.socket)) == {WEB: old}

        inside("/bin/rm", site.path("data/fill"))
        revoke(site, agent, WEB)
        assert stream.end() == REVOKED
        assert set(revocations(site, agent)) == {*held, WEB, f"serial:{old}"}


# ---- kill -9

class AdminSocket(http.client.HTTPConnection):
    """The admin socket without a process for each question."""

    def __init__(self, path):
        super().__init__("localhost", timeout=harness.DEADLINE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def post(self, path, **values):
        self.request("POST", f"{path}?{urllib.parse.urlencode(values)}")
        answer = self.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return json.loads(body)


class Operator(threading.Thread):
    """Revokes and lifts at random as fast as it can. held: what was acknowledged; in_flight: the one
    whose answer did not come."""

    def __init__(self, agent, held, revoked, seed):
        super().__init__()
        self.admin, self.held, self.revoked = AdminSocket(agent.admin), held, revoked
        self.in_flight, self.random, self.count, self.problem = None, random.Random(seed), 0, None

    def run(self):
        try:
            while True:
                name = f"spiffe://example.org/e{self.random.randrange(20)}"
                lift = name in self.held
                self.in_flight = name
                values = {"lift": "true"} if lift else {}
                self.admin.post("/v1/revoke", target=name, **values)
                (self.held.discard if lift else self.held.add)(name)
                self.in_flight = None
                self.count += 1
        except (OSError, http.client.HTTPException):
            pass  # the agent is dead
        except AssertionError as e:
            self.problem = e


class Workload(threading.Thread):
    """Takes SVIDs, as fast as they are renewed. seen: every serial that was handed out, by ID."""

    def __init__(self, agent, seen):
        super().__init__()
        self.agent, self.seen = agent, seen

    def run(self):
        with contextlib.suppress(OSError, workload.Closed, http.client.HTTPException, TimeoutError, AssertionError):
            while True:
                got = workload.fetch(self.agent.socket)
                if isinstance(got, bytes):
                    self.seen.update({v: k for k, v in serials(got).items()})
                    AdminSocket(self.agent.admin).post("/v1/svids/renew", target="entry:e1")


def check_restarted(site, agent, held, in_flight, seen, revoked):
    now = revocations(site, agent)
    holds = {t for t in now if t.startswith("spiffe:")}
    assert holds - {in_flight} == held - {in_flight}, "an acknowledged revocation was lost, or one came back"
    known = states(site, agent)
    assert seen.keys() <= known.keys(), "an SVID was handed out that is not recorded"
    for number, name in seen.items():
        if name in holds:
            assert known[number] == "revoked", "held, and a certificate of it is good"
    revoked |= {n for n, state in known.items() if state == "revoked"}
    assert all(known[n] == "revoked" for n in revoked), "a revoked certificate is good again"
    assert not agent.events("record_damaged")
    return holds


def test_kill_9_while_issuing_and_revoking_loses_nothing_acknowledged(site):
    entries = [{"id": f"e{i}", "spiffe_id": f"spiffe://example.org/e{i}", "selectors": [ME], "hint": f"{i}"}
               for i in range(20)]
    agent = site.agent(entries, log={"level": "info"})
    root = workload.bundles(workload.fetch(agent.socket, "FetchX509Bundles"))
    held, seen, revoked = set(), {}, set()
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    done = 0
    for turn in range(ROUNDS):
        operator, taker = Operator(agent, held, revoked, chance.random()), Workload(agent, seen)
        operator.start()
        taker.start()
        time.sleep(chance.uniform(0, 0.25))  # the moment of the kill; nothing is waited for
        agent.kill()
        operator.join()
        taker.join()
        assert operator.problem is None, operator.problem
        done += operator.count
        site.programs.remove(agent)
        agent.log_path.unlink()
        agent = site.agent(log={"level": "info"})
        held = check_restarted(site, agent, held, operator.in_flight, seen, revoked)
        assert workload.bundles(workload.fetch(agent.socket, "FetchX509Bundles")) == root, f"turn {turn}, seed {seed}"
    assert done > ROUNDS and seen, f"seed {seed}"
    print(f"{ROUNDS} kills, {done} revocations and lifts acknowledged, {len(seen)} SVIDs seen")


# ---- with sidecars

CLIENT = "spiffe://example.org/client"


class Ends:
    """client -> outbound -> mTLS -> inbound -> an echo, on one node. stolen: the client's side has a
    copy of the certificate and key, and asks nobody."""

    def __init__(self, site, stolen=False):
        self.site = site
        entries = [{"id": n, "spiffe_id": f"spiffe://example.org/{n}", "selectors": [ME]} for n in ("web", "client")]
        self.agent = site.agent(entries)
        echo = "{}:{}".format(*site.tcp_server())
        self.inbound = site.sidecar("inbound", identity={"spiffe_id": WEB}, revocation={"policy": "hard"},
                                    inbound=[{"listen": "127.0.0.1:0", "forward": echo, "allow": [CLIENT]}])
        web = "{}:{}".format(*self.inbound.inbound())
        route = [{"listen": "127.0.0.1:0", "forward": web, "expect": [WEB]}]
        if stolen:
            self.outbound = site.sidecar("outbound", identity={"files": self.steal()}, outbound=route)
        else:
            self.outbound = site.sidecar("outbound", identity={"spiffe_id": CLIENT}, outbound=route,
                                         revocation={"policy": "hard"}, timeouts={"connect": "1s"})
        self.linked = [self.inbound] + ([] if stolen else [self.outbound])
        self.wait_linked()

    def steal(self):
        folder = self.site.path("stolen")
        got = self.site.run("spindle-agent", "api", "fetch", "x509", "--socket", self.agent.socket, "--write", folder)
        assert got.code == 0, got
        return {"certificate": str(folder / "svid.1.pem"), "key": str(folder / "svid.1.key"),
                "bundle": str(folder / "bundle.1.pem")}

    def wait_linked(self):
        for side in self.linked:
            harness.wait_until(lambda s=side: s.metrics().total("spindle_sidecar_share_connected") == 1, "share.sock")

    def connect(self):
        conn = socket.create_connection(self.outbound.outbound(), timeout=harness.DEADLINE)
        conn.sendall(b"hello")
        return conn

    def works(self):
        with contextlib.suppress(OSError), self.connect() as conn:
            return conn.recv(64) == b"hello"
        return False


def closed(conn):
    """Waits for the end of a connection, however it ends."""
    with contextlib.suppress(ConnectionResetError):
        while conn.recv(65536):
            pass
    return True


@pytest.mark.parametrize("target", [CLIENT, "entry:client"])
def test_sidecars_cut_and_refuse_what_is_revoked_over_restarts_until_it_is_lifted(site, target):
    ends = Ends(site, stolen=True)
    harness.wait_until(ends.works, "a connection")
    with ends.connect() as conn:
        assert conn.recv(64) == b"hello"
        assert revoke(site, ends.agent, target)["sidecars"] == 1
        assert closed(conn)
    assert not ends.works()
    ends.agent.kill()
    assert not ends.works(), "without an agent what was revoked stays so"
    ends.agent = site.agent(name="again")
    ends.wait_linked()
    assert not ends.works()
    revoke(site, ends.agent, target, "--lift")
    assert not ends.works(), "that certificate stays revoked"
    assert len(ends.inbound.events("connection_cut", reason="cert_revoked")) == 1


def test_a_revoked_workloads_own_sidecar_stops_until_it_is_lifted(site):
    ends = Ends(site)
    harness.wait_until(ends.works, "a connection")
    with ends.connect() as conn:
        assert conn.recv(64) == b"hello"
        assert revoke(site, ends.agent, CLIENT)["sidecars"] == 2
        assert closed(conn)
    assert not ends.works()
    revoke(site, ends.agent, CLIENT, "--lift")
    harness.wait_until(ends.works, "a connection with the new certificate")


def test_a_certificate_of_before_a_restart_and_a_new_issuer_is_known_to_be_good(site):
    """hard refuses what is unknown: every issuer with live certificates must have its list."""
    ends = Ends(site)
    harness.wait_until(ends.works, "a connection")
    ends.agent.kill()
    site.path("data/authority/issuer").unlink()
    ends.agent = site.agent(name="again")
    ends.wait_linked()
    harness.wait_until(ends.works, "a connection with certificates of either issuer")


def test_a_revoked_certificate_of_a_sidecar_is_cut_and_its_new_one_is_good(site):
    ends = Ends(site)
    harness.wait_until(ends.works, "a connection")
    with ends.connect() as conn:
        assert conn.recv(64) == b"hello"
        [old] = [n for n, state in states(site, ends.agent).items() if state == "valid" and n in site.run(
            "spindle-agent", "svids", "search", "--id", CLIENT, "--admin", ends.agent.admin).out]
        revoke(site, ends.agent, f"serial:{old}")
        assert closed(conn)
    harness.wait_until(ends.works, "a connection with the new certificate")
