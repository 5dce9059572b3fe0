"""What a Workload API server costs: the agent alone, and a sidecar that lives on it."""
import json
import os
import subprocess
import time
from typing import Callable, NamedTuple

from measures import generate
from peers import PROGRAMS, needs
from process import Failure, cpu_seconds, free_ports, pss_kib

WORKERS = 8
TRUST_DOMAIN = "example.org"

AGENT = """trust_domain: {trust_domain}
data_dir: {folder}/data
workload_api: {{socket: {folder}/api/api.sock}}
admin: {{socket: {folder}/admin.sock}}
metrics: {{listen: 127.0.0.1:0}}
entries: {folder}/entries.yaml
log: {{level: warn}}
"""
ENTRIES = """entries:
  - spiffe_id: spiffe://{trust_domain}/bench
    selectors: ["unix:uid:{uid}"]
"""
SIDECAR = """identity: {{workload_api: "unix://{socket}"}}
workers: 1
drain_delay: 0s
log: {{level: warn}}
inbound:
  - {{listen: "127.0.0.1:{listen}", forward: "127.0.0.1:{forward}",
     allow: ["spiffe://{trust_domain}/bench"]}}
"""


class Bench(NamedTuple):
    shop: object
    load: object  # path of bench_agent
    scale: int
    pid: int
    socket: object


def start(shop, load, scale):
    for folder in ("api", "data"):
        (shop.path / folder).mkdir(mode=0o755)
    values = {"trust_domain": TRUST_DOMAIN, "folder": shop.path, "uid": os.getuid()}
    shop.write("entries.yaml", ENTRIES.format(**values))
    config = shop.write("agent.yaml", AGENT.format(**values))
    pid = shop.start([PROGRAMS / "spindle-agent", "run", "--config", config], "agent.log")
    socket = shop.path / "api/api.sock"
    end = time.monotonic() + 15
    while not socket.exists():
        if time.monotonic() > end:
            raise Failure(f"the agent did not open {socket}; its log is in {shop.path}")
        time.sleep(0.02)
    bench = Bench(shop, load, scale, pid, socket)
    generate(bench, "fetch", socket, 10, 1)
    return bench


def resting_memory(bench):
    return {"value": pss_kib(bench.pid) / 1024}


def fetches(bench):
    count = 4000 // bench.scale
    before = cpu_seconds(bench.pid)
    notes = generate(bench, "fetch", bench.socket, count, WORKERS)
    return {"value": (cpu_seconds(bench.pid) - before) / count * 1e6, "notes": notes}


def held_streams(bench):
    """Always the full number: the figure is about them all."""
    count = 5000
    with subprocess.Popen([bench.load, "hold", bench.socket, str(count)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        held = json.loads(holder.stdout.readline())["held"]
        time.sleep(1)
        value = pss_kib(bench.pid) / 1024
        holder.stdin.close()
    if held != count:
        raise Failure(f"held {held} of {count} streams")
    return {"value": value}


def sidecar_memory(bench):
    listen, forward = free_ports(2)
    config = bench.shop.write("sidecar.yaml", SIDECAR.format(
        socket=bench.socket, listen=listen, forward=forward, trust_domain=TRUST_DOMAIN))
    pid = bench.shop.start([PROGRAMS / "spindle-sidecar", "run", "--config", config],
                           "sidecar.log")
    bench.shop.wait_listening(listen)
    time.sleep(1)
    return {"value": pss_kib(pid) / 1024}


class Measure(NamedTuple):
    name: str
    label: str
    run: Callable


MEASURES = [
    Measure("agent_idle_mib", "agent idle, PSS MiB", resting_memory),
    Measure("sidecar_idle_mib", "sidecar on the Workload API, idle, PSS MiB", sidecar_memory),
    Measure("fetch_cpu_us", "connect + FetchX509SVID + close, CPU us", fetches),
    Measure("streams_mib", "5,000 open FetchX509SVID streams, PSS MiB", held_streams),
]


def missing(load):
    return needs(PROGRAMS / "spindle-agent", PROGRAMS / "spindle-sidecar", load)()
