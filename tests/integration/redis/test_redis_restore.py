# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_restore: the plan, every check before the first write, the way back, and runs that were cut off."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import typing as t

import pyrage
import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources.operation_lock import Lock
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.harness import datasets, process, sets
from tests.harness.modules import run_module
from tests.harness.redis_proxy import RedisProxies
from tests.harness.scratch import Scratch, server
from tests.harness.sequence import accepted
from tests.integration.redis.conftest import KEY, Stage, job


# A restore of a file that dies when the file is written, and not in its place yet
KILLED = """
import json, os, signal, sys
from ansible_collections.exalt.caching.plugins.module_utils._resources import restore_file
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store
given = json.load(sys.stdin)
dying = restore_file.File(given, open_store(given), print)
dying.prepare()
read = dying._read
dying._read = lambda into: (read(into), into.flush(), os.kill(os.getpid(), signal.SIGKILL))
dying.act()
"""


def same(stage: Stage) -> int:
    before = datasets.facts(stage.source)
    assert datasets.differences(before, datasets.facts(stage.target)) == []
    assert datasets.functions(stage.source) == datasets.functions(stage.target)
    return len(before)


@pytest.mark.hazard("H38", "H39", "H46")
def test_the_plan_is_told_and_nothing_is_written(stage: Stage) -> None:
    backup = stage.put()
    before, listing = stage.writes(), stage.listing()
    plan = accepted(stage.restore(check=True))
    assert plan["changed"] is True and stage.writes() == before and stage.listing() == listing and stage.target.sizes() == 0
    keys = len(datasets.facts(stage.source))
    told = plan["plan"]
    assert told["present"] == told["skipped_count"] == told["expired"] == 0
    assert (told["backup"], told["key_count"], told["lost"], told["at_target"], told["resumes"]) == (backup, keys, 0, 0, False)
    assert sorted(row["node"] for row in told["into"]) == sorted(node.address for node in stage.target.primaries())
    assert len(told["sources"]) == 3 and told["seconds"] is None and told["safety_backup"] is None
    done = accepted(stage.restore())
    assert done["diff"] == plan["diff"] and done["verified"] is True and done["restored"]["key_count"] == keys == same(stage)
    assert done["restored"]["keys_per_second"] > 0 and done["expired"] == done["skipped_count"] == 0
    again = stage.restore(check=True, flush=True, confirm="demo")["plan"]
    assert again["seconds"] >= 0.1 and again["rate_known_from"] == "earlier restores" and again["lost"] == keys and again["safety_backup"] == "taken first"


@pytest.mark.operation("S124")
@pytest.mark.hazard("H46")
def test_the_restored_cluster_is_looked_at_on_every_node(stage: Stage) -> None:
    stage.put()
    recorded = RedisProxies([node.address for node in stage.target.nodes])
    try:
        through = {"redis_nodes": list(recorded.address_map), "redis_address_map": recorded.address_map}
        done = accepted(stage.restore(**through))
        assert done["verified"] is True and done["restored"]["key_count"] == same(stage)
        for command in ("CLUSTER NODES", "CLUSTER INFO", "INFO"):
            assert {row["node"] for row in recorded.records() if row["path"] == command} == {node.address for node in stage.target.nodes}
        last = max(place for place, row in enumerate(recorded.records()) if row["path"] == "RESTORE")
        assert {"CLUSTER INFO", "DBSIZE", "DUMP"} <= {row["path"] for row in recorded.records()[last:]}
    finally:
        recorded.close()


@pytest.mark.hazard("H07")
def test_a_restore_whose_lock_was_lost_writes_nothing(stage: Stage) -> None:
    stage.put()
    place = {"store_url": f"file://{stage.store}", "name": "demo", "scope": "topology"}
    token = accepted(run_module("operation_lock", {**place, "owner": "first"}))["token"]
    held = {"name": "demo", "token": token, "ttl": "PT1M"}
    accepted(run_module("operation_lock", {**place, "state": "released", "token": token}))
    accepted(run_module("operation_lock", {**place, "owner": "the other run"}))
    before = stage.writes()
    result = stage.restore(lock=held)
    assert result["failed"] and "was lost: it is held by the other run since" in result["msg"] and stage.writes() == before, result
    backup = run_module("redis_backup", {**stage.source.args, "store_url": place["store_url"], "cluster": "demo", "lock": held})
    assert backup["failed"] and "was lost: it is held by the other run since" in backup["msg"], backup


@pytest.mark.hazard("H07")
def test_a_restore_keeps_the_lock_of_its_operation(stage: Stage) -> None:
    stage.put()
    place = {"store_url": f"file://{stage.store}", "name": "demo", "scope": "topology"}
    taken = accepted(run_module("operation_lock", {**place, "owner": "the restore", "ttl": 10}))
    done = accepted(stage.restore(lock={"name": "demo", "token": taken["token"], "ttl": "PT10M"}))
    now = run_module("operation_lock", {**place, "owner": "the other run"}, check=True)["holder"]
    assert done["verified"] and now["owner"] == "the restore" and now["until"] > taken["holder"]["until"], now


@pytest.mark.hazard("H07")
@pytest.mark.parametrize("stolen", [False, True])
def test_the_lock_is_kept_while_the_backup_is_looked_at(stage: Stage, stolen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shard takes longer to be read than a third of the lock's time; together they take longer than all of it."""
    stage.put()
    store = open_store({"store_url": f"file://{stage.store}"})
    lock, other = Lock(store, "demo", "topology"), Lock(store, "demo", "topology")
    token = lock.take("the restore", 3.0, 0).token
    read, opened = store.read, list[str]()

    def slow(name: str) -> t.Any:
        opened.append(name)
        if stolen and len(opened) == 2:
            other.release(token)
            other.take("the other run", 60.0, 0)
        time.sleep(2.0)
        return read(name)

    monkeypatch.setattr(store, "read", slow)
    before, began = stage.writes(), time.monotonic()
    restore = job(stage, store=store, lock={"name": "demo", "scope": "topology", "token": token, "ttl": "PT3S"})
    if stolen:
        with pytest.raises(CachingError, match="was lost: it is held by the other run since"):
            restore.prepare()
        assert len(opened) == 2, "the rest is not read"
    else:
        restore.prepare()
        assert time.monotonic() - began > 6.0 and lock.mine(token).held and len(opened) == 3
    assert stage.writes() == before


@pytest.mark.hazard("H07")
def test_the_lock_is_kept_at_the_last_look(stage: Stage) -> None:
    stage.put()
    place = {"store_url": f"file://{stage.store}", "name": "demo", "scope": "topology"}
    store = open_store(place)
    lock = Lock(store, "demo", "topology")
    token = lock.take("the restore", 3.0, 0).token
    restore = job(stage, store=store, lock={"name": "demo", "scope": "topology", "token": token, "ttl": "PT3S"})
    restore.prepare()
    after = restore._after

    def slow(*args: t.Any) -> t.Any:
        time.sleep(6.0)
        return after(*args)

    restore._after = slow   # type: ignore[method-assign]
    assert restore.act()["verified"] and lock.mine(token).held


@pytest.mark.hazard("H39")
def test_an_unfinished_restore_whose_backup_is_gone(stage: Stage) -> None:
    """With flush the next run begins anew; any other says how to go on, and does at once with an id."""
    for flush in (False, True):
        gone = stage.put(when=time.time() - 60)
        options: dict[str, t.Any] = {"flush": flush, "confirm": "demo", "safety_backup": False}
        begun = job(stage, **options)
        begun.prepare()
        begun.record.start(gone, None)     # and here it was killed
        assert accepted(stage.restore(check=True, **options))["plan"]["resumes"] is True
        shutil.rmtree(stage.store / "backups" / "demo" / gone)
        other = stage.put(when=time.time() - 30)
        before = stage.writes()
        result = stage.restore(**options)
        told = f"the restore of {gone} that was begun 0 minutes ago and not finished can't go on, as that backup is gone from the store"
        if flush:
            done = accepted(result)
            assert done["plan"]["backup"] == other and done["plan"]["resumes"] is False and told in str(done["warnings"])
            assert done["restored"]["key_count"] == same(stage)
            assert accepted(stage.restore(check=True, **options))["plan"]["resumes"] is False, "the old one is closed"
        else:
            assert result["failed"] and told in result["msg"] and "name it as id" in result["msg"] and stage.writes() == before, result
            done = accepted(stage.restore(id=other, **options))
            assert done["plan"]["resumes"] is False and done["restored"]["key_count"] == same(stage)
        shutil.rmtree(stage.store / "backups" / "demo" / other)


def test_which_backup(stage: Stage) -> None:
    now = time.time()
    old = stage.put(when=now - 7200)
    regular = stage.put(when=now - 3600)
    stage.put(when=now - 1800, kind="safety")
    stage.put(when=now - 900, verified=False)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 5000))
    for wanted, found in (("newest", regular), (stamp, old), (old, old)):
        assert accepted(stage.restore(check=True, id=wanted))["plan"]["backup"] == found
    for wanted, told in (("2001-01-01T00:00:00Z", "no verified regular backup of demo before"), ("latest", "is neither newest"),
                         ("20010101T000000Z-01234567", "there is none of this id for the cluster demo"), ("2026-13-40T00:00:00Z", "is neither newest")):
        result = stage.restore(id=wanted)
        assert result["failed"] and told in result["msg"] and "\n" not in result["msg"], result


@pytest.mark.hazard("H39")
@pytest.mark.parametrize(("options", "told"), [
    ({"flush": True}, "confirm: flush destroys data of demo"), ({"flush": True, "confirm": "other"}, "confirm: flush destroys"),
    ({"on_conflict": "replace"}, "confirm: on_conflict replace destroys"), ({}, "keys of the backup are at the target already"),
    ({"redis_nodes": []}, "redis_nodes: give at least one node"), ({"redis_nodes": ["127.0.0.1:1"]}, "no node of Redis answers"),
    ({"signing_key": "canary-other"}, "another key than"), ({"store_url": "file:///nonesuch/exalt"}, "no verified regular backup"),
    ({"mode": "file"}, "slots"), ({"mode": "file", "slots": "1-2", "path": "x.rdb"}, "has no shard 1-2"), ({"cluster": "../x"}, "cluster: "),
    ({"wait_timeout": "soon"}, "wait_timeout: 'soon' is not a duration"), ({"patterns": ["nothing:*"], "on_conflict": "skip"}, None),
])
def test_nothing_is_written_where_something_is_not_green(stage: Stage, options: dict[str, t.Any], told: str | None) -> None:
    stage.put()
    keys = sorted(datasets.facts(stage.source))[:3]
    with_one = stage.target.cluster()
    for key in keys:
        with_one.set(key, "mine")
    before, listing = stage.writes(), stage.listing()
    result = stage.restore(safety_backup=False, **options)
    if told is None:
        assert not result.get("failed") and result["changed"] is False and result["restored"]["key_count"] == 0
        assert "none of the" in str(result["warnings"]), result["warnings"]
    else:
        assert result["failed"] and told in result["msg"] and "\n" not in result["msg"] and not result.get("changed"), result
        assert stage.listing() == listing and "internal error" not in result["msg"]
    assert stage.writes() == before and stage.target.sizes() == 3 and KEY not in result.stdout


def forge_wrong_mac(stage: Stage) -> None:
    manifest = next(stage.store.rglob("manifest.json"))
    found = json.loads(manifest.read_bytes())
    found["content"]["kind"] = "regular"
    found["content"]["skew_ms"] = 77
    manifest.write_bytes(json.dumps(found, sort_keys=True, separators=(",", ":")).encode() + b"\n")


def flip(stage: Stage) -> None:
    path = max(stage.store.rglob("*.rdb.zst*"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(stage: Stage) -> None:
    path = max(stage.store.rglob("*.rdb.zst*"))
    path.write_bytes(path.read_bytes()[:-9])


def swap(stage: Stage) -> None:
    first, second, *_others = sorted(stage.store.rglob("*.rdb.zst"))
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def remove(stage: Stage) -> None:
    max(stage.store.rglob("*.rdb.zst")).unlink()


def longer(stage: Stage) -> None:
    path = max(stage.store.rglob("*.rdb.zst*"))
    path.write_bytes(path.read_bytes() + b"more")


@pytest.mark.hazard("H38")
@pytest.mark.parametrize("harm", [forge_wrong_mac, flip, cut, swap, remove, longer])
def test_a_wrong_set_is_refused_before_the_first_write(stage: Stage, harm: t.Callable[[Stage], None]) -> None:
    backup = stage.put()
    harm(stage)
    cluster = stage.target.cluster()
    cluster.set("kept", "mine")
    before = stage.writes()
    result = stage.restore(id=backup, flush=True, confirm="demo", safety_backup=False)
    assert result["failed"] and "\n" not in result["msg"] and "internal error" not in result["msg"], result
    assert stage.writes() == before and cluster.get("kept") == b"mine"


def test_a_set_with_another_count_is_refused(stage: Stage) -> None:
    def more(manifest: dict[str, t.Any]) -> None:
        manifest["shards"][0]["key_count"] += 1

    stage.put(change=more)
    result = stage.restore()
    assert result["failed"] and "keys are in it" not in result["msg"] or "says that it has" in result["msg"]
    assert stage.target.sizes() == 0


@pytest.mark.hazard("H43")
def test_into_a_lower_version_or_another_flavour_nothing_is_written(stage: Stage, tmp_path) -> None:
    stage.put()
    with Scratch(tmp_path / "old", "redis", 1) as old:
        result = stage.restore(**old.args)
        assert result["failed"] and "the backup has version 80 of valkey" in result["msg"] and old.sizes() == 0
        datasets.fill(old, 8)
        sets.put(stage.store, old, key=KEY, when=time.time() + 5)
        done = accepted(stage.restore())
        assert done["restored"]["key_count"] == old.sizes() == stage.target.sizes() and done["verified"] is True


def test_no_room_is_told_before_the_first_write(stage: Stage) -> None:
    pipe = stage.source.client(stage.source.primaries()[0]).pipeline(transaction=False)
    tag = next(tag for tag in range(99999) if datasets.router(stage.source)(b"{%d}" % tag) is stage.source.primaries()[0])
    for number in range(10000):
        pipe.set(b"{%d}%d" % (tag, number), b"v%d" % number + b"x" * 1000)
    pipe.execute()
    stage.put()
    for node in stage.target.primaries():
        stage.target.client(node).config_set("maxmemory", "6mb")
    try:
        before = stage.writes()
        result = stage.restore()
        assert result["failed"] and "writes would be refused" in result["msg"] and stage.writes() == before
        for node in stage.target.primaries():
            stage.target.client(node).config_set("maxmemory-policy", "allkeys-lru")
        assert "keys would be evicted (allkeys-lru)" in stage.restore()["msg"] and stage.target.sizes() == 0
    finally:
        for node in stage.target.primaries():
            stage.target.client(node).config_set("maxmemory", 0)
            stage.target.client(node).config_set("maxmemory-policy", "noeviction")


def test_patterns_and_what_is_there(stage: Stage) -> None:
    stage.put()
    facts = datasets.facts(stage.source)
    wanted = {key for key in facts if key.startswith(b"product:")}
    cluster = stage.target.cluster()
    mine = min(wanted)
    cluster.set(mine, "mine")
    plan = accepted(stage.restore(check=True, patterns=["product:*"], on_conflict="skip", safety_backup=False))
    assert (plan["plan"]["skipped_count"], plan["plan"]["lost"], plan["diff"]["after"]["restored"]) == (1, 0, len(wanted) - 1)
    done = accepted(stage.restore(patterns=["product:*"], on_conflict="skip", safety_backup=False))
    assert (done["restored"]["key_count"], done["skipped_count"]) == (len(wanted) - 1, 1) and cluster.get(mine) == b"mine"
    assert set(datasets.facts(stage.target)) == wanted and done["plan"]["functions"] == 0
    emptied = accepted(stage.restore(check=True, flush=True, confirm="demo"))["plan"]
    assert (emptied["present"], emptied["skipped_count"], emptied["lost"]) == (None, 0, len(wanted)), "what is emptied is not looked through"
    done = accepted(stage.restore(patterns=["product:*"], on_conflict="replace", confirm="demo", safety_backup=False))
    assert done["plan"]["lost"] == len(wanted) and datasets.differences({key: facts[key] for key in wanted}, datasets.facts(stage.target)) == []


@pytest.mark.hazard("H45")
def test_a_run_that_was_killed_while_it_wrote_the_file(stage: Stage, tmp_path) -> None:
    """What it left goes with the next run; a new file is of whom the folder is."""
    stage.put()
    folder = tmp_path / "data"
    folder.mkdir()
    owner = (4321, 4322) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(folder, *owner)
    path = folder / "dump.rdb"
    given = {**stage.args(), "id": "newest", "identities": None, "mode": "file", "slots": "0-5460", "path": str(path), "patterns": [], "flush": False,
             "on_conflict": "fail"}
    ended = subprocess.run([sys.executable, "-c", KILLED], input=json.dumps(given), text=True, check=False, env=process.environment({}))
    assert ended.returncode == -signal.SIGKILL
    assert [one.stat().st_size > 0 for one in folder.iterdir()] == [True] and not path.exists(), "it has left something"
    done = accepted(stage.restore(mode="file", slots="0-5460", path=str(path), redis_nodes=None))
    status = path.stat()
    assert done["verified"] and [one.name for one in folder.iterdir()] == ["dump.rdb"]
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (*owner, 0o600)


@pytest.mark.hazard("H45")
def test_the_file_of_one_shard(stage: Stage, tmp_path) -> None:
    stage.put()
    path = tmp_path / "dump.rdb"
    path.write_bytes(b"old")
    path.chmod(0o640)
    plan = accepted(stage.restore(check=True, mode="file", slots="0-5460", path=str(path), redis_nodes=None))
    assert plan["changed"] is True and plan["verified"] is False and path.read_bytes() == b"old"
    left = tmp_path / ".dump.rdb.restoring"
    left.write_bytes(b"x" * 99)   # what a killed run leaves
    with left.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = stage.restore(mode="file", slots="0-5460", path=str(path), redis_nodes=None)
        assert result["failed"] and "another restore writes" in result["msg"] and path.read_bytes() == b"old"
    done = accepted(stage.restore(mode="file", slots="0-5460", path=str(path), redis_nodes=None))
    assert done["changed"] is done["verified"] is True and done["diff"] == plan["diff"] and path.stat().st_mode & 0o777 == 0o640
    node = stage.source.primaries()[0]
    assert path.read_bytes() == (node.folder / "dump.rdb").read_bytes() and done["plan"]["key_count"] == stage.source.client(node).dbsize()
    again = accepted(stage.restore(mode="file", slots="0-5460", path=str(path), redis_nodes=None))
    assert again["changed"] is False and again["verified"] is True and not left.exists()
    for unfit in ({"patterns": ["a*"]}, {"flush": True}, {"on_conflict": "replace"}):
        result = stage.restore(mode="file", slots="0-5460", path=str(path), redis_nodes=None, **unfit)
        assert result["failed"] and result["msg"].startswith(f"{next(iter(unfit))}: only for mode replay"), result
    folder = tmp_path / "of-redis"
    folder.mkdir(mode=0o750)
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12346)
    accepted(stage.restore(mode="file", slots="0-5460", path=str(folder / "dump.rdb"), redis_nodes=None))
    seen, owner = (folder / "dump.rdb").stat(), folder.stat()
    assert (seen.st_mode & 0o777, seen.st_uid, seen.st_gid) == (0o600, owner.st_uid, owner.st_gid)
    path.write_bytes(b"old")
    precious = tmp_path / "precious"
    precious.write_bytes(b"of somebody else")
    for make in (left.hardlink_to, left.symlink_to):   # who owns the folder can put another's file in the way
        make(precious)
        result = stage.restore(mode="file", slots="0-5460", path=str(path), redis_nodes=None)
        assert result["failed"] and "as it was" in result["msg"] and precious.read_bytes() == b"of somebody else" and path.read_bytes() == b"old", result
        left.unlink()
    flip(stage)
    result = stage.restore(mode="file", slots="10922-16383", path=str(path), redis_nodes=None)
    assert result["failed"] and path.read_bytes() == b"old"


def test_an_encrypted_set(stage: Stage) -> None:
    mine, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    to = str(mine.to_public())
    stage.put(age=to, change=lambda manifest: manifest.update(recipients=[to]))
    for given, told in ((None, f"is encrypted to {to}; give an identity"),
                        ([str(other)], f"is encrypted to {to}, and none of the 1 that are given can decrypt"),
                        (["AGE-NONE"], "identities: the identity number 1")):
        for options in ({}, {"scratch": {"server": server("valkey").program}, "redis_nodes": None}):
            result = stage.restore(identities=given, check=True, **options)
            assert result["failed"] and told in result["msg"] and "\n" not in result["msg"] and stage.target.sizes() == 0, result
    done = accepted(stage.restore(identities=[str(mine)]))
    assert done["restored"]["key_count"] == same(stage) and str(mine)[-20:] not in done.stdout
    stage.target.flush()
    flip(stage)
    result = stage.restore(identities=[str(mine)])
    assert result["failed"] and "damaged" in result["msg"] and stage.target.sizes() == 0


def test_the_recipients_of_the_safety_backup_are_looked_at_first(stage: Stage) -> None:
    mine = pyrage.x25519.Identity.generate()
    stage.put(age=str(mine.to_public()))
    stage.target.cluster().set("mine", "1")
    result = stage.restore(check=True, identities=[str(mine)], encrypt_to=["age1nonsense"])
    assert result["failed"] and "encrypt_to: 'age1nonsense' is no recipient of age" in result["msg"], result
    plan = accepted(stage.restore(check=True, identities=[str(mine)]))
    assert "the safety backup of the target is not: give encrypt_to" in str(plan["warnings"]), plan["warnings"]


def test_secrets_are_not_shown(stage: Stage) -> None:
    stage.put()
    result = run_module("redis_restore", stage.args(identities=["canary-identity"], redis_password="canary-password"), verbosity=4)
    assert "canary" not in result.stdout + result.stderr and result["failed"]
