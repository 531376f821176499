# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The local fleet as a platform among the others: it is not deployed, and what runs of it is updated, restarted and watched like them."""

from __future__ import annotations

import contextlib
import typing as t
from pathlib import Path

from ansible_collections.exalt.caching.plugins.module_utils._resources.operation_lock import Lock
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.fleet.local.layout import INSTANCES, NODES
from tests.harness.matrix import PATIENT, Platform
from tests.harness.plays import Outcome, play
from tests.harness.targets import Fleet


class LocalFleet(Platform):
    """`store`: a folder for the records of what was done."""

    name = "local"
    balanced = False

    def __init__(self, fleet: Fleet, store: Path) -> None:
        super().__init__()
        self.fleet, self.place = fleet, store

    def play(self, playbook: str, *arguments: str, check: bool = False, **variables: t.Any) -> Outcome:
        wanted = {"caching_kpi_thresholds": PATIENT, "caching_store_url": "", **self.also, **variables}
        return play(playbook, self.fleet.inventory, *arguments, check=check, extra_vars=wanted, timeout=590)

    def store(self) -> dict[str, t.Any]:
        return {"caching_store_url": f"file://{self.place}", "caching_signing_key": "for trials"}

    def unlock(self) -> None:
        lock = Lock(open_store({"store_url": f"file://{self.place}", "signing_key": "for trials"}), self.name, "topology")
        held = lock.look()
        if held is not None and held.state == "held":
            lock.release(held.token)

    def _running(self) -> dict[str, str]:
        lines = (line.split() for line in self.fleet.supervisorctl("status").splitlines())
        return {words[0]: words[3].strip(",") for words in lines if words[1:2] == ["RUNNING"]}

    def members(self) -> dict[str, str]:
        names = {one.name for one in (*INSTANCES, *NODES)}
        return {name: process for name, process in self._running().items() if name in names}

    def instances(self) -> int:
        return sum("service" in name for name in self.members())

    def versions(self) -> set[str]:
        found = set()
        for name, process in self.members().items():
            if "service" in name:
                with contextlib.suppress(OSError):
                    text = Path(f"/proc/{process}/environ").read_text()
                    found |= {word.partition("=")[2] for word in text.split("\0") if word.startswith("CACHING_VERSION=")}
        return found

    def faulty(self, fault: str) -> dict[str, t.Any]:
        return {"caching_version": f"{self.newer}-{fault}"}

    def addresses(self) -> list[str]:
        return [one.facts["url"].removeprefix("http://") for one in INSTANCES]     # of one that does not run, the connection is refused

    def token(self, name: str = "admin_token") -> str:
        return self.fleet.tokens[name.removesuffix("_token")]

    def drift(self) -> None:
        raise AssertionError("nothing of the local fleet is declared")

    def drifted(self) -> bool:
        return False

    def lose_redis(self) -> str:
        self.fleet.supervisorctl("signal", "KILL", NODES[0].name)
        return NODES[0].name

    def spoil_secret(self) -> None:
        raise AssertionError("nothing of the local fleet is declared")

    def spoiled(self) -> bool:
        raise AssertionError("nothing of the local fleet is declared")

    def fill_cache(self) -> None:
        raise AssertionError("nothing of the local fleet is declared")

    def cached(self) -> bool:
        raise AssertionError("nothing of the local fleet is declared")
