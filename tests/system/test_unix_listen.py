"""Routes that listen on a Unix socket: who may open the file, who may connect, and what becomes of it."""
import os
import pathlib
import signal
import socket
import stat
import subprocess

import pytest

import harness
from test_hostile_peers import WEB

FRIEND, STRANGER = 40001, 40002
ROUTE = {"forward": "127.0.0.1:9", "expect": [WEB]}
# As another user: connects, says a line, prints what comes back ("closed" for nothing).
TALK = """import socket, sys
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    s.sendall(b"hello")
    print((s.recv(5) or b"closed").decode())
except OSError as e:
    print(type(e).__name__)
"""


def talk(path, uid):
    harness.need_root()
    got = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/python3", "-c",
                          TALK, str(path)], capture_output=True, text=True, timeout=harness.DEADLINE, check=False)
    return got.stdout.strip() or got.stderr


def pair(site, **route):
    """A sidecar with one outbound route on a Unix socket, to an echo behind another sidecar."""
    leaf = site.ca().leaf(WEB)
    server = site.sidecar("server", identity={"files": leaf.files()}, inbound=[
        {"listen": "127.0.0.1:0", "forward": "%s:%s" % site.tcp_server(), "allow": [WEB]}])
    path = site.path("shop.sock")
    client = site.sidecar("client", identity={"files": leaf.files()}, outbound=[
        {"listen": str(path), "forward": "%s:%s" % server.inbound(), "expect": [WEB], **route}])
    return client, path


def lone(site, wait=True, umask=0o022, **route):
    """The config of a sidecar whose route leads nowhere, started."""
    path = site.path("shop.sock")
    config = site.write_yaml("web.yaml", site.sidecar_config("web", outbound=[{"listen": str(path), **ROUTE, **route}],
                                                             identity={"files": site.ca().leaf(WEB).files()}))
    program = harness.program_path("spindle-sidecar")
    sidecar = site.start("web", "/bin/sh", "-c", f"umask {umask:03o}; exec {program} run --config {config}",
                         kind=harness.Sidecar)
    sidecar.config_path = config
    if wait:
        sidecar.wait_event("started")
    return sidecar, path


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_socket_is_its_owners_alone_by_default(site, umask):
    _, path = lone(site, umask=umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert talk(path, STRANGER) == "PermissionError"


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_mode_and_owner_are_those_of_the_configuration(site, umask):
    harness.need_root()
    _, path = lone(site, umask=umask, mode="0660", owner=f"{FRIEND}:{FRIEND}")
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o660, FRIEND, FRIEND)
    assert talk(path, STRANGER) == "PermissionError"


def test_an_inbound_route_on_a_unix_socket_has_a_mode_too(site):
    path = site.path("in.sock")
    sidecar = site.sidecar("web", identity={"files": site.ca().leaf(WEB).files()}, inbound=[
        {"listen": str(path), "forward": "127.0.0.1:9", "allow": [WEB], "mode": "0640"}])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    sidecar.stop()
    assert not path.exists()


def test_only_users_on_the_list_are_let_in(site):
    client, path = pair(site, mode="0666", uids=[FRIEND])
    assert talk(path, FRIEND) == "hello"
    assert talk(path, STRANGER) in ("closed", "ConnectionResetError", "BrokenPipeError")
    event = client.wait_event("connection_refused", reason="caller_not_allowed")
    assert f"uid {STRANGER}" in event["detail"] and event["listen"] == f"unix:{path}"
    client.wait_metric("spindle_sidecar_connections_refused_total", direction="outbound", reason="caller_not_allowed")
    assert talk(path, FRIEND) == "hello"


def test_the_list_of_users_is_reloaded(site):
    client, path = pair(site, mode="0666", uids=[FRIEND])
    client.config["outbound"][0]["uids"] = [FRIEND, STRANGER]
    site.write_yaml("client.yaml", client.config)
    client.wait_event("reloaded")
    assert talk(path, STRANGER) == "hello"
    client.config["outbound"][0]["mode"] = "0600"
    site.write_yaml("client.yaml", client.config)
    refused = client.wait_event("config_error")
    assert "outbound" in refused.line and "restart" in refused.line


def test_the_file_is_gone_after_the_end(site):
    sidecar, path = lone(site)
    assert path.exists()
    assert sidecar.stop() == 0
    assert not path.exists()


def test_a_file_that_somebody_else_made_stays(site):
    sidecar, path = lone(site)
    path.unlink()
    path.write_text("of somebody else")
    assert sidecar.stop() == 0
    assert path.read_text() == "of somebody else"


def test_what_a_killed_one_left_is_replaced(site):
    sidecar, path = lone(site)
    sidecar.kill()
    left = path.stat()
    again = site.start("again", "spindle-sidecar", "run", "--config", sidecar.config_path)
    again.wait_event("started")
    assert path.stat().st_ctime_ns != left.st_ctime_ns
    assert harness.connectable(path)


def test_what_another_listens_on_is_left_alone(site):
    path = site.path("shop.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        sidecar, _ = lone(site, wait=False)
        sidecar.stopped = True
        assert sidecar.wait_exit() in (1, 2)
        assert "another process listens there" in sidecar.log()
        assert path.exists()


def test_a_start_that_fails_leaves_no_file(site):
    path = site.path("shop.sock")
    routes = [{"listen": str(at), **ROUTE} for at in (path, site.path("none") / "x.sock")]
    config = site.write_yaml("web.yaml", site.sidecar_config("web", outbound=routes))
    got = site.run("spindle-sidecar", "run", "--config", config)
    assert got.code == 2 and "outbound[1].listen" in got.err, got
    assert not path.exists()


MISTAKES = [
    ({"mode": "0999"}, 'outbound[0].mode: expected the mode of a socket in octal such as "0660"'),
    ({"mode": "rw-rw----"}, "outbound[0].mode: expected the mode"),
    ({"mode": "0777"}, "outbound[0].mode: expected the mode"),
    ({"owner": "no-such-user-here:root"}, 'outbound[0].owner: there is no user "no-such-user-here" on this machine'),
    ({"owner": "root:no-such-group-here"}, 'outbound[0].owner: there is no group "no-such-group-here"'),
    ({"owner": "a:b:c"}, 'outbound[0].owner: expected an owner such as "shop:shop"'),
    ({"uids": ["shop"]}, 'outbound[0].uids: expected numbers of users such as 1001, found "shop"'),
    ({"listen": "127.0.0.1:0", "mode": "0660"}, "outbound[0].mode: is for a Unix socket alone, and listen is 127.0.0.1:0"),
    ({"listen": "127.0.0.1:0", "owner": "root"}, "outbound[0].owner: is for a Unix socket alone"),
    ({"listen": "127.0.0.1:0", "uids": [1]}, "outbound[0].uids: is for a Unix socket alone"),
]


@pytest.mark.parametrize("words", [["config", "check"], ["run"]])
@pytest.mark.parametrize("change,says", MISTAKES)
def test_a_mistake_is_told_with_its_key(site, change, says, words):
    route = {"listen": str(site.path("shop.sock")), **ROUTE, **change}
    config = site.write_yaml("web.yaml", site.sidecar_config("web", outbound=[route]))
    got = site.run("spindle-sidecar", *words, "--config", config)
    assert got.code == 2, got
    assert says in got.out + got.err, got
    assert not site.path("shop.sock").exists()


def sidecar_with(site, folder, **changes):
    base = {"outbound": [{"listen": "127.0.0.1:0", **ROUTE}], **changes}
    return "spindle-sidecar", site.write_yaml("web.yaml", site.sidecar_config("web", **base))


def agent_with(site, **changes):
    site.write_entries([])
    return "spindle-agent", site.write_yaml("agent.yaml", site.agent_config(**changes))


FOLDERS = {
    "outbound[0].listen": lambda s, f: sidecar_with(s, f, outbound=[{"listen": f"{f}/shop.sock", **ROUTE}]),
    "sidecar admin.socket": lambda s, f: sidecar_with(s, f, admin={"socket": f"{f}/admin.sock"}),
    "sidecar metrics.listen": lambda s, f: sidecar_with(s, f, metrics={"listen": f"{f}/metrics.sock"}),
    "workload_api.socket": lambda s, f: agent_with(s, workload_api={"socket": f"{f}/api.sock"}),
    "agent admin.socket": lambda s, f: agent_with(s, admin={"socket": f"{f}/admin.sock"}),
    "agent metrics.listen": lambda s, f: agent_with(s, metrics={"listen": f"{f}/metrics.sock"}),
}


@pytest.mark.parametrize("words", [["config", "check"], ["run"]])
@pytest.mark.parametrize("key", FOLDERS)
def test_a_socket_in_a_folder_that_others_may_write_is_refused(site, key, words):
    folder = site.path("open")
    folder.mkdir()
    folder.chmod(0o777)
    program, config = FOLDERS[key](site, folder)
    got = site.run(program, *words, "--config", config)
    assert got.code == 2, got
    said = got.out + got.err
    assert key.split()[-1] in said and f"folder {folder} has mode 0777" in said and f"chmod o-w {folder}" in said, got
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("key", FOLDERS)
def test_a_socket_in_a_folder_of_another_user_is_refused(site, key):
    harness.need_root()
    folder = site.path("foreign")
    folder.mkdir()
    os.chown(folder, STRANGER, STRANGER)
    program, config = FOLDERS[key](site, folder)
    got = site.run(program, "run", "--config", config)
    assert got.code == 2, got
    assert f"folder {folder} belongs to uid {STRANGER}" in got.out + got.err, got


def test_a_sticky_folder_is_accepted(site):
    """As /tmp: nobody removes there what is not his."""
    folder = site.path("sticky")
    folder.mkdir()
    folder.chmod(0o1777)
    program, config = FOLDERS["workload_api.socket"](site, pathlib.Path(folder))
    agent = site.start("agent", program, "run", "--config", config)
    agent.wait_event("started")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait_exit() == 0
