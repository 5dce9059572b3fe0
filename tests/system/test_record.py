"""The record of issuance under a real agent, sandbox and all: kill -9, and a disk that is full (a small
tmpfs in a mount namespace of the test's own)."""
import contextlib
import json
import os
import random
import signal
import subprocess

import harness
from harness import wait_until

LEASE = "unix:uid:0"


def entries(count):
    return [{"id": f"e{i}", "spiffe_id": f"spiffe://example.org/e{i}", "selectors": [LEASE]} for i in range(count)]


class Disk:
    """A tmpfs of 1 MiB in a mount namespace; agents of it are started by `agent`."""

    def __init__(self, site):
        harness.need_root()
        self.site, self.path = site, site.path("disk")
        self.path.mkdir()
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c",
             f"mount -t tmpfs -o size=1m,mode=0700 tmpfs {self.path} && echo up && exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        site.closers.append(self.close)
        if self.holder.stdout.readline() != "up\n":
            harness.give_up("no mount namespace here: " + self.holder.stderr.read().strip())
        self.inside = f"/proc/{self.holder.pid}/root{self.path}"

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(harness.DEADLINE)
        self.holder.stdout.close()
        self.holder.stderr.close()

    def agent(self, name="agent", **changes):
        site = self.site
        config = site.agent_config(data_dir=str(self.path / "data"), **changes)
        path = site.write_yaml(f"{name}.yaml", config)
        agent = site.start(name, "/usr/bin/nsenter", "--target", self.holder.pid, "--mount", "--",
                           harness.program_path("spindle-agent"), "run", "--config", path, kind=harness.Agent)
        agent.config_path, agent.socket, agent.admin = path, config["workload_api"]["socket"], config["admin"]["socket"]
        return agent.wait_ready()

    def fill(self):
        with open(f"{self.inside}/fill", "ab", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(bytes(4096))

    def free(self):
        os.unlink(f"{self.inside}/fill")


def fetch(site, agent, code=0):
    got = site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.socket, "--output", "json")
    assert got.code == code, got
    return {s["serial"] for s in got.json()["svids"]} if code == 0 else got.err


def recorded(site, agent):
    got = site.run("spindle-agent", "svids", "search", "--admin", agent.admin, "--output", "json", "--limit", "100000")
    assert got.code == 0, got
    return {r["serial"] for r in got.json()["svids"]}


def own(agent, name):
    return agent.metrics()[name, frozenset()]


def test_nothing_is_issued_while_the_disk_is_full_and_all_is_well_again_after(site):
    disk = Disk(site)
    site.write_entries(entries(100))
    agent = disk.agent()
    watch = site.start("watch", "spindle-agent", "api", "watch", "--socket", agent.socket, "--output", "json")
    watch.wait_log(r"\}\n")
    held = {s["serial"] for s in json.loads(watch.log().splitlines()[0])["svids"]}
    disk.fill()

    def renew():
        return site.run("spindle-agent", "svids", "renew", "entry:e0", "--admin", agent.admin)
    got = wait_until(lambda: (r := renew()).code != 0 and r, "a renewal that cannot be recorded")
    assert got.code == 1 and "cannot be recorded" in got.err and "No space left" in got.err, got
    assert own(agent, "spindle_agent_record_failing") == 1
    assert own(agent, "spindle_agent_record_failures_total") >= 1
    assert own(agent, "spindle_agent_record_unrecorded_total") == 0
    agent.wait_event("record_failed")
    status, text = agent.ready()
    assert status == 200 and "degraded: the record of issuance" in text, "SVIDs in hand are served"
    assert len(fetch(site, agent) & held) >= 99, "all but the one that was renewed"
    before = recorded(site, agent)

    site.write_entries(entries(101))  # a new one cannot be had
    agent.wait_event("reloaded")
    fetch(site, agent, code=1)
    assert recorded(site, agent) == before

    disk.free()
    agent.wait_event("record_recovered")
    assert fetch(site, agent) <= recorded(site, agent)
    assert own(agent, "spindle_agent_record_failing") == 0
    assert "degraded" not in agent.ready()[1]
    agent.kill()
    again = disk.agent("again")
    assert before < recorded(site, again)
    assert not again.events("record_damaged") and not again.events("record_cut")


def test_issuing_may_go_on_while_the_disk_is_full(site):
    disk = Disk(site)
    site.write_entries(entries(1010))  # more than one page of a search
    agent = disk.agent(record={"on_failure": "continue"})
    disk.fill()
    got = fetch(site, agent)
    waiting = own(agent, "spindle_agent_record_waiting")
    assert waiting == len(got) and own(agent, "spindle_agent_record_unrecorded_total") == waiting
    assert own(agent, "spindle_agent_record_failing") == 1 and own(agent, "spindle_agent_record_lost_total") == 0
    agent.wait_event("record_failed")
    assert recorded(site, agent) == got, "what waits is found, and so can be revoked"
    disk.free()
    agent.wait_event("record_recovered")
    assert own(agent, "spindle_agent_record_waiting") == 0
    agent.kill()
    assert recorded(site, disk.agent("again")) == got


def test_what_a_full_disk_does_can_be_changed_while_it_is_full(site):
    disk = Disk(site)
    site.write_entries(entries(100))
    agent = disk.agent()
    disk.fill()
    assert "Unavailable" in fetch(site, agent, code=1)
    text = agent.config_path.read_text()
    site.write(agent.config_path.name, text + "record: {on_failure: continue}\n")
    agent.send_signal(signal.SIGHUP)
    agent.wait_event("reloaded")
    assert len(fetch(site, agent)) == 100
    assert own(agent, "spindle_agent_record_waiting") == 100


def test_agent_starts_on_a_full_disk(site):
    disk = Disk(site)
    site.write_entries(entries(3))
    agent = disk.agent()
    held = fetch(site, agent)
    agent.stop()
    disk.fill()
    agent = disk.agent("again")
    assert recorded(site, agent) == held


def test_every_svid_that_left_is_recorded_over_kills(site):
    """5 rounds; RECORD_ROUNDS=200 for more."""
    entries_ = entries(20)
    seen, agent = set(), None
    for i in range(int(os.environ.get("RECORD_ROUNDS", "5"))):
        agent = site.agent(entries=entries_, name=f"agent{i}", svid={"x509_ttl": "1h"})
        watches = [subprocess.Popen(
            site.argv("spindle-agent", ["api", "watch", "--socket", agent.socket, "--output", "json"]),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(3)]
        renewer = subprocess.Popen(
            ["sh", "-c", 'while :; do "$0" svids renew entry:e$((i % 20)) --admin "$1"; i=$((i+1)); done',
             str(harness.program_path("spindle-agent")), str(agent.admin)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for line in watches[0].stdout:  # the first message, and then some
            if random.random() < 0.1:
                break
        agent.kill()
        renewer.kill()
        for w in watches:
            w.terminate()
            out = (line if w is watches[0] else b"") + w.communicate()[0]
            for message in out.splitlines():
                with contextlib.suppress(ValueError):  # the last one may be cut
                    seen |= {s["serial"] for s in json.loads(message)["svids"]}
        renewer.wait(harness.DEADLINE)
    agent = site.agent(name="last")
    assert seen and seen <= recorded(site, agent)
    assert not agent.events("record_damaged")
