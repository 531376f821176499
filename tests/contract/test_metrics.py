# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics count real requests; their names and shape are Spring Boot's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.conftest import REGIONS, Api, entry

METRICS = "/actuator/metrics"


def value(api: Api, path: str, statistic: str) -> float:
    body = api("GET", f"{METRICS}/{path}", token="monitor").body
    return float({item["statistic"]: item["value"] for item in body["measurements"]}[statistic])


@pytest.mark.parametrize(
    ("name", "statistic"),
    [
        ("cache.requests", "COUNT"), ("cache.requests", "TOTAL_TIME"), ("cache.size", "VALUE"), ("cache.gets", "COUNT"),
        ("redis.connections.active", "VALUE"), ("redis.connections", "VALUE"), ("redis.memory.used", "VALUE"),
        ("redis.memory.max", "VALUE"), ("jvm.memory.used", "VALUE"), ("jvm.memory.max", "VALUE"),
        ("jvm.gc.pause", "TOTAL_TIME"),
    ],
)
def test_every_metric_of_the_guide(standing: Api, name: str, statistic: str) -> None:
    body: dict[str, Any] = standing("GET", f"{METRICS}/{name}", token="monitor").body
    assert body["name"] == name
    assert statistic in {item["statistic"] for item in body["measurements"]}
    assert name in standing("GET", METRICS, token="monitor").body["names"]


def test_gets_are_counted_by_region_and_result(api: Api) -> None:
    api.region("counted-gets")
    api.fill("counted-gets", "a")
    for key in ("a", "a", "b"):
        api("GET", entry("counted-gets", key), token="api")
    api("POST", f"{REGIONS}/counted-gets/keys/batch", {"keys": ["a", "c", "d"]}, token="api")
    assert value(api, "cache.gets?tag=cache:counted-gets&tag=result:hit", "COUNT") == 3
    assert value(api, "cache.gets?tag=cache:counted-gets&tag=result:miss", "COUNT") == 3
    assert value(api, "cache.gets?tag=cache:counted-gets", "COUNT") == 6
    tags = api("GET", f"{METRICS}/cache.gets?tag=cache:counted-gets", token="monitor").body["availableTags"]
    assert tags == [{"tag": "result", "values": ["hit", "miss"]}]
    assert api("GET", f"{METRICS}/cache.gets?tag=cache:absent", token="monitor").status == 404
    assert api("GET", f"{METRICS}/cache.gets?tag=cache", token="monitor").status == 400


def test_requests_are_counted_and_timed(api: Api) -> None:
    number, total = (value(api, "cache.requests", statistic) for statistic in ("COUNT", "TOTAL_TIME"))
    for _round in range(5):
        api.regions()
    assert value(api, "cache.requests", "COUNT") == number + 5
    assert total < value(api, "cache.requests", "TOTAL_TIME") < total + 5


def test_sizes(api: Api) -> None:
    api.region("a")
    api.region("b")
    api.fill("a", "1", "2", "3")
    assert value(api, "cache.size?tag=cache:a", "VALUE") == 3
    assert value(api, "cache.size?tag=cache:b", "VALUE") == 0
    assert value(api, "cache.size", "VALUE") == 3


def test_memory_is_plausible(api: Api) -> None:
    assert 10_000_000 < value(api, "jvm.memory.used", "VALUE") < value(api, "jvm.memory.max", "VALUE")
    assert value(api, "redis.memory.used", "VALUE") > 1_000_000
    assert value(api, "redis.connections", "VALUE") >= value(api, "redis.connections.active", "VALUE") >= 0


def test_configuration_properties_hide_the_password(api: Api) -> None:
    body = api("GET", "/actuator/configprops", token="monitor").body
    beans = body["contexts"]["caching-service"]["beans"]
    redis = next(bean for bean in beans.values() if bean["prefix"] == "spring.data.redis")
    assert redis["properties"]["cluster"]["password"] == "******"
    assert len(redis["properties"]["cluster"]["nodes"]) >= 3
