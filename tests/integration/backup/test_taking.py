# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of scratch clusters: flavours, users, shapes that are refused, writes that are held, a shard that is taken again."""

from __future__ import annotations

import os
import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.faults.backups import Running
from tests.harness import datasets
from tests.harness.modules import ModuleResult, run_module
from tests.harness.redis_tls import Tls
from tests.harness.scratch import Scratch, server
from tests.harness.sequence import accepted
from tests.harness.until import until

KEY = "a key for the tests"
ALLOWED = "+info +cluster|nodes +cluster|info +ping"


@pytest.fixture(scope="module", params=["valkey", "redis"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scratch]:
    with Scratch(tmp_path_factory.mktemp("taking") / "cluster", flavour=request.param, shards=3, replicas=1) as scratch:
        datasets.fill(scratch, 3, 200, big=True)
        scratch.until(scratch.whole, "not whole")
        yield scratch


def backup(scratch: Scratch, folder: Path, **more: t.Any) -> ModuleResult:
    return run_module("redis_backup", {**scratch.args, "store_url": f"file://{folder}/store", "cluster": "demo", "signing_key": KEY, **more})


def info(folder: Path, **more: t.Any) -> ModuleResult:
    return run_module("redis_backup_info", {"store_url": f"file://{folder}/store", "cluster": "demo", "signing_key": KEY, **more})


def test_everything_is_in_it_and_a_server_loads_it(cluster: Scratch, tmp_path: Path) -> None:
    taken = accepted(backup(cluster, tmp_path))["backup"]
    assert taken["key_count"] == cluster.sizes()
    expiring = sum(cluster.client(node).info("keyspace")["db0"]["expires"] for node in cluster.primaries())
    assert sum(shard["expiring"] for shard in taken["shards"]) == expiring
    versions = {shard["rdb_version"] for shard in taken["shards"]}
    assert versions == ({80} if cluster.flavour == "valkey" else {10}), "a Valkey is told its own version, or it writes an older RDB"
    program = server(cluster.flavour)
    loaded = run_module("redis_backup_info", {"store_url": f"file://{tmp_path}/store", "cluster": "demo", "signing_key": KEY, "verify": "load",
                                              "redis_server_path": program.program}, env=dict(program.environment))
    assert accepted(loaded)["backups"][0]["level"] == "load" and loaded["problems"] == [] and loaded["not_done"] == {}


@pytest.mark.parametrize("read_from", ["replicas", "primaries"])
def test_the_form_with_a_length_and_held_writes(cluster: Scratch, tmp_path: Path, read_from: str) -> None:
    """Clients write all the time; their writes wait, but not for longer than is said, and none is lost."""
    stop, slowest, wrote = threading.Event(), [0.0], [0]

    def write() -> None:
        client = cluster.cluster()
        while not stop.is_set():
            began = time.monotonic()
            client.set(f"held-{wrote[0] % 50}", wrote[0])
            slowest[0], wrote[0] = max(slowest[0], time.monotonic() - began), wrote[0] + 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        taken = accepted(backup(cluster, tmp_path, quiesce="PT3S", read_from=read_from))["backup"]
    finally:
        stop.set()
        writer.join()
    assert 0 < taken["paused_ms"] < 3000 and taken["skew_ms"] <= taken["paused_ms"] and slowest[0] < 3.5 and wrote[0] > 10
    assert {shard["role"] for shard in taken["shards"]} == {"replica" if read_from == "replicas" else "primary"}
    assert accepted(info(tmp_path, verify="structure"))["problems"] == []


def test_a_user_who_may_not_replicate_is_told_what_to_grant(cluster: Scratch, tmp_path: Path) -> None:
    allowed = [*ALLOWED.split(), *(["+cluster|getslotmigrations"] if cluster.flavour == "valkey" else [])]
    for node in cluster.nodes:
        cluster.client(node).execute_command("ACL", "SETUSER", "backup", "reset", "on", ">secret", *allowed)
    options = {"redis_username": "backup", "redis_password": "secret"}
    refused = backup(cluster, tmp_path, **options)
    assert refused["failed"] and refused["msg"].endswith("ACL SETUSER backup +psync +replconf"), refused["msg"]
    assert not open_store({"store_url": f"file://{tmp_path}/store"}).entries("")
    words = refused["msg"].rpartition("ACL SETUSER ")[2].split()
    for node in cluster.nodes:
        cluster.client(node).execute_command("ACL", "SETUSER", *words)
    granted = accepted(backup(cluster, tmp_path, **options))
    assert granted["backup"]["verified"] is True
    assert "settings of" in str(granted["warnings"]) and "may not do this" in str(granted["warnings"]), "what it may not read is told"


def test_slots_that_migrate_are_refused(cluster: Scratch, tmp_path: Path) -> None:
    one, two = cluster.primaries()[:2]
    ids = [cluster.client(node).execute_command("CLUSTER MYID").decode() for node in (one, two)]
    slot = one.slots[0][0] if one.slots else cluster.owners()[0][0]
    cluster.client(one).execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    try:
        refused = backup(cluster, tmp_path)
        assert refused["failed"] and "on their way to another node" in refused["msg"] and refused.crashed is False
    finally:
        cluster.client(one).execute_command("CLUSTER", "SETSLOT", slot, "STABLE")
    assert accepted(backup(cluster, tmp_path))["backup"]["verified"] is True


@pytest.mark.hazard("H33")
def test_a_shard_whose_node_changes_its_role_is_taken_again(cluster: Scratch, tmp_path: Path) -> None:
    """A node that is promoted ends its streams; what it had sent whole by then is read to its end, and its role is seen after."""
    primary, direct = cluster.primaries()[0], cluster.cluster()
    mine = next(key for key in map("role:{}".format, range(10_000)) if direct.get_node_from_key(key).port == primary.port)
    direct.set(mine, os.urandom(2_000_000))   # nothing can compress it, so its stream takes seconds
    cluster.until(cluster.whole, "not whole")
    replica = cluster.replica_of(primary)
    run = Running({**cluster.args, "store_url": f"file://{tmp_path}/store", "cluster": "demo", "signing_key": KEY, "bandwidth_limit": 1_000_000})
    try:
        until(lambda: cluster.client(replica).info("replication")["connected_slaves"] > 0 or run.process.poll() is not None, "the stream", 30)
        if run.process.poll() is None:
            cluster.promote(replica)
    finally:
        result = run.end()
    accepted(result)
    told = str(result["warnings"])
    assert "are taken again" in told and ("no longer the replica" in told or "closed the connection before its data was complete" in told), told
    again = [shard for shard in result["backup"]["shards"] if ".2.rdb" in shard["object"]]
    assert len(again) == 1 and result["backup"]["key_count"] == cluster.sizes()
    files = [path.name for path in (tmp_path / "store/backups/demo" / result["backup"]["id"]).iterdir()]
    assert len([name for name in files if name.startswith("shard")]) == 3, "the first attempt is gone"
    cluster.cluster().delete(mine)


def test_a_shard_without_a_node_is_no_backup(tmp_path: Path) -> None:
    with Scratch(tmp_path / "cluster", shards=3, options={"cluster-require-full-coverage": "no"}) as scratch:
        scratch.kill(scratch.nodes[1])
        refused = backup(scratch, tmp_path, redis_timeout="PT1S")
        assert refused["failed"] and not refused.crashed and "\n" not in refused["msg"], dict(refused)
        assert not list((tmp_path / "store").rglob("manifest.json"))


def test_a_killed_run_leaves_rdbcompression_off_and_the_next_one_puts_it_back(tmp_path: Path) -> None:
    with Scratch(tmp_path / "cluster", shards=1) as scratch:
        client = scratch.client(scratch.nodes[0])
        client.set("k", "v" * 300_000)
        options = {"uncompressed_source": True, "read_from": "any"}
        run = Running({**scratch.args, "store_url": f"file://{tmp_path}/store", "cluster": "demo", "signing_key": KEY, "bandwidth_limit": 100_000, **options})
        until(lambda: "no" in str(client.config_get("rdbcompression")), "the setting", 30)
        run.process.kill()
        run.end()
        assert "no" in str(client.config_get("rdbcompression"))
        result = accepted(backup(scratch, tmp_path, read_from="any"))
        assert "yes" in str(client.config_get("rdbcompression")) and "was put back" in str(result["warnings"])
        accepted(backup(scratch, tmp_path, **options))
        assert "yes" in str(client.config_get("rdbcompression")) and not list((tmp_path / "store/backups/demo/marks").iterdir())


def test_keys_in_another_database_are_refused(tmp_path: Path) -> None:
    """Valkey 9 lets a cluster have several."""
    with Scratch(tmp_path / "cluster", shards=1, options={"cluster-databases": "2"}) as scratch:
        client = scratch.client(scratch.nodes[0])
        client.execute_command("SELECT", 1)
        with client.client() as one:
            one.execute_command("SELECT", 1)
            one.execute_command("SET", "k", "v")
        refused = backup(scratch, tmp_path, read_from="any")
        assert refused["failed"] and "has keys in db1: a backup holds database 0 only" in refused["msg"]


def test_by_tls_with_a_client_certificate(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    with Scratch(tmp_path / "cluster", "redis", 1, options=tls.options, password="canary") as scratch:
        datasets.fill(scratch, 11, 200, big=True)
        args = {**tls.args(scratch), "store_url": f"file://{tmp_path}/store", "cluster": "demo", "signing_key": KEY, "read_from": "any"}
        plain = scratch.client(scratch.nodes[0]).info("stats")["total_connections_received"]
        taken = accepted(run_module("redis_backup", args))["backup"]
        assert taken["verified"] is True and taken["key_count"] == scratch.sizes()
        assert scratch.client(scratch.nodes[0]).info("stats")["total_connections_received"] > plain + 1
        for bad in ({"redis_ca_path": "/etc/ssl/certs/ca-certificates.crt"}, {"redis_client_cert": None, "redis_client_key": None}):
            refused = run_module("redis_backup", {name: value for name, value in {**args, **bad}.items() if value is not None})
            assert refused["failed"] and not refused.crashed and "\n" not in refused["msg"], dict(refused)
            assert any(word in refused["msg"].lower() for word in ("certificate", "ssl", "tls")), refused["msg"]
