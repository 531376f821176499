# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks on the real fleet, as a user runs them."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.harness.modules import run_module
from tests.harness.plays import play

REGIONS = [
    {"name": "play-products", "default_ttl": "PT2H", "max_size": 5000, "eviction_policy": "LRU", "protected": True},
    {"name": "play search", "default_ttl": 900, "max_size": 100, "eviction_policy": "LFU", "enable_compression": True},
]
GONE = [{"name": region["name"], "state": "absent"} for region in REGIONS]
MODULES = ("cache_region", "cache_invalidate", "cache_info", "cache_health_info", "command", "template", "copy", "file")


@pytest.fixture
def inventory(fleet, proxies):
    """The fleet through the recording proxies, without the regions of these tests before and after."""
    def clean() -> None:
        outcome = play("configure", fleet.inventory, extra_vars={**proxies.extra_vars, "caching_regions": GONE, "caching_delete_limit": 1000})
        assert outcome.rc == 0, outcome.stdout
        proxies.proxy.clear()

    clean()
    yield fleet.inventory
    clean()


@pytest.mark.long
@pytest.mark.operation("S007", "S014", "S016", "S017", "S018", "S019", "S027", "S029")
def test_site_twice_and_in_check_mode(inventory, proxies) -> None:
    wanted = {**proxies.extra_vars, "caching_regions": REGIONS}
    check = play("site", inventory, check=True, extra_vars=wanted)
    assert check.rc == 0 and check.changed == 1, check.stdout
    assert proxies.proxy.writes() == [], "check mode wrote"
    first = play("site", inventory, "--diff", extra_vars=wanted)
    assert first.rc == 0 and first.changed == 1, first.stdout
    assert check.results("cache_region")[0]["diff"] == first.results("cache_region")[0]["diff"]
    (record,) = first.custom["exalt_caching_run"]
    assert {key: record[key] for key in ("playbook", "fleet", "verdict", "changes")} == {
        "playbook": "site", "fleet": "local", "verdict": "ok",
        "changes": {"regions": {"created": ["play-products", "play search"], "updated": [], "deleted": [], "unchanged": []}}}
    assert record["seconds"] > 0 and record["started"].endswith("Z")
    proxies.proxy.clear()
    second = play("site", inventory, extra_vars=wanted)
    assert second.rc == 0 and second.changed == 0 and proxies.proxy.writes() == []
    tasks = [task for task in second.tasks if task["action"].rpartition(".")[2] in MODULES and task["state"] != "skipped"]
    assert len(tasks) <= 7, [task["task"] for task in tasks]
    assert "[DEPRECATION WARNING]" not in first.stdout + first.stderr


@pytest.mark.long
def test_variables_that_arrive_as_text(inventory, proxies, fleet) -> None:
    """As from surveys and -e key=value: JSON and YAML in a string."""
    for text in (json.dumps(REGIONS[:1]), yaml.safe_dump(REGIONS[:1])):
        outcome = play("configure", inventory, extra_vars={**proxies.extra_vars, "caching_regions": text})
        assert outcome.rc == 0, outcome.stdout
    assert outcome.changed == 0
    structured = {"caching_instances": proxies.instances, "caching_redis_nodes": fleet.facts["redis_nodes"], "caching_endpoints": {"S027": {"token": "admin"}},
                  "caching_redis_address_map": {}, "caching_health_components": ["redis", "readiness"]}
    for write in (json.dumps, yaml.safe_dump):
        outcome = play("status", inventory, extra_vars={**proxies.extra_vars, **{name: write(value) for name, value in structured.items()}})
        assert outcome.rc == 0 and "local is healthy" in outcome.stdout and outcome.stdout.count("% of its memory") == 6, outcome.stdout
    assert {record["token"] for record in proxies.proxy.records() if record["path"].endswith("/regions")} >= {"admin"}
    by_instances = {**proxies.extra_vars, "caching_service_url": "", "caching_instances": json.dumps(proxies.instances)}
    outcome = play("status", inventory, extra_vars=by_instances)
    assert outcome.rc == 0 and "local is healthy" in outcome.stdout, outcome.stdout


@pytest.mark.long
@pytest.mark.operation("S038", "S040")
def test_invalidate_by_list_and_by_survey(inventory, proxies, fleet) -> None:
    options = {**proxies.extra_vars, "caching_regions": REGIONS}
    assert play("configure", inventory, extra_vars=options).rc == 0

    def fill() -> None:
        import urllib3
        for number in range(20):
            answer = urllib3.request("PUT", f"{fleet.facts['service_url']}/api/v1/cache/regions/play-products/keys/p:{number}", json={"value": number},
                                     headers={"Authorization": f"Bearer {fleet.tokens['api']}"})
            assert answer.status < 300, answer.data

    fill()
    listed = {**options, "caching_max_percent": 60, "caching_invalidations": [
        {"type": "key", "region": "play-products", "keys": ["p:1", "p:2"]}, {"type": "pattern", "region": "play-products", "pattern": "p:1?"}]}
    check = play("invalidate", inventory, check=True, extra_vars=listed)
    assert "a real run would change invalidation removed: 12" in check.stdout
    assert check.rc == 0 and check.results("cache_invalidate")[0]["matched"] == 12, check.stdout
    assert proxies.proxy.writes() == [] or all(record["path"].endswith("regions") for record in proxies.proxy.writes())
    outcome = play("invalidate", inventory, extra_vars=listed)
    assert outcome.rc == 0 and outcome.changed == 1 and "entries that matched: 12, removed: 12, as the service tells" in outcome.stdout, outcome.stdout
    assert outcome.custom["exalt_caching_run"][0]["changes"] == {"invalidation": {"removed": 12}}
    survey = {**options, "caching_invalidate_type": "key", "caching_invalidate_region": "play-products", "caching_invalidate_keys": "p:3, p:4\np:5"}
    outcome = play("invalidate", inventory, extra_vars=survey)
    assert outcome.rc == 0 and "entries that matched: 3, removed: 3" in outcome.stdout, outcome.stdout
    fill()
    refused = play("invalidate", inventory, extra_vars={**options, "caching_invalidate_region": "play-products", "caching_invalidate_pattern": "p:*"})
    assert refused.rc != 0 and "more than max_percent 10" in refused.stdout
    protected = {**options, "caching_invalidate_type": "region", "caching_invalidate_region": "play-products", "caching_max_percent": 100}
    assert "play-products is protected: it is never cleared" in play("invalidate", inventory, extra_vars=protected).stdout


def test_a_request_id_by_playbook_acts_once(inventory, proxies) -> None:
    options = {**proxies.extra_vars, "caching_regions": REGIONS}
    assert play("configure", inventory, extra_vars=options).rc == 0
    once = {**options, "caching_request_id": "play-1", "caching_invalidate_type": "key", "caching_invalidate_region": "play-products",
            "caching_invalidate_keys": "nothing"}
    first, second = (play("invalidate", inventory, extra_vars=once) for _run in range(2))
    assert first.rc == second.rc == 0 and "as an earlier run of this request id did it" in second.stdout + first.stdout


@pytest.mark.long
@pytest.mark.operation("S027")
@pytest.mark.parametrize("as_file", [True, pytest.param(False, marks=pytest.mark.campaign)])
def test_site_after_export_changes_nothing(inventory, proxies, tmp_path, as_file: bool) -> None:
    assert play("configure", inventory, extra_vars={**proxies.extra_vars, "caching_regions": REGIONS}).rc == 0
    target = tmp_path / "host_vars" / "local.yml"
    path = target if as_file else target.parent
    wanted = {**proxies.extra_vars, "caching_export_path": str(path), "caching_regions": REGIONS}
    outcome = play("export", inventory, extra_vars=wanted)
    assert outcome.rc == 0 and outcome.changed >= 1, outcome.stdout
    exported = yaml.safe_load(target.read_text())
    assert [region["name"] for region in exported["caching_regions"] if region.get("protected")] == ["play-products"], "only the declaration knows it"
    assert {"play-products", "play search"} <= {region["name"] for region in exported["caching_regions"]}
    assert "play search" in [region["name"] for region in exported["caching_regions"] if region["default_ttl"] == "PT15M"]
    proxies.proxy.clear()
    after = play("site", inventory, "-e", f"@{target}", extra_vars={**proxies.extra_vars, "caching_purge": True})
    assert after.rc == 0 and after.changed == 0 and proxies.proxy.writes() == [], after.stdout
    again = play("export", inventory, extra_vars=wanted)
    assert again.rc == 0 and again.changed == 0, "the same state writes the same file"


@pytest.mark.operation("S007")
def test_status_is_one_verdict_with_reasons(inventory, proxies, fleet) -> None:
    good = play("status", inventory, extra_vars=proxies.extra_vars)
    assert good.rc == 0 and "local is healthy" in good.stdout and good.changed == 0
    proxies.proxy.break_with({"path": "health/redis", "nth": 1, "status": 503, "body": '{"status":"DOWN"}', "headers": {"Content-Type": "application/json"}})
    bad = play("status", inventory, extra_vars={**proxies.extra_vars, "caching_health_timeout": 0})
    assert bad.rc != 0 and "NOT healthy" in bad.stdout and "redis DOWN" in bad.stdout
    assert bad.custom["exalt_caching_run"][0]["verdict"] == "failed"


def test_status_tells_what_was_cut_off(fleet, tmp_path) -> None:
    """Of every kind that has begun here, and nothing of another fleet."""
    place = {"store_url": f"file://{tmp_path}/store"}
    for kind, state, name in (("updates", "started", "local"), ("recoveries", "starting", "local"), ("redis_restarts", "finished", "local"),
                              ("restores_files", "down", "other")):
        content = {"fleet": name, "state": state, "at": "2026-01-01T00:00:00Z"}
        made = run_module("store_documents", {**place, "kind": f"{kind}:{name}", "id": "one", "documents": [{"name": kind, "content": content}]})
        assert made["changed"], made
    told = play("status", fleet.inventory, extra_vars={"caching_store_url": place["store_url"]})
    said = " ".join(told.stdout.split())
    assert told.rc != 0 and said.count(" was cut off: ") >= 2, told.results("store_documents_info")
    assert "an update that began on 2026-01-01T00:00:00Z was cut off: run update again, or rollback" in said
    assert "a recovery of the service that began on 2026-01-01T00:00:00Z was cut off" in said
    assert "a restart of Redis that" not in said and "a restore of Redis from files" not in said
    other = f"file://{tmp_path}/other"
    assert run_module("operation_lock", {"store_url": other, "name": "local", "scope": "topology", "owner": "backup by somebody"})["changed"]
    running = play("status", fleet.inventory, extra_vars={"caching_store_url": other})
    assert running.rc == 0 and re.search(r"under way since 20\S+, by backup by somebody", running.stdout), running.stdout
    (tmp_path / "file").touch()
    unread = play("status", fleet.inventory, extra_vars={"caching_store_url": f"file://{tmp_path}/file/store"})
    assert unread.rc == 0 and "whether anything was cut off is not known: " in unread.stdout, unread.stdout


def test_a_failure_in_one_fleet_does_not_stop_another(inventory, proxies, fleet, tmp_path) -> None:
    """Two fleets in one inventory, one of them out of reach."""
    hosts = yaml.safe_load(inventory.read_text())
    good = hosts["caching_fleet"]["hosts"]["local"]
    bad = {**good, "caching_service_url": "http://127.0.0.1:9", "caching_instances": [{"url": "http://127.0.0.1:9"}], "caching_health_timeout": 0}
    hosts["caching_fleet"]["hosts"] = {"bad": bad, "good": good}
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(hosts))
    outcome = play("site", path, extra_vars={"caching_regions": REGIONS})
    assert outcome.rc != 0 and outcome.hosts["good"]["failures"] == 0 and outcome.hosts["good"]["changed"] == 1
    assert outcome.hosts["bad"]["failures"] == 1 and "Connection refused" in outcome.stdout
    assert {record["fleet"]: record["verdict"] for record in outcome.custom["exalt_caching_run"]} == {"good": "ok", "bad": "failed"}
