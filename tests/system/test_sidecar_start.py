"""Starts that fail half-way: they say what stands in the way, end with its code, and (under a
sanitizer) leave nothing behind."""
import contextlib
import socket

import pytest

PEER = "spiffe://example.org/peer"


def taken():
    server = socket.create_server(("127.0.0.1", 0))
    return server, "127.0.0.1:{}".format(server.getsockname()[1])


def routes(second):
    return [{"listen": at, "forward": "127.0.0.1:1", "allow": [PEER]} for at in ("127.0.0.1:0", second)]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("what,change", [
    ("inbound[1].listen", lambda site, at: {"inbound": routes(at)}),
    ("metrics.listen", lambda site, at: {"metrics": {"listen": at}}),
    ("inbound[1].listen", lambda site, at: {"inbound": routes(f"{site.dir}/none/app.sock")}),
    ("admin.socket", lambda site, at: {"admin": {"socket": f"{site.dir}/none/admin.sock"}}),
], ids=["second port taken", "metrics port taken", "no folder for a route", "no folder for admin"])
def test_a_start_that_fails_half_way_names_the_key(site, what, change, workers):
    server, address = taken()
    with contextlib.closing(server):
        changes = {"inbound": routes("127.0.0.1:0"), "workers": workers, **change(site, address)}
        config = site.write_yaml("sidecar.yaml", site.sidecar_config("sidecar", **changes))
        got = site.run("spindle-sidecar", "run", "--config", config)
    assert got.code not in (0, 1) and got.code < 64, got
    assert what in got.err, got
