# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_health_info and cache_info on the real service."""

from __future__ import annotations

import pytest

from tests.harness import process
from tests.harness.modules import run_module
from tests.harness.sequence import accepted
from tests.harness.stage import Stage

COMPONENTS = ["liveness", "readiness", "redis", "database", "diskSpace"]


@pytest.mark.operation("S007", "S014", "S015", "S016", "S017", "S018", "S019")
@pytest.mark.hazard("H02", "H20")
def test_every_instance_and_component_is_asked(proxies) -> None:
    result = accepted(run_module("cache_health_info", {**proxies.args, "components": COMPONENTS, "wait_timeout": "PT20S"}))
    assert result["healthy"] is True and result["reasons"] == [] and result["changed"] is False
    assert [instance["name"] for instance in result["instances"]] == ["caching-service-1", "caching-service-2", "caching-service-3"]
    assert all(instance["components"][name] == "UP" for instance in result["instances"] for name in COMPONENTS)
    assert result["requests"] == {"read": 18, "write": 0} and len(proxies.proxy.records()) == 18


@pytest.mark.hazard("H53")
def test_the_tls_port_of_each_instance_is_verified(fleet, proxies) -> None:
    result = accepted(run_module("cache_health_info", {**proxies.args, "components": ["tls"]}))
    assert [instance["components"]["tls"] for instance in result["instances"]] == ["UP"] * 3
    assert sum(row["tls"] for row in proxies.proxy.records()) == 3, "through TLS, not the plain port"
    distrusted = run_module("cache_health_info", {**fleet.args, "ca_path": "/etc/ssl/certs/ca-certificates.crt", "components": ["tls"]})
    assert distrusted["failed"] and "tls not seen" in distrusted["msg"], distrusted["msg"]
    assert "the certificate is not accepted: unable to get local issuer" in distrusted["msg"], distrusted["msg"]


@pytest.mark.hazard("H20")
@pytest.mark.parametrize("body", [
    '{"status":"DOWN","components":{"diskSpace":{"status":"UP"}}}', '{"status":"OUT_OF_SERVICE","components":{"redis":{"status":"UP"}}}',
    '{"status":"UNKNOWN"}', '{"components":{"redis":{"status":"UP"}}}', '{"status":{"code":"DOWN"},"details":{"redis":{"status":"UP"}}}',
])
@pytest.mark.parametrize("status", [200, 503])
def test_down_with_a_component_up_is_not_healthy(service, body: str, status: int) -> None:
    target = service()
    target.proxy.break_with({"path": "/actuator/health", "status": status, "body": body, "headers": {"Content-Type": "application/json"}})
    result = run_module("cache_health_info", {**target.args, "single_instance": True})
    assert result["failed"] and result["healthy"] is False and "the service is not healthy" in result["msg"]


def test_a_component_that_is_down_or_missing_is_named_with_its_reason(service) -> None:
    target = service()
    down = '{"status":"DOWN","details":{"error":"connection refused"}}'
    target.proxy.break_with({"path": "health/redis", "status": 503, "body": down, "headers": {"Content-Type": "application/json"}})
    result = run_module("cache_health_info", {**target.args, "components": ["redis", "nonesuch"], "single_instance": True})
    assert result["failed"] and "redis DOWN" in result["msg"] and "nonesuch MISSING" in result["msg"]
    assert result["instances"][0]["status"] == "UP"


def test_time_out_tells_which_instance_and_component_were_last_seen_how(service, proxies) -> None:
    dead = {"name": "pod-b", "url": f"http://127.0.0.1:{process.free_port()}"}
    sick = service()
    sick.proxy.break_with({"path": "health/database", "status": 503, "body": '{"status":"DOWN"}', "headers": {"Content-Type": "application/json"}})
    instances = [{"name": "pod-a", "url": sick.url}, dead]
    result = run_module("cache_health_info", {**sick.args, "instances": instances, "components": ["database"], "wait_timeout": "PT1S"})
    assert result["failed"] and result.seconds < 8
    assert "not healthy after 1 s" in result["msg"] and "pod-a: database DOWN" in result["msg"]
    assert "pod-b: status UNREACHABLE" in result["msg"] and "Connection refused" in result["msg"]
    one = accepted(run_module("cache_health_info", {**sick.args, "instances": [{"name": "good", "url": sick.url}, dead], "require_all": False}))
    assert one["healthy"] is True and len(one["reasons"]) == 1, "one healthy instance is enough, and the other is told"


def test_it_waits_until_the_service_is_up(service) -> None:
    target = service()
    starting = {"path": "health", "first": 3, "status": 503, "body": '{"status":"OUT_OF_SERVICE"}', "headers": {"Content-Type": "application/json"}}
    target.proxy.break_with(starting)
    result = accepted(run_module("cache_health_info", {**target.args, "wait_timeout": "PT20S", "single_instance": True}))
    assert result["healthy"] is True and target.proxy.delivered() == [3]


def test_a_frozen_instance_ends_in_bounded_time(service) -> None:
    target = service()
    with target.frozen():
        result = run_module("cache_health_info", {**target.args, "timeout": 1, "retries": 1, "single_instance": True})
    assert result["failed"] and "no complete answer within 1 s" in result["msg"] and result.seconds < 8


def test_behind_a_balancer_a_warning_says_that_one_process_was_asked(service) -> None:
    target = service()
    assert "one process" in str(accepted(run_module("cache_health_info", target.args))["warnings"])
    assert "warnings" not in accepted(run_module("cache_health_info", {**target.args, "single_instance": True}))


@pytest.mark.operation("S027", "S028", "S155", "S167")
def test_regions_and_their_statistics(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("products", defaultTtl="PT2H")
    stage.region("über/all")
    stage.entries("products", ["a", "b"])
    result = accepted(run_module("cache_info", {**target.args, "subset": ["regions", "region_stats"]}))
    assert [(region["name"], region["default_ttl"], region["size"]) for region in result["regions"]] == [("products", "PT2H", 2), ("über/all", "PT1H", 0)]
    assert set(result["region_stats"]) == {"products", "über/all"} and result["requests"] == {"read": 3, "write": 0}
    one = accepted(run_module("cache_info", {**target.args, "region": "products"}))
    assert [region["name"] for region in one["regions"]] == ["products"]
    missing = run_module("cache_info", {**target.args, "region": "nope"})
    assert missing["failed"] and "there is no region 'nope'; the service has products, über/all" in missing["msg"]


@pytest.mark.parametrize("dialect", ["paged", "wrapped", "hal", "map", "seconds", "null-fields", "absent-fields", "lower-case-enums", "no-counts"])
def test_regions_read_the_same_in_every_dialect(service, dialect: str) -> None:
    target = service(dialect)
    stage = Stage(target)
    for number in range(45):
        stage.region(f"r{number:02}", defaultTtl="PT2H", evictionPolicy="LFU", enableCompression=True)
    regions = accepted(run_module("cache_info", target.args))["regions"]
    assert [region["name"] for region in regions] == [f"r{number:02}" for number in range(45)]
    assert {(region["default_ttl"], region["eviction_policy"].upper(), region["enable_compression"]) for region in regions} == {("PT2H", "LFU", True)}
