# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One trial: a module runs while something breaks at random (by a seed), and the service's state is judged afterwards.

Held is a trial when (1) each object is as it was or as declared, (2) success means all is as declared, (3) `changed` is
what happened, (4) a failure is one line, and (5) a second run without the fault converges and a third changes nothing.
"""

from __future__ import annotations

import random
import threading
import typing as t
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.harness.modules import ModuleResult, run_module
from tests.harness.stage import Stage
from tests.harness.targets import Service
from tests.harness.until import until

WRITE = "^(?!.*/stats).*$"
KEYS = [f"k{number}" for number in range(12)]
State = dict[str, t.Any]

# What breaks: rules for the recording proxy, made with the trial's own chance.
FAULTS: dict[str, Callable[[random.Random], dict[str, t.Any]]] = {
    "503": lambda chance: {"status": 503},
    "503-retry-after": lambda chance: {"status": 503, "retry_after": 0},
    "html-502": lambda chance: {"html502": True},
    "reset-before": lambda chance: {"reset": True},
    "reset-after": lambda chance: {"reset": True, "forward": True},
    "500-after": lambda chance: {"status": 500, "body": "lost", "forward": True},
    "cut": lambda chance: {"cut": chance.randrange(0, 20)},
    "delay": lambda chance: {"delay": chance.choice([0.05, 1.5])},
    "kill-service": lambda chance: {"delay": 0.05},
}


@dataclass
class Trial:
    """How one trial went; `broken` says what was not held."""

    fault: str
    module: str
    seed: int
    outcome: str = ""
    delivered: int = 0
    broken: list[str] = field(default_factory=list)


def regions_wanted(chance: random.Random) -> list[dict[str, t.Any]]:
    """Some regions are there already, some are new, one goes."""
    new = [{"name": f"new{number}", "max_size": chance.randrange(10, 99)} for number in range(4)]
    old = [{"name": f"old{number}", "max_size": chance.randrange(100, 999), "default_ttl": "PT3H"} for number in range(4)]
    return [*new, *old, {"name": "gone", "state": "absent"}]


class Subject:
    """A service that trials are made on; `plant` changes what the module is said to have done (to test the judge)."""

    def __init__(self, service: Service, plant: Callable[[ModuleResult, Stage], None] | None = None) -> None:
        self.service, self.plant = service, plant
        self.stage = Stage(service)

    def prepare(self, module: str) -> None:
        self.service.renew()
        if module == "cache_region":
            for name in ("old0", "old1", "old2", "old3", "gone"):
                self.stage.region(name, maxSize=50, description="kept")
        else:
            self.stage.region("products")
            self.stage.entries("products", KEYS)

    def state(self, module: str) -> State:
        if module == "cache_region":
            kept = ("maxSize", "defaultTtl", "evictionPolicy", "description")
            return {name: {field: entry[field] for field in kept} for name, entry in self.stage.regions().items()}
        return {key: True for key in KEYS if self.stage.there("products", key)}

    def options(self, module: str, chance: random.Random) -> dict[str, t.Any]:
        common = {**self.service.args, "timeout": "PT1S", "retries": chance.choice([0, 1, 2]), "concurrency": chance.choice([1, 4])}
        if module == "cache_region":
            return {**common, "regions": regions_wanted(chance)}
        names = chance.sample(KEYS, 4)
        kinds = [{"type": "key", "region": "products", "keys": names}, {"type": "pattern", "region": "products", "pattern": "k1*"}]
        return {**common, **self.service.redis_args, "max_percent": 100, "invalidations": chance.sample(kinds, chance.choice([1, 2]))}

    def trial(self, fault: str, module: str, seed: int) -> Trial:
        chance = random.Random(f"{fault} {module} {seed}")
        trial = Trial(fault, module, seed)
        self.prepare(module)
        options = self.options(module, chance)
        before = self.state(module)
        rule = {"path": WRITE, "probability": chance.choice([0.2, 0.5, 1.0]), "seed": seed, **FAULTS[fault](chance)}
        if chance.random() < 0.5:
            rule["method"] = chance.choice(["GET", "POST", "PATCH", "DELETE"])
        self.service.proxy.clear()
        self.service.proxy.break_with(rule)
        result = self.run(module, options, fault, chance)
        trial.delivered = self.service.proxy.delivered()[0]
        self.service.proxy.break_with()
        if self.service.process.poll() is not None:
            self.service.start()
        trial.outcome = "failed" if result.get("failed") else "done"
        if self.plant:
            self.plant(result, self.stage)
        after = self.state(module)
        calm = {**options, "timeout": "PT5S", "retries": 3}
        second, third = run_module(module, calm), run_module(module, calm)
        trial.broken = judge(result, before, after, self.state(module), second, third)
        return trial

    def run(self, module: str, options: dict[str, t.Any], fault: str, chance: random.Random) -> ModuleResult:
        """The module; the service is killed after some requests, and started again, where that is the fault."""
        if fault != "kill-service":
            return run_module(module, options, timeout=60)
        results: list[ModuleResult] = []
        worker = threading.Thread(target=lambda: results.append(run_module(module, options, timeout=60)))
        least = chance.randrange(1, 8)
        worker.start()
        until(lambda: len(self.service.proxy.records()) >= least or not worker.is_alive(), f"{least} requests")
        self.service.kill()
        if chance.random() < 0.7:
            self.service.start()
        worker.join()
        return results[0]


def judge(result: ModuleResult, before: State, after: State, goal: State, second: ModuleResult, third: ModuleResult) -> list[str]:
    """What was not held. ``goal`` is the state after the calm runs."""
    told = []
    for name in sorted({*before, *after, *goal}):
        if after.get(name) not in (before.get(name), goal.get(name)):
            told.append(f"{name} is {after.get(name)}, neither as it was nor as declared")
    if not result.get("failed") and after != goal:
        told.append("it said success, but the state is not the declared one")
    unknown = result.get("failed") and ("reading back failed" in result["msg"] or result.get("removed", 0) is None)
    if bool(result.get("changed")) is not (after != before) and not (unknown and result["changed"]):
        told.append(f"changed is {result.get('changed')}, but the state {'is another' if after != before else 'is the same'}: {result.get('msg')}")
    if result.crashed or "internal error" in result.stdout or "Traceback" in result.stdout + result.stderr or "\n" in result.get("msg", ""):
        told.append(f"the failure is no clear line: {result.get('msg')}")
    for name, run in (("second", second), ("third", third)):
        if run.get("failed"):
            told.append(f"the {name} run failed: {run['msg']}")
    if third.get("changed"):
        told.append("the third run still changed something")
    return told
