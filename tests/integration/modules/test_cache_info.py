# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subsets of cache_info on the real service."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.harness.modules import ModuleResult, run_module
from tests.harness.sequence import accepted
from tests.harness.stage import Stage

METRICS = ["cache.requests", "cache.size", "cache.gets", "redis.connections.active", "redis.connections", "redis.memory.used", "redis.memory.max",
           "jvm.memory.max", "jvm.memory.used", "jvm.gc.pause"]
JSON = {"Content-Type": "application/json"}


def read(target, *subset: str, **options: t.Any) -> ModuleResult:
    result = accepted(run_module("cache_info", {**target.args, "subset": list(subset), **options}))
    assert result["changed"] is False
    return result


@pytest.mark.operation("S032", "S035", "S036")
def test_entries(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("search results")
    stage.entries("search results", ["a/1", "ß"])
    one = read(target, "entries", region="search results", entry_keys=["a/1"])
    assert target.proxy.calls()[-1].startswith("GET ") and one["requests"] == {"read": 1, "write": 0}
    entry = one["entries"][0]
    assert entry["exists"] and entry["value"] == {"id": "a/1"} and entry["size"] == 12 and len(entry["digest"]) == 64 and entry["ttl_left"].startswith("PT")
    many = read(target, "entries", region="search results", entry_keys=["ß", "gone", "a/1"])
    assert [found["exists"] for found in many["entries"]] == [True, False, True] and many["entries"][1]["value"] is None
    there = read(target, "entries", region="search results", entry_keys=["ß", "gone"], exists_only=True)
    assert there["entries"] == [{"key": "ß", "exists": True}, {"key": "gone", "exists": False}]
    assert there["requests"] == {"read": 2, "write": 0} and target.proxy.writes() == []


@pytest.mark.operation("S050", "S051", "S052", "S053", "S062", "S064", "S160", "S165")
@pytest.mark.hazard("H02", "H16")
def test_metrics_of_every_process(proxies) -> None:
    result = read(proxies, "metrics")
    assert [metric["name"] for metric in result["metrics"]] == METRICS and result["requests"]["read"] == 30
    names = {instance["name"] for metric in result["metrics"] for instance in metric["instances"]}
    assert names == {"caching-service-1", "caching-service-2", "caching-service-3"} and all(metric["complete"] for metric in result["metrics"])
    metrics = {metric["name"]: metric for metric in result["metrics"]}
    used = [instance["measurements"]["VALUE"] for instance in metrics["jvm.memory.used"]["instances"]]
    assert metrics["jvm.memory.used"]["sum"]["VALUE"] == sum(used) and metrics["jvm.memory.used"]["max"]["VALUE"] == max(used)
    assert "MAX" not in metrics["cache.requests"]["sum"] and metrics["cache.requests"]["sum"]["COUNT"] >= 0


@pytest.mark.operation("S068")
def test_memory_of_redis(service) -> None:
    result = read(service(), "metrics", single_instance=True, metrics=[{"name": "redis.memory.used"}, {"name": "redis.memory.max"}])
    assert result["metrics"][0]["max"]["VALUE"] > 0 and "VALUE" in result["metrics"][1]["max"]


def test_metrics_by_tag_and_those_that_are_missing(service) -> None:
    target = service()      # which counts what other tests ask it, too: the region has a name of its own
    stage = Stage(target)
    stage.region("tagged")
    stage.entries("tagged", ["a", "b"])
    read(target, "entries", region="tagged", entry_keys=["a", "b", "c"])
    wanted = [{"name": "cache.gets", "tags": {"cache": "tagged", "result": result}} for result in ("hit", "miss")] + [{"name": "no.such"}]
    hits, misses, missing = read(target, "metrics", single_instance=True, metrics=wanted)["metrics"]
    assert hits["sum"]["COUNT"] == 2 and misses["sum"]["COUNT"] == 1
    assert missing["complete"] is False and missing["instances"][0]["error"] == "the instance has no such metric" and missing["sum"] == {}
    dead = {"name": "dead", "url": "http://127.0.0.1:9", "management_url": "http://127.0.0.1:9"}
    alive = {"name": "alive", "url": target.url, "management_url": target.url}
    part = read(target, "metrics", instances=[alive, dead], metrics=wanted[:1], retries=0)["metrics"][0]
    assert part["complete"] is False and part["sum"]["COUNT"] == 2 and "Connection refused" in part["instances"][1]["error"]


@pytest.mark.operation("S020")
@pytest.mark.hazard("H04")
def test_configuration_without_secrets(service) -> None:
    target = service()
    plain = read(target, "configuration", region=None)["configuration"]
    assert plain[0]["error"] == "" and "contexts" in plain[0]["properties"]
    told = "only service_url is known: behind a load balancer this is the configuration of one process; give instances"
    for single in (False, True):
        one = read(target, "configuration", instances=[], single_instance=single)
        assert (told in str(one.get("warnings"))) is not single
    canary = "canary-55ab"
    beans = {"redis": {"prefix": "spring.data.redis", "properties": {
        "host": "redis", "password": canary, "url": f"redis://:{canary}@redis:6379", "nested": [{"apiKey": canary}], "options": f"-Dx.password={canary}"}}}
    body = json.dumps({"contexts": {"application": {"beans": beans}}})
    target.proxy.break_with({"path": "configprops", "status": 200, "body": body, "headers": JSON})
    shown = read(target, "configuration")
    assert canary not in shown.stdout
    properties = shown["configuration"][0]["properties"]["contexts"]["application"]["beans"]["redis"]["properties"]
    assert properties["host"] == "redis" and properties["url"] == "redis://:(redacted)@redis:6379"


@pytest.mark.hazard("H04")
def test_each_part_is_asked_with_its_token_and_a_missing_one_is_told(service) -> None:
    target = service()
    target.proxy.break_with({"path": "analytics|security", "status": 404, "body": '{"message":"No static resource"}', "headers": JSON})
    result = read(target, "analytics", "security")
    assert result["analytics"]["top_regions"] is None and "No static resource" in result["analytics"]["unavailable"]["top_regions"]
    assert len(result["security"]["unavailable"]) == 5 and len(result["analytics"]["unavailable"]) == 5
    roles = {record["path"]: record["token"] for record in target.proxy.records() if "token" in record}
    if roles:
        assert roles["/api/v1/analytics/top-regions"] == "api" and roles["/admin/security/auth-events"] == "admin"


@pytest.mark.operation("S024", "S043", "S046")
@pytest.mark.hazard("H03", "H04")
def test_features_warm_ups_and_schedules(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("products")
    stage.call("PUT", "/admin/features/cache-compression", {"enabled": True})
    off = {"name": "n", "schedule": "0 2 * * *", "region": "products", "strategy": "popular-items", "enabled": False}
    stage.call("POST", "/admin/cache/warm/schedule", off)
    stage.call("POST", "/api/v1/cache/warm/products", {"strategy": "popular-items", "maxItems": 10})
    result = read(target, "features", "warming", "schedules")
    assert {feature["name"]: feature["enabled"] for feature in result["features"]}["cache-compression"] is True
    assert result["warming"][0]["region"] == "products" and result["warming"][0]["state"] in ("running", "completed", "failed")
    assert [(schedule["name"], schedule["enabled"]) for schedule in result["schedules"]] == [("n", False)]


@pytest.mark.operation("S055", "S056", "S099", "S153", "S154")
@pytest.mark.hazard("H04")
def test_analytics(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("products")
    stage.entries("products", ["a"])
    found = read(target, "analytics")["analytics"]
    assert found["unavailable"] == {} and all(found[name] is not None for name in (
        "top_regions", "recommendations", "performance_issues", "hit_rate_by_region", "access_patterns"))


@pytest.mark.operation("S132", "S133", "S134", "S135", "S136")
def test_security(service) -> None:
    target = service()
    run_module("cache_info", {**target.args, "api_token": "wrong-token-1", "admin_token": "wrong-token-1"})
    found = read(target, "security")["security"]
    assert found["unavailable"] == {} and "wrong-token-1" not in json.dumps(found)
    assert any(event["success"] is False for event in found["auth_events"]["events"])


BAD: list[tuple[str, dict[str, t.Any], str]] = [
    ("entries-alone", {"subset": ["entries"]}, "entries: give region and entry_keys"),
    ("entries-no-keys", {"subset": ["entries"], "region": "x"}, "entries: give region and entry_keys"),
    ("entries-dots", {"subset": ["entries"], "region": "x", "entry_keys": [".."]}, "entry_keys: '..' can't be the key of an entry"),
    ("entries-region", {"subset": ["entries"], "region": "nope", "entry_keys": ["a"]}, "there is no region 'nope'; the service has x"),
    ("exists-region", {"subset": ["entries"], "region": "nope", "entry_keys": ["a"], "exists_only": True}, "there is no region 'nope'; the service has x"),
    ("metrics-random", {"subset": ["metrics"]}, "instances: this acts on each process of the service, so all of them must be given"),
    ("metrics-name", {"subset": ["metrics"], "single_instance": True, "metrics": [{"name": "a/b"}]}, "metrics[0]: 'a/b' with tags {} can't be a metric"),
    ("metrics-no-name", {"subset": ["metrics"], "metrics": [{"tags": {}}]}, "missing required arguments: name"),
    ("metrics-token", {"subset": ["metrics"], "single_instance": True, "monitor_token": "wrong-token-1"}, "is monitor_token right for this service?"),
    ("metrics-dead", {"subset": ["metrics"], "single_instance": True, "management_url": "http://127.0.0.1:9", "retries": 0}, "no instance tells its metrics"),
    ("configuration-token", {"subset": ["configuration"], "monitor_token": "wrong-token-1"}, "is monitor_token right for this service?"),
    ("subset", {"subset": ["secrets"]}, "subset"),
]


@pytest.mark.parametrize(("options", "told"), [pytest.param(*row[1:], id=row[0]) for row in BAD])
def test_bad_options(service, options: dict[str, t.Any], told: str) -> None:
    target = service()
    Stage(target).region("x")
    result = run_module("cache_info", {**target.args, **options})
    assert result.get("failed") and not result.crashed and told in result["msg"] and "\n" not in result["msg"], result
    assert "wrong-token-1" not in result.stdout and target.proxy.writes() == []
