# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The local-cache mode: a process serves from its own memory, with or without Redis."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.conftest import REGIONS, Api, Start, entry
from tests.harness import process

MODE = "/admin/emergency/local-cache-mode"
HEALTH = "/actuator/health"


def use(api: Api, region: str = "products") -> None:
    """Everything that can be done with an entry."""
    assert api("GET", entry(region, "k"), token="api").status == 404
    for key in ("k", "l", "m"):
        api.done("PUT", entry(region, key), {"value": {"id": key}, "ttl": "PT1H", "tags": [key]}, token="api")
    assert api.done("GET", entry(region, "k"), token="api")["value"] == {"id": "k"}
    assert api.keys(region, "k", "l", "x") == {"k", "l"}
    found = api.done("POST", f"{REGIONS}/{region}/keys/batch", {"keys": ["k", "x"]}, token="api")
    assert ([one["key"] for one in found["entries"]], found["missing"]) == (["k"], ["x"])
    assert api("DELETE", entry(region, "k"), token="api").status == 204
    body = {"regions": [region]}
    assert api.done("POST", "/api/v1/cache/invalidate/tags", {**body, "tags": ["l"]})["invalidated"] == 1
    assert api.done("POST", "/api/v1/cache/invalidate/pattern", {**body, "pattern": "*"})["invalidated"] == 1
    assert not api.keys(region, "k", "l", "m")


def test_it_serves_when_redis_is_away(start: Start) -> None:
    _process, api = start("--redis", f"127.0.0.1:{process.free_port()}")
    assert api("PUT", entry("products", "k"), {"value": 1}, token="api").status == 503
    assert api("GET", HEALTH).status == 503
    answer = api.done("POST", MODE)
    assert (answer["mode"], answer["entries"]) == ("local-cache", 0)
    health = api("GET", HEALTH)
    assert (health.status, health.body["status"]) == (200, "UP")
    states = {name: part["status"] for name, part in health.body["components"].items()}
    assert (states["redis"], states["localCache"]) == ("DOWN", "UP")
    assert api("GET", f"{HEALTH}/redis").status == 503
    use(api)


def test_one_process_only(member: Start) -> None:
    one, other = member()[1], member()[1]
    one.region("products", defaultTtl="PT5M")
    one.fill("products", "k")
    one.done("POST", MODE, {"reason": "trial"})
    assert one.done("GET", HEALTH)["components"]["localCache"]["details"]["reason"] == "trial"
    assert "localCache" not in other.done("GET", HEALTH)["components"]
    use(one)
    one.fill("products", "own")
    assert one.done("GET", entry("products", "own"))["ttl"].startswith(("PT300S", "PT299."))
    assert other.keys("products", "k", "own") == {"k"}
    assert one("PUT", entry("absent", "k"), {"value": 1}, token="api").status == 404
    assert one.done("POST", MODE)["entries"] == 1


def test_some_regions_only(member: Start) -> None:
    _process, api = member()
    for region in ("products", "users"):
        api.region(region)
        api.fill(region, "k")
    api.done("POST", MODE, {"regions": ["users"]})
    assert api.keys("products", "k") == {"k"}
    assert not api.keys("users", "k")


def test_leaving_and_telling(member: Start) -> None:
    _process, api = member("--dialect", "leave-mode,mode-readable")
    api.region("products")
    api.fill("products", "before")
    assert api.done("GET", MODE) == {"mode": "normal"}
    api.done("POST", MODE)
    assert api.done("GET", MODE)["mode"] == "local-cache"
    api.fill("products", "meanwhile")
    assert api.done("DELETE", MODE) == {"mode": "normal"}
    assert api.keys("products", "before", "meanwhile") == {"before"}
    assert "localCache" not in api.done("GET", HEALTH)["components"]


def test_a_restart_leaves_it(member: Start) -> None:
    first, api = member()
    api.done("POST", MODE)
    process.stop(first)
    _process, again = member()
    assert "localCache" not in again.done("GET", HEALTH)["components"]


@pytest.mark.parametrize("body", [{"regions": "all"}, {"regions": [5]}, {"reason": 5}])
def test_invalid_requests(standing: Api, body: Any) -> None:
    assert standing("POST", MODE, body).status == 400
    assert "localCache" not in standing.done("GET", HEALTH)["components"]
