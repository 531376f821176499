# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries: time to live, size limit and compression are real."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.contract.conftest import REGIONS, Api, entry, wait_until
from tests.harness.targets import Service


def test_guides_calls(api: Api) -> None:
    api.region("products")
    body = {"value": {"id": 456, "name": "Premium Product", "price": 199.99}, "ttl": "PT4H"}
    assert api("PUT", entry("products", "product:456"), body, token="api").status == 200
    found = api("GET", entry("products", "product:456"), token="api")
    assert (found.status, found.body["value"]) == (200, body["value"])
    assert 4 * 3600 - 10 < float(found.body["ttl"][2:-1]) <= 4 * 3600
    assert api("HEAD", entry("products", "product:456"), token="api").status == 200
    assert api("HEAD", entry("products", "product:123"), token="api").status == 404
    assert api("GET", entry("products", "product:123"), token="api").status == 404
    keys = ["product:123", "product:456", "product:789"]
    many = api("POST", f"{REGIONS}/products/keys/batch", {"keys": keys}, token="api").body
    assert [item["key"] for item in many["entries"]] == ["product:456"]
    assert many["missing"] == ["product:123", "product:789"]
    assert api("DELETE", entry("products", "product:456"), token="api").status == 204
    assert api("DELETE", entry("products", "product:456"), token="api").status == 404
    assert api.size("products") == 0


@pytest.mark.parametrize(
    "body", [{}, [], {"value": 1, "ttl": "soon"}, {"value": 1, "ttl": 0}, {"value": 1, "tags": "a"},
             {"value": 1, "tags": [1]}],
)
def test_invalid(api: Api, body: object) -> None:
    api.region("products")
    assert api("PUT", entry("products", "k"), body, token="api").status == 400
    assert api.keys("products", "k") == set()


@pytest.mark.parametrize("keys", [None, [], "a", [1], ["k"] * 1001])
def test_invalid_batches(api: Api, keys: object) -> None:
    api.region("products")
    assert api("POST", f"{REGIONS}/products/keys/batch", {"keys": keys}, token="api").status == 400


def test_time_to_live(api: Api) -> None:
    api.region("short", defaultTtl="PT0.4S")
    api.fill("short", "a", "b")
    api.fill("short", "c", ttl="PT1H")
    assert api.size("short") == 3
    time.sleep(0.45)
    assert api.keys("short", "a", "b", "c") == {"c"}
    assert api.size("short") == 1
    assert 0 < api.regions()["short"]["memoryUsage"] < 60


@pytest.mark.parametrize(("policy", "leaves"), [("LRU", "b"), ("LFU", "c"), ("FIFO", "a")])
def test_eviction(api: Api, policy: str, leaves: str) -> None:
    """a is the oldest, b the least recently used, c the least frequently used."""
    region = f"small-{policy}"
    api.region(region, maxSize=3, evictionPolicy=policy)
    api.fill(region, "a", "b", "c")
    for key in ("b", "b", "a", "a", "c"):
        time.sleep(0.003)  # use is kept in milliseconds
        assert api("GET", entry(region, key), token="api").status == 200
    api.fill(region, "d")
    assert api.keys(region, "a", "b", "c", "d") == {"a", "b", "c", "d"} - {leaves}
    assert api.size(region) == 3
    assert api("GET", f"{REGIONS}/{region}/stats").body["evictions"] == 1


def test_shrinking_evicts_at_once(api: Api) -> None:
    api.region("products", evictionPolicy="FIFO")
    keys = [f"k{number}" for number in range(20)]
    for key in keys:
        api.fill("products", key, tags=["t"])
        time.sleep(0.002)
    answer = api("PATCH", "/admin/cache/regions/products", {"maxSize": 5})
    assert answer.body["size"] == 5
    assert api.keys("products", *keys) == set(keys[15:])
    tags = api("POST", "/api/v1/cache/invalidate/tags", {"tags": ["t"], "regions": ["products"]})
    assert tags.body["invalidated"] == 5


def test_policy_can_change_with_entries_inside(api: Api) -> None:
    api.region("products", maxSize=2)
    api.fill("products", "a", "b")
    assert api("PATCH", "/admin/cache/regions/products", {"evictionPolicy": "LFU"}).status == 200
    api("GET", entry("products", "a"), token="api")
    api.fill("products", "c")
    assert api.keys("products", "a", "b", "c") == {"a", "c"}


def test_compression_is_real(service: Callable[..., Service]) -> None:
    target = service()
    api = Api(target.url, target.tokens)
    value = "abc " * 1000
    stored = {}
    for name, on in (("packed", True), ("plain", False)):
        api.region(name, enableCompression=on)
        api("PUT", entry(name, "k"), {"value": value}, token="api")
        assert api("GET", entry(name, "k")).body["value"] == value
        stored[name] = api.regions()[name]["memoryUsage"]
    assert stored["packed"] * 10 < stored["plain"]
    redis = target.fleet.redis()
    try:
        assert redis.strlen(f"{target.namespace}packed::k") == stored["packed"] - 1
        assert redis.get(f"{target.namespace}plain::k") == f'"{value}"'
        assert 0 < redis.pttl(f"{target.namespace}plain::k") <= 3_600_000
    finally:
        redis.close()


def test_overwriting_keeps_the_books_right(api: Api) -> None:
    api.region("products")
    api.fill("products", "a", tags=["old", "both"])
    first = api.regions()["products"]["memoryUsage"]
    api.fill("products", "a", tags=["both", "new"])
    assert (api.size("products"), api.regions()["products"]["memoryUsage"]) == (1, first)
    for tag, removed in (("old", 0), ("new", 1)):
        answer = api("POST", "/api/v1/cache/invalidate/tags", {"tags": [tag], "regions": ["products"]})
        assert answer.body["invalidated"] == removed
    assert api.regions()["products"]["memoryUsage"] == 0


def test_tags_end_with_their_entry(api: Api) -> None:
    api.region("products")
    api.fill("products", "a", tags=["t"], ttl="PT0.2S")
    assert wait_until(lambda: api.size("products") == 0)
    api.fill("products", "a")
    answer = api("POST", "/api/v1/cache/invalidate/tags", {"tags": ["t"], "regions": ["products"]})
    assert answer.body["invalidated"] == 0
    assert api.keys("products", "a") == {"a"}


def test_expired_entries_make_room(api: Api) -> None:
    api.region("products", maxSize=2)
    api.fill("products", "a", ttl="PT0.2S")
    api.fill("products", "b")
    assert wait_until(lambda: api.size("products") == 1)
    api.fill("products", "c")
    assert api.keys("products", "b", "c") == {"b", "c"}
