# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_cluster heals: at new addresses, killed while replicas are held, and a primary that came back without its data."""

from __future__ import annotations

import itertools
import typing as t
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults import heals
from tests.harness.cut import Cut
from tests.harness.modules import ModuleResult, run_module
from tests.harness.redis_proxy import RedisProxies
from tests.harness.scratch import Node, Scratch, free_ports
from tests.harness.sequence import accepted

Formed = Callable[[str], Scratch]


def run(cluster: Scratch, check: bool = False, **options: t.Any) -> ModuleResult:
    return run_module("redis_cluster", heals.args(cluster, **options), check=check)


def recorded(cluster: Scratch, check: bool = False) -> tuple[ModuleResult, set[str]]:
    """A run past recording proxies, and the commands that it sent that do not just read."""
    proxies = RedisProxies([node.address for node in cluster.nodes])
    try:
        done = run(cluster, check, redis_address_map=proxies.address_map)
        return done, proxies.changing()
    finally:
        proxies.close()


def reasons(cluster: Scratch) -> list[str]:
    found: list[str] = accepted(run_module("redis_cluster_info", cluster.args))["reasons"]
    return [text for text in found if "held" in text]


def failovers(cluster: Scratch) -> list[t.Any]:
    """What decides at each node whether it may be elected, and its title."""
    return [cluster.client(node).config_get("cluster-replica-no-failover", "proc-title-template") for node in cluster.nodes]


def actions(result: ModuleResult) -> list[str]:
    return [step["action"] for step in result["steps"]]


@pytest.mark.hazard("H40")
def test_nodes_that_come_back_on_other_hosts_find_one_another(formed: Formed) -> None:
    cluster = formed("redis")
    before, settings = heals.roles(cluster), failovers(cluster)
    replicas = {node.address.partition(":")[2] for number, node in enumerate(cluster.nodes) if before[number][0] == "slave"}
    for node in cluster.nodes:
        cluster.kill(node)
    for number, node in enumerate(cluster.nodes):
        node.host = f"127.0.0.{number + 2}"
        cluster.start(node)
    cluster.until(lambda: all(cluster.client(node).ping() for node in cluster.nodes), "a node does not answer")
    told, sent = recorded(cluster, check=True)
    assert accepted(told)["changed"] is True and not sent and failovers(cluster) == settings
    assert [name for name, _same in itertools.groupby(actions(told))] == ["hold", "meet", "release"]
    done, sent = recorded(cluster)
    for action in ("hold", "release"):
        assert {step["node"].partition(":")[2] for step in accepted(done)["steps"] if step["action"] == action} == replicas
    assert done["changed"] is True and actions(done)[:3] == ["hold"] * 3 and actions(done)[-3:] == ["release"] * 3
    assert sent == {"CLUSTER MEET", "CONFIG SET"} and failovers(cluster) == settings
    assert {row["address"] for row in accepted(run_module("redis_cluster_info", cluster.args))["nodes"]} == {node.address for node in cluster.nodes}
    assert heals.changed_roles(before, heals.roles(cluster)) == [] and heals.missing(cluster) == 0, "no replica was elected meanwhile"
    again, sent = recorded(cluster)
    assert accepted(again)["changed"] is False and not sent


@pytest.mark.hazard("H40")
def test_a_replica_that_looks_for_its_primary_where_it_was_follows_it_anew(formed: Formed) -> None:
    """It was gone when its primary moved, and hears of it from the others: Redis 7 then goes on connecting to where it was."""
    cluster = formed("redis")
    before = heals.roles(cluster)
    primary = cluster.primaries()[0]
    replica = cluster.replica_of(primary)
    cluster.kill(replica)
    old, replica.port = free_ports(2)
    told = replica.folder / "nodes.conf"
    lines = [line.replace(f":{primary.port}@{primary.port + 10000}", f":{old}@{old + 10000}").replace(" master ", " master,fail? ")
             if line.startswith(primary.id) else line for line in told.read_text().splitlines(keepends=True)]
    told.write_text("".join(lines))
    cluster.start(replica)
    client = cluster.client(replica)

    def astray() -> bool:
        found = client.execute_command("CLUSTER NODES")
        return primary.address in found and found[primary.address]["connected"] and client.info("replication")["master_port"] == old

    cluster.until(astray, "the replica does not know where its primary is", 10)
    told, sent = recorded(cluster, check=True)
    assert accepted(told)["steps"] == [{"action": "replicate", "node": replica.address, "target": primary.address}] and not sent
    assert f"but looks for it at {primary.host}:{old}" in told["diff"]["before"][replica.address]
    done, sent = recorded(cluster)
    assert accepted(done)["steps"] == told["steps"] and sent == {"CLUSTER REPLICATE"}
    assert client.info("replication")["master_link_status"] == "up"
    assert heals.changed_roles(before, heals.roles(cluster)) == [] and heals.missing(cluster) == 0
    assert accepted(run(cluster))["changed"] is False


@pytest.mark.slow
@pytest.mark.hazard("H40")
def test_a_healing_that_is_killed_is_finished_by_the_next(formed: Formed) -> None:
    """In the hold, in the meeting and in the release; what stays held is told until the last run, and two at once are as good as one."""
    cluster = formed("valkey")
    before, settings = heals.roles(cluster), failovers(cluster)
    heals.move(cluster, list(cluster.nodes))
    for action, left in (("hold", 1), ("meet", 3), ("release", 2)):
        proxies = Cut([node.address for node in cluster.nodes])
        try:
            assert proxies.run("redis_cluster", heals.args(cluster), 2, [action]) is None
        finally:
            proxies.close()
        held = [node.address for node, now, then in zip(cluster.nodes, failovers(cluster), settings) if now != then]
        assert len(held) == left
    cluster.until(lambda: len(reasons(cluster)) == 2, "the hold is not told", 5)
    assert all(any(f"automatic failover of {address} is held" in text for text in reasons(cluster)) for address in held)
    with ThreadPoolExecutor(2) as threads:
        both = [accepted(one) for one in threads.map(lambda _number: run(cluster), range(2))]
    assert any(step == {"action": "release", "node": held[0]} for one in both for step in one["steps"])
    assert failovers(cluster) == settings and reasons(cluster) == []
    assert heals.changed_roles(before, heals.roles(cluster)) == [] and heals.missing(cluster) == 0
    assert accepted(run(cluster))["changed"] is False


@pytest.mark.hazard("H40")
def test_a_primary_that_came_back_without_its_data_is_not_copied(formed: Formed) -> None:
    """What the refusal proposes brings the data back."""
    cluster = formed("valkey")
    primary = cluster.primaries()[1]
    replica = cluster.replica_of(primary)
    settings = failovers(cluster)

    def keys(node: Node) -> int:
        return int(t.cast("int", cluster.client(node).dbsize()))

    had = keys(replica)
    heals.move(cluster, list(cluster.nodes), empty=[primary])
    assert (keys(primary), keys(replica)) == (0, had) and had > 10
    answer, sent = recorded(cluster)
    assert answer.get("failed") and not answer.get("changed") and not sent, answer
    assert f"{primary.address} has 0 keys and its replica {replica.address} has {had}" in answer["msg"]
    assert keys(replica) == had and failovers(cluster) == settings
    cluster.client(replica).execute_command("CLUSTER FAILOVER", "TAKEOVER")
    accepted(run(cluster))
    assert heals.missing(cluster) == 0 and keys(primary) == had and replica in cluster.primaries() and failovers(cluster) == settings
    assert accepted(run(cluster))["changed"] is False
