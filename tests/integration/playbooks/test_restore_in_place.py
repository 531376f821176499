# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook restore_redis from files, in place, on the local fleet, whose nodes have append-only files."""

from __future__ import annotations

import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _manifest

from tests.faults.physical import KEY, NAMESPACE, Physical, judged
from tests.fleet.local.layout import NODES, PRIMARIES
from tests.harness import sets
from tests.harness.modules import run_module
from tests.harness.scratch import Scratch
from tests.harness.sequence import accepted
from tests.harness.targets import Fleet, forget


@pytest.fixture
def physical(fleet: Fleet, tmp_path: Path) -> Iterator[Physical]:
    """Afterwards the fleet is as it was."""
    made = Physical(fleet, tmp_path / "store")
    made.clear()
    yield made
    made.clear()
    forget(fleet, NAMESPACE)
    for node in PRIMARIES:
        accepted(run_module("redis_failover", {**fleet.redis_args, "node": node.address}))


def listing(fleet: Fleet) -> dict[str, t.Any]:
    """Names of files of the nodes, and the state of the programs."""
    files = {str(path) for node in NODES for path in fleet.state.work(node.name).rglob("*") if "temp-" not in path.name}
    return {"files": files, "programs": [line.split(", uptime")[0] for line in fleet.supervisorctl("status").splitlines()]}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.hazard("H39", "H40", "H41", "H42", "H43", "H44", "H46")
def test_the_whole_cluster_after_a_role_change_and_back_again(physical: Physical, tmp_path: Path) -> None:
    fleet = physical.fleet
    wanted = physical.put("wanted")
    identifier = physical.backup()
    owner = physical.move(1)
    before = physical.put("before", 100)
    there = listing(fleet)
    planned = physical.run(check=True)
    told = " ".join(planned.stdout.split())
    assert planned.rc == 0 and planned.changed > 0 and "after a safety backup" in told and identifier in told, planned.stdout
    name = next(node.name for node in NODES if node.address == owner)
    assert f"keys under {name}, then copied by" in told, planned.stdout
    assert listing(fleet) == there and not physical.record() and physical.facts() == before
    done = physical.run()
    assert done.rc == 0 and "local is recovered: " in done.stdout, done.stdout
    assert judged(physical, wanted, "finished") == []
    (record,) = done.custom["exalt_caching_run"]
    assert record["changes"]["redis"]["restored"] == ["0-5461", "5462-10923", "10924-16383"]
    assert physical.aside() == 6 and "CLUSTER FORGET" not in done.stdout + done.stderr
    assert run_module("cache_health_info", {**fleet.args, "components": ["readiness", "redis"]})["healthy"]
    back = physical.run(caching_restore_back=True)
    assert back.rc == 0 and "local is as before the restore of" in back.stdout, back.stdout
    assert judged(physical, before, "undone") == [] and physical.aside() == 0
    nothing = physical.run(caching_restore_back=True)
    assert nothing.rc == 2 and "no restore from files of local has been begun whose former data lies aside" in nothing.stdout and nothing.changed == 0


@pytest.mark.long
@pytest.mark.hazard("H38", "H39", "H43")
def test_what_is_refused_touches_nothing(physical: Physical, tmp_path: Path) -> None:
    """Without a confirmation; a backup that is not there; one of another layout."""
    fleet = physical.fleet
    physical.put("wanted", 20)
    physical.backup()
    there = listing(fleet)
    with Scratch(tmp_path / "two", shards=2) as other:
        another = sets.put(tmp_path / "store", other, "local", key=KEY)
    for given, told in (
        ({"caching_confirm": ""}, "no node was touched: caching_confirm: this replaces all data of local; say so with caching_confirm=local"),
        ({"caching_restore_id": _manifest.new_id(1.7e9, "0" * 8)}, "there is none of this id for the cluster local"),
        ({"caching_restore_id": another}, "and no primary has exactly these now"),
    ):
        refused = physical.run(**given)
        said = " ".join(refused.stdout.split())
        assert refused.rc == 2 and refused.changed == 0 and told in said and "no node was touched" in said, refused.stdout
        assert listing(fleet) == there and not physical.record() and physical.served() == []


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.hazard("H38", "H39")
def test_a_step_that_fails_goes_back_by_itself(physical: Physical, tmp_path: Path) -> None:
    """A file that waits beside the data is spoiled once the nodes stop; nothing of what there was is lost."""
    physical.put("wanted")
    identifier = physical.backup()
    before = physical.put("before", 100)

    def spoil() -> None:
        while physical.record().get("state") not in ("stopping", "down"):
            time.sleep(0.2)
        waits = [path for node in NODES for path in physical.fleet.state.work(node.name).glob("dump.rdb.staged-*")]
        waits[1].write_bytes(waits[1].read_bytes()[:-1] + b"x")

    thief = threading.Thread(target=spoil, daemon=True)
    thief.start()
    done = physical.run(caching_restore_id=identifier)
    told = " ".join(done.stdout.split())
    assert done.rc == 2 and "the restore failed and was taken back: every node runs on what it had before" in told, done.stdout
    assert "is not the file that is wanted" in told
    assert judged(physical, before, "undone") == [] and physical.aside() == 0


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.hazard("H40")
def test_a_run_that_is_killed_goes_on_with_the_same_backup(physical: Physical) -> None:
    wanted = physical.put("wanted")
    identifier = physical.backup()
    physical.put("before", 100)
    physical.cut_off("recovery : Files of the backup", 1)
    half = physical.record()
    assert half["state"] == "down" and half["backup"] == identifier and physical.aside() == 6
    assert sum(1 for node in NODES for _path in physical.fleet.state.work(node.name).glob("dump.rdb.staged-*")) == 3
    status = physical.served()
    assert len(status) == 3 and all("local-cache mode" in told for told in status)
    other = physical.run(caching_restore_id=half["safety"])
    assert other.rc == 2 and f"the restore of {identifier} that was begun ({half['operation']}) has not ended" in " ".join(other.stdout.split()), other.stdout
    done = physical.run()
    told = " ".join(done.stdout.split())
    assert done.rc == 0 and f"this goes on with the restore of {identifier}" in told, done.stdout
    assert judged(physical, wanted, "finished") == [] and physical.record()["safety"] == half["safety"]
    dropped = physical.run(caching_restore_drop_aside=True)
    assert dropped.rc == 0 and physical.aside() == 0 and judged(physical, wanted, "finished") == [], dropped.stdout


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.hazard("H40")
def test_taken_back_before_a_node_was_stopped_nothing_stops(physical: Physical) -> None:
    """Nodes that keep nothing on disk would come back empty from a stop; the way back does not stop what was not stopped."""
    physical.appends(False)
    physical.put("wanted")
    identifier = physical.backup()
    before = physical.put("before", 100)
    programs = listing(physical.fleet)["programs"]
    started = [accepted(run_module("redis_cluster_info", physical.fleet.redis_args))["nodes"][number]["uptime_seconds"] for number in range(6)]
    physical.cut_off(": 5462-10923)", 1, caching_restore_id=identifier)
    assert physical.record()["state"] == "started"
    back = physical.run(caching_restore_back=True)
    assert back.rc == 0 and "local is as before the restore of" in back.stdout, back.stdout
    assert judged(physical, before, "undone") == [] and physical.aside() == 0 and listing(physical.fleet)["programs"] == programs
    now = [accepted(run_module("redis_cluster_info", physical.fleet.redis_args))["nodes"][number]["uptime_seconds"] for number in range(6)]
    assert all(later >= earlier for earlier, later in zip(started, now, strict=True))


@pytest.mark.slow
@pytest.mark.campaign
def test_what_came_after_a_restore_is_kept_when_it_is_taken_back(physical: Physical) -> None:
    """A restore that has ended, and new data since: the way back takes a safety backup of it, tells how much it is, and nobody writes meanwhile."""
    physical.put("wanted", 40)
    identifier = physical.backup()
    before = physical.put("before", 60)
    assert physical.run(caching_restore_id=identifier).rc == 0
    first = physical.record()["safety"]
    physical.put("later", 80)
    told = physical.run(check=True, caching_restore_back=True)
    assert told.rc == 0 and "keys that there are now are given up for them, after a safety backup" in " ".join(told.stdout.split()), told.stdout
    back = physical.run(caching_restore_back=True)
    assert back.rc == 0 and "LOCAL-CACHE MODE" in back.stdout, back.stdout
    record = physical.record()
    assert judged(physical, before, "undone") == [] and record["safety"] == first and record["given_up"] not in (first, ""), record
    assert f"what was there meanwhile is the safety backup {record['given_up']}" in " ".join(back.stdout.split()), back.stdout


@pytest.mark.slow
@pytest.mark.campaign
def test_what_clients_wrote_before_a_restore_failed_at_its_end_is_kept(physical: Physical) -> None:
    """The data is proved and clients use it, then something fails: that does not give up what they have written since."""
    physical.put("wanted", 40)
    identifier = physical.backup()
    before = physical.put("before", 60)
    failed = physical.run(caching_restore_id=identifier, caching_warm_region="nonesuch")
    assert failed.rc == 2 and physical.record()["state"] == "serving", failed.stdout
    physical.put("later", 80)
    back = physical.run(caching_restore_back=True)
    assert back.rc == 0 and physical.record()["given_up"] and judged(physical, before, "undone") == [], back.stdout


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.hazard("H38")
def test_nodes_come_back_without_the_store(physical: Physical, tmp_path: Path) -> None:
    """It can't be reached once the nodes stop: what lies aside is all that they need. The service's mode is in the store, so that it stays in it."""
    physical.put("wanted", 40)
    identifier = physical.backup()
    before = physical.put("before", 60)
    store, away = tmp_path / "store", tmp_path / "away"

    def lose() -> None:
        while physical.record().get("state") != "stopping":
            time.sleep(0.1)
        store.rename(away)
        store.touch()

    thief = threading.Thread(target=lose, daemon=True)
    thief.start()
    failed = physical.run(caching_restore_id=identifier)
    told = " ".join(failed.stdout.split())
    store.unlink()
    away.rename(store)
    physical.unlock()
    assert failed.rc == 2 and "and so did the way back: In which mode they are now" in told, failed.stdout
    assert all(f"{node.name} runs" in told for node in NODES) and physical.facts() == before, failed.stdout
    back = physical.run(caching_restore_back=True)
    assert back.rc == 0 and judged(physical, before, "undone") == [], back.stdout
