# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Analytics from real counters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.conftest import Api, entry

ANALYTICS = "/api/v1/analytics"


def rows(api: Api, name: str) -> dict[str, dict[str, Any]]:
    body = api.done("GET", f"{ANALYTICS}/{name}", token="api")
    return {row["region"]: row for row in (body["patterns"] if isinstance(body, dict) else body)}


@pytest.fixture
def used(api: Api) -> Api:
    """Regions that only this module's tests use, so that counters of others don't matter."""
    for name in ("an-read", "an-written", "an-idle"):
        api.region(name, maxSize=10)
    api.fill("an-read", "a")
    for key in ("a", "a", "a", "b"):
        api("GET", entry("an-read", key), token="api")
    api.fill("an-written", *(f"k{number}" for number in range(25)))
    return api


def test_hit_rate_by_region(api: Api) -> None:
    api.region("an-rate")
    api.fill("an-rate", "a")
    for key in ("a", "a", "a", "b"):
        api("GET", entry("an-rate", key), token="api")
    assert rows(api, "hit-rate-by-region")["an-rate"] == {"region": "an-rate", "hits": 3, "misses": 1, "hitRate": 0.75}
    api.region("an-none")
    assert rows(api, "hit-rate-by-region")["an-none"]["hitRate"] is None


def test_top_regions_and_patterns(used: Api) -> None:
    top = used.done("GET", f"{ANALYTICS}/top-regions", token="api")
    assert [row["region"] for row in top] == ["an-written", "an-read", "an-idle"]
    assert (top[0]["size"], top[0]["memoryUsage"] > 0) == (10, True)
    assert len(used.done("GET", f"{ANALYTICS}/top-regions?limit=1")) == 1
    for limit in ("0", "x", "-1", "99999999999999999999"):
        assert used("GET", f"{ANALYTICS}/top-regions?limit={limit}").status == 400
    found = rows(used, "access-patterns")
    assert (found["an-written"]["pattern"], found["an-idle"]["pattern"]) == ("write-heavy", "idle")
    assert found["an-read"]["hotKeys"][0]["key"] == "a"


def test_recommendations(api: Api) -> None:
    api.region("an-full", maxSize=10)
    api.fill("an-full", *(f"k{number}" for number in range(30)))
    for _read in range(25):
        api("GET", entry("an-full", "absent"), token="api")
    found = api.done("GET", f"{ANALYTICS}/recommendations", token="api")
    kinds = {one["type"]: one["priority"] for one in found if one["region"] == "an-full"}
    assert kinds == {"low-hit-rate": "high", "nearly-full": "medium", "evictions": "high"}


def test_performance_issues(api: Api) -> None:
    body = api.done("GET", f"{ANALYTICS}/performance-issues")
    assert body["checkedAt"]
    fields = {"type", "severity", "measured", "limit", "message"}
    assert {field for issue in body["issues"] for field in issue} <= fields
    assert not [issue for issue in body["issues"] if issue["type"] == "redis"]


def test_weekly_report(used: Api) -> None:
    report = used.done("POST", f"{ANALYTICS}/weekly-report")
    assert report["type"] == "weekly"
    assert report["period"]["from"] < report["period"]["to"]
    metrics = report["cacheMetrics"]
    assert metrics["totalSize"] == 11
    assert metrics["memoryUsage"] > 0
    assert metrics["hitRate"] == metrics["hits"] / (metrics["hits"] + metrics["misses"])
    assert metrics["evictions"] >= 15
    assert report["topRegions"] == used.done("GET", f"{ANALYTICS}/top-regions")
