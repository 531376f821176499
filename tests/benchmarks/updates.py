# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An update of three instances by playbook update, beside the plain rollout: on Kubernetes what `kubectl rollout` waits for, else each instance
stopped and started, one after the other. The playbook also makes its checks, looks at the health after each batch, and runs the smoke test.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import typing as t
from pathlib import Path

from tests.benchmarks.rotations import plain
from tests.benchmarks.ways import Failed
from tests.harness.matrix import PATIENT, Platform
from tests.harness.matrix_local import LocalFleet
from tests.harness.operations import asked_for
from tests.harness.targets import Fleet

Row = tuple[str, float, str, float | None]
GOAL = 1.3
QUICK = {"caching_soak": "PT0S", "caching_update_backup_age": "", "caching_kpi_thresholds": PATIENT}


def by_playbook(platform: Platform, version: str) -> float:
    done = platform.play("update", **platform.store(), **QUICK, caching_version=version)
    if done.rc or platform.versions() != {version}:
        raise Failed(f"playbook update on {platform.name}: {done.stdout[-800:]}")
    return done.seconds


def by_rollout(fleet: t.Any, version: str) -> float:
    """The new image by a patch, and then what `kubectl rollout status` waits for."""
    began = time.monotonic()
    change = {"spec": {"template": {"spec": {"containers": [{"name": "caching-service", "image": f"exalt/caching-service:{version}"}]}}}}
    wanted = fleet.cluster.apps.patch_namespaced_deployment("caching-service", fleet.namespace, change).metadata.generation
    while time.monotonic() - began < 300:
        found = fleet.deployment()
        status, size = found.status, found.spec.replicas
        if status.observed_generation >= wanted and status.updated_replicas == status.replicas == status.available_replicas == size:
            return time.monotonic() - began
        time.sleep(0.2)
    raise Failed(f"the rollout of {version} was not complete after 300 s")


def turns(platform: Platform, rounds: int, other: t.Callable[[str], float]) -> list[Row]:
    """Both ways in turns, to and fro."""
    taken: dict[str, list[float]] = {"plain": [], "playbook": []}
    for _round in range(rounds):
        for version in (platform.newer, platform.older):
            taken["plain"].append(other(version))
        for version in (platform.newer, platform.older):
            taken["playbook"].append(by_playbook(platform, version))
    found = {name: statistics.median(seconds) for name, seconds in taken.items()}
    return [
        (f"update of three instances on {platform.name}: plain rollout (s)", found["plain"], "", None),
        (f"update of three instances on {platform.name}: playbook (s)", found["playbook"], "", None),
        (f"update on {platform.name}, times the plain rollout", found["playbook"] / found["plain"], "<=", GOAL),
    ]


def kubernetes(rounds: int) -> list[Row]:
    from tests.fleet.kubernetes import lifecycle
    from tests.harness.kubernetes import Cluster
    from tests.harness.matrix_kubernetes import KubernetesFleet

    started = lifecycle.up()
    try:
        fleet = KubernetesFleet(Cluster(), "caching-bench")
        try:
            made = fleet.play("deploy")
            if made.rc:
                raise Failed(f"playbook deploy: {made.stdout[-800:]}")
            return turns(fleet, rounds, lambda version: by_rollout(fleet, version))
        finally:
            fleet.remove()
    finally:
        if started:
            lifecycle.down()


def rows(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet()
        found = turns(LocalFleet(fleet, Path(folder) / "store"), rounds, lambda _version: plain(fleet.facts))
    return found + (kubernetes(rounds) if asked_for("kubernetes") else [])


if __name__ == "__main__":      # by itself: python -m tests.benchmarks.updates
    from tests.fleet.local import lifecycle as local

    running = local.up()
    try:
        for row in rows(3):
            print(f"  {row[0]:<90} {row[1]:8.2f}  {row[2]} {row[3] or ''}")
    finally:
        if running:
            local.down()
