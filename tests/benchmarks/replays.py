# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replay of JSON values into three shards: as the module does it, the servers' own limit, and redis-py's pipelines, in turns."""

from __future__ import annotations

import json
import random
import statistics
import time
import typing as t
from pathlib import Path

from ansible_collections.exalt.caching.plugins.module_utils import _rdb, _topology
from ansible_collections.exalt.caching.plugins.module_utils._redis import Redis
from ansible_collections.exalt.caching.plugins.module_utils._replay import Checksums, Replay
from ansible_collections.exalt.caching.plugins.module_utils._replay_nodes import Owners
from ansible_collections.exalt.caching.plugins.module_utils._replay_wire import Block, Primary

from tests.harness import rdb_bytes as raw
from tests.harness.replays import replay
from tests.harness.scratch import Scratch


class Taken(t.NamedTuple):
    """Seconds by the clock, of this process, and of the servers."""

    seconds: float
    own: float
    servers: float


def files(folder: Path, keys: int) -> list[Path]:
    """An RDB of each third of the slots, as a server writes it: JSON values of about 300 bytes, a third with an expiry."""
    chance = random.Random(1)
    parts: list[list[bytes]] = [[], [], []]
    expiry = int(time.time() * 1000) + 10**9
    for number in range(keys):
        key = b"products::product:%d" % number
        tags = [f"t{number % 7}", f"u{number % 11}"]
        fields = {"id": number, "name": f"product {number}", "price": number * 1.37, "tags": tags, "text": f"{chance.getrandbits(760):x}"}
        value = json.dumps(fields).encode()
        parts[_topology.slot(key) * 3 // 16384].append(raw.record(0, key, raw.text(value), expiry + number if number % 3 == 0 else None))
    made = []
    for shard, records in enumerate(parts):
        path = folder / f"bench-{shard}.rdb"
        path.write_bytes(raw.file(b"\xfe\x00", *records))
        made.append(path)
    return made


def _cpu(scratch: Scratch) -> float:
    """Seconds of processor time that the servers have used."""
    total = 0.0
    for node in scratch.nodes:
        told = scratch.client(node).info("cpu")
        total += float(told["used_cpu_user"]) + float(told["used_cpu_sys"])
    return total


def timed(scratch: Scratch, work: t.Callable[[], None]) -> Taken:
    scratch.flush()
    servers, own, began = _cpu(scratch), time.process_time(), time.perf_counter()
    work()
    seconds, own = time.perf_counter() - began, time.process_time() - own
    return Taken(seconds, own, _cpu(scratch) - servers)


def prebuilt(scratch: Scratch, made: list[Path]) -> t.Callable[[], None]:
    """Every command built beforehand: nothing but sending and reading is left."""
    owners = Owners(Redis(scratch.args), "fail", 30.0)
    blocks: list[tuple[Primary, Block]] = []
    carry, owners._carry = owners._carry, lambda primary, block: blocks.append((primary, block))  # type: ignore[method-assign]
    writer = Replay(owners)
    for path in made:
        with path.open("rb") as file:
            reader = _rdb.Reader(file.read, 1 << 18)
            for batch in reader.batches():
                writer.feed(batch, reader.version)
    owners._carry = carry  # type: ignore[method-assign]

    def send() -> None:
        for primary, block in blocks:
            carry(primary, Block(block.parts, block.number))
        owners.settle()

    return send


def by_redis_py(scratch: Scratch, made: list[Path]) -> None:
    """The same reader, and RESTORE by pipelines of a thousand for each node."""
    sums = Checksums()
    clients = {node.port: scratch.client(node) for node in scratch.primaries()}
    ranges = [(first, last, node.port) for node in scratch.primaries() for first, last in node.slots]
    owner = {slot: port for first, last, port in ranges for slot in range(first, last + 1)}
    pipes = {port: client.pipeline(transaction=False) for port, client in clients.items()}
    for path in made:
        with path.open("rb") as file:
            reader = _rdb.Reader(file.read, 1 << 18)
            for batch in reader.batches():
                for kind, key, when, _idle, _frequency, value in batch:
                    pipe = pipes[owner[_topology.slot(key)]]
                    head, body = bytes([kind]), bytes(value)
                    pipe.restore(key, when or 0, head + body + sums.footer([head, body], reader.version), absttl=when is not None)
                    if len(pipe) >= 1000:
                        pipe.execute()
    for pipe in pipes.values():
        pipe.execute()


def measure(folder: Path, keys: int, rounds: int, replicas: int = 0) -> dict[str, list[Taken]]:
    made = files(folder, keys)
    taken: dict[str, list[Taken]] = {"module": [], "prebuilt": [], "redis-py": []}
    with Scratch(folder / "cluster", "valkey", 3, replicas) as scratch:
        ready = prebuilt(scratch, made)
        ways = {"module": lambda: None if replay(made, scratch, sample=0) else None, "prebuilt": ready, "redis-py": lambda: by_redis_py(scratch, made)}
        for _round in range(rounds):
            for name, way in ways.items():
                taken[name].append(timed(scratch, way))
                if scratch.sizes() != keys:
                    raise RuntimeError(f"{name} wrote {scratch.sizes()} of {keys} keys")
    return taken


def rows(folder: Path, keys: int, rounds: int) -> list[tuple[str, float, str, float | None]]:
    """Figures for the table of `make bench`."""
    taken = measure(folder, keys, rounds)
    middle = {name: statistics.median(keys / one.seconds for one in found) for name, found in taken.items()}
    own = {name: statistics.median(one.own / keys * 1e6 for one in found) for name, found in taken.items()}
    servers = statistics.median(one.servers / keys * 1e6 for one in taken["module"])
    return [
        ("replay (keys/s, goal on free cores)", middle["module"], ">=", 250_000.0),
        ("replay, module (µs of CPU a key)", own["module"], "<=", 3.5),
        ("replay, servers (µs of CPU a key)", servers, "", None),
        ("replay, servers' limit with prebuilt pipelines (keys/s)", middle["prebuilt"], "", None),
        ("replay by redis-py pipelines (keys/s)", middle["redis-py"], "", None),
        ("replay, times as fast as redis-py pipelines", middle["module"] / middle["redis-py"], ">=", 2.0),
    ]
