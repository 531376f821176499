# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup put under the nodes of a cluster, file by file, on both servers; key by key it is what was backed up."""

from __future__ import annotations

import contextlib
import signal
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.restores import rough
from tests.harness import datasets
from tests.harness.modules import ModuleResult, run_module
from tests.harness.redis_proxy import RedisProxies
from tests.harness.scratch import Node, Scratch
from tests.harness.sequence import accepted
from tests.harness.steps import Steps

KEY = "a signing key of tests"
OPERATION = "trial"


class Subject:
    """Six nodes with data, and a backup of it."""

    def __init__(self, cluster: Scratch, store: Path) -> None:
        self.cluster = cluster
        self.place: dict[str, t.Any] = {"store_url": f"file://{store}", "signing_key": KEY, "cluster": "demo"}
        datasets.fill(cluster, 31)
        self.wanted = rough(datasets.facts(cluster))
        made = accepted(run_module("redis_backup", {**cluster.args, **self.place}))
        self.backup = made["backup"]["id"]

    def plan(self, **options: t.Any) -> ModuleResult:
        return run_module("redis_data_info", {**self.cluster.args, **self.place, "id": self.backup, **options})

    def data(self, row: dict[str, t.Any], state: str, **more: t.Any) -> ModuleResult:
        given = {name: row[name] for name in ("dbfilename", "appendonly", "appenddirname", "appendfilename")}
        return run_module("redis_data", {"folders": [{**given, "path": row["directory"], **more}], "operation": OPERATION, "state": state})

    def stop(self) -> None:
        """Replicas first, so that none is elected."""
        primaries = self.cluster.primaries()
        for nodes in ([node for node in self.cluster.nodes if node not in primaries], primaries):
            for node in nodes:
                self.cluster.kill(node, signal.SIGTERM)
            for node in nodes:
                assert node.process
                node.process.wait()

    def node(self, address: str) -> Node:
        return next(node for node in self.cluster.nodes if node.address == address)


@pytest.fixture(params=["redis", "valkey"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    options = {"appendonly": "yes", "cluster-node-timeout": "5000"}
    with Scratch(tmp_path / "c", request.param, 3, 1, options) as cluster:
        yield Subject(cluster, tmp_path / "store")


@pytest.mark.hazard("H38", "H41", "H42", "H43", "H45", "H46")
def test_a_backup_under_the_nodes_with_append_only_files(subject: Subject) -> None:
    """After other nodes have become primaries, and others keys were written; then what was there before, again."""
    cluster = subject.cluster
    first = cluster.primaries()[0]
    cluster.promote(cluster.replica_of(first))
    cluster.flush()
    datasets.fill(cluster, 32)
    before = rough(datasets.facts(cluster))
    plan = accepted(subject.plan())["plan"]
    now = [node.address for node in cluster.primaries()]
    assert [shard["node"] for shard in plan["shards"]] == now and first.address in plan["shards"][0]["replicas"]
    assert sum(shard["key_count"] for shard in plan["shards"]) == len(subject.wanted) and len(plan["nodes"]) == 6
    rows = {row["address"]: row for row in plan["nodes"]}
    running = subject.data(plan["nodes"][0], "aside")
    assert running["failed"] and "the node has to be stopped" in running["msg"]
    subject.stop()
    for row in plan["nodes"]:
        assert accepted(subject.data(row, "aside"))["changed"]
    for shard in plan["shards"]:
        row = rows[shard["node"]]
        place = {"mode": "file", "slots": shard["slots"], "path": f"{row['directory']}/{row['dbfilename']}", "id": subject.backup}
        accepted(run_module("redis_restore", {**subject.place, **place}))
        accepted(subject.data(row, "placed", sha256=shard["sha256"]))
    for node in cluster.nodes:
        cluster.start(node)
    wanted = [{"slots": shard["slots"], "key_count": shard["key_count"]} for shard in plan["shards"]]
    told = accepted(run_module("redis_data_info", {"redis_nodes": now, "loaded": wanted, "wait_timeout": 60}))["loaded"]
    assert {row["slots"]: row["node"] for row in told} == {shard["slots"]: shard["node"] for shard in plan["shards"]}
    cluster.until(cluster.whole, "the cluster is not whole")
    assert datasets.differences(subject.wanted, rough(datasets.facts(cluster))) == []
    wrong = run_module("redis_data_info", {"redis_nodes": now, "loaded": [{**wanted[0], "key_count": 1}], "wait_timeout": 5})
    assert wrong["failed"] and "and 1 are in its file" in wrong["msg"]
    assert all(cluster.client(node).info("persistence")["aof_enabled"] == 1 for node in cluster.nodes)
    subject.stop()
    for row in plan["nodes"]:
        assert accepted(subject.data(row, "back"))["changed"]
    for node in cluster.nodes:
        cluster.start(node)
    cluster.until(cluster.whole, "the cluster is not whole")
    assert datasets.differences(before, rough(datasets.facts(cluster))) == []


@pytest.mark.hazard("H38")
def test_all_that_is_in_the_way_is_told_at_once(subject: Subject, tmp_path: Path) -> None:
    cluster = subject.cluster
    none = subject.plan(id="20200101T000000Z-00000000")
    assert none["failed"] and "nothing was touched: " in none["msg"] and "there is none of this id" in none["msg"], none
    cluster.client(cluster.nodes[0]).config_set("maxmemory", 4 << 20)
    cluster.move(range(0, 3), cluster.nodes[0], cluster.nodes[1])
    cluster.kill(cluster.nodes[5])
    cluster.until(lambda: subject.plan()["failed"], "nobody has noticed")
    refused = subject.plan()
    assert refused["failed"] and len(refused["problems"]) >= 2, refused
    assert f"{cluster.nodes[5].address} does not answer" in refused["msg"] and "use mode replay" in refused["msg"], refused
    damaged = next(path for path in (tmp_path / "store").rglob("*") if path.name.endswith(".zst"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    worse = subject.plan()
    assert "bytes, and" in worse["msg"] and "does not answer" in worse["msg"], worse


def test_keys_whose_time_was_over_are_counted_apart(subject: Subject) -> None:
    """A server with an append-only file loads them, and lets them go then; the file's count is right either way."""
    cluster = subject.cluster
    client = cluster.cluster()
    for number in range(30):
        client.set(f"short:{number}", "x", px=3000)
    subject.backup = accepted(run_module("redis_backup", {**cluster.args, **subject.place}))["backup"]["id"]
    time.sleep(3)
    plan = accepted(subject.plan())["plan"]
    rows = {row["address"]: row for row in plan["nodes"]}
    subject.stop()
    for row in plan["nodes"]:
        accepted(subject.data(row, "aside"))
    for shard in plan["shards"]:
        row = {**rows[shard["node"]], "appendonly": shard["slots"].startswith("0-")}
        place = {"mode": "file", "slots": shard["slots"], "path": f"{row['directory']}/{row['dbfilename']}", "id": subject.backup}
        accepted(run_module("redis_restore", {**subject.place, **place}))
        accepted(subject.data(row, "placed"))
    cluster.options = {"cluster-node-timeout": "5000"}
    for node in cluster.nodes:
        cluster.options = {**cluster.options, "appendonly": "yes" if node.address == plan["shards"][0]["node"] else "no"}
        cluster.start(node)
    wanted = [{"slots": shard["slots"], "key_count": shard["key_count"]} for shard in plan["shards"]]
    told = accepted(run_module("redis_data_info", {"redis_nodes": [shard["node"] for shard in plan["shards"]], "loaded": wanted, "wait_timeout": 60}))
    assert sum(row["expired"] for row in told["loaded"][1:]) > 0 and sum(row["loaded"] + row["expired"] for row in told["loaded"]) == len(subject.wanted) + 30
    cluster.until(cluster.whole, "the cluster is not whole")
    assert datasets.differences(subject.wanted, rough(datasets.facts(cluster))) == []


@pytest.mark.operation("S121", "S122")
@pytest.mark.hazard("H41", "H45")
def test_a_node_that_stops_writes_nothing_over_the_file(subject: Subject, tmp_path: Path) -> None:
    """It has save points, and would save; told not to, the file that is put there stays. Nobody else gives it the name of the dump."""
    cluster = subject.cluster
    node = cluster.primaries()[0]
    cluster.client(node).config_set("save", "3600 1")
    with contextlib.closing(RedisProxies([one.address for one in cluster.nodes])) as proxies:
        given = {**cluster.args, "redis_nodes": [node.address], "redis_address_map": proxies.address_map, "nodes": [node.address], "settings": {"save": ""}}
        accepted(run_module("redis_config", {**given, "persist": False}))
    cluster.kill(node, signal.SIGTERM)
    assert node.process
    node.process.wait()
    assert not (node.folder / "dump.rdb").exists()
    data = {"folders": [{"path": str(node.folder), "appendonly": True}], "operation": OPERATION}
    accepted(run_module("redis_data", {**data, "state": "aside"}))
    with Steps(node.folder) as steps:
        place = {"mode": "file", "slots": "0-5460", "path": str(node.folder / "dump.rdb"), "id": subject.backup}
        ended = steps.run("redis_restore", {**subject.place, **place})
    assert ended.result and ended.result["verified"], ended
    accepted(run_module("redis_data", {**data, "state": "placed"}))
    cluster.start(node)
    cluster.until(cluster.whole, "the cluster is not whole")
    assert datasets.differences(subject.wanted, rough(datasets.facts(cluster))) == []
