# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_cluster heals: killed while replicas are held, and a primary that came back without its data."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.faults import heals
from tests.harness.cut import Cut
from tests.harness.modules import run_module
from tests.harness.scratch import Node, Scratch
from tests.harness.sequence import accepted

KEPT = {"appendonly": "yes", "appendfsync": "always"}


def reasons(cluster: Scratch) -> list[str]:
    found: list[str] = accepted(run_module("redis_cluster_info", cluster.args))["reasons"]
    return [text for text in found if "held" in text]


def failovers(cluster: Scratch) -> list[t.Any]:
    return [cluster.client(node).config_get("cluster-replica-no-failover", "proc-title-template") for node in cluster.nodes]


@pytest.mark.hazard("H40")
@pytest.mark.parametrize("flavour", ["redis", "valkey"])
def test_a_healing_that_is_killed_is_finished_by_the_next(tmp_path: Path, flavour: str) -> None:
    """In the hold, in the meeting and in the release; each time some replicas stay held, which is told, until the next run."""
    with Scratch(tmp_path / "c", flavour, 3, 1, KEPT) as cluster:
        heals.fill(cluster)
        before, settings = heals.roles(cluster), failovers(cluster)
        for action, left in (("hold", 1), ("meet", 3), ("release", 2)):
            heals.move(cluster, list(cluster.nodes))
            proxies = Cut([node.address for node in cluster.nodes])
            try:
                assert proxies.run("redis_cluster", heals.args(cluster), 2, [action]) is None
            finally:
                proxies.close()
            held = [node.address for node, now, then in zip(cluster.nodes, failovers(cluster), settings) if now != then]
            assert len(held) == left
            if action == "release":   # only then they know each other's addresses
                cluster.until(lambda: len(reasons(cluster)) == left, "the hold is not told", 5)
                assert all(any(f"automatic failover of {address} is held" in text for text in reasons(cluster)) for address in held)
            done = accepted(run_module("redis_cluster", heals.args(cluster)))
            assert done["changed"] is True and [step["node"] for step in done["steps"] if step["action"] == "release"].count(held[0]) == 1
            assert failovers(cluster) == settings and reasons(cluster) == []
            assert heals.changed_roles(before, heals.roles(cluster)) == [] and heals.missing(cluster) == 0
            assert accepted(run_module("redis_cluster", heals.args(cluster)))["changed"] is False


@pytest.mark.hazard("H40")
@pytest.mark.parametrize("flavour", ["redis", "valkey"])
def test_a_primary_that_came_back_without_its_data_is_not_copied(tmp_path: Path, flavour: str) -> None:
    """What the refusal proposes brings the data back."""
    with Scratch(tmp_path / "c", flavour, 3, 1, KEPT) as cluster:
        heals.fill(cluster)
        primary = cluster.primaries()[1]
        replica = cluster.replica_of(primary)
        settings = failovers(cluster)

        def keys(node: Node) -> int:
            return int(t.cast("int", cluster.client(node).dbsize()))

        had = keys(replica)
        heals.move(cluster, list(cluster.nodes), empty=[primary])
        assert (keys(primary), keys(replica)) == (0, had) and had > 10
        for check in (True, False):
            answer = run_module("redis_cluster", heals.args(cluster), check=check)
            assert answer.get("failed") and not answer.get("changed"), answer
            assert f"{primary.address} has 0 keys and its replica {replica.address} has {had}" in answer["msg"]
        assert keys(replica) == had and failovers(cluster) == settings
        cluster.client(replica).execute_command("CLUSTER FAILOVER", "TAKEOVER")
        accepted(run_module("redis_cluster", heals.args(cluster)))
        assert heals.missing(cluster) == 0 and keys(primary) == had and replica in cluster.primaries() and failovers(cluster) == settings
        assert accepted(run_module("redis_cluster", heals.args(cluster)))["changed"] is False
