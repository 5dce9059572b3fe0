"""The table of measures: what is done to a pair of proxies, and what it cost them."""
import json
import re
import subprocess
import time
from typing import Callable, NamedTuple

from certificates import CLIENT
from process import Failure, cpu_seconds, pss_kib

WORKERS = 8  # connections or handshakes under way at once
CLIENTS = 32  # keep-alive connections of the HTTP load


class Bench(NamedTuple):
    """What every measure is given."""
    shop: object
    pair: object
    load: object  # path of bench_load
    scale: int  # 1, or 4 for a quick run with a quarter of the work


class Figure(NamedTuple):
    """Cost per unit of work: of both proxies, and of the inbound one in it."""
    total: float
    inbound: float
    notes: dict = {}


def generate(bench, *args):
    try:
        done = subprocess.run([str(a) for a in (bench.load, *args)], capture_output=True, text=True,
                              timeout=120)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{bench.load.name} {args[0]} was not done after 120 s") from late
    if done.returncode:
        raise Failure(f"{bench.load.name} {args[0]}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    if result.get("failed"):
        raise Failure(f"{bench.load.name} {args[0]}: {result['failed']} of {result['done']} failed:"
                      f" {done.stderr.strip()}")
    return result


def cpu_of(bench, work, units, scale):
    """CPU time the work took both proxies, per unit, times scale (1e6: microseconds)."""
    before = [cpu_seconds(p) for p in (bench.pair.outbound, bench.pair.inbound)]
    notes = work()
    after = [cpu_seconds(p) for p in (bench.pair.outbound, bench.pair.inbound)]
    outbound, inbound = (scale * (b - a) / units(notes) for a, b in zip(before, after))
    return Figure(outbound + inbound, inbound, notes)


def resting_memory(bench):
    generate(bench, "connect", bench.pair.port, 50, 1)
    time.sleep(0.5)
    outbound, inbound = (pss_kib(p) / 1024 for p in (bench.pair.outbound, bench.pair.inbound))
    return Figure(outbound + inbound, inbound)


def held_connections(bench):
    count = 4000 // bench.scale
    before = [pss_kib(p) for p in (bench.pair.outbound, bench.pair.inbound)]
    with subprocess.Popen([bench.load, "hold", str(bench.pair.port), str(count)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        held = json.loads(holder.stdout.readline())["held"]
        time.sleep(1)
        after = [pss_kib(p) for p in (bench.pair.outbound, bench.pair.inbound)]
        holder.stdin.close()
    if held != count:
        raise Failure(f"held {held} of {count} connections")
    outbound, inbound = ((b - a) / count for a, b in zip(before, after))
    return Figure(outbound + inbound, inbound)


def bulk(bench):
    size = 4_000_000_000 // bench.scale
    generate(bench, "bulk", bench.pair.port, size // 10)
    return cpu_of(bench, lambda: generate(bench, "bulk", bench.pair.port, size),
                  lambda notes: notes["bytes"], 1e9)


def roundtrips(bench):
    count = 20000 // bench.scale
    return cpu_of(bench, lambda: generate(bench, "roundtrip", bench.pair.port, count),
                  lambda notes: notes["done"], 1e6)


def connections(bench):
    count = 4000 // bench.scale
    return cpu_of(bench, lambda: generate(bench, "connect", bench.pair.port, count, WORKERS),
                  lambda notes: notes["done"], 1e6)


def handshakes(bench):
    """Only the inbound proxy works here, so its cost is the whole."""
    count = 4000 // bench.scale
    identity = (bench.shop.path / f"{CLIENT}.pem", bench.shop.path / f"{CLIENT}.key")
    return cpu_of(bench,
                  lambda: generate(bench, "handshake", bench.pair.tls_port, count, WORKERS,
                                   *identity),
                  lambda notes: notes["done"], 1e6)


def wrk(bench, seconds):
    done = subprocess.run(["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--latency",
                           f"http://127.0.0.1:{bench.pair.port}/"], capture_output=True, text=True)
    count = re.search(r"(\d+) requests in", done.stdout)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if not count or not int(count[1]) or re.search(r"Socket errors|Non-2xx", done.stdout):
        raise Failure(f"wrk: {done.stdout} {done.stderr}")
    unit = {"us": 1, "ms": 1e3, "s": 1e6}[tail[2]]
    return {"done": int(count[1]), "p99_us": float(tail[1]) * unit}


def requests(bench):
    wrk(bench, 1)
    return cpu_of(bench, lambda: wrk(bench, 2 if bench.scale > 1 else 6),
                  lambda notes: notes["done"], 1e6)


class Measure(NamedTuple):
    name: str
    label: str
    run: Callable  # (Bench) -> Figure
    app: str  # "sink" or "web"
    tls_only: bool = False


# In this order on one pair: memory first, while nothing else has grown the heap.
MEASURES = [
    Measure("idle_mib", "idle, PSS MiB", resting_memory, "sink"),
    Measure("held_kib", "idle connection, KiB", held_connections, "sink"),
    Measure("bulk_cpu_s_per_gb", "bulk, CPU s/GB", bulk, "sink"),
    Measure("roundtrip_cpu_us", "1-byte round trip, CPU us", roundtrips, "sink"),
    Measure("connection_cpu_us", "new connection, CPU us", connections, "sink"),
    Measure("handshake_cpu_us", "server-side full handshake, CPU us", handshakes, "sink",
            tls_only=True),
    Measure("request_cpu_us", "HTTP request over TCP, CPU us", requests, "web"),
]
