"""`config check` and bad configuration at `run`: one clear line a mistake, with file, line and key, exit
code 2, and nothing made or changed. The exact words of each mistake are pinned in the unit suites."""
import json
import os

import pytest

import harness

ROUTE = [{"listen": "127.0.0.1:0", "forward": "127.0.0.1:1", "expect": ["spiffe://example.org/web"]}]
ENTRY = "entries:\n  - spiffe_id: spiffe://example.org/web\n    selectors: ['unix:uid:1000']\n"


def tree(site):
    """All files with their contents, and all folders: what a check must leave as it is."""
    return {str(p.relative_to(site.dir)): p.read_bytes() if p.is_file() else None
            for p in sorted(site.dir.rglob("*"))}


def check(site, program, text, *args, env=None, name="x.yaml"):
    if text is not None:
        site.write(name, text)
    before = tree(site)
    got = site.run(program, "config", "check", "--config", name, *args, env=env)
    assert tree(site) == before, "config check changed something"
    return got


def refuse(got, *lines):
    assert got.code == 2, got
    assert got.out == "", got
    assert got.err.splitlines() == list(lines), got


def assert_valid(site, program, got):
    """One line, and then what does the cryptography, as --version says it."""
    lines = ["configuration is valid"] + site.run(program, "--version").out.splitlines()[1:]
    assert (got.code, got.out.splitlines(), got.err) == (0, lines, ""), got


def agent_text(site, more="", entries=True):
    text = f"trust_domain: example.org\ndata_dir: {site.dir}/data\n"
    return text + (f"entries: {site.dir}/entries.yaml\n" if entries else "") + more


def test_a_valid_agent_configuration_passes_and_makes_nothing(site):
    site.write("entries.yaml", ENTRY)
    got = check(site, "spindle-agent", agent_text(site))
    assert_valid(site, "spindle-agent", got)


def test_a_valid_sidecar_configuration_passes_and_opens_nothing(site):
    site.write_yaml("x.yaml", site.sidecar_config("web", outbound=ROUTE))
    got = check(site, "spindle-sidecar", None)
    assert_valid(site, "spindle-sidecar", got)


@pytest.mark.parametrize("program", ["spindle-agent", "spindle-sidecar"])
def test_a_missing_file_is_named(site, program):
    refuse(check(site, program, None, name="none.yaml"), "none.yaml: cannot be read: No such file or directory")


@pytest.mark.parametrize("program, first", [("spindle-agent", "trust_domain"), ("spindle-sidecar", "identity")])
def test_an_empty_file_is_an_error(site, program, first):
    refuse(check(site, program, ""),
           f"x.yaml: is empty: expected configuration keys, such as {first}: ...")


def test_a_file_that_may_not_be_read_is_named(site):
    site.write("x.yaml", agent_text(site), mode=0o600)
    got = site.run("spindle-agent", "config", "check", "--config", "x.yaml", uid=1234)
    refuse(got, "x.yaml: cannot be read: Permission denied")


@pytest.mark.parametrize("more, line", [
    ("svid: {x509_tll: 1h}\n", "svid.x509_tll: unknown key, did you mean svid.x509_ttl?"),
    ("svid: {x509_ttl: 1hour}\n",
     'svid.x509_ttl: expected a duration such as 90s, 10m or 1h, found "1hour"'),
    ("svid: [1h]\n", "svid: expected a mapping of keys, found a list"),
    ("authority: {kind: vault}\n", "authority.kind: vault is not built yet in this version; use self"),
    (f"admin: {{socket: /{'a' * 110}}}\n",
     f'admin.socket: expected the absolute path of a Unix socket, found "/{"a" * 69}...": '
     "the path of a Unix socket may have at most 107 bytes, this one has 111"),
])
def test_each_mistake_is_one_line_with_file_line_and_key(site, more, line):
    site.write("entries.yaml", ENTRY)
    refuse(check(site, "spindle-agent", agent_text(site, more)), f"x.yaml:4: {line}")


def test_a_key_that_is_there_twice_is_refused(site):
    refuse(check(site, "spindle-agent", agent_text(site, "data_dir: /x\n")),
           'x.yaml:4: the key "data_dir" is there twice, first in line 2')


def test_all_mistakes_are_told_at_once(site):
    got = check(site, "spindle-agent", "svid: {x509_ttl: x}\nworkers: 1\nentries: /e\n")
    refuse(got, "x.yaml:2: workers: unknown key; `config check --help` lists the known ones",
           "x.yaml: trust_domain: is missing: expected a trust domain such as example.org",
           'x.yaml:1: svid.x509_ttl: expected a duration such as 90s, 10m or 1h, found "x"')


def test_a_setting_is_checked_like_the_file(site):
    site.write("entries.yaml", ENTRY)
    got = check(site, "spindle-agent", agent_text(site), "--set", "svid.x509_ttl=2s")
    assert got.code == 0, got
    refuse(check(site, "spindle-agent", agent_text(site), "--set", "svid.x509_ttl=1s"),
           '--set: svid.x509_ttl: expected at least 2s, found "1s"')


@pytest.mark.parametrize("entries, parts", [
    (ENTRY.replace("example.org", "example.net"), ["entries.yaml:2:", "spiffe_id", "example.net"]),
    (ENTRY.replace("/web", "//web"), ["entries.yaml:2:", "spiffe_id", "path segment is empty"]),
    (ENTRY.replace("['unix:uid:1000']", "[]"), ["entries.yaml:3:", "selectors"]),
    (ENTRY.replace("unix:uid", "unix:shoe"), ["entries.yaml:3:", "selectors", "unix:shoe:1000"]),
])
def test_mistakes_in_entries_are_found_too(site, entries, parts):
    site.write("entries.yaml", entries)
    got = check(site, "spindle-agent", agent_text(site))
    assert (got.code, got.out, len(got.err.splitlines())) == (2, "", 1), got
    assert all(part in got.err for part in parts), got


def test_a_key_file_open_to_others_is_refused(site):
    for name, mode in [("tls.crt", 0o644), ("tls.key", 0o640), ("ca.crt", 0o644)]:
        site.write(name, "", mode=mode)
    files = {"certificate": "tls.crt", "key": "tls.key", "bundle": "ca.crt"}
    site.write_yaml("x.yaml", site.sidecar_config("web", identity={"files": files}, outbound=ROUTE))
    refuse(check(site, "spindle-sidecar", None),
           f"x.yaml:4: identity.files.key: {site.dir}/tls.key holds a key and is open to others: expected mode "
           "0600, found 0640")


def test_a_route_that_admits_nobody_is_a_warning(site):
    route = [{"listen": "127.0.0.1:0", "forward": "127.0.0.1:1", "allow": []}]
    site.write_yaml("x.yaml", site.sidecar_config("web", inbound=route))
    got = check(site, "spindle-sidecar", None)
    assert (got.code, got.out.split("\n")[0]) == (0, "configuration is valid"), got
    assert "inbound[0].allow: warning: is empty and admits nobody" in got.err, got


def test_the_environment_may_name_the_workload_api(site):
    text = "outbound: [{listen: '127.0.0.1:0', forward: '127.0.0.1:1', expect: ['spiffe://td/x']}]\n"
    unset = {"SPIFFE_ENDPOINT_SOCKET": ""}
    assert check(site, "spindle-sidecar", text, env=unset).code == 2
    got = check(site, "spindle-sidecar", text, env={"SPIFFE_ENDPOINT_SOCKET": "unix:///run/api.sock"})
    assert (got.code, got.err) == (0, ""), got
    refuse(check(site, "spindle-sidecar", text, env={"SPIFFE_ENDPOINT_SOCKET": "/run/api.sock"}),
           "x.yaml: identity: SPIFFE_ENDPOINT_SOCKET=/run/api.sock: expected unix:///PATH or tcp://IP:PORT")


@pytest.mark.parametrize("program", ["spindle-agent", "spindle-sidecar"])
def test_run_refuses_what_check_refuses_and_makes_nothing(site, program):
    site.write("x.yaml", f"data_dir: {site.dir}/data\nnonsense: 1\n")
    before = tree(site)
    got = site.run(program, "run", "--config", "x.yaml")
    assert got.code == 2, got
    assert "x.yaml:2: nonsense: unknown key" in got.err, got
    assert tree(site) == before


def test_a_sidecar_refuses_a_port_that_is_taken(site):
    _, port = site.tcp_server()
    route = [{**ROUTE[0], "listen": f"127.0.0.1:{port}"}]
    site.write_yaml("x.yaml", site.sidecar_config("web", metrics=None, outbound=route))
    lines = site.path("x.yaml").read_text().splitlines()
    line = lines.index(f"- listen: 127.0.0.1:{port}") + 1
    got = site.run("spindle-sidecar", "run", "--config", "x.yaml")
    assert got.code == 2, got
    assert got.err.splitlines()[-1] == (
        f"spindle-sidecar: x.yaml:{line}: outbound[0].listen: cannot listen on 127.0.0.1:{port}: "
        "Address already in use"), got
    assert not os.path.exists(site.path("web.sock"))


def test_an_agent_refuses_a_port_that_is_taken(site):
    _, port = site.tcp_server()
    site.write_entries([])
    site.write_yaml("x.yaml", site.agent_config(metrics={"listen": f"127.0.0.1:{port}"}))
    got = site.run("spindle-agent", "run", "--config", "x.yaml")
    assert got.code == 2, got
    assert "x.yaml:8: metrics.listen: " in got.err and f"127.0.0.1:{port}" in got.err, got
    assert "address already in use" in got.err.lower(), got


# Line and key, a change of the agent's configuration or of its entries, what to expect there.
BAD_AT_START = [
    (7, "svid.x509_tll", "unknown key", {"svid": {"x509_tll": "1h"}}),
    (7, "svid.x509_ttl", "a duration", {"svid": {"x509_ttl": "1hour"}}),
    (7, "svid", "found a list", {"svid": ["1h"]}),
    (5, "admin.socket", "at most 107 bytes", {"admin": {"socket": "/tmp/" + "a" * 110}}),
    (3, "entries[0].spiffe_id", "spiffe://example.org/...", {"spiffe_id": "spiffe://other.org/web"}),
    (3, "entries[0].spiffe_id", "a path segment is empty", {"spiffe_id": "spiffe://example.org//web"}),
    (4, "entries[0].selectors", "found an empty list", {"selectors": []}),
    (5, "entries[0].selectors[0]", "unix:shoe:1", {"selectors": ["unix:shoe:1"]}),
]


@pytest.mark.parametrize("line, key, words, change", BAD_AT_START)
@pytest.mark.parametrize("command", ["run", "config check"])
def test_each_mistake_ends_the_program_before_it_makes_anything(site, command, line, key, words, change):
    """One line with file, line and key; exit code 2; no file, no folder."""
    config = {"trust_domain": "example.org", "data_dir": f"{site.dir}/data", "entries": f"{site.dir}/entries.yaml",
              "workload_api": {"socket": f"{site.dir}/p/api.sock"}, "admin": {"socket": f"{site.dir}/admin.sock"},
              "metrics": {"listen": "127.0.0.1:0"}}
    entry = {"id": "web", "spiffe_id": "spiffe://example.org/web", "selectors": ["unix:uid:1000"]}
    (entry if key.startswith("entries") else config).update(change)
    site.write("x.yaml", "".join(f"{k}: {json.dumps(v)}\n" for k, v in config.items()))
    site.write_entries([entry])
    before = tree(site)
    got = site.run("spindle-agent", *command.split(), "--config", "x.yaml")
    assert tree(site) == before, "something was made or changed"
    assert (got.code, got.out, len(got.err.splitlines())) == (2, "", 1), got
    file = f"{site.dir}/entries.yaml" if key.startswith("entries") else "x.yaml"
    assert f"{file}:{line}: {key}: " in got.err and words in got.err, got


def test_a_port_that_is_taken_ends_the_agent_before_it_makes_anything(site):
    """One line, which names the key; no authority on disk."""
    _, port = site.tcp_server()
    site.write_entries([])
    site.write("x.yaml", agent_text(site, f"metrics: {{listen: '127.0.0.1:{port}'}}\n"
                                          f"workload_api: {{socket: {site.dir}/p/api.sock}}\n"))
    before = tree(site)
    got = site.run("spindle-agent", "run", "--config", "x.yaml")
    assert got.code == 2 and len(got.err.splitlines()) == 1, got
    assert f"x.yaml:4: metrics.listen: " in got.err and str(port) in got.err, got
    assert tree(site) == before


@pytest.mark.parametrize("socket", ["tcp://127.0.0.1:8081", "127.0.0.1:8081", "@abstract", "api.sock"])
def test_the_workload_api_listens_on_a_unix_socket_of_this_host_only(site, socket):
    """EP-1, EP-7: a caller is a process of the host that the agent runs on."""
    site.write("entries.yaml", ENTRY)
    got = check(site, "spindle-agent", agent_text(site, f"workload_api: {{socket: '{socket}'}}\n"))
    assert got.code == 2 and "x.yaml:4: workload_api.socket: expected the absolute path" in got.err, got


def test_both_commands_refuse_identity_files_that_no_peer_would_take(site):
    """The file is named, nothing is opened, the exit code is that of a wrong configuration."""
    ca, other = site.ca("ca"), site.ca("other")
    mine, foreign = ca.leaf("spiffe://example.org/web"), ca.leaf("spiffe://example.org/web")
    for name, files, says in [
            ("key", {"key": foreign.key}, str(foreign.key)),
            ("root", {"bundle": other.bundle}, str(other.bundle)),
            ("certificate", {"certificate": mine.key}, "no \"BEGIN CERTIFICATE\" block"),
            ("missing", {"certificate": site.path("none.crt")}, f"{site.path('none.crt')} cannot be read")]:
        whole = {k: str(v) for k, v in {**mine.files(), **files}.items()}
        path = site.write_yaml(f"{name}.yaml",
                               site.sidecar_config("web", identity={"files": whole}, outbound=ROUTE))
        for command in (["config", "check"], ["run"]):
            got = site.run("spindle-sidecar", *command, "--config", path)
            assert got.code == 2 and f"{name}.yaml" in got.err and says in got.err, got
    assert not site.path("web.sock").exists()


@pytest.mark.parametrize("program", ["spindle-agent", "spindle-sidecar"])
@pytest.mark.parametrize("command", [["run"], ["config", "check"]])
def test_without_any_configuration_the_flag_is_named(site, program, command):
    default = f"/etc/spindle/{program.removeprefix('spindle-')}.yaml"
    if os.path.exists(default):
        pytest.skip(f"{default} exists here")
    got = site.run(program, *command)
    assert (got.code, got.out) == (2, ""), got
    assert default in got.err and "--config PATH" in got.err and got.err.count("\n") == 1, got


def test_a_sidecar_runs_on_settings_alone(site):
    """One key of one route at a time; and a route that the file has gets another port."""
    settings = ["identity.workload_api=unix:///nowhere/api.sock", "outbound[0].listen=127.0.0.1:0",
                "outbound[0].forward=127.0.0.1:1", "outbound[0].expect=[spiffe://td/web]",
                "metrics.listen=127.0.0.1:0", *(["sandbox=false"] if harness.SANDBOX else [])]
    if os.path.exists("/etc/spindle/sidecar.yaml"):
        pytest.skip("/etc/spindle/sidecar.yaml exists here")
    flags = [word for s in settings for word in ("--set", s)]
    assert site.run("spindle-sidecar", "config", "check", *flags).code == 0
    web = site.start("web", "spindle-sidecar", "run", *flags, kind=harness.Sidecar)
    assert web.outbound()[1] != 0
    assert web.stop() == 0


def test_what_is_odd_about_entries_is_told_by_both_commands(site):
    site.write_entries([{"spiffe_id": "spiffe://example.org/web", "x509_ttl": "2d",
                         "selectors": ["unix:uid:1", "unix:uid:2", "unix:user:nobody-of-this-name"]}])
    words = ["entries[0]: no process has both unix:uid:1 and unix:uid:2",
             "knows no user of that name", "x509_ttl of 172800 s will be cut"]
    got = check(site, "spindle-agent", agent_text(site))
    assert got.code == 0 and got.out.startswith("configuration is valid\n"), got
    assert all(word in got.err for word in words), got
    agent = site.agent()
    assert all(word in agent.log() for word in words), agent.log()
