"""A user who has used up inotify: both programs start, say so once, and see changed files by their
periodic look. A user namespace of their own has no inotify instance to give, or no watch."""
import pytest

import harness

WEB = "spiffe://example.org/web"
# LIMIT is of the namespace; a kernel without it cannot show this.
WRAP = """#!/bin/sh
echo 0 >/proc/sys/user/max_inotify_{0} || exit 77
exec "$@"
"""


def start(site, name, program, limit, kind):
    wrap = site.write(f"without-{limit}", WRAP.format(limit), 0o755)
    started = site.start(name, harness.has_program("unshare"), "--user", "--map-root-user", wrap,
                         *site.argv(program, ["run", "--config", site.path(f"{name}.yaml")]),
                         env=harness.NO_LEAK_CHECK, kind=kind)
    harness.wait_until(lambda: started.events("started") or not started.running, "its start")
    if started.process.returncode == 77:
        harness.give_up(f"no user.max_inotify_{limit} in a user namespace here")
    return started


@pytest.mark.parametrize("limit", ["instances", "watches"])
def test_a_sidecar_without_inotify_reads_a_new_certificate_by_its_periodic_look(site, limit):
    ca = site.ca()
    leaf = ca.leaf(WEB)
    files = {"certificate": leaf.certificate, "key": leaf.key, "bundle": ca.bundle}
    files = {k: str(site.write(k, open(v, encoding="ascii").read(), 0o600)) for k, v in files.items()}
    site.write_yaml("web.yaml", site.sidecar_config("web", identity={"files": files}, inbound=[
        {"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": [WEB]}]))
    sidecar = start(site, "web", "spindle-sidecar", limit, harness.Sidecar).wait_ready()
    assert len(sidecar.events("file_watch_degraded")) == 2  # its configuration, its identity
    newer = ca.leaf(WEB)
    site.write("key", open(newer.key, encoding="ascii").read(), 0o600)
    site.write("certificate", open(newer.certificate, encoding="ascii").read(), 0o600)
    sidecar.wait_event("identity_rotated")
    assert len(sidecar.events("file_watch_degraded")) == 2
    assert sidecar.stop() == 0


@pytest.mark.parametrize("limit", ["instances", "watches"])
def test_an_agent_without_inotify_reads_new_entries_by_its_periodic_look(site, limit):
    site.write_yaml("agent.yaml", site.agent_config())
    site.write_entries([])
    agent = start(site, "agent", "spindle-agent", limit, harness.Agent).wait_ready()
    degraded = agent.wait_event("file_watch_degraded")
    assert "max_user_instances" in degraded["next"] and degraded.level == "WARN"
    site.write_entries([{"spiffe_id": WEB, "selectors": ["unix:uid:0"]}])
    agent.wait_event("reloaded", entries="1")
    assert len(agent.events("file_watch_degraded")) == 1
    assert agent.stop() == 0
