# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis of the local fleet restarted node by node under clients that write, and playbook failover; supervisor's own word is the witness."""

from __future__ import annotations

import os
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.faults.restarts import KIND, Restarts
from tests.fleet.local import cluster
from tests.fleet.local.layout import NODES, PRIMARIES
from tests.harness.modules import run_module
from tests.harness.plays import Outcome, play
from tests.harness.sequence import accepted
from tests.harness.targets import Fleet
from tests.harness.until import until

PLACES = {node.name: node.address for node in NODES}


@pytest.fixture
def restarts(fleet: Fleet, tmp_path: Path) -> Iterator[Restarts]:
    """Afterwards all nodes run again, and each has the role that it had in the beginning."""
    made = Restarts(fleet, tmp_path / "store")
    yield made
    for node in NODES:
        fleet.supervisorctl("start", node.name)
    cluster.wait_until_whole(made.options["password"], 60, fleet.state.redis_options)
    for node in PRIMARIES:
        accepted(run_module("redis_failover", {**fleet.redis_args, "node": node.address}))


def primaries(fleet: Fleet) -> list[str]:
    """Names, in the order of slots."""
    found = accepted(run_module("redis_cluster_info", fleet.redis_args))["shards"]
    return [next(name for name, place in PLACES.items() if place == row["primary"]) for row in found]


def client(restarts: Restarts, name: str) -> redis.Redis:
    host, _colon, port = PLACES[name].partition(":")
    return redis.Redis(host, int(port), decode_responses=True, **restarts.options)


def failover(restarts: Restarts, check: bool = False, **wanted: t.Any) -> Outcome:
    return play("failover", restarts.fleet.inventory, check=check, extra_vars={"caching_store_url": "", **wanted})


def told(outcome: Outcome, text: str, changed: bool) -> None:
    assert outcome.rc == 0 and (outcome.changed > 0) is changed and text in outcome.stdout, outcome.stdout


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.hazard("H26")
def test_a_restart_that_is_killed_goes_on_where_it_was(restarts: Restarts) -> None:
    """No request fails meanwhile, nothing is lost, and never is more than one node away."""
    before = restarts.processes()
    names = set(before)
    planned = restarts.run(check=True)
    assert planned.rc == 0 and f"6 of 6 nodes would be restarted: {', '.join(before)}" in planned.stdout, planned.stdout
    assert restarts.processes() == before and not restarts.state()
    with restarts.watched() as away, restarts.clients() as writers:
        said = restarts.cut_off("Redis is whole again", 2)
        half = restarts.processes()
        first = {name for name in names if half[name] != before[name]}
        assert len(first) == 2 and "Keep that it has begun" in said and restarts.state() == "started", (half, before)
        done = restarts.run()
        after = restarts.processes()
        assert done.rc == 0 and "a run that was cut off goes on: 4 of 6 nodes are restarted: " in done.stdout, done.stdout
        assert all(after[name] == half[name] if name in first else after[name] not in ("", before[name]) for name in names), (before, half, after)
    (record,) = done.custom["exalt_caching_run"]
    assert set(record["changes"]["redis"]["restarted"]) == names - first and restarts.state() == "finished"
    assert writers.result.failed == writers.result.lost == [] and writers.result.acknowledged > 1000, writers.result
    assert away == []


@pytest.mark.hazard("H26")
def test_nothing_is_restarted_while_the_cluster_is_not_whole(restarts: Restarts, tmp_path: Path) -> None:
    """A node that is down; and a primary that has no replica. A restart that was begun the day before yesterday is not gone on with."""
    before = restarts.processes()
    old = {"documents": [{"name": "restart", "content": {"fleet": "local", "state": "started", "at": "2026-01-01T00:00:00+00:00"}}]}
    accepted(run_module("store_documents", {**restarts.store, "kind": KIND, **old}))
    for path in (tmp_path / "store").rglob("*"):
        os.utime(path, (time.time() - 2 * 86400,) * 2)
    restarts.fleet.supervisorctl("stop", "redis-5")
    refused = restarts.run()
    assert refused.rc == 2 and f"no node of Redis was touched: {PLACES['redis-5']} does not answer: " in refused.stdout, refused.stdout
    assert refused.changed == 0 and restarts.processes() == {**before, "redis-5": ""}
    restarts.fleet.supervisorctl("start", "redis-5")
    ids = {name: str(client(restarts, name).execute_command("CLUSTER MYID")) for name in ("redis-1", "redis-2")}
    follower = client(restarts, "redis-5")
    before = restarts.processes()
    try:
        until(lambda: follower.info("replication")["role"] == "slave" and follower.execute_command("CLUSTER REPLICATE", ids["redis-1"]), "it follows another")
        cluster.wait_until_whole(restarts.options["password"], 30, restarts.fleet.state.redis_options)
        refused = restarts.run()
        told_of = f"no node of Redis was touched: the shard of {PLACES['redis-2']} has no replica that works"
        assert refused.rc == 2 and told_of in refused.stdout and refused.changed == 0, refused.stdout
        assert restarts.processes() == before
    finally:
        follower.execute_command("CLUSTER REPLICATE", ids["redis-2"])


@pytest.mark.long
@pytest.mark.hazard("H24")
def test_a_shard_or_a_node_is_named(restarts: Restarts) -> None:
    """Where nothing is named and no primary has failed, nothing is done."""
    fleet = restarts.fleet
    assert primaries(fleet) == ["redis-1", "redis-2", "redis-3"]
    told(failover(restarts), "no primary has failed, and neither caching_shard nor caching_node is given: nothing to do", False)
    told(failover(restarts, check=True, caching_shard=1), f"would be {PLACES['redis-5']}, before {PLACES['redis-2']}", True)
    assert primaries(fleet) == ["redis-1", "redis-2", "redis-3"]
    done = failover(restarts, caching_shard=1)
    told(done, f"{PLACES['redis-5']}, before {PLACES['redis-2']}", True)
    assert done.custom["exalt_caching_run"][0]["changes"] == {"redis": {"primary": [PLACES["redis-5"]]}} and "may be lost" not in done.stdout
    assert primaries(fleet) == ["redis-1", "redis-5", "redis-3"]
    told(failover(restarts, caching_node="redis-2"), f": {PLACES['redis-2']}, before {PLACES['redis-5']}", True)
    assert primaries(fleet) == ["redis-1", "redis-2", "redis-3"]
    both = failover(restarts, caching_node="redis-2", caching_shard="redis-1")
    assert both.rc == 2 and "caching_node and caching_shard are both given" in both.stdout and both.changed == 0, both.stdout


@pytest.mark.campaign
@pytest.mark.hazard("H24")
def test_shards_whose_primary_has_failed_are_found(restarts: Restarts) -> None:
    """One is stopped, and nobody may have itself elected; then two are, which takes what must be approved."""
    fleet = restarts.fleet
    names = primaries(fleet)
    heirs = [f"redis-{int(name[-1]) + 3}" for name in names]
    for name in heirs:
        client(restarts, name).config_set("cluster-replica-no-failover", "yes")
    try:
        fleet.supervisorctl("stop", names[0])
        found = failover(restarts, caching_failover_method="force", caching_platform_timeout="PT20S")
        told(found, f"{PLACES[heirs[0]]}, before {PLACES[names[0]]}; writes that the former had taken may be lost", True)
        fleet.supervisorctl("start", names[0])
        cluster.wait_until_whole(restarts.options["password"], 30, fleet.state.redis_options)
        for name in names[1:]:
            fleet.supervisorctl("stop", name)
        until(lambda: client(restarts, heirs[0]).execute_command("CLUSTER INFO")["cluster_state"] == "fail", "nobody has noticed")
        takeover = {"caching_failover_method": "takeover", "caching_failover_debounce": "PT1S", "caching_platform_timeout": "PT20S"}
        unapproved = failover(restarts, **takeover)
        assert unapproved.rc == 2 and "approve_takeover=true does it" in unapproved.stdout and unapproved.changed == 0, unapproved.stdout
        done = failover(restarts, caching_approve=True, **takeover)
        assert done.rc == 0 and done.custom["exalt_caching_run"][0]["changes"] == {"redis": {"primary": [PLACES[name] for name in heirs[1:]]}}, done.stdout
        assert primaries(fleet) == heirs
    finally:
        for name in heirs:
            client(restarts, name).config_set("cluster-replica-no-failover", "no")
