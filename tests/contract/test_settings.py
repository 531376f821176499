# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run-time settings: validated, shared by the instances, shown in Spring's configuration properties, and acting."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import REGIONS, TOKENS, Api, Start, entry, wait_until

# Word for word from the operations guide
CONNECTION = {"maxTotal": 300, "maxIdle": 100, "minIdle": 20, "testOnBorrow": True}
MEMORY = {"maxMemoryPolicy": "allkeys-lru", "maxMemorySamples": 10, "compressionThreshold": 1024}
POOL = {
    "maxTotal": 500,
    "maxIdle": 100,
    "minIdle": 50,
    "testOnBorrow": True,
    "testWhileIdle": True,
    "timeBetweenEvictionRuns": 30000,
}
POOL_SIZE = {"maxTotal": 500, "maxIdle": 150}
TIMEOUTS = {"connectionTimeout": 10000, "socketTimeout": 15000}
COMPRESSION = {"enabled": True, "threshold": 1024}
STRATEGIES = {"products": "refresh-ahead", "sessions": "write-through", "search": "cache-aside"}
CHANGED_STRATEGIES = {"products": "write-behind", "sessions": "cache-aside"}
WRITES = [
    ("/admin/redis/connection", CONNECTION, "cache.redis", "connection"),
    ("/admin/redis/optimize-memory", MEMORY, "cache.redis", "memory"),
    ("/admin/redis/pool-config", POOL, "cache.redis", "pool"),
    ("/admin/redis/pool-config", POOL_SIZE, "cache.redis", "pool"),
    ("/admin/redis/connection-config", TIMEOUTS, "cache.redis", "timeouts"),
    ("/admin/cache/compression", COMPRESSION, "cache.compression", ""),
]


def properties(api: Api) -> dict[str, dict[str, Any]]:
    """The configuration properties by prefix."""
    body = api.done("GET", "/actuator/configprops", token="monitor")
    beans = body["contexts"]["caching-service"]["beans"]
    assert all(name.startswith(bean["prefix"] + "-") for name, bean in beans.items())
    return {bean["prefix"]: bean["properties"] for bean in beans.values()}


@dataclasses.dataclass(frozen=True)
class Bean:
    prefix: str
    part: str

    def of(self, api: Api) -> dict[str, Any]:
        found = properties(api)[self.prefix]
        return dict(found[self.part] if self.part else found)


@pytest.mark.parametrize(("path", "body", "prefix", "part"), WRITES)
def test_the_guide_s_settings(api: Api, path: str, body: dict[str, Any], prefix: str, part: str) -> None:
    answer = api.done("PUT", path, body)
    assert {field: answer[field] for field in body} == body
    shown = Bean(prefix, part).of(api)
    assert {field: shown[field] for field in body} == body
    assert api.done("GET", REGIONS) == []


def test_two_endpoints_for_one_pool(make_api: Callable[..., Api]) -> None:
    for dialects, idle, checked in (((), 0, True), (("put-merges", "wrapped", "iso"), 50, True)):
        api = make_api(*dialects)
        api.done("PUT", "/admin/redis/pool-config", POOL)
        api.done("PUT", "/admin/redis/connection", {"maxTotal": 400, "maxIdle": 100})
        pool = Bean("cache.redis", "pool").of(api)
        assert (pool["maxTotal"], pool["minIdle"], pool["testWhileIdle"]) == (400, idle, checked)
    assert api.done("PUT", "/admin/cache/compression", {"threshold": 7})["threshold"] == 7
    assert Bean("cache.redis", "memory").of(api)["compressionThreshold"] == 7


def test_strategies(api: Api) -> None:
    for region in STRATEGIES:
        api.region(region)
    assert api.done("PUT", "/admin/cache/strategies", STRATEGIES) == STRATEGIES
    assert api.done("PUT", "/admin/cache/strategies", CHANGED_STRATEGIES) == {**STRATEGIES, **CHANGED_STRATEGIES}
    assert properties(api)["cache.strategies"] == {**STRATEGIES, **CHANGED_STRATEGIES}
    assert api("PUT", "/admin/cache/strategies", {"absent": "cache-aside"}).status == 404
    refused = api("PUT", "/admin/cache/strategies", {"products": "cache-aside", "search": "magic"})
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "search")
    assert properties(api)["cache.strategies"] == {**STRATEGIES, **CHANGED_STRATEGIES}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [("redis/connection", {"maxTotal": 0, "maxIdle": 0}, "maxTotal"), ("redis/connection", {"maxIdle": "x"}, "maxIdle"),
     ("redis/pool-config", {"maxTotal": 10, "maxIdle": 20}, "maxIdle"),
     ("redis/pool-config", {"maxIdle": 5, "minIdle": 6}, "maxIdle"),
     ("redis/pool-config", {"testOnBorrow": 1}, "testOnBorrow"),
     ("redis/connection-config", {"socketTimeout": -1}, "socketTimeout"),
     ("redis/optimize-memory", {"maxMemoryPolicy": "lru"}, "maxMemoryPolicy"),
     ("redis/optimize-memory", {"maxMemorySamples": 0}, "maxMemorySamples"),
     ("cache/compression", {"threshold": 1.5}, "threshold"), ("cache/compression", {"enabled": "no"}, "enabled")],
)
def test_invalid_settings(standing: Api, path: str, body: object, field: str) -> None:
    before = properties(standing)
    answer = standing("PUT", f"/admin/{path}", body)
    assert (answer.status, [error["field"] for error in answer.body["errors"]]) == (422, [field])
    assert properties(standing) == before


def test_instances_share_settings_or_not(member: Start) -> None:
    one, other = member()[1], member()[1]
    one.done("PUT", "/admin/redis/pool-config", POOL)
    assert wait_until(lambda: Bean("cache.redis", "pool").of(other) == POOL, 1.0)
    third, fourth = member("--dialect", "local-settings")[1], member("--dialect", "local-settings")[1]
    third.done("PUT", "/admin/redis/pool-config", POOL_SIZE)
    assert [Bean("cache.redis", "pool").of(api)["maxIdle"] for api in (third, fourth, one)] == [150, 32, 100]


def test_hidden_settings(make_api: Callable[..., Api]) -> None:
    api = make_api("hidden-settings")
    assert api("PUT", "/admin/redis/pool-config", POOL).status == 204
    assert not {"cache.redis", "cache.compression", "cache.strategies"} & properties(api).keys()
    assert properties(api)["server"]["port"]


def test_accepted_settings(make_api: Callable[..., Api]) -> None:
    api = make_api("accepted")
    assert api("PUT", "/admin/redis/pool-config", POOL).status == 202
    assert Bean("cache.redis", "pool").of(api) != POOL
    assert wait_until(lambda: Bean("cache.redis", "pool").of(api) == POOL)
    assert api("PUT", "/admin/redis/pool-config", {"maxTotal": 0}).status == 422


def test_threshold_and_pool_act(api: Api) -> None:
    api.region("packed", enableCompression=True)
    api.done("PUT", "/admin/cache/compression", COMPRESSION)
    sizes = {}
    for length in (100, 1000):
        api.done("PUT", entry("packed", "k"), {"value": "abcd" * length}, token="api")
        sizes[length] = api.done("GET", entry("packed", "k"))["storedBytes"]
    assert sizes[100] == 402
    assert sizes[1000] < 100
    api.done("PUT", "/admin/cache/compression", {"enabled": False, "threshold": 0})
    api.done("PUT", entry("packed", "k"), {"value": "abcd" * 1000}, token="api")
    assert api.done("GET", entry("packed", "k"))["storedBytes"] == 4002


def test_redis_memory_is_only_kept_where_the_user_may_not_configure(api: Api) -> None:
    answer = api.done("PUT", "/admin/redis/optimize-memory", MEMORY)
    assert answer["appliedToRedis"] is False
    assert "permission" in answer["reason"].lower()


def test_secrets_are_masked_or_leak(member: Start, tmp_path: Path) -> None:
    config = tmp_path / "application.properties"
    config.write_text("cache.vendor.password=hunter2\ncache.vendor.name=x\n")
    for dialects, leaks in (((), False), (("--dialect", "leaky-configprops"), True)):
        _process, api = member("--config", str(config), *dialects)
        text = str(properties(api))
        assert ("hunter2" in text) is leaks
        assert ("******" in text) is not leaks
        assert properties(api)["cache.security"] == {
            f"{role}Token": token if leaks else "******" for role, token in TOKENS.items()}


def test_refresh_tells_what_changed(member: Start, tmp_path: Path) -> None:
    config = tmp_path / "application.properties"
    config.write_text("# pool\ncache.redis.pool.maxTotal=300\ncache.redis.pool.maxIdle=100\ncache.name=a\n")
    _process, one = member("--config", str(config))
    assert Bean("cache.redis", "pool").of(one)["maxTotal"] == 300
    beans = one.done("GET", "/actuator/configprops")["contexts"]["caching-service"]["beans"]
    inputs = {bean["prefix"]: bean["inputs"] for bean in beans.values() if bean["inputs"]}
    assert {name: given["value"] for name, given in inputs["cache.redis"]["pool"].items()} == {
        "maxTotal": "300", "maxIdle": "100"}
    assert one.done("POST", "/actuator/refresh") == []
    config.write_text("cache.redis.pool.maxTotal=200\ncache.redis.pool.maxIdle=100\ncache.extra=b\n")
    assert Bean("cache.redis", "pool").of(one)["maxTotal"] == 300
    assert one.done("POST", "/actuator/refresh") == ["cache.extra", "cache.name", "cache.redis.pool.maxTotal"]
    assert Bean("cache.redis", "pool").of(one)["maxTotal"] == 200
    one.done("PUT", "/admin/redis/connection", CONNECTION)
    assert Bean("cache.redis", "pool").of(one)["maxTotal"] == 300
    config.unlink()
    assert one("POST", "/actuator/refresh").status == 503
    assert properties(one)["cache.config"]["properties"]["cache.extra"] == "b"
