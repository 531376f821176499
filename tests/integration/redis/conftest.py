# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two scratch clusters for the tests of restores, one that backups are of, one that they go into; and the ones that `redis_cluster` is tried on."""

from __future__ import annotations

import shutil
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._redis import Redis
from ansible_collections.exalt.caching.plugins.module_utils._resources.restore import Restore
from ansible_collections.exalt.caching.plugins.module_utils._store import Store, open_store
from redis.exceptions import RedisError

from tests.faults import heals
from tests.harness import datasets, sets
from tests.harness.modules import ModuleResult, run_module
from tests.harness.redis_tls import Secure
from tests.harness.scratch import Scratch, ScratchError, up

KEY = "a signing key of tests"
KEPT = {"appendonly": "yes", "appendfsync": "always", "protected-mode": "no"}   # a node that is killed comes back with all its data


class Stage:
    """A source with data, an empty target, and a store."""

    def __init__(self, source: Scratch, target: Scratch, store: Path) -> None:
        self.source, self.target, self.store = source, target, store

    def put(self, **options: t.Any) -> str:
        return sets.put(self.store, self.source, key=KEY, **options)

    def args(self, **options: t.Any) -> dict[str, t.Any]:
        given = {**self.target.args, "store_url": f"file://{self.store}", "cluster": "demo", "signing_key": KEY, "wait_timeout": 20, **options}
        return {name: value for name, value in given.items() if value is not None}

    def restore(self, check: bool = False, **options: t.Any) -> ModuleResult:
        return run_module("redis_restore", self.args(**options), check=check)

    def listing(self) -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in self.store.rglob("*") if path.is_file())

    def writes(self) -> int:
        """Calls of commands that write, at all nodes of the target."""
        total = 0
        for node in self.target.nodes:
            for name, row in self.target.client(node).info("commandstats").items():
                if name.removeprefix("cmdstat_") in ("set", "restore", "del", "flushall", "function|restore", "function|flush", "restore|asking"):
                    total += row["calls"]
        return total


@pytest.fixture(scope="module")
def clusters(tmp_path_factory) -> Iterator[tuple[Scratch, Scratch]]:
    folder = tmp_path_factory.mktemp("restore")
    source, target = Scratch(folder / "s", "valkey", 3), Scratch(folder / "t", "valkey", 2, 1)
    try:
        up(source, target)
        yield source, target
    finally:
        source.down()
        target.down()


@pytest.fixture
def stage(clusters: tuple[Scratch, Scratch], tmp_path: Path) -> Iterator[Stage]:
    source, target = clusters
    for one in clusters:
        one.until(one.whole, "a cluster is not whole")
        one.flush()
    datasets.fill(source, 31)
    (tmp_path / "store").mkdir()
    yield Stage(source, target, tmp_path / "store")
    shutil.rmtree(tmp_path / "store")


def job(stage: Stage, told: list[str] | None = None, store: Store | None = None, target: Scratch | None = None, **options: t.Any) -> Restore:
    """A restore in this process, for tests that do something in the middle of it."""
    given = {"id": "newest", "identities": None, "mode": "replay", "patterns": [], "on_conflict": "fail", "flush": False, "confirm": None, "scratch": None,
             "safety_backup": False, "encrypt_to": [], "lock": None, "progress_path": None, **stage.args(), **(target or stage.target).args, **options}
    warn = (told if told is not None else list[str]()).append
    return Restore(given, Redis(given), store or open_store(given), warn, lambda: "")


@pytest.fixture(scope="session")
def _formed(tmp_path_factory) -> Iterator[dict[str, Scratch]]:
    """A whole cluster of each flavour with a key for each number, for what leaves it whole."""
    made = {flavour: Scratch(tmp_path_factory.mktemp(flavour) / "c", flavour, 3, 1, KEPT) for flavour in ("valkey", "redis")}
    try:
        up(*made.values())
        for cluster in made.values():
            heals.fill(cluster)
        yield made
    finally:
        for cluster in made.values():
            cluster.down()


@pytest.fixture(scope="session")
def secure(tmp_path_factory) -> Iterator[Secure]:
    """Six nodes by TLS only, mutual, with a password; for what leaves them whole, with certificates that they began with or newer ones."""
    with Secure(tmp_path_factory.mktemp("secure") / "c", "redis", 3, 1, KEPT, password="canary") as cluster:
        heals.fill(cluster)
        yield cluster


@pytest.fixture
def formed(_formed: dict[str, Scratch]) -> t.Callable[[str], Scratch]:
    """`formed("redis")`: six nodes, whole, with all keys, whatever a test that failed did to them."""
    def get(flavour: str) -> Scratch:
        cluster = _formed[flavour]
        try:
            cluster.until(cluster.whole, "a cluster is not whole", 5)
            assert len(cluster.nodes) == 6 and all(node.process and node.process.poll() is None for node in cluster.nodes)
            assert heals.missing(cluster) == 0
        except (AssertionError, ScratchError, RedisError):
            cluster.down()
            cluster.up()
            heals.fill(cluster)
        return cluster

    return get
