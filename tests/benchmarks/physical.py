# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore from files in place, from nodes that have stopped until every key serves: by the modules, as the servers load the same data by
themselves, and node after node as the guide does it (start, stop without saving, unpack, start, wait: S119 to S123).
"""

from __future__ import annotations

import gzip
import shutil
import signal
import statistics
import tempfile
import time
import typing as t
from pathlib import Path

from tests.benchmarks.replays import files
from tests.benchmarks.ways import Failed
from tests.fleet import paths
from tests.harness.modules import run_module
from tests.harness.replays import replay
from tests.harness.scratch import Node, Scratch

Row = tuple[str, float, str, float | None]
GOAL = 1.5


def did(name: str, given: dict[str, t.Any]) -> dict[str, t.Any]:
    done = run_module(name, given, timeout=600)
    if done.get("failed"):
        raise Failed(f"{name}: {done.get('msg')}")
    return done


def stop(cluster: Scratch, nodes: list[Node]) -> None:
    """Those that own nothing first, so that nobody is elected."""
    for node in nodes:
        if node.process and node.process.poll() is None:
            cluster.kill(node, signal.SIGTERM)
            node.process.wait()


def loaded(cluster: Scratch, nodes: list[Node], keys: int) -> None:
    """Every key is there, and none of them loads."""
    cluster.until(lambda: sum(int(cluster.client(node).dbsize()) for node in nodes) == keys, f"{keys} keys were not loaded", 600)


class Trial:
    """Three shards with a replica each, and a backup of all that they hold."""

    def __init__(self, cluster: Scratch, folder: Path, made: list[Path], keys: int) -> None:
        self.cluster, self.made, self.keys = cluster, made, keys
        self.place = {"store_url": f"file://{folder / 'store'}", "signing_key": "for trials only", "cluster": "bench"}
        replay(made, cluster, sample=0)
        self.backup = did("redis_backup", {**cluster.args, **self.place})["backup"]["id"]
        self.owners = cluster.primaries()
        self.all = [node for node in cluster.nodes if node not in self.owners] + self.owners

    def whole(self) -> None:
        for node in self.cluster.nodes:
            if not node.process or node.process.poll() is not None:
                self.cluster.start(node)
        self.cluster.until(self.cluster.whole, "the cluster is not whole", 300)

    def by_modules(self, number: int) -> float:
        self.whole()
        plan = did("redis_data_info", {**self.cluster.args, **self.place, "id": self.backup})["plan"]
        rows = {row["address"]: row for row in plan["nodes"]}
        names = ("dbfilename", "appendonly", "appenddirname", "appendfilename")

        def data(rows: list[dict[str, t.Any]], state: str, digests: dict[str, str] | None = None) -> None:
            folders = [{**{name: row[name] for name in names}, "path": row["directory"], "sha256": (digests or {}).get(row["address"], "")} for row in rows]
            did("redis_data", {"folders": folders, "operation": f"round{number}", "state": state})

        for shard in plan["shards"]:
            row = rows[shard["node"]]
            path = f"{row['directory']}/{row['dbfilename']}.staged-round{number}"
            did("redis_restore", {**self.cluster.args, **self.place, "mode": "file", "slots": shard["slots"], "path": path, "id": self.backup})
        stop(self.cluster, self.all)
        began = time.perf_counter()
        data(plan["nodes"], "aside")
        data([rows[shard["node"]] for shard in plan["shards"]], "placed", {shard["node"]: shard["sha256"] for shard in plan["shards"]})
        for node in self.owners:
            self.cluster.start(node)
        wanted = [{"slots": shard["slots"], "key_count": shard["key_count"]} for shard in plan["shards"]]
        did("redis_data_info", {"redis_nodes": [node.address for node in self.owners], "loaded": wanted, "wait_timeout": 600})
        loaded(self.cluster, self.owners, self.keys)
        seconds = time.perf_counter() - began
        data(plan["nodes"], "dropped")
        return seconds

    def by_themselves(self) -> float:
        """The same data, which lies there already as the base of an append-only file."""
        self.whole()
        stop(self.cluster, self.all)
        began = time.perf_counter()
        for node in self.owners:
            self.cluster.start(node)
        loaded(self.cluster, self.owners, self.keys)
        return time.perf_counter() - began

    def by_guide(self, folder: Path, packed: list[Path]) -> float:
        """On nodes without append-only files: with them the guide's dump would not be read at all (H41)."""
        with Scratch(folder, "valkey", 3, 1) as cluster:
            owners = cluster.primaries()
            shard = {node.id: number for number, node in enumerate(owners)}
            stop(cluster, [node for node in cluster.nodes if node not in owners] + owners)
            began = time.perf_counter()
            for node in cluster.nodes:
                number = shard[node.primary or node.id]
                cluster.start(node)
                cluster.until(lambda node=node: bool(cluster.client(node).ping()), "a node does not answer")  # type: ignore[misc]
                cluster.kill(node)
                with gzip.open(packed[number], "rb") as source, (node.folder / "dump.rdb").open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                cluster.start(node)
                cluster.until(lambda node=node: int(cluster.client(node).dbsize()) > 0, "the dump was not loaded", 300)  # type: ignore[misc]
            return time.perf_counter() - began


def rows(folder: Path, keys: int, rounds: int) -> list[Row]:
    """Figures for the table of `make bench`."""
    made = files(folder, keys)
    packed = []
    for path in made:
        target = path.with_suffix(".gz")
        with path.open("rb") as source, gzip.open(target, "wb", 1) as file:
            shutil.copyfileobj(source, file, 1 << 20)
        packed.append(target)
    taken: dict[str, list[float]] = {"modules": [], "themselves": [], "guide": []}
    options = {"appendonly": "yes", "cluster-node-timeout": "15000"}
    with Scratch(folder / "cluster", "valkey", 3, 1, options) as cluster:
        trial = Trial(cluster, folder, made, keys)
        for number in range(rounds):
            taken["modules"].append(trial.by_modules(number))
            taken["themselves"].append(trial.by_themselves())
            trial.whole()
            taken["guide"].append(trial.by_guide(folder / f"guide{number}", packed))
    found = {name: statistics.median(seconds) for name, seconds in taken.items()}
    what = f"restore of {keys:,} keys from files"
    return [
        (f"{what}, until every key serves (s)", found["modules"], "", None),
        (f"{what}: the servers' own load (s)", found["themselves"], "", None),
        (f"{what}: the guide's way (s)", found["guide"], "", None),
        ("restore from files, times the servers' own load", found["modules"] / found["themselves"], "<=", GOAL),
        ("restore from files, times as fast as the guide's way", found["guide"] / found["modules"], ">=", 1.0),
    ]


if __name__ == "__main__":      # by itself: python -m tests.benchmarks.physical
    import os

    with tempfile.TemporaryDirectory(dir=paths.cache()) as place:
        for one in rows(Path(place), int(os.environ.get("BENCH_KEYS") or 600_000), 3):
            print(f"  {one[0]:<90} {one[1]:8.2f}  {one[2]} {one[3] or ''}")
