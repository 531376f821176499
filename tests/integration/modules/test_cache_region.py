# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_region on the real service, in every dialect that services of this kind speak."""

from __future__ import annotations

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._resources import regions as regions_resource

from tests.harness.modules import run_module
from tests.harness.sequence import accepted, walk
from tests.harness.stage import Stage

ADMIN_LISTS = {"list_regions": {"token": "admin"}, "S028": {"token": "admin"}}
# Dialects in which everything works, and the options that they need.
DIALECTS = {
    "standard": {}, "put-merges": {}, "paged": {}, "wrapped": {}, "hal": {}, "map": {}, "seconds": {}, "iso": {}, "single-get": {},
    "null-fields": {}, "absent-fields": {}, "accepted": {}, "no-patch": {}, "lower-case-enums": {}, "no-counts": {"delete_limit": -1},
    "lists-need-admin": {"endpoints": ADMIN_LISTS}, "paged,seconds,null-fields,no-patch": {}, "hal,accepted,lower-case-enums": {},
}
NAMES = ["products", "search results", "größe/ß", "日本語", "a+b&c=d?e#f%"]


def declare(name: str, **fields: object) -> dict[str, object]:
    return {"name": name, **fields}


FIRST = [declare(name, default_ttl="PT2H", max_size=1000, eviction_policy="LRU", enable_compression=True, enable_encryption=False) for name in NAMES]
CHANGED = [declare(NAMES[0], default_ttl="PT180M"), declare(NAMES[1], max_size=2000, eviction_policy="lfu"), *FIRST[2:4],
           declare(NAMES[4], default_ttl=60, max_size=5, eviction_policy="FIFO", enable_compression=False, enable_encryption=False)]
GONE = [declare(name, state="absent") for name in NAMES[1:]]


@pytest.mark.operation("S022", "S027", "S029", "S031", "S155")
@pytest.mark.hazard("H03", "H04", "H05", "H14")
def test_the_whole_life_in_the_standard_dialect(service) -> None:
    _life(service, "standard")


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "standard"])
def test_the_whole_life_in_every_dialect(service, dialect: str) -> None:
    _life(service, dialect)


def _life(service, dialect: str) -> None:
    target = service(*dialect.split(","))
    options = DIALECTS[dialect]
    created, modified, _removed = walk("cache_region", target, [
        ("create", {"regions": FIRST, **options}, True), ("modify", {"regions": CHANGED, **options}, True), ("remove", {"regions": GONE, **options}, True),
    ])
    assert sorted(created["summary"]["created"]) == sorted(NAMES)
    assert modified["summary"]["updated"] == [NAMES[0], NAMES[1], NAMES[4]] and modified["summary"]["unchanged"] == NAMES[2:4]
    regions = {region["name"]: region for region in modified["regions"]}
    assert regions["products"]["default_ttl"] == "PT3H" and regions["products"]["max_size"] == 1000, "what was not declared is kept"
    assert regions["search results"]["eviction_policy"].upper() == "LFU" and regions["search results"]["default_ttl"] == "PT2H"
    assert regions["a+b&c=d?e#f%"]["default_ttl"] == "PT1M" and regions["a+b&c=d?e#f%"]["enable_compression"] is False


@pytest.mark.operation("S027", "S029")
def test_one_list_one_request_for_each_change_one_list(service) -> None:
    target = service()
    regions = [declare(f"r{number}", max_size=10) for number in range(40)]
    first = accepted(run_module("cache_region", {**target.args, "regions": regions}))
    assert first["requests"] == {"read": 2, "write": 40}
    assert len(target.proxy.records()) == 42
    target.proxy.clear()
    assert accepted(run_module("cache_region", {**target.args, "regions": regions}))["requests"] == {"read": 1, "write": 0}
    assert target.proxy.calls() == ["GET /api/v1/cache/regions"]


@pytest.mark.operation("S030", "S156", "S169")
@pytest.mark.hazard("H14")
@pytest.mark.parametrize("dialect", ["standard", "put-merges", "no-patch", "no-patch,put-merges"])
def test_one_declared_field_never_resets_the_others(service, dialect: str) -> None:
    target = service(*dialect.split(","))
    stage = Stage(target)
    stage.region("products", defaultTtl="PT2H", maxSize=77, evictionPolicy="LFU", enableCompression=True, description="kept", replicationFactor=3)
    accepted(run_module("cache_region", {**target.args, "regions": [declare("products", default_ttl="PT6H")]}))
    accepted(run_module("cache_region", {**target.args, "regions": [declare("products", max_size=75)]}))
    now = stage.regions()["products"]
    assert {field: now[field] for field in ("maxSize", "evictionPolicy", "enableCompression", "description", "replicationFactor")} == {
        "maxSize": 75, "evictionPolicy": "LFU", "enableCompression": True, "description": "kept", "replicationFactor": 3}
    full = declare("products", default_ttl="PT1H", max_size=70, eviction_policy="LRU", enable_compression=False, enable_encryption=False,
                   extra={"description": "new", "replicationFactor": 2})
    target.proxy.clear()
    accepted(run_module("cache_region", {**target.args, "regions": [full]}))
    assert [record["method"] for record in target.proxy.writes()] == ["PUT"], "a whole object goes by PUT"
    assert stage.regions()["products"]["description"] == "new"


def test_fields_beyond_the_guide(service) -> None:
    target = service()
    walk("cache_region", target, [
        ("create", {"regions": [declare("x", max_size=9, extra={"description": "one", "replicationFactor": 2})]}, True),
        ("modify", {"regions": [declare("x", extra={"description": "two"})]}, True),
    ])
    assert Stage(target).regions()["x"]["replicationFactor"] == 2


@pytest.mark.parametrize(("field", "measured"), [
    ("hitCount", True), ("createdAt", True), ("last_accessed", True), ("usedMemory", True), ("hitRate", True), ("entryCount", True), ("avgLatencyMs", True),
    ("backupCount", False), ("format", False), ("params", False), ("refreshRate", False), ("maxMemoryBytes", False), ("lockTimeoutMs", False),
    ("replicaCount", False), ("softLimitPercent", False), ("description", False), ("replicationFactor", False),
])
def test_settings_are_told_from_measurements(field: str, measured: bool) -> None:
    assert regions_resource.is_measured(field) is measured


def test_what_is_declared_is_compared_whatever_it_is_called() -> None:
    found = regions_resource._parsed({"name": "x", "owner": "a", "hits": 5}, {"owner"})
    assert found["extra.owner"] == "a" and "extra.hits" not in found


def test_a_refusal_is_not_waited_for(service) -> None:
    target = service()
    result = run_module("cache_region", {**target.args, "regions": [declare("x", max_size=0)]})
    assert result["failed"] and "must be a whole number from 1" in result["msg"] and result["requests"] == {"read": 2, "write": 1}


def test_a_field_that_is_not_applied_is_an_error_that_names_it(service) -> None:
    target = service("ignores-compression")
    result = run_module("cache_region", {**target.args, "regions": [declare("x", max_size=9, enable_compression=True)]})
    assert result["failed"] and result["changed"] is True
    assert "x (create): answered with success, but enable_compression is False, wanted True" in result["msg"]


def test_immutable_fields(service) -> None:
    target = service("immutable")
    stage = Stage(target)
    stage.region("x", evictionPolicy="LRU", description="kept")
    stage.region("full", evictionPolicy="LRU")
    stage.entries("full", ["k1", "k2"])
    wanted = [declare("x", eviction_policy="LFU", default_ttl="PT5M")]
    refused = run_module("cache_region", {**target.args, "regions": wanted})
    assert refused["failed"] and "can't change in place" in refused["msg"] and refused["changed"] is False
    result = accepted(run_module("cache_region", {**target.args, "regions": wanted, "on_immutable": "recreate"}))
    assert result["summary"]["updated"] == ["x"]
    now = stage.regions()["x"]
    assert (now["evictionPolicy"], now["description"], now["maxSize"]) == ("LFU", "kept", 100000)
    guarded = {**target.args, "regions": [declare("full", eviction_policy="LFU")], "on_immutable": "recreate"}
    assert "would lose 2 entries, more than delete_limit 0" in run_module("cache_region", guarded)["msg"]
    assert "is protected" in run_module("cache_region", {**guarded, "delete_limit": 9, "regions": [
        declare("full", eviction_policy="LFU", protected=True)]})["msg"]
    assert stage.there("full", "k1")
    accepted(run_module("cache_region", {**guarded, "delete_limit": 2}))


@pytest.mark.operation("S167")
def test_limits_are_held_before_anything_is_changed(service) -> None:
    target = service()
    stage = Stage(target)
    for name in ("keep", "full", *(f"old{number}" for number in range(6))):
        stage.region(name)
    stage.entries("full", ["a", "b", "c"])
    new = declare("new", max_size=1)

    def refused(text: str, **options: object) -> None:
        target.proxy.clear()
        for check in (True, False):
            result = run_module("cache_region", {**target.args, **options}, check=check)
            assert result["failed"] and text in result["msg"], result
            assert result.get("changed", False) is False
        assert target.proxy.writes() == []

    refused("purge would delete 7 regions that are not declared", regions=[new, declare("keep")], purge=True)
    refused("deleting region full would lose 3 entries, more than delete_limit 0", regions=[new, declare("keep")], purge=True, purge_limit=9)
    refused("deleting region full would lose 3 entries, more than delete_limit 2", regions=[new, declare("full", state="absent")], delete_limit=2)
    refused("region keep is protected: it is never deleted", regions=[new, declare("keep", state="absent", protected=True)])
    for size in (5, 0):
        refused(f"region keep is protected: max_size would shrink from 100000 to {size}", regions=[new, declare("keep", max_size=size, protected=True)])
    done = accepted(run_module("cache_region", {**target.args, "regions": [new, declare("keep")], "purge": True, "purge_limit": 7, "delete_limit": 3}))
    assert len(done["summary"]["deleted"]) == 7 and sorted(stage.regions()) == ["keep", "new"]


def test_a_service_without_patch_is_asked_once(service) -> None:
    target = service("no-patch")
    stage = Stage(target)
    for number in range(12):
        stage.region(f"r{number}", description="kept")
    result = accepted(run_module("cache_region", {**target.args, "regions": [declare(f"r{number}", max_size=7) for number in range(12)]}))
    assert result["requests"] == {"read": 2, "write": 13} and {entry["description"] for entry in stage.regions().values()} == {"kept"}


def test_where_counts_are_not_told_nothing_is_deleted_by_default(service) -> None:
    target = service("no-counts")
    Stage(target).region("x")
    result = run_module("cache_region", {**target.args, "regions": [declare("x", state="absent")]})
    assert result["failed"] and "does not tell how many entries" in result["msg"] and target.proxy.writes() == []


def test_partial_failure_lists_what_is_done_and_a_second_run_completes(service) -> None:
    target = service()
    regions = [declare(f"r{number}", max_size=10) for number in range(6)]
    target.proxy.break_with({"method": "POST", "path": "regions", "nth": 3, "status": 500, "body": "boom"})
    result = run_module("cache_region", {**target.args, "regions": regions, "concurrency": 1})
    assert result["failed"] and result["changed"] is True and len(result["summary"]["created"]) == 5
    assert [failure["name"] for failure in result["failures"]] == ["r2"] and "500 Internal Server Error: boom" in result["msg"]
    target.proxy.break_with()
    assert accepted(run_module("cache_region", {**target.args, "regions": regions}))["summary"]["created"] == ["r2"]


@pytest.mark.parametrize("fault", [
    {"method": "POST", "first": 2, "status": 503, "retry_after": 0}, {"method": "POST", "first": 2, "status": 429, "retry_after": 0},
    {"method": "GET", "first": 2, "html502": True}, {"method": "GET", "first": 1, "cut": 10}, {"method": "GET", "first": 1, "reset": True},
    {"method": "POST", "nth": 2, "reset": True, "forward": True}, {"method": "GET", "first": 1, "status": 503},
], ids=lambda fault: "-".join(map(str, fault.values())))
def test_passing_faults_are_outlived(service, fault: dict[str, object]) -> None:
    """Also the answer that is lost after the work was done: the state is what counts."""
    target = service()
    target.proxy.break_with(fault)
    result = accepted(run_module("cache_region", {**target.args, "regions": [declare(f"r{number}") for number in range(4)]}))
    assert len(result["summary"]["created"]) == 4 and target.proxy.delivered()[0] >= 1
    assert result["requests"]["read"] + result["requests"]["write"] == len(target.proxy.records()), "repeats are counted"
    assert len(Stage(target).regions()) == 4


def test_a_create_is_not_sent_twice_when_its_fate_is_unknown(service) -> None:
    target = service()
    target.proxy.break_with({"method": "POST", "first": 1, "reset": True})
    result = run_module("cache_region", {**target.args, "regions": [declare("x")]})
    assert result["failed"] and result["changed"] is False and len(target.proxy.writes()) == 1


def test_a_long_retry_after_is_an_error(service) -> None:
    target = service()
    target.proxy.break_with({"method": "GET", "status": 503, "retry_after": 31})
    result = run_module("cache_region", {**target.args, "regions": []})
    assert result["failed"] and "asks to wait 31 s" in result["msg"] and len(target.proxy.records()) == 1


def test_two_runs_at_once_end_in_the_declared_state(service) -> None:
    from concurrent.futures import ThreadPoolExecutor
    target = service()
    options = {**target.args, "regions": [declare(f"r{number}", max_size=number + 1) for number in range(30)]}
    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(lambda _number: run_module("cache_region", options), range(3)))
    assert all(not result.get("failed") for result in results), [result.get("msg") for result in results]
    assert len(Stage(target).regions()) == 30
    assert accepted(run_module("cache_region", options))["changed"] is False


def test_an_instance_that_is_down_is_passed_over(service) -> None:
    target = service()
    dead = {"url": "http://127.0.0.1:9", "name": "dead"}
    options = {**target.args, "service_url": "http://127.0.0.1:9", "instances": [dead, {"url": target.url}], "regions": [declare("x")]}
    assert accepted(run_module("cache_region", options))["summary"]["created"] == ["x"]


@pytest.mark.operation("S095")
@pytest.mark.hazard("H14", "H30")
def test_a_region_is_shrunk_by_the_one_way_that_the_service_has_and_back_again(service) -> None:
    """Neither PATCH nor PUT of the data path: the administration's PUT does it, whole, and the difference is the way back."""
    target = service()
    Stage(target).region("products", maxSize=100000, evictionPolicy="LFU")
    target.proxy.break_with({"method": "PATCH", "status": 405}, {"method": "PUT", "path": "/api/v1/cache/regions/", "status": 405})
    shrunk, = walk("cache_region", target, [("shrink", {"regions": [{"name": "products", "max_size": 75000}]}, True)])
    before = shrunk["diff"]["before"]["products"]
    assert before["max_size"] == 100000 and Stage(target).regions()["products"]["maxSize"] == 75000
    result = accepted(run_module("cache_region", {**target.args, "regions": [{"name": "products", "max_size": before["max_size"]}]}))
    assert result["diff"]["after"]["products"]["max_size"] == 100000 and Stage(target).regions()["products"]["evictionPolicy"] == "LFU"
