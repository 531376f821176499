# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One-shot tasks: they answer what they really did."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tests.contract.conftest import REGIONS, Api, Start, entry, wait_until
from tests.harness.targets import Service

CLEANUP, OPTIMIZE = "/admin/cache/cleanup-expired", "/admin/cache/optimize"
PATTERNS, MEMORY = "/admin/cache/optimize-patterns", "/admin/cache/memory/optimize"
SHUTDOWN = "/admin/cache/flush-and-shutdown"


@pytest.mark.parametrize("path", [CLEANUP, OPTIMIZE, PATTERNS, MEMORY])
def test_without_a_body_as_the_guide_sends_them(make_api: Callable[..., Api], path: str) -> None:
    assert make_api()("POST", path).status == 200
    assert make_api("no-counts", "lists-need-admin")("POST", path).status == 204
    assert make_api("accepted")("POST", path).status == 202


def test_cleanup_counts_what_had_expired(api: Api) -> None:
    api.region("short")
    api.region("long")
    api.fill("short", "a", "b", "c", ttl=0.2, tags=["t"])
    api.fill("short", "d")
    api.fill("long", "e")
    time.sleep(0.3)
    assert api.done("POST", CLEANUP) == {"removed": 3, "regions": {"short": 3}}
    assert api.done("POST", CLEANUP) == {"removed": 0, "regions": {}}
    assert (api.size("short"), api.size("long")) == (1, 1)


def test_optimize_forgets_what_redis_has_lost(service: Callable[..., Service]) -> None:
    target = service()
    api = Api(target.url, target.tokens)
    api.region("products")
    api.fill("products", "a", "b", "c")
    redis = target.fleet.redis()
    try:
        redis.unlink(f"{target.namespace}products::b")
    finally:
        redis.close()
    assert api.size("products") == 3
    assert api.done("POST", OPTIMIZE) == {"expired": 0, "vanished": 1, "regions": ["products"]}
    assert api.size("products") == 2
    assert api.done("POST", OPTIMIZE)["vanished"] == 0


def test_optimize_patterns_ages_what_was_used(api: Api) -> None:
    api.region("lfu", evictionPolicy="LFU", maxSize=3)
    api.fill("lfu", "old", "other")
    for _read in range(8):
        api("GET", entry("lfu", "old"), token="api")
    for _round in range(3):
        assert api.done("POST", PATTERNS)["regions"] == ["lfu"]
    for _read in range(4):
        api("GET", entry("lfu", "other"), token="api")
    api.fill("lfu", "c")
    api("GET", entry("lfu", "c"), token="api")
    api("GET", entry("lfu", "c"), token="api")
    api.fill("lfu", "d")
    assert api.keys("lfu", "old", "other", "c", "d") == {"other", "c", "d"}


def test_memory_is_freed_by_compression(api: Api) -> None:
    api.region("products")
    for key in ("a", "b"):
        api.done("PUT", entry("products", key), {"value": "abcd" * 1000, "ttl": "PT1H", "tags": ["t"]}, token="api")
    api.fill("products", "small")
    before = api.regions()["products"]["memoryUsage"]
    api.done("PUT", f"{REGIONS}/products", {"enableCompression": True})
    answer = api.done("POST", MEMORY)
    after = api.regions()["products"]["memoryUsage"]
    assert (answer["compressed"], answer["bytesBefore"], answer["bytesAfter"]) == (2, before, after)
    assert answer["freedBytes"] == before - after > 7000
    found = api.done("GET", entry("products", "a"), token="api")
    assert (found["value"], found["storedBytes"] < 100) == ("abcd" * 1000, True)
    assert float(found["ttl"][2:-1]) > 3500
    assert api.done("POST", MEMORY)["compressed"] == 0
    gone = api.done("POST", "/api/v1/cache/invalidate/tags", {"tags": ["t"], "regions": ["products"]})
    assert gone["invalidated"] == 2


def test_flush_and_shutdown_ends_the_process(member: Start) -> None:
    process, one = member("--dialect", "accepted")
    _second, other = member()
    assert one("POST", REGIONS, {"name": "late"}).status == 202
    answer = one("POST", SHUTDOWN)
    assert (answer.status, answer.body["status"], answer.body["flushed"]) == (200, "SHUTTING_DOWN", 1)
    assert process.wait(5) == 0
    assert other.regions().keys() == {"late"}


def test_flush_and_shutdown_drains_first(member: Start) -> None:
    process, one = member("--drain", "1")
    _second, other = member()
    other.region("products")
    began = time.monotonic()
    answers: list[int] = []
    asked = threading.Thread(target=lambda: answers.append(one("POST", SHUTDOWN).status))
    asked.start()
    second = Api(one.url, one.tokens)
    assert wait_until(lambda: second("GET", "/actuator/health/readiness").status == 503, 0.9)
    assert second("GET", REGIONS).status == 200
    asked.join()
    assert answers == [200]
    assert time.monotonic() - began > 0.9
    assert process.wait(5) == 0
