# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_cluster: formed of blank nodes, cut off and finished, joined, healed, and what is refused with nothing written."""

from __future__ import annotations

import itertools
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.harness.cut import Cut
from tests.harness.modules import ModuleResult, run_module
from tests.harness.scratch import Node, Scratch, free_ports
from tests.harness.sequence import accepted

READS = {"cluster|nodes", "cluster|info", "info", "ping", "hello", "auth", "select", "client|setinfo", "client|setname", "config|get", "command",
         "cluster|myid", "dbsize", "cluster|slots", "replconf", "psync"}
WAIT = "PT40S"
KEPT = {"appendonly": "yes", "appendfsync": "always"}


def args(members: t.Sequence[Node], **options: t.Any) -> dict[str, t.Any]:
    wanted = [{"address": node.address, "location": "abc"[number % 3]} for number, node in enumerate(members)]
    return {"nodes": wanted, "wait_timeout": WAIT, **options}


def run(cluster: Scratch, check: bool = False, **options: t.Any) -> ModuleResult:
    return run_module("redis_cluster", {**args(cluster.nodes, **options), **({"redis_password": cluster.password} if cluster.password else {})},
                      check=check)


def writes(cluster: Scratch) -> dict[str, int]:
    """Every command at any node that is not known to read only."""
    total: dict[str, int] = {}
    for node in cluster.nodes:
        if node.process and node.process.poll() is None:
            for name, row in cluster.client(node).info("commandstats").items():
                if name.removeprefix("cmdstat_") not in READS:
                    total[name] = total.get(name, 0) + row["calls"]
    return total


def healthy(cluster: Scratch) -> dict[str, t.Any]:
    found = accepted(run_module("redis_cluster_info", {**cluster.args}))
    assert found["healthy"], found["reasons"]
    return found


def actions(result: ModuleResult) -> list[str]:
    return [step["action"] for step in result["steps"]]


def failovers(cluster: Scratch) -> list[t.Any]:
    """What decides at each node whether it may be elected, and its title."""
    return [cluster.client(node).config_get("cluster-replica-no-failover", "proc-title-template") for node in cluster.nodes]


def fill(cluster: Scratch, number: int = 200) -> None:
    client = cluster.cluster()
    for place in range(number):
        client.set(f"key:{place}", "x" * 50)


def refused(cluster: Scratch, text: str, **options: t.Any) -> None:
    """One clear line, and nothing written, in check mode and without."""
    before = writes(cluster)
    for check in (True, False):
        answer = run(cluster, check=check, **options)
        assert answer.get("failed") and not answer.crashed and text in answer["msg"] and "\n" not in answer["msg"], answer
        assert not answer.get("changed")
    assert writes(cluster) == before


@pytest.fixture
def blank(tmp_path: Path) -> Iterator[Scratch]:
    with Scratch(tmp_path / "c", shards=3, replicas=1, formed=False) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scratch]:
    """A cluster with data, for what is refused."""
    with Scratch(tmp_path_factory.mktemp("shared") / "c", shards=3, replicas=1) as cluster:
        fill(cluster)
        yield cluster


def test_six_blank_nodes_become_a_cluster_and_a_second_run_changes_nothing(blank: Scratch) -> None:
    before = writes(blank)
    told = accepted(run(blank, check=True))
    assert told["changed"] is True and writes(blank) == before and len(told["steps"]) == 14
    done = accepted(run(blank))
    assert (done["steps"], done["diff"], done["topology"]) == (told["steps"], told["diff"], told["topology"])
    found = healthy(blank)
    assert [row["slot_count"] for row in found["shards"]] == [5461, 5461, 5462] and all(len(row["replicas"]) == 1 for row in found["shards"])
    places = {node.address: "abc"[number % 3] for number, node in enumerate(blank.nodes)}
    assert all(places[row["primary"]] != places[replica["address"]] for row in found["shards"] for replica in row["replicas"])
    fill(blank, 20)
    after = writes(blank)
    again = accepted(run(blank))
    assert again["changed"] is False and again["steps"] == [] and again["diff"]["before"] == again["diff"]["after"] == told["diff"]["after"]
    assert writes(blank) == after and not [name for name in after if "reset" in name or "flush" in name or "forget" in name]


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
def test_three_nodes_without_replicas_with_a_password(tmp_path: Path, flavour: str) -> None:
    with Scratch(tmp_path / "c", flavour, shards=3, replicas=0, formed=False, password="a secret") as cluster:
        wrong = run_module("redis_cluster", {**args(cluster.nodes, replicas=0), "redis_password": "another"})
        assert wrong.get("failed") and "does not accept the user or password" in wrong["msg"] and "another" not in wrong.stdout
        assert accepted(run(cluster, replicas=0))["changed"] is True
        assert accepted(run(cluster, replicas=0))["changed"] is False
        fill(cluster, 10)
        assert cluster.sizes() == 10


def test_a_run_that_is_killed_again_and_again_is_finished_by_the_next(blank: Scratch) -> None:
    whole = accepted(run(blank, check=True))
    proxies = Cut([node.address for node in blank.nodes])
    killed = 0
    try:
        while (done := proxies.run("redis_cluster", args(blank.nodes), 5)) is None:
            killed += 1
            assert killed < 20
    finally:
        proxies.close()
    assert not done.get("failed"), done.get("msg")
    assert killed >= 3, "four steps a run, of 14"
    assert done["topology"] == whole["topology"], "as a run in one go had made it"
    healthy(blank)
    assert accepted(run(blank))["changed"] is False


def test_a_blank_node_joins_as_a_replica_and_no_primary_is_made(tmp_path: Path) -> None:
    with Scratch(tmp_path / "c", shards=3, replicas=1) as cluster:
        fill(cluster)
        new = cluster.blank()
        told = accepted(run(cluster, check=True))
        before = cluster.sizes()
        done = accepted(run(cluster))
        assert done["steps"] == told["steps"] and [step["action"] for step in done["steps"]] == ["meet", "replicate"]
        assert cluster.client(new).info("replication")["master_link_status"] == "up" and cluster.sizes() == before == 200
        assert sorted(len(row["replicas"]) for row in healthy(cluster)["shards"]) == [1, 1, 2]
        assert accepted(run(cluster))["changed"] is False
        cluster.blank()
        refused(cluster, "4 shards are declared and the cluster has 3: a new primary needs slots")


@pytest.mark.hazard("H40")
@pytest.mark.parametrize("changed, flavour", [("ports", "valkey"), ("addresses", "redis")])
def test_nodes_that_come_back_at_other_addresses_find_one_another(tmp_path: Path, changed: str, flavour: str) -> None:
    with Scratch(tmp_path / "c", flavour, shards=3, replicas=1, options={**KEPT, "protected-mode": "no"}) as cluster:
        fill(cluster)
        ids = {cluster.client(node).execute_command("CLUSTER MYID") for node in cluster.nodes}
        owners = [cluster.nodes.index(node) for node in cluster.primaries()]
        ports = free_ports(6)
        for node in cluster.nodes:
            cluster.kill(node)
        for number, node in enumerate(cluster.nodes):
            node.port, node.host = (ports[number], node.host) if changed == "ports" else (node.port, f"127.0.0.{number + 2}")
            cluster.start(node)
        cluster.until(lambda: all(cluster.client(node).ping() for node in cluster.nodes), "a node does not answer")
        told = accepted(run(cluster, check=True))
        assert told["changed"] is True and [name for name, _same in itertools.groupby(actions(told))] == ["hold", "meet", "release"]
        before, set_before = writes(cluster), failovers(cluster)
        done = accepted(run(cluster))
        replicas = {node.address for node in cluster.nodes} - {node.address for node in cluster.primaries()}
        for action in ("hold", "release"):
            assert {step["node"] for step in done["steps"] if step["action"] == action} == replicas and actions(done).count(action) == 3
        assert done["changed"] is True and actions(done)[:3] == ["hold"] * 3 and actions(done)[-3:] == ["release"] * 3
        assert set(actions(done)[3:-3]) == {"meet"} and failovers(cluster) == set_before
        after = writes(cluster)
        assert {name for name, calls in after.items() if calls != before.get(name, 0)} <= {
            "cmdstat_cluster|meet", "cmdstat_config|set", "cmdstat_replconf", "cmdstat_ping"}
        assert {row["address"] for row in healthy(cluster)["nodes"]} == {node.address for node in cluster.nodes}
        assert {cluster.client(node).execute_command("CLUSTER MYID") for node in cluster.nodes} == ids
        assert [cluster.nodes.index(node) for node in cluster.primaries()] == owners, "no replica was elected meanwhile"
        assert cluster.sizes() == 200
        assert accepted(run(cluster))["changed"] is False


def test_what_is_wrong_with_the_nodes_is_refused_and_named(shared: Scratch) -> None:
    nodes = args(shared.nodes)["nodes"]
    refused(shared, "nodes: an address is there more than once", nodes=[*nodes, nodes[0]])
    refused(shared, "6 nodes are too few for 3 shards with 2 replicas each: it takes 9", replicas=2)
    gone = f"127.0.0.1:{free_ports(1)[0]}"
    refused(shared, f"Redis at {gone} can't be read: Connection refused", nodes=[*nodes[:5], {"address": gone}])
    refused(shared, "is not host:port", nodes=[{"address": "redis"}])
    refused(shared, "which is not declared: add it to nodes", nodes=nodes[:5], replicas=0)
    refused(shared, "replicas: it goes from 0 to 10", replicas=11)


def test_nodes_with_data_or_of_another_cluster_are_refused(shared: Scratch, tmp_path: Path) -> None:
    with Scratch(tmp_path / "other", shards=3, replicas=0) as other:
        fill(other, 30)
        mine = args(shared.nodes)["nodes"]
        before = writes(other)
        refused(shared, "is in another cluster than", nodes=[*mine, {"address": other.nodes[0].address}])
        assert writes(other) == before and other.sizes() == 30
    with Scratch(tmp_path / "lone", shards=1, replicas=0) as lone:
        client = lone.client(lone.nodes[0])
        for place in range(7):
            client.set(f"key:{place}", "x")
        refused(shared, f"{lone.nodes[0].address} holds 7 keys and is not part of this cluster", nodes=[*mine, {"address": lone.nodes[0].address}])
        client.flushall()
        refused(shared, f"{lone.nodes[0].address} holds slots that", nodes=[*mine, {"address": lone.nodes[0].address}])
    assert shared.sizes() == 200


@pytest.mark.hazard("H40")
def test_slots_that_lost_their_owner_are_not_given_to_another(tmp_path: Path) -> None:
    """A primary without a replica comes back blank: its slots had data, so nobody gets them empty."""
    with Scratch(tmp_path / "c", shards=3, replicas=0) as cluster:
        fill(cluster)
        lost = cluster.primaries()[1]
        cluster.kill(lost)
        (lost.folder / "nodes.conf").unlink()
        cluster.start(lost)
        cluster.until(lambda: bool(cluster.client(lost).ping()), "a node does not answer")
        keys = sum(cluster.client(node).dbsize() for node in cluster.nodes)
        answer = run(cluster, replicas=0)
        assert answer.get("failed") and "slots belong to" in answer["msg"] and not answer.crashed, answer
        assert sum(cluster.client(node).dbsize() for node in cluster.nodes) == keys
        assert cluster.client(lost).execute_command("CLUSTER INFO")["cluster_slots_assigned"] == "0"


def test_what_does_not_come_in_time_says_what_is_missing(blank: Scratch) -> None:
    """A node that hangs in the middle: an error within the time, what was done, and the next run finishes."""
    frozen = blank.nodes[4]
    told = accepted(run(blank, check=True))
    blocker = redis.Redis(port=frozen.port)
    blocker.execute_command("CONFIG", "SET", "cluster-announce-bus-port", "1")
    answer = run(blank, wait_timeout="PT5S")
    assert answer.get("failed") and "was not reached within" in answer["msg"] and "does not see" in answer["msg"], answer
    assert answer["changed"] is True and answer["steps"][:6] == told["steps"][:6] and answer.seconds < 20
    blocker.execute_command("CONFIG", "SET", "cluster-announce-bus-port", "0")
    assert accepted(run(blank))["changed"] is True
    healthy(blank)
