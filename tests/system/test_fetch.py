"""A workload asks the agent from the command line: what it gets, what lands on disk, what it is told
when it gets nothing. WA-2, WA-10, WA-11, EP-3, EP-4, AG-14"""
import json
import os
import re
import socket
import stat
import subprocess

import pytest

from fake_agent import FakeAgent, der, response, svid
from harness import DEADLINE, has_program, need_root, wait_until

WEB = {"spiffe_id": "spiffe://example.org/web", "selectors": [f"unix:uid:{os.geteuid()}"], "hint": "internal"}
DB = {"spiffe_id": "spiffe://example.org/db", "selectors": [f"unix:uid:{os.geteuid()}"]}
NOBODY = 65534


def fetch(site, agent, *args, **options):
    return site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.socket, *args, **options)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_text_says_what_matters_and_no_key(site):
    got = fetch(site, site.agent([WEB, DB]))
    assert got.code == 0, got
    assert got.out.index("spiffe://example.org/web") < got.out.index("spiffe://example.org/db"), got
    for word in ("Hint:          internal", "Valid until:", "Serial:", "Certificates:  2", "Bundle roots:  1"):
        assert word in got.out, got
    assert "PRIVATE" not in got.out, got


def test_json_has_the_same_and_no_key(site):
    got = fetch(site, site.agent([WEB, DB]), "--output", "json")
    assert got.code == 0, got
    svids = got.json()["svids"]
    assert [s["spiffe_id"] for s in svids] == [WEB["spiffe_id"], DB["spiffe_id"]]
    assert set(svids[0]) == {"spiffe_id", "hint", "serial", "not_before", "not_after", "x509_svid", "bundle",
                             "federated_bundles"}
    assert svids[0]["x509_svid"].count("BEGIN CERTIFICATE") == 2
    assert "PRIVATE" not in got.out, got


def test_written_files_verify_with_openssl_and_keys_are_secret(site):
    openssl = has_program("openssl")
    folder = site.path("out")
    got = fetch(site, site.agent([WEB, DB]), "--write", folder)
    assert got.code == 0, got
    assert sorted(p.name for p in folder.iterdir()) == [
        "bundle.0.pem", "bundle.1.pem", "svid.0.key", "svid.0.pem", "svid.1.key", "svid.1.pem"]
    assert mode(folder) == 0o700
    for n, entry in enumerate((WEB, DB)):
        svid, key, bundle = folder / f"svid.{n}.pem", folder / f"svid.{n}.key", folder / f"bundle.{n}.pem"
        assert mode(key) == 0o600
        assert key.read_text().startswith("-----BEGIN PRIVATE KEY-----")
        verified = site.run(openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", bundle,
                            "-untrusted", svid, svid)
        assert verified.code == 0, verified
        names = site.run(openssl, "x509", "-in", svid, "-noout", "-ext", "subjectAltName")
        assert f"URI:{entry['spiffe_id']}" in names.out, names
        ours = site.run(openssl, "x509", "-in", svid, "-noout", "-pubkey")
        theirs = site.run(openssl, "pkey", "-in", key, "-pubout")
        assert ours.out == theirs.out


def test_writing_again_replaces_the_files_in_place(site):
    agent, folder = site.agent([WEB]), site.path("out")
    fetch(site, agent, "--write", folder)
    folder.joinpath("svid.0.key").write_text("old")
    folder.joinpath("svid.0.key").chmod(0o644)
    got = fetch(site, agent, "--write", folder)
    assert got.code == 0, got
    assert mode(folder / "svid.0.key") == 0o600
    assert "PRIVATE KEY" in (folder / "svid.0.key").read_text()
    assert not [p for p in folder.iterdir() if p.name.endswith(".new")]


def test_a_folder_that_cannot_be_made_is_named(site):
    got = fetch(site, site.agent([WEB]), "--write", site.path("no/such/parent"))
    assert got.code == 1, got
    assert "no/such/parent" in got.err and "No such file" in got.err, got
    assert got.err.count("\n") == 1, got


def test_a_stranger_is_told_who_it_is_and_what_would_help(site):
    need_root()
    got = fetch(site, site.agent([WEB]), uid=NOBODY)
    assert got.code == 1, got
    for word in ("PermissionDenied", "api.sock", f"uid {NOBODY}", f"unix:uid:{NOBODY}"):
        assert word in got.err, got
    assert got.err.count("\n") == 1, got


def test_without_an_agent_the_socket_is_named(site):
    got = site.run("spindle-agent", "api", "fetch", "x509", "--socket", site.path("none.sock"))
    assert got.code == 1, got
    assert "none.sock" in got.err and "is spindle-agent running?" in got.err, got


def test_a_socket_that_nobody_serves_any_more_is_told(site):
    agent = site.agent([WEB])
    agent.kill()
    got = fetch(site, agent)
    assert got.code == 1, got
    assert "Unavailable" in got.err and agent.socket in got.err, got


def test_a_socket_that_never_answers_meets_the_timeout(site):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(site.path("silent.sock")))
        silent.listen()
        got = site.run("spindle-agent", "api", "fetch", "x509", "--socket", site.path("silent.sock"),
                       "--timeout", "100ms")
    assert got.code == 1, got
    assert "no answer from" in got.err and "silent.sock" in got.err, got


# EP-4
@pytest.mark.parametrize("value", ["unix:api.sock", "tcp://localhost:1", "unix://host/api.sock", "tcp://1.2.3.4",
                                   "tcp://1.2.3.4:1/x", "/plain/path"])
def test_a_bad_endpoint_variable_is_wrong_usage(site, value):
    got = site.run("spindle-agent", "api", "fetch", "x509", env={"SPIFFE_ENDPOINT_SOCKET": value})
    assert got.code == 2, got
    assert "SPIFFE_ENDPOINT_SOCKET" in got.err and value in got.err, got


def test_the_endpoint_variable_and_the_configuration_lead_to_the_socket(site):
    agent = site.agent([WEB])
    by_variable = site.run("spindle-agent", "api", "fetch", "x509",
                           env={"SPIFFE_ENDPOINT_SOCKET": f"unix://{agent.socket}"})
    by_config = site.run("spindle-agent", "healthcheck", "--config", agent.config_path,
                         env={"SPIFFE_ENDPOINT_SOCKET": ""})
    assert by_variable.code == 0, by_variable
    assert by_config.code == 0, by_config


def test_healthcheck_tells_healthy_from_not_there(site):
    agent = site.agent([WEB])
    got = site.run("spindle-agent", "healthcheck", "--socket", agent.socket)
    assert got.code == 0 and "healthy" in got.out, got
    agent.stop()
    got = site.run("spindle-agent", "healthcheck", "--socket", agent.socket)
    assert got.code == 1, got


def serials(watch):
    """The serials of the first SVID, in the order they came."""
    seen = re.findall(r"^\S+Z spiffe://example.org/web serial (\w+)", watch.log(), re.MULTILINE)
    return list(dict.fromkeys(seen))


def test_a_watch_prints_each_rotation_with_a_new_serial(site):
    agent = site.agent([WEB], svid={"x509_ttl": "6s"})
    watch = site.start("watch", "spindle-agent", "api", "watch", "--socket", agent.socket)
    wait_until(lambda: len(serials(watch)) >= 3, "three serials")
    assert watch.stop() == 0


def test_a_watch_outlives_an_agent_that_is_killed(site):
    agent = site.agent([WEB])
    watch = site.start("watch", "spindle-agent", "api", "watch", "--socket", agent.socket)
    wait_until(lambda: serials(watch), "a serial")
    agent.kill()
    watch.wait_log("trying again in")
    site.agent(None, name="agent2")
    wait_until(lambda: len(serials(watch)) >= 2, "a serial of the new agent")
    assert watch.stop() == 0


def test_a_watch_prints_json_lines(site):
    agent = site.agent([WEB])
    watch = site.start("watch", "spindle-agent", "api", "watch", "--socket", agent.socket, "--output", "json")
    watch.wait_log("svids")
    assert json.loads(watch.log().splitlines()[0])["svids"][0]["hint"] == "internal"


def test_entries_and_svids_are_listed_for_the_operator(site):
    agent = site.agent([WEB, DB])
    entries = site.run("spindle-agent", "entries", "--admin", agent.admin, "--output", "json")
    assert entries.code == 0, entries
    assert [e["spiffe_id"] for e in entries.json()["entries"]] == [WEB["spiffe_id"], DB["spiffe_id"]]
    assert entries.json()["entries"][0]["selectors"] == WEB["selectors"]
    watch = site.start("watch", "spindle-agent", "api", "watch", "--socket", agent.socket)
    wait_until(lambda: serials(watch), "a serial")
    svids = site.run("spindle-agent", "svids", "--config", agent.config_path, "--output", "json")
    assert svids.code == 0, svids
    web = next(s for s in svids.json()["svids"] if s["spiffe_id"] == WEB["spiffe_id"])
    assert web["serial"] == serials(watch)[0] and web["subscribers"] == 1
    assert "key" not in svids.out.lower(), svids


def test_the_admin_socket_is_for_its_owner_alone(site):
    need_root()
    agent = site.agent([WEB])
    assert mode(site.path("admin.sock")) == 0o600
    got = site.run("spindle-agent", "entries", "--admin", agent.admin, uid=NOBODY)
    assert got.code == 1, got
    assert "admin.sock" in got.err, got


def test_output_that_nobody_reads_ends_a_watch(site):
    """A closed pipe is an end, not a spin."""
    agent = site.agent([WEB], svid={"x509_ttl": "6s"})
    argv = site.argv("spindle-agent", ["api", "watch", "--socket", agent.socket])
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as watch:
        watch.stdout.readline()
        watch.stdout.close()
        assert watch.wait(DEADLINE) != 0


def test_federated_bundles_are_written_beside_their_svid(site):
    """AG-25, WA-12: by the name that spiffe-helper and SPIRE's agent use."""
    ours, first, second = site.ca(), site.ca("a", "a.test"), site.ca("b", "b.test")
    ids = ["spiffe://example.org/web", "spiffe://example.org/db"]
    federated = {"spiffe://b.test": der(second.bundle), "spiffe://a.test": der(first.bundle)}
    agent = FakeAgent(site, response([svid(ours.leaf(i), i, hint=i[-2:]) for i in ids], federated))
    folder = site.path("out")
    got = site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.path, "--write", folder)
    assert got.code == 0, got
    for n in range(2):
        assert der(folder / f"bundle.{n}.pem") == der(ours.bundle)
        assert sorted(der(folder / f"federated_bundle.{n}.{m}.pem") for m in range(2)) == sorted(federated.values())
        assert mode(folder / f"svid.{n}.key") == 0o600
