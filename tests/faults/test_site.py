# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook site while the fleet breaks: an end with a clear reason in bounded time, and the next run converges."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import typing as t
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fleet import paths
from tests.fleet.local import lifecycle
from tests.harness import process
from tests.harness.modules import run_module
from tests.harness.plays import Outcome, play
from tests.harness.sequence import accepted
from tests.harness.targets import Fleet, FleetProxy
from tests.harness.until import kill_tree, until

SLOW = {"method": "POST", "path": "/api/v1/cache/regions$", "delay": 0.1}
BOUND = 60.0    # seconds for one run, whatever happens to it; waiting for a lock that a killed run left is in it


class Site:
    """Runs of site on the local fleet through the recording proxies."""

    def __init__(self, fleet: Fleet, proxies: FleetProxy, count: int = 40) -> None:
        self.fleet, self.proxies = fleet, proxies
        self.names = [f"fault-{number}" for number in range(count)]
        self.vars: dict[str, t.Any] = {
            **proxies.extra_vars, "caching_timeout": "PT1S", "caching_retries": 2, "caching_concurrency": 4, "caching_health_timeout": "PT3S",
            "caching_regions": [{"name": name, "max_size": 100, "default_ttl": "PT1H"} for name in self.names],
        }

    def run(self) -> Outcome:
        outcome = play("site", self.fleet.inventory, extra_vars=self.vars, timeout=2 * BOUND)
        assert outcome.seconds < BOUND
        assert "Traceback" not in outcome.stdout + outcome.stderr and "internal error" not in outcome.stdout
        return outcome

    def written(self) -> int:
        return sum(record["method"] == "POST" for record in self.proxies.proxy.records())

    def broken(self, fault: t.Callable[[], object], least: int = 8) -> Outcome:
        """A run in whose middle ``fault`` happens: after some of the regions were created."""
        self.proxies.proxy.break_with(SLOW)
        with ThreadPoolExecutor(1) as threads:
            running: Future[Outcome] = threads.submit(self.run)
            until(lambda: self.written() >= least or running.done(), f"{least} regions on their way")
            assert not running.done() and self.written() < len(self.names), "the fault lands in the middle"
            fault()
            outcome = running.result()
        self.proxies.proxy.break_with()
        return outcome

    def converges(self) -> Outcome:
        """The next run reaches the goal, and the run after it changes nothing."""
        first, second = self.run(), self.run()
        assert first.rc == 0 and first.failed == 0, first.stdout[-1500:]
        assert second.rc == 0 and second.changed == 0, second.stdout[-1500:]
        return first

    def clean(self) -> None:
        gone = [{"name": name, "state": "absent"} for name in self.names]
        accepted(run_module("cache_region", {**self.fleet.args, "regions": gone, "delete_limit": -1}))


def succeeded_or_says_why(outcome: Outcome, *reasons: str) -> None:
    """Either the goal was reached, or the last word is one line with a reason that names what is wrong."""
    (record,) = outcome.custom["exalt_caching_run"]
    if outcome.rc == 0:
        assert record["verdict"] == "ok" and outcome.failed == 0
        return
    assert record["verdict"] == "failed" and outcome.hosts["local"]["failures"] == 1
    message = outcome.results("fail")[-1]["msg"]
    assert message.startswith("site of local did not reach its goal: ") and "\n" not in message
    told = record["reason"]
    assert "\n" not in told and any(reason in told for reason in reasons), told


@pytest.fixture
def site(fleet: Fleet, proxies: FleetProxy) -> Iterator[Site]:
    runs = Site(fleet, proxies)
    runs.clean()
    proxies.proxy.clear()
    yield runs
    proxies.proxy.break_with()
    lifecycle.wait_until_whole(fleet.state)
    runs.clean()


def pid(fleet: Fleet, program: str) -> int:
    return int(fleet.supervisorctl("pid", program))


@pytest.mark.hazard("H03")
def test_an_instance_is_killed(site: Site, fleet: Fleet) -> None:
    """Supervisor starts it again; what it had acknowledged is in Redis."""
    outcome = site.broken(lambda: os.kill(pid(fleet, "caching-service-2"), signal.SIGKILL))
    succeeded_or_says_why(outcome, "no answer", "no connection", "caching-service-2", "503")
    until(lambda: "RUNNING" in fleet.supervisorctl("status", "caching-service-2"), "caching-service-2 running again")
    site.converges()


@pytest.mark.campaign
def test_a_redis_primary_is_killed(site: Site, fleet: Fleet) -> None:
    outcome = site.broken(lambda: os.kill(pid(fleet, "redis-1"), signal.SIGKILL))
    succeeded_or_says_why(outcome, "503 Service Unavailable: Redis is unavailable", "redis DOWN", "no complete answer")
    lifecycle.wait_until_whole(fleet.state)
    site.converges()


@pytest.mark.campaign
def test_an_instance_is_frozen(site: Site, fleet: Fleet) -> None:
    """It takes connections and never answers: each attempt has its time, and health names the instance."""
    frozen = pid(fleet, "caching-service-2")
    try:
        outcome = site.broken(lambda: os.kill(frozen, signal.SIGSTOP))
        assert outcome.rc == 2
        succeeded_or_says_why(outcome, "caching-service-2: status UNREACHABLE", "no complete answer within 1 s")
    finally:
        os.kill(frozen, signal.SIGCONT)
    site.converges()


@pytest.mark.parametrize("more", [
    pytest.param({"caching_lock_wait": "PT1M"}, id="one-waits"), pytest.param({"caching_store_url": ""}, id="without-a-lock", marks=pytest.mark.campaign),
])
def test_two_runs_at_once(site: Site, more: dict[str, str]) -> None:
    """Both want the same, so both reach it, one after the other; without a store for the lock, a region that the other one created is no error."""
    site.vars |= more
    site.proxies.proxy.break_with(SLOW)
    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(lambda _number: site.run(), range(2)))
    site.proxies.proxy.break_with()
    for outcome in outcomes:
        assert outcome.rc == 0, outcome.stdout[-1500:]
    assert site.run().changed == 0


def test_the_run_itself_is_killed_in_the_middle(fleet: Fleet, proxies: FleetProxy) -> None:
    """Nothing is remembered of a killed run but its lock, which expires: the next one looks, and does what is left."""
    site = Site(fleet, proxies, 300)
    site.vars |= {"caching_lock_ttl": "PT20S", "caching_lock_wait": "PT1M"}
    site.clean()
    proxies.proxy.clear()
    proxies.proxy.break_with({**SLOW, "delay": 0.03})
    inventory = paths.cache() / "tmp" / "killed-run.json"
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "exalt.caching.site", "-i", str(fleet.inventory), "-e", f"@{inventory}"]
    try:
        paths.write(inventory, json.dumps(site.vars))
        with subprocess.Popen(command, env=process.environment(), cwd=inventory.parent, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            until(lambda: site.written() >= 100, "100 of 300 regions on their way")
            kill_tree(running.pid)
        assert running.returncode == -signal.SIGKILL
        done = site.written()
        assert 100 <= done < 300, "killed in the middle"
        proxies.proxy.break_with()
        proxies.proxy.clear()
        first = site.converges()
        summary = first.results("cache_region")[0]["summary"]
        assert len(summary["created"]) + len(summary["unchanged"]) == 300 and len(summary["unchanged"]) >= 90
        assert len(summary["created"]) == site.written(), "only what was left was sent"
    finally:
        inventory.unlink()
        proxies.proxy.break_with()
        site.clean()
