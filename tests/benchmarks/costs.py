# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup costs others: the latency of the service while one runs, and the memory of the module, whatever the size."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import urllib3

from tests.benchmarks.backups import Row, fill, module
from tests.harness import process
from tests.harness.scratch import Scratch

SECONDS = 8.0       # of requests, idle and during backups
PACE = 0.01         # seconds from one request to the next
ENTRIES = 200
PASSWORD = "only for the bench"
SMALL, LARGE = 600_000, 192_000      # keys: 3 x 60 MB of short values, and 3 x 500 MB of values of 8 kB


@contextlib.contextmanager
def service(scratch: Scratch) -> Iterator[tuple[str, dict[str, str]]]:
    """One instance of the reference service on this cluster, and the header of its clients."""
    host, port, token = "127.0.0.1", process.free_port(), secrets.token_hex(16)
    arguments = ["--host", host, "--port", str(port), "--management-port", "0", "--tls-port", "0", "--drain", "0", "--database", "",
                 "--redis", ",".join(node.address for node in scratch.nodes), "--namespace", "bench:"]
    running = process.start("tests.fleet.service", arguments, {
        **{f"{role}_TOKEN": token for role in ("API", "ADMIN", "MONITOR")}, "REDIS_USERNAME": "default", "REDIS_PASSWORD": PASSWORD})
    try:
        process.wait_for_port(running, host, port)
        yield f"http://{host}:{port}", {"Authorization": f"Bearer {token}"}
    finally:
        process.stop(running)


class Requests(threading.Thread):
    """Reads entries at a steady pace until it is told to end; a request that is late counts from when it should have begun."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        super().__init__(name="requests")
        self.url, self.headers, self.over = url, headers, threading.Event()
        self.taken: list[float] = []

    def run(self) -> None:
        pool = urllib3.PoolManager(timeout=10, retries=False)
        due = time.monotonic()
        while not self.over.is_set():
            number = len(self.taken) % ENTRIES
            answer = pool.request("GET", f"{self.url}/api/v1/cache/regions/bench/keys/bench:{number}", headers=self.headers)
            if answer.status != 200:
                raise RuntimeError(f"the service answered {answer.status}")
            self.taken.append(time.monotonic() - due)
            due += PACE
            self.over.wait(max(0.0, due - time.monotonic()))

    def p99(self) -> float:
        """Milliseconds."""
        return sorted(self.taken)[int(len(self.taken) * 0.99)] * 1000


def latency(scratch: Scratch, place: dict[str, t.Any]) -> tuple[float, float]:
    """p99 of reads, idle and while one backup after another runs."""
    with service(scratch) as (url, headers):
        pool = urllib3.PoolManager(timeout=10, retries=False, headers=headers)
        pool.request("POST", f"{url}/api/v1/cache/regions", json={"name": "bench"})
        for number in range(ENTRIES):
            answer = pool.request("PUT", f"{url}/api/v1/cache/regions/bench/keys/bench:{number}", json={"value": {"id": number}, "ttl": "PT1H"})
            if answer.status >= 300:
                raise RuntimeError(f"the service answered {answer.status}: {answer.data[:200]!r}")
        found = []
        for during in (None, module(scratch, {**place, "bandwidth_limit": 0}, [])):
            requests = Requests(url, headers)
            requests.start()
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                during() if during else time.sleep(0.2)
            requests.over.set()
            requests.join()
            found.append(requests.p99())
    return found[0], found[1]


def rows(folder: Path, place: dict[str, t.Any]) -> list[Row]:
    """Latency on three shards of 60 MB, memory there and on three of 500 MB."""
    table: list[Row] = []
    peaks: list[float] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        elsewhere = {"store_url": f"file://{memory}/store"}
        with Scratch(folder / "costs", shards=3, replicas=1, password=PASSWORD) as scratch:
            fill(scratch, SMALL)
            idle, during = latency(scratch, place)
            table += [("p99 of the service's reads, idle (ms)", idle, "", None), ("p99 of the service's reads during backups (ms)", during, "", None)]
            peaks += [module(scratch, options, [])()[1] for options in (place, elsewhere)]
        with Scratch(folder / "large", shards=3) as scratch:
            fill(scratch, LARGE, bits=32_000)
            large = module(scratch, {**place, "read_from": "primaries"}, [])()[1]
    return [*table, ("memory of redis_backup, 3 x 60 MB (MB)", max(peaks), "<=", 130.0), ("memory of redis_backup, 3 x 500 MB (MB)", large, "<=", 130.0)]
