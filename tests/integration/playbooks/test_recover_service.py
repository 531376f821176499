# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service of the local fleet recovered: stopped, configured, emptied, started and proved; supervisor's own word is the witness."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._resources.operation_lock import Lock
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.fleet.local.layout import NODES
from tests.harness import coverage
from tests.harness.modules import run_module
from tests.harness.plays import Outcome, cut_off, play
from tests.harness.sequence import accepted
from tests.harness.targets import Fleet

NAMES = [f"caching-service-{number}" for number in (1, 2, 3)]
KIND = "recoveries:local"
REGION = {"name": "recovered", "default_ttl": "PT2H", "max_size": 500}


class Recoveries:
    """The fleet, a store of its own, and a folder that stands for the caches of the instances."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet = fleet
        self.store: dict[str, t.Any] = {"store_url": f"file://{folder / 'store'}", "signing_key": "a signing key of trials"}
        self.cache = folder / "caches" / "of-the-service"
        self.variables = {**{f"caching_{name}": value for name, value in self.store.items()}, "caching_kpi_window": 1, "caching_kpi_gate": "never",
                          "caching_local_caches": str(self.cache)}

    def run(self, check: bool = False, **more: t.Any) -> Outcome:
        return play("recover_service", self.fleet.inventory, check=check, extra_vars={**self.variables, **more})

    def confirmed(self, check: bool = False, **more: t.Any) -> Outcome:
        return self.run(check, caching_confirm="local", **more)

    def cut_off(self, text: str, **more: t.Any) -> str:
        """What it had said. Its locks are given back, as they would be after their time."""
        said = cut_off("recover_service", self.fleet.inventory, text, extra_vars={**self.variables, "caching_confirm": "local", **more})
        for scope in ("content", "topology"):
            lock = Lock(open_store(self.store), "local", scope)
            held = lock.look()
            if held is not None and held.state == "held":
                lock.release(held.token)
        return said

    def fill(self) -> None:
        (self.cache / "a folder").mkdir(parents=True, exist_ok=True)
        for name in ("one", ".hidden", "a folder/two"):
            (self.cache / name).write_text("old")

    def processes(self) -> dict[str, str]:
        """Of each instance, as supervisor tells; its state where it does not run."""
        lines = [line.split() for line in self.fleet.supervisorctl("status").splitlines() if line.startswith("caching-service-")]
        return {words[0]: words[3].strip(",") if words[1] == "RUNNING" else words[1] for words in lines}

    def state(self) -> str:
        found = accepted(run_module("store_documents_info", {**self.store, "kind": KIND, "newest": True}))
        return "".join(one["content"]["state"] for one in found["documents"])


class Emptied:
    """What became of a folder: a recorder for the proof of operations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def label(self, name: str) -> None:
        """One test, one folder."""

    def records(self, _name: str) -> list[dict[str, t.Any]]:
        empty = self.folder.is_dir() and not list(self.folder.iterdir())
        return [{"method": "EMPTY", "path": self.folder.name, "status": 200}] if empty else []


@pytest.fixture
def recoveries(fleet: Fleet, tmp_path: Path) -> Iterator[Recoveries]:
    made = Recoveries(fleet, tmp_path)
    emptied = Emptied(made.cache)
    coverage.register(emptied)
    yield made
    coverage.unregister(emptied)
    for name in (*NAMES, *(node.name for node in NODES)):
        fleet.supervisorctl("start", name)
    assert play("status", fleet.inventory).rc == 0


def told(outcome: Outcome) -> str:
    return " ".join(outcome.stdout.split())


@pytest.mark.long
@pytest.mark.operation("S128")
@pytest.mark.hazard("H27", "H48")
def test_a_service_is_recovered(recoveries: Recoveries) -> None:
    """One that is well is left alone, unless the name of the fleet says that it is meant."""
    before = recoveries.processes()
    left = recoveries.run()
    assert left.rc == 0 and left.changed == 0 and "so nothing was done; caching_confirm=local" in told(left), left.stdout
    recoveries.fill()
    planned = recoveries.confirmed(check=True)
    assert planned.rc == 0 and planned.custom["exalt_caching_run"][0]["changes"] == {"service": {"recovered": NAMES}}, planned.stdout
    assert f"3 entries of local caches on disk are removed: {recoveries.cache}" in told(planned), planned.stdout
    assert recoveries.processes() == before and (recoveries.cache / ".hidden").exists() and not recoveries.state()
    done = recoveries.confirmed()
    after = recoveries.processes()
    assert done.rc == 0 and "local is recovered: 3 instances are ready; the smoke test passed" in told(done), done.stdout
    assert all(after[name].isdigit() and after[name] != before[name] for name in NAMES) and list(recoveries.cache.iterdir()) == []
    assert done.custom["exalt_caching_run"][0]["changes"] == {"service": {"recovered": NAMES}} and recoveries.state() == "recovered"
    assert [one["status"] for one in done.results("cache_task")[0]["instances"]] == ["shut down"] * 3


@pytest.mark.long
def test_a_service_that_is_down_wants_the_name_of_the_fleet(recoveries: Recoveries) -> None:
    """All that stands in the way is told at once, and nothing is touched."""
    fleet = recoveries.fleet
    fleet.supervisorctl("stop", NAMES[0])
    before = recoveries.processes()
    refused = recoveries.run(caching_restore_id="nonesuch", caching_local_caches="[/usr/lib/caching]")
    said = told(refused)
    assert refused.rc == 2 and refused.changed == 0 and "nothing was touched: caching_confirm: it stops every instance of local (2 of 3 are ready now)" in said
    assert "there is no backup nonesuch of the configuration" in said and "/usr/lib/caching can not be cleared" in said, refused.stdout
    assert recoveries.processes() == before
    done = recoveries.confirmed()
    assert done.rc == 0 and all(one.isdigit() for one in recoveries.processes().values()), done.stdout


def test_without_redis_nothing_is_stopped(recoveries: Recoveries) -> None:
    fleet = recoveries.fleet
    for name in ("redis-1", "redis-4"):
        fleet.supervisorctl("stop", name)
    before = recoveries.processes()
    refused = recoveries.confirmed()
    assert refused.rc == 2 and "nothing was touched: Redis does not work, as " in told(refused) and recoveries.processes() == before, refused.stdout


@pytest.mark.campaign
@pytest.mark.hazard("H47")
def test_the_configuration_comes_back_and_a_run_that_is_killed_goes_on(recoveries: Recoveries) -> None:
    """What was kept of the state before is not taken for the newest backup, neither by the run that goes on, nor by the next one."""
    fleet = recoveries.fleet
    wanted = {"caching_restore_sections": "[regions]"}

    def size() -> int:
        found = accepted(run_module("cache_info", {**fleet.args, "subset": ["regions"]}))["regions"]
        return next(int(one["max_size"]) for one in found if one["name"] == REGION["name"])

    accepted(run_module("cache_region", {**fleet.args, "regions": [REGION]}))
    try:
        assert play("backup_config", fleet.inventory, extra_vars=recoveries.variables).rc == 0
        accepted(run_module("cache_region", {**fleet.args, "regions": [{**REGION, "max_size": 100}]}))
        recoveries.fill()
        before = recoveries.processes()
        said = recoveries.cut_off("Nothing runs", **wanted)
        assert "every instance is stopped" in said and set(recoveries.processes().values()) == {"STOPPED"} and recoveries.state() == "started"
        assert play("status", fleet.inventory, extra_vars=recoveries.variables).rc != 0
        done = recoveries.confirmed(**wanted)
        assert done.rc == 0 and "a recovery was cut off on " in told(done) and size() == 500 and recoveries.state() == "recovered", done.stdout
        assert not set(before.values()) & set(recoveries.processes().values())
        accepted(run_module("cache_region", {**fleet.args, "regions": [{**REGION, "max_size": 100}]}))
        recoveries.cut_off("The smoke test", **wanted)
        half = recoveries.processes()
        assert recoveries.state() == "starting"
        again = recoveries.confirmed(**wanted)
        assert again.rc == 0 and "nothing is stopped any more" in told(again) and size() == 500 and recoveries.processes() == half, again.stdout
        failed = recoveries.confirmed(caching_smoke_test="false", **wanted)
        assert failed.rc == 2 and "local is not recovered: It works: the smoke test ended with 1" in told(failed), failed.stdout
        assert "caching-service-1 is ready, caching-service-2 is ready, caching-service-3 is ready." in told(failed) and recoveries.state() == "failed"
    finally:
        accepted(run_module("cache_region", {**fleet.args, "regions": [{"name": REGION["name"], "state": "absent"}]}))
