# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook restore_redis from files, in place, on the local fleet: killed at its steps, after role changes, with append-only files and without.

Held is a trial when afterwards every key is as in the backup or, where it was taken back, as before; the cluster is whole, no process of the
service is left in local-cache mode, the record says how it ended, and, in between, what was there before lay aside or was in its place.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.exalt.caching.plugins.module_utils._resources.operation_lock import Lock
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.fleet.local import cluster, lifecycle
from tests.fleet.local.layout import NODES
from tests.harness.modules import run_module
from tests.harness.plays import Outcome, cut_off, play
from tests.harness.sequence import accepted
from tests.harness.targets import Fleet, forget

KEY = "a signing key of trials"
KIND = "restores_files:local"
NAMESPACE = "physical:"
NUMBER = 400
Facts = dict[str, str]
# What a run says just before it may be killed, and how often it says so
MOMENTS = (
    ("Record: started", 1), (": 5462-10923)", 1), ("Record: fallback", 1), ("Nodes with an append-only file", 1), ("Record: stopping", 1),
    ("Stop the programs", 1), ("Stop the programs", 2), ("Data of the nodes", 3), (": aside)", 2), ("Record: down", 1),
    ("recovery : Files of the backup", 1), ("Data of the nodes", 4), (": placed)", 1), ("Record: placed", 1), ("Start the programs", 1),
    ("Every key of every file", 1), ("Record: loaded", 1), ("One cluster, and copied", 1), ("Record: whole", 1), ("Leave local-cache mode", 1),
)


@dataclass
class Trial:
    """How one restore of six nodes went."""

    seed: int
    killed: str = ""
    end: str = ""
    appends: bool = True
    moved: bool = False
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)


class Physical:
    """The fleet's Redis, and a store for backups, records and the lock."""

    def __init__(self, fleet: Fleet, store: Path) -> None:
        self.fleet = fleet
        self.place: dict[str, t.Any] = {"store_url": f"file://{store}"}
        self.store: dict[str, t.Any] = {**self.place, "signing_key": KEY}
        self.variables = {**{f"caching_{name}": value for name, value in self.store.items()}, "caching_restore_mode": "file", "caching_confirm": "local",
                          "caching_kpi_window": 1, "caching_kpi_gate": "never", "caching_stop_timeout": "PT20S"}

    def run(self, check: bool = False, **more: t.Any) -> Outcome:
        return play("restore_redis", self.fleet.inventory, check=check, extra_vars={**self.variables, **more}, timeout=1200)

    def cut_off(self, text: str, number: int, **more: t.Any) -> str:
        """What it had said. Its lock is given back, as it would be after its time."""
        try:
            return cut_off("restore_redis", self.fleet.inventory, text, number, {**self.variables, **more})
        finally:
            self.unlock()

    def unlock(self) -> None:
        lock = Lock(open_store(self.store), "local", "topology")
        held = lock.look()
        if held is not None and held.state == "held":
            lock.release(held.token)

    def put(self, mark: str, count: int = NUMBER) -> Facts:
        """Other keys than before; what they are."""
        forget(self.fleet, NAMESPACE)
        facts = {f"{NAMESPACE}{mark if number % 4 else 'both'}:{number}": f"{mark} {number} " * (number % 7 + 1) for number in range(count)}
        with contextlib.closing(self.fleet.redis()) as client:
            for name, value in facts.items():
                client.set(name, value, ex=90000 if len(value) % 3 else None)
        return facts

    def facts(self) -> Facts:
        with contextlib.closing(self.fleet.redis()) as client:
            return {name: str(client.get(name)) for name in client.scan_iter(f"{NAMESPACE}*", 1000, target_nodes=client.PRIMARIES)}

    def backup(self) -> str:
        made = accepted(run_module("redis_backup", {**self.fleet.redis_args, **self.store, "cluster": "local"}))
        return str(made["backup"]["id"])

    def record(self) -> dict[str, t.Any]:
        """The newest one in the store."""
        found = accepted(run_module("store_documents_info", {**self.store, "kind": KIND, "newest": True}))["documents"]
        return dict(found[0]["content"]) if found else {}

    def appends(self, wanted: bool) -> None:
        """Whether nodes have an append-only file, also when they start again; without one they keep nothing, as fleets of caches often do."""
        settings = {"appendonly": wanted, "save": ""}
        accepted(run_module("redis_config", {**self.fleet.redis_args, "settings": settings}))

    def move(self, number: int) -> str:
        """The shard's replica becomes its primary."""
        shard = accepted(run_module("redis_cluster_info", self.fleet.redis_args))["shards"][number]
        return str(accepted(run_module("redis_failover", {**self.fleet.redis_args, "shard": shard["primary"]}))["shard"]["after"]["primary"])

    def whole(self, patience: float = 60.0) -> None:
        cluster.wait_until_whole(self.fleet.state.secret("redis_password"), patience, self.fleet.state.redis_options)

    def aside(self) -> int:
        """Nodes of which something lies aside by the last restore."""
        name = f"*.before-{self.record().get('operation')}"
        return sum(any(self.fleet.state.work(node.name).glob(name)) for node in NODES)

    def lost(self) -> list[str]:
        """Nodes of which neither the data of before is in place or aside, nor the file of the backup."""
        return [node.name for node in NODES if not any(
            ".staged-" not in found.name for pattern in ("appendonlydir*", "dump.rdb*") for found in self.fleet.state.work(node.name).glob(pattern))]

    def served(self) -> list[str]:
        """What is wrong with the service: processes that are left in local-cache mode."""
        mode = run_module("cache_mode", {**self.fleet.args, **self.place, "state": "normal"}, check=True)
        if mode.get("failed"):
            return [mode["msg"]]
        return [f"{one['name']} is in local-cache mode" for one in mode["instances"] if one["was"] == "local_cache"]

    def clear(self) -> None:
        """Whatever a trial has left: every node runs, in normal mode, and nothing lies aside."""
        for node in NODES:
            self.fleet.supervisorctl("start", node.name)
        self.whole()
        for told in self.served():
            self.fleet.supervisorctl("restart", told.split()[0])    # it has no call to leave that mode
        lifecycle.wait_until_whole(self.fleet.state)
        for node in NODES:
            for path in [*self.fleet.state.work(node.name).glob("*before-*"), *self.fleet.state.work(node.name).glob("*staged-*")]:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def judged(physical: Physical, wanted: Facts, state: str) -> list[str]:
    """What is not as it should be at the end."""
    broken = []
    try:
        physical.whole()
    except Exception as error:  # whatever it is, the trial is not held
        broken.append(f"the cluster is not whole: {error}")
    found = physical.facts()
    other = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    broken += [f"{node.name}: {path.name} was left" for node in NODES for path in physical.fleet.state.work(node.name).glob("*staged-*")]
    broken += [f"{len(other)} of {len(wanted)} keys are not as wanted, such as {other[0]}"] if other else []
    if (seen := physical.record().get("state")) != state:
        broken.append(f"the record says {seen}, not {state}")
    return broken + physical.served()


def trial(physical: Physical, seed: int, moment: tuple[str, int] | None = None) -> Trial:
    """One restore: killed at a moment, and then finished or taken back by the next run."""
    chance = random.Random(seed)
    text, count = moment or MOMENTS[seed % len(MOMENTS)]
    made = Trial(seed, f"{text} {count}", appends=chance.random() < 0.7, moved=chance.random() < 0.6)
    back = chance.random() < 0.3
    physical.clear()
    physical.appends(made.appends)
    wanted = physical.put("wanted")
    identifier = physical.backup()
    if made.moved:
        physical.move(chance.randrange(3))
    before = physical.put("before", NUMBER // 2)
    physical.whole()
    began = time.monotonic()
    more = {"caching_restore_id": identifier}
    try:
        physical.cut_off(text, count, **more)
    except AssertionError as error:     # it did not say so that often
        made.killed += " (not said)"
        if "did not reach its goal" in str(error):
            made.broken.append(str(error)[-600:])
    made.broken += [f"{name} has nothing" for name in physical.lost()]
    going = physical.record().get("state")
    if going in (None, "finished", "undone"):
        back = False
    done = physical.run(**({"caching_restore_back": True} if back else {}), **more)
    made.seconds = round(time.monotonic() - began, 1)
    made.end = "back" if back else "wanted"
    if done.rc:
        made.broken.append(f"the second run ended with {done.rc}: {done.stdout[-1500:]}")
    made.broken += judged(physical, before if back else wanted, "undone" if back else "finished")
    return made


def trials(count: int, first: int, fleet: Fleet) -> list[Trial]:
    """So many, each killed at another step."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            physical = Physical(fleet, Path(folder) / f"store-{number}")
            one = trial(physical, first + number)
            found.append(one)
            print(f"restore from files, seed {one.seed}, killed at {one.killed}: {one.end}, {one.seconds:.0f} s", flush=True)
            for text in one.broken:
                print(f"not held: restore from files seed {one.seed} {one.killed}: {text}", flush=True)
        physical = Physical(fleet, Path(folder) / "end")
        physical.clear()
        physical.appends(True)
        forget(fleet, NAMESPACE)
    return found


def table(found: list[Trial]) -> str:
    lines = [f"{'restores from files':<26}{'trials':>7}{'moved':>7}{'held':>6}{'seconds':>9}"]
    for name, those in (
        ("killed, gone on with", [one for one in found if one.end == "wanted"]), ("killed, taken back", [one for one in found if one.end == "back"]),
        ("with append-only files", [one for one in found if one.appends]), ("without", [one for one in found if not one.appends]), ("all", found),
    ):
        if those:
            lines.append(f"{name:<26}{len(those):>7}{sum(one.moved for one in those):>7}{sum(not one.broken for one in those):>6}"
                         f"{max(one.seconds for one in those):>9.0f}")
    return "\n".join(lines)
