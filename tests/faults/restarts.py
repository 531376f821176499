# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook redis_restart on the local fleet under clients that write all the time; some runs are killed, and run again (H26).

Held is a trial when no request of a client failed and no acknowledged write was lost, each node was started anew exactly once, never was more than one
node away or without the data of its primary, and the store says that the restart has ended.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
import time
import typing as t
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import redis
from ansible_collections.exalt.caching.plugins.module_utils._resources.operation_lock import Lock
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.fleet.local.layout import NODES
from tests.harness.acknowledged import Acknowledged
from tests.harness.modules import run_module
from tests.harness.plays import Outcome, cut_off, play
from tests.harness.sequence import accepted
from tests.harness.targets import Fleet

KEY = "a signing key of trials"
KIND = "redis_restarts:local"
# What a run says just before it may be killed
MOMENTS = ("Restart one member", "Keep what was done", "Redis is whole again", "A replica takes over", "Whose shard it is")


@dataclass
class Trial:
    """How one restart of six nodes went; `longest` and `p95` in milliseconds, of the shard that was away for longest."""

    seed: int
    killed: str = ""
    seconds: float = 0.0
    writes: int = 0
    failed: int = 0
    lost: int = 0
    p95: float = 0.0
    longest: float = 0.0
    gaps: list[dict[str, t.Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Restarts:
    """The fleet's Redis, and a store for the lock and for what was done."""

    def __init__(self, fleet: Fleet, store: Path) -> None:
        self.fleet = fleet
        self.store: dict[str, t.Any] = {"store_url": f"file://{store}", "signing_key": KEY}
        self.variables = {f"caching_{name}": value for name, value in self.store.items()}
        self.options = {"password": fleet.state.secret("redis_password"), **fleet.state.redis_options}

    def clients(self) -> Acknowledged:
        return Acknowledged(self.fleet.facts["redis_nodes"], writers=1, **self.options)

    def run(self, check: bool = False, **more: t.Any) -> Outcome:
        return play("redis_restart", self.fleet.inventory, check=check, extra_vars={**self.variables, **more}, timeout=900)

    def cut_off(self, text: str, number: int) -> str:
        """What it had said. Its lock is given back, as it would be after its time."""
        said = cut_off("redis_restart", self.fleet.inventory, text, number, self.variables)
        lock = Lock(open_store(self.store), "local", "topology")
        held = lock.look()
        if held is not None and held.state == "held":
            lock.release(held.token)
        return said

    def processes(self) -> dict[str, str]:
        """Of each node, as supervisor tells; nothing for one that does not run."""
        lines = (line.split() for line in self.fleet.supervisorctl("status").splitlines())
        running = {words[0]: words[3].strip(",") for words in lines if words[1:2] == ["RUNNING"]}
        return {node.name: running.get(node.name, "") for node in NODES}

    def state(self) -> str:
        """What the newest record of a restart in the store says."""
        found = accepted(run_module("store_documents_info", {**self.store, "kind": KIND, "newest": True}))
        return "".join(one["content"]["state"] for one in found["documents"])

    @contextlib.contextmanager
    def watched(self) -> Iterator[list[str]]:
        """Moments at which more than one node was away, or had not the data of its primary."""
        told: list[str] = []
        over = threading.Event()
        nodes = {node.name: redis.Redis(node.host, 6379, socket_timeout=2, **self.options) for node in NODES}

        def well(client: redis.Redis) -> bool:
            try:
                seen = client.info("replication")
            except redis.RedisError:
                return False
            return seen["role"] == "master" or seen["master_link_status"] == "up"

        def watch() -> None:
            while not over.wait(0.1):
                away = [name for name, client in nodes.items() if not well(client)]
                if len(away) > 1:
                    told.append(f"{time.strftime('%H:%M:%S')} {', '.join(away)}")

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield told
        finally:
            over.set()
            watcher.join()
            for client in nodes.values():
                client.close()


def trial(restarts: Restarts, seed: int, kill: bool, plant: t.Callable[[Acknowledged], t.Any] | None = None) -> Trial:
    """`plant`: what the judge has to find."""
    chance = random.Random(seed)
    made = Trial(seed)
    before, began = restarts.processes(), time.monotonic()
    with restarts.watched() as away, restarts.clients() as writers:
        half = before
        if kill:
            made.killed = f"{chance.choice(MOMENTS)} {chance.randrange(1, 6)}"
            try:
                restarts.cut_off(made.killed[:-2], int(made.killed[-1]))
            except AssertionError as error:     # there are not so many, as three nodes are replicas
                made.killed = f"{made.killed}: {str(error)[:40]}"
            time.sleep(chance.choice((0.0, 1.0, 5.0)))
            half = restarts.processes()
        done = restarts.run()
        made.seconds = round(time.monotonic() - began, 1)
        writers.halt()
        if plant:
            plant(writers)
    after = restarts.processes()
    told = writers.result
    made.writes, made.failed, made.lost = told.acknowledged, len(told.failed), len(told.lost)
    made.gaps, made.longest = [asdict(one) for one in told.gaps], told.longest
    made.p95 = max(one.p95 for one in told.gaps)
    if done.rc:
        made.broken.append(f"it ended with {done.rc}: {done.stdout[-1500:]}")
    made.broken += [f"{name} was not restarted" for name in before if not after[name] or after[name] == before[name]]
    made.broken += [f"{name} was restarted twice" for name in before if half[name] not in ("", before[name]) and half[name] != after[name]]
    made.broken += [*(f"away at once: {text}" for text in away[:3]), *told.failed[:3], *told.lost[:3]]
    if (state := restarts.state()) != "finished":
        made.broken.append(f"the store says {state}")
    return made


def trials(count: int, first: int, fleet: Fleet) -> list[Trial]:
    """So many; every sixth is killed."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        restarts = Restarts(fleet, Path(folder) / "store")
        for number in range(count):
            one = trial(restarts, first + number, number % 6 == 5)
            found.append(one)
            for text in one.broken:
                print(f"not held: restart seed {one.seed} {one.killed}: {text}", flush=True)
    return found


def table(found: list[Trial]) -> str:
    lines = [f"{'Redis restarts':<16}{'trials':>7}{'writes':>9}{'failed':>8}{'lost':>6}{'p95':>9}{'longest':>10}{'held':>6}{'seconds':>9}"]
    for name, those in (("to the end", [one for one in found if not one.killed]), ("killed, resumed", [one for one in found if one.killed])):
        if those:
            lines.append(f"{name:<16}{len(those):>7}{sum(one.writes for one in those):>9}{sum(one.failed for one in those):>8}"
                         f"{sum(one.lost for one in those):>6}"
                         f"{max(one.p95 for one in those):>6.0f} ms{max(one.longest for one in those):>7.0f} ms{sum(not one.broken for one in those):>6}"
                         f"{max(one.seconds for one in those):>9.0f}")
    return "\n".join(lines)
