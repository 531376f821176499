# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_backup, redis_backup_info and redis_backup_prune on the fleet's cluster and its S3 service, through proxies that see every call."""

from __future__ import annotations

import contextlib
import json
import secrets
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.harness.canary import Canaries
from tests.harness.modules import ModuleResult, run_module
from tests.harness.redis_proxy import RedisProxies
from tests.harness.s3_proxy import S3Proxy
from tests.harness.sequence import accepted
from tests.harness.targets import forget

KEY = "a key for the tests"
Options = dict[str, t.Any]


@pytest.fixture
def options(fleet) -> Iterator[Options]:
    """The fleet's nodes and a place of its own in the fleet's bucket, both behind recording proxies."""
    with contextlib.closing(fleet.redis()) as client:
        nodes = sorted(f"{node.host}:{node.port}" for node in client.get_nodes())
    direct = {**fleet.store_args, "store_url": f"s3://exalt-cache-backups/test-{secrets.token_hex(6)}"}
    proxies = RedisProxies(nodes)
    try:
        with S3Proxy(direct["store_endpoint_url"]) as s3:
            yield {**fleet.redis_args, "redis_address_map": proxies.address_map, "redis_nodes": list(proxies.address_map), **direct,
                   "store_endpoint_url": s3.url, "cluster": "local", "signing_key": KEY, "direct": direct, "proxies": proxies, "s3": s3}
    finally:
        proxies.close()
        store = open_store(direct)
        for entry in store.entries(""):
            store.delete(entry.name)
        for leftover in store.leftovers(""):
            store.discard(leftover)


def run(module: str, options: Options, check: bool = False, **more: t.Any) -> ModuleResult:
    given = {name: value for name, value in options.items() if name not in ("direct", "proxies", "s3")}
    if module != "redis_backup":
        given = {name: value for name, value in given.items() if not name.startswith("redis_")}
    return run_module(module, {**given, **more}, check=check)


@pytest.fixture
def data(fleet) -> Iterator[int]:
    """Some keys; the number of all that the cluster has then."""
    with contextlib.closing(fleet.redis()) as client:
        for number in range(300):
            client.set(f"backup-test:{number}", f"value {number}" * 20, ex=10_000 if number % 3 == 0 else None)
        client.wait(1, 2000, target_nodes="primaries")
        yield client.dbsize(target_nodes="primaries")
    forget(fleet, "backup-test:")


@pytest.mark.operation("S104", "S105", "S106", "S107", "S108", "S109", "S114")
@pytest.mark.hazard("H31", "H32", "H33", "H35")
def test_a_backup_is_taken_once(options, data) -> None:
    nowhere = run("redis_backup", options, check=True, store_url="s3://no-such-bucket/x" if options.get("store_endpoint_url") else "file:///no/such/folder")
    assert nowhere["failed"] and "no" in nowhere["msg"], nowhere
    predicted = accepted(run("redis_backup", options, check=True))
    assert predicted["changed"] is True and {row["role"] for row in predicted["backup"]["plan"]} == {"replica"} and len(predicted["backup"]["plan"]) == 3
    writes = {record["path"] for record in options["s3"].records()} - {"GetObject", "HeadObject", "ListObjects", "ListMultipartUploads", "ListParts"}
    assert not writes, f"check mode wrote: {writes}"
    assert not [one for one in options["proxies"].records() if one["path"] in ("PSYNC", "CONFIG SET", "CLIENT PAUSE")], "check mode read no data"
    taken = accepted(run("redis_backup", options))
    backup = taken["backup"]
    assert taken["changed"] is True and backup["verified"] is True and backup["kind"] == "regular" and taken["summary"] == {"taken": [backup["id"]]}
    assert backup["key_count"] == data and sum(shard["key_count"] for shard in backup["shards"]) == data
    assert sorted(shard["slots"] for shard in backup["shards"]) == ["0-5461", "10924-16383", "5462-10923"]
    assert {shard["role"] for shard in backup["shards"]} == {"replica"} and len({shard["node"] for shard in backup["shards"]}) == 3
    assert backup["paused_ms"] == 0 and 0 <= backup["skew_ms"] < 10_000 and 0 < backup["stored_bytes"] and backup["seconds"] > 0
    psyncs = [one["node"] for one in options["proxies"].records() if one["path"] == "PSYNC"]
    assert sorted(psyncs) == sorted(shard["node"] for shard in backup["shards"]), "each shard is read once, from one node"
    order = [entry.name.rpartition("/")[2] for entry in sorted(open_store(options["direct"]).entries("backups"), key=lambda entry: -entry.age)]
    assert set(order) == {"manifest.json", "verified.json", "nodes.json.zst", *(shard["object"] for shard in backup["shards"])}, "and nothing else"
    shown = {"before": {}, "after": {"backup": "regular", "shards": sorted(shard["slots"] for shard in backup["shards"])}}
    for one in (predicted, taken):
        assert {**one["diff"], "after": {**one["diff"]["after"], "shards": sorted(one["diff"]["after"]["shards"])}} == shown
    again = accepted(run("redis_backup", options, max_age="PT1H"))
    assert again["changed"] is False and again["backup"]["id"] == backup["id"] and again["backup"]["verified"] is True
    assert again["diff"] == {"before": {}, "after": {}}
    assert accepted(run("redis_backup", options, max_age="PT1H", check=True))["changed"] is False
    # a safety backup is none of the regular ones
    other = accepted(run("redis_backup", options, kind="safety"))["backup"]
    info = accepted(run("redis_backup_info", options, verify="structure", max_age="PT1H"))
    assert info["newest_verified"] == backup["id"] and [one["id"] for one in info["backups"]] == [other["id"], backup["id"]]
    assert info["problems"] == [] and info["fresh"] is True and {one["level"] for one in info["backups"]} == {"structure"}
    assert info["metrics"]["exalt_cache_backup_sets"] == 2 and 0 < info["metrics"]["exalt_cache_backup_age_seconds"] < 3600


@pytest.mark.hazard("H37")
@pytest.mark.parametrize("encrypted", [False, True])
def test_no_secret_is_stored_in_clear(options, fleet, data, encrypted: bool) -> None:
    identity = pyrage.x25519.Identity.generate()
    taken = accepted(run("redis_backup", options, encrypt_to=[str(identity.to_public())] if encrypted else []))
    names = ("redis_password", "redis_service_password", "redis_observer_password")
    canaries = Canaries(key=KEY, **{name: fleet.state.secret(name) for name in names})
    store = open_store(options["direct"])
    import zstandard

    for entry in store.entries(""):
        raw = store.get(entry.name)
        assert not canaries.in_bytes(raw, entry.name)
        if entry.name.endswith("nodes.json.zst"):
            plain = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
            assert not canaries.in_bytes(plain, entry.name) and b"requirepass" in plain and b"#" not in plain
            nodes = json.loads(plain)["nodes"]
            assert len(nodes) == 6 and all("requirepass" in node["left_out"] and node["settings"]["maxmemory"] and node["acl"] for node in nodes)
    assert not canaries.in_text(taken.stdout, "the result")
    assert taken["backup"]["encrypted"] is encrypted
    if encrypted:
        shallow = accepted(run("redis_backup_info", options, verify="structure"))
        assert "no identity is given" in shallow["not_done"][taken["backup"]["id"]] and shallow["backups"][0]["level"] == "objects"
    deep = accepted(run("redis_backup_info", options, verify="structure", identities=[str(identity)]))
    assert deep["backups"][0]["level"] == "structure" and deep["problems"] == [] and str(identity) not in deep.stdout


@pytest.mark.operation("S110")
@pytest.mark.hazard("H36")
def test_pruning_removes_what_it_said_and_uploads_that_nobody_finished(options, data) -> None:
    ids = [accepted(run("redis_backup", options))["backup"]["id"] for _number in range(3)]
    store = open_store(options["direct"])
    dead = f"backups/local/{ids[0][:16]}-00000000/shard-00000-05461.rdb.zst"
    store.client.create_multipart_upload(Bucket=store.bucket, Key=store.key(dead))
    store.put(dead, b"of a run that died")
    held = accepted(run("redis_backup_prune", options, keep_last=3, hold=[ids[0]]))
    assert held["changed"] is True and held["removed"] == [] and len(held["leftovers"]) == 2 and not store.leftovers("") and store.get(dead) is None
    planned = accepted(run("redis_backup_prune", options, keep_last=1, check=True))
    assert planned["removed"] == [ids[1]] and "held" in planned["reasons"][ids[0]] and len(accepted(run("redis_backup_info", options))["backups"]) == 3
    done = accepted(run("redis_backup_prune", options, keep_last=1))
    assert (done["removed"], done["kept"], done["diff"]) == (planned["removed"], planned["kept"], planned["diff"]) and done["changed"] is True
    assert done["kept"] == [ids[2], ids[0]] and not [entry for entry in store.entries("") if ids[1] in entry.name]
    assert accepted(run("redis_backup_prune", options, keep_last=1))["changed"] is False
    last = accepted(run("redis_backup_prune", options, keep_last=1, release=[ids[0]]))
    assert last["removed"] == [ids[0]] and last["kept"] == [ids[2]] and not store.entries("backups/local/holds")


@pytest.mark.hazard("H36")
def test_what_was_never_verified_fills_no_place_of_a_good_one(options, data) -> None:
    ids = [accepted(run("redis_backup", options, verify=False))["backup"]["id"] for _number in range(3)]
    store = open_store(options["direct"])
    name = next(entry.name for entry in store.entries(f"backups/local/{ids[1]}") if ".rdb" in entry.name)
    content = store.get(name)
    assert content is not None
    store.delete(name)
    store.put(name, content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    for check in (True, False):
        done = accepted(run("redis_backup_prune", options, keep_last=2, check=check))
        assert done["removed"] == [] and "keep_last (2 of 2)" in done["reasons"][ids[0]], done
        assert done["reasons"][ids[1]].startswith("a problem: ") and done["problems"][0].startswith(ids[1])


@pytest.mark.parametrize(("module", "more", "told"), [
    ("redis_backup", {"cluster": "a/b"}, "cluster: 'a/b' must be letters"),
    ("redis_backup", {"encrypt_to": ["age1nonsense"]}, "encrypt_to: 'age1nonsense' is no recipient"),
    ("redis_backup", {"compression_level": 0}, "compression_level: it goes from 1 to 19"),
    ("redis_backup", {"parallel": -1}, "parallel: it goes from 0"),
    ("redis_backup", {"bandwidth_limit": -5}, "bandwidth_limit: it goes from 0"),
    ("redis_backup", {"quiesce": "PT5M"}, "quiesce: writes can't be held for more than 30 s"),
    ("redis_backup", {"quiesce": "PT1S", "parallel": 1}, "quiesce: it needs parallel: 0"),
    ("redis_backup", {"max_lag": "soon"}, "max_lag: 'soon' is not a duration"),
    ("redis_backup", {"redis_timeout": 0}, "redis_timeout: it must be more than 0 and at most 3600 seconds, not 0"),
    ("redis_backup", {"store_timeout": "PT2H"}, "store_timeout: it must be more than 0 and at most 3600 seconds, not PT2H"),
    ("redis_backup", {"redis_nodes": []}, "redis_nodes: give at least one node"),
    ("redis_backup", {"redis_password": "wrong", "redis_username": "default"}, "does not accept the user or password"),
    ("redis_backup", {"redis_username": "observer"}, "observer"),
    ("redis_backup", {"store_url": "s3://no-such-bucket-anywhere/x"}, "store"),
    ("redis_backup", {"store_url": ""}, "store_url: give a store"),
    ("redis_backup_info", {"id": "yesterday"}, "id: 'yesterday' is no id of a backup"),
    ("redis_backup_info", {"id": "20260101T000000Z-00000000"}, "there is none of this id for the cluster local"),
    ("redis_backup_info", {"fail_if_older": True}, "fail_if_older: it needs max_age"),
    ("redis_backup_info", {"fail_if_older": True, "max_age": "PT1H"}, "there is no verified regular backup of local"),
    ("redis_backup_info", {"identities": ["nonsense"]}, "identities: the identity number 1 is none of age"),
    ("redis_backup_prune", {}, "the policy keeps nothing"),
    ("redis_backup_prune", {"keep_last": -1}, "keep_last: it can't be negative"),
    ("redis_backup_prune", {"keep_last": 1, "minimum_redundancy": 0}, "minimum_redundancy: at least one"),
    ("redis_backup_prune", {"keep_last": 1, "hold": ["nonesuch"]}, "hold: there is no backup 'nonesuch' of local"),
])
def test_bad_input_is_one_clear_line(options, fleet, module: str, more: Options, told: str) -> None:
    if more.get("redis_username") == "observer":
        more = {**more, "redis_password": fleet.state.secret("redis_observer_password")}
    result = run(module, options, **more)
    assert result["failed"] and not result.crashed and told in result["msg"] and "\n" not in result["msg"], dict(result)
    assert "internal error" not in result["msg"] and KEY not in result.stdout and result.seconds < 60


def test_progress_is_told(options, data, tmp_path: Path) -> None:
    path = tmp_path / "progress"
    accepted(run("redis_backup", options, progress_path=str(path), bandwidth_limit=20_000))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[-1]["status"] == "verifying" and rows[-1]["done"] > 0 and any(" from " in row["status"] for row in rows)
